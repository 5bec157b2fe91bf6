"""Every error of simcelery, in one tree.

::

    SimceleryError                     anything that simcelery reports; str() is one line that says what to do
    ├── UsageError                     what was asked for cannot be done (exit code 2)
    │   ├── SettingsError              a setting is missing, unknown or malformed
    │   ├── DefinitionError            a function cannot become a workflow, or its module does not import
    │   ├── UnknownWorkflowError       no workflow has this name
    │   ├── ParametersError            parameters do not fit the workflow's signature
    │   ├── RefusedByBoardError          Postgres does not take a value
    │   ├── EncodingError              a value cannot be stored on the board; names the path to it
    │   │   └── PayloadTooLargeError   a value is larger than max_payload
    │   ├── CanvasError                a Celery canvas that cannot be recorded as jobs
    │   ├── SchemaError                the board's schema is missing, older or newer than this code
    │   ├── JobNotFoundError           the board has no such job
    │   ├── StateError                 the job's state does not allow this
    │   └── SubmissionInterruptedError a bulk submission stopped part of the way; says what is recorded
    ├── ServiceError                   a service is unreachable (exit code 3)
    │   ├── BoardUnreachableError      Postgres
    │   ├── BrokerUnreachableError     Redis
    │   │   └── BrokerUntrustedError   Redis, or somebody else: its certificate does not hold
    │   │   └── BrokerRefusesError     Redis can be reached, and answers with an error
    │   └── ServicesNotRunningError    the embedded servers are needed and not running
    └── JobError                       a job in question did not succeed (exit code 1)
        ├── JobFailedError             failed: carries the error type, message and traceback
        ├── JobCancelledError          cancelled
        ├── UpstreamFailedError        a parent failed or was cancelled
        ├── WaitTimeoutError           not finished within the time given
        ├── LostWorkerError            the worker, or its pool child, died
        └── TimeLimitError             the job ran longer than its time limit

The board records `LostWorkerError`, `TimeLimitError` and `JobCancelledError` for an attempt that ended
without an exception of the workflow's own: they are names in ``error_type``, raised nowhere but in the
worker.
"""

from __future__ import annotations

from collections.abc import Sequence


class SimceleryError(Exception):
    """Anything that simcelery reports. ``str(error)`` is one line that says what is wrong and what to do."""

    exit_code = 2


class UsageError(SimceleryError):
    """What was asked for cannot be done as asked."""


class SettingsError(UsageError):
    """A setting is missing, unknown or malformed."""


class DefinitionError(UsageError):
    """A function cannot become a workflow, or a module of workflows does not import."""


class UnknownWorkflowError(UsageError):
    """No workflow has this name."""


class ParametersError(UsageError):
    """Parameters do not fit the workflow's signature."""


class RefusedByBoardError(UsageError):
    """Postgres does not take what was to be written."""


class EncodingError(UsageError):
    """A value cannot be stored on the board. The message names the path to it."""


class PayloadTooLargeError(EncodingError):
    """A value is larger than the setting ``max_payload``."""


class CanvasError(UsageError):
    """A Celery canvas (chain, chord, callback) that cannot be recorded as jobs."""


class SchemaError(UsageError):
    """The board's schema is missing, older or newer than this code."""


class JobNotFoundError(UsageError):
    """The board has no such job."""


class StateError(UsageError):
    """The job's state does not allow what was asked."""


class SubmissionInterruptedError(UsageError):
    """A bulk submission stopped part of the way.

    Attributes:
        recorded: how many jobs are recorded.
        ids: their ids, in the order of submission.
    """

    def __init__(self, message: str, ids: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.ids = list(ids)
        self.recorded = len(ids)


class ServiceError(SimceleryError):
    """A service is unreachable."""

    exit_code = 3


class BoardUnreachableError(ServiceError):
    """Postgres cannot be reached."""


class BrokerUnreachableError(ServiceError):
    """Redis cannot be reached."""


class BrokerUntrustedError(BrokerUnreachableError):
    """What answers as Redis has a certificate that does not hold."""


class BrokerRefusesError(BrokerUnreachableError):
    """Redis answers, but with an error: it is full, a replica, loading, or does not allow it."""


class ServicesNotRunningError(ServiceError):
    """No URLs are set and the embedded servers are not running."""


class JobError(SimceleryError):
    """A job in question did not succeed."""

    exit_code = 1


class JobFailedError(JobError):
    """The job failed.

    Attributes:
        error_type: the class name of the workflow's exception, or of one of the errors below.
        traceback: the traceback of the last attempt as text, or None.
    """

    def __init__(self, message: str, error_type: str = "", traceback: str | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.traceback = traceback


class JobCancelledError(JobError):
    """The job was cancelled."""


class UpstreamFailedError(JobError):
    """A parent of the job failed or was cancelled, so the job will not run."""


class WaitTimeoutError(JobError):
    """The job did not finish within the time given."""


class LostWorkerError(JobError):
    """The worker, or its pool child, died while it ran the job."""


class TimeLimitError(JobError):
    """The job ran longer than its time limit."""
