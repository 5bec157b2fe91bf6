"""Every error of simcelery, in one tree.

::

    SimceleryError                     any error of simcelery; str() is one line that says what to do
    ├── UsageError                     the request cannot be carried out (exit code 2)
    │   ├── SettingsError              a setting is missing, unknown or malformed
    │   ├── DefinitionError            a function cannot become a workflow, or its module cannot be imported
    │   ├── UnknownWorkflowError       no workflow has this name
    │   ├── ParametersError            parameters do not fit the workflow's signature
    │   ├── RefusedByBoardError        Postgres refuses a value
    │   ├── NotPermittedError          Postgres does not let this login do that
    │   ├── EncodingError              a value cannot be stored on the board; names the path to it
    │   │   └── PayloadTooLargeError   a value is larger than max_payload
    │   ├── CanvasError                a Celery canvas that cannot be recorded as jobs
    │   ├── SchemaError                the board's schema is missing, older or newer than this code
    │   ├── JobNotFoundError           the board has no such job
    │   ├── StateError                 the job's state does not allow this
    │   └── SubmissionInterruptedError a bulk submission stopped halfway; says what was recorded
    ├── ServiceError                   a service is unreachable (exit code 3)
    │   ├── BoardUnreachableError      Postgres
    │   │   ├── BoardUntrustedError    the certificate of what answers as Postgres is not valid
    │   │   └── BoardChangedError      its schema was upgraded, or is being restored, under this process
    │   ├── BrokerUnreachableError     Redis
    │   │   ├── BrokerUntrustedError   the certificate of what answers as Redis is not valid
    │   │   └── BrokerRefusesError     Redis can be reached, but answers with an error
    │   └── ServicesNotRunningError    the embedded servers are needed but not running
    └── JobError                       a job did not succeed (exit code 1)
        ├── JobFailedError             failed: carries the error type, message and traceback
        ├── JobCancelledError          cancelled
        ├── UpstreamFailedError        a parent failed or was cancelled
        ├── WaitTimeoutError           did not finish within the given time
        ├── LostWorkerError            the worker, or its pool child, died
        ├── TimeLimitError             the job ran longer than its time limit
        └── OutOfMemoryError           the job's processes used more memory than it asked for

The board records `LostWorkerError`, `TimeLimitError`, `OutOfMemoryError` and `JobCancelledError` as the
``error_type`` of an attempt that ended without an exception from the workflow itself; only the worker raises
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# In the message of a command that failed: what comes before is the reason, what follows quotes its output.
ITS_OUTPUT = "\nits output is in "

# A note of an error that a program's handler raised; which one, and in what method, follows.
BY_HANDLER = "raised by the handler "


class SimceleryError(Exception):
    """Any error of simcelery. ``str(error)`` is one line that says what is wrong and what to do."""

    exit_code = 2


class UsageError(SimceleryError):
    """The request cannot be carried out as it is."""


class SettingsError(UsageError):
    """A setting is missing, unknown or malformed."""


class DefinitionError(UsageError):
    """A function cannot become a workflow, or a module of workflows cannot be imported."""


class UnknownWorkflowError(UsageError):
    """No workflow has this name."""


class ParametersError(UsageError):
    """Parameters do not fit the workflow's signature."""


class RefusedByBoardError(UsageError):
    """Postgres refuses a value."""


class NotPermittedError(UsageError):
    """The login of `database_url` may not do this on the board: see ``simcelery db roles``."""


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
    """The job's state does not allow the request."""


class SubmissionInterruptedError(UsageError):
    """A bulk submission stopped halfway.

    Attributes:
        recorded: the number of jobs that were recorded.
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
    """Postgres cannot be reached.

    Attributes:
        perhaps_done: whether it was lost after the whole of a transaction was sent, so that nobody knows.
    """

    perhaps_done = False


class BoardUntrustedError(BoardUnreachableError):
    """The certificate of what answers as Postgres is not valid."""


class BoardChangedError(BoardUnreachableError):
    """The schema is no longer what this process has found: it was upgraded, or is being restored."""


class BrokerUnreachableError(ServiceError):
    """Redis cannot be reached."""


class BrokerUntrustedError(BrokerUnreachableError):
    """The certificate of what answers as Redis is not valid."""


class BrokerRefusesError(BrokerUnreachableError):
    """Redis answers, but with an error: it is full, a read-only replica, still loading, or denies access."""


class ServicesNotRunningError(ServiceError):
    """No URLs are set, and the embedded servers are not running."""


class JobError(SimceleryError):
    """A job did not succeed."""

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
    """The job did not finish within the given time."""


class LostWorkerError(JobError):
    """The worker, or its pool child, died while running the job."""


class TimeLimitError(JobError):
    """The job ran longer than its time limit."""


class OutOfMemoryError(JobError):
    """The job's processes used more memory together than it asked for."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what led to it, each once: they may go in a circle."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
