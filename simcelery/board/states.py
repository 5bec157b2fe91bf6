"""The eight states of a job.

::

    [*] → blocked | scheduled | pending                 record
    blocked → pending | scheduled                       the last parent succeeded
    blocked → upstream_failed                           a parent failed or was cancelled (settle)
    scheduled → pending                                 stage: run_at has come
    pending → running                                   claim
    pending → blocked → pending                         held by a gate, or throttled by a limit
    running → succeeded | failed | cancelled            finish, rescue
    running → scheduled                                 finish with an error, attempts left
    running → pending                                   release, rescue
    blocked | scheduled | pending → cancelled           cancel
    failed | cancelled | upstream_failed → pending | blocked     retry by hand
    failed | scheduled → pending                        handed back by a worker in quarantine
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The state of a job."""

    BLOCKED = "blocked"  # waits for parents, at a gate or for a limit
    SCHEDULED = "scheduled"  # waits for its time; with attempt > 0: between two attempts
    PENDING = "pending"  # waits for a worker
    RUNNING = "running"  # claimed
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UPSTREAM_FAILED = "upstream_failed"  # a parent did not succeed, so this never ran

    @property
    def is_terminal(self) -> bool:
        """Whether only a retry by hand can change it."""
        return self in TERMINAL


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.UPSTREAM_FAILED})
UNSUCCESSFUL = TERMINAL - {State.SUCCEEDED}
WAITING = frozenset({State.BLOCKED, State.SCHEDULED, State.PENDING})
ACTIVE = frozenset(State) - TERMINAL

# As the error of a job that waits: a worker has put it back, since the job needs other files.
OTHER_SOURCE = "OtherSourceError"

# The workflow of calls, which says which function is called, with which arguments, and from which source.
CALLS = "function"


class Kind(StrEnum):
    """What a job waits for, if not for the success of the other: ``dependencies.kind``."""

    ANY = "any"  # its end, whatever it is
    THEN = "then"  # its result: the job has run, and goes on in the other


class Outcome(StrEnum):
    """How an attempt ended: ``attempts.outcome``."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    RELEASED = "released"


class Cause(StrEnum):
    """Why an attempt did not succeed: ``attempts.cause``."""

    ERROR = "error"
    TIME_LIMIT = "time_limit"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_LOST = "worker_lost"
    WALLTIME = "walltime"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
