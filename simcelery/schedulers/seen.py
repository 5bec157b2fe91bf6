"""What a scheduler tells of batch jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """Where a batch job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Cause(StrEnum):
    """Why a batch job ended. After a failure of a node, what ran there may run on, and nobody hear of it."""

    FINISHED = "finished"
    FAILED = "failed"
    WALLTIME = "walltime"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_FAILURE = "node_failure"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class End:
    """How a batch job ended.

    Attributes:
        exit_code: of its script, as a shell tells it (128 + n for signal n); None where it is not known.
        told: the scheduler's own words.
        began_at, at: when it began to run, and ended; None where that is not told, or it never ran.
    """

    cause: Cause
    exit_code: int | None
    told: str
    began_at: datetime | None = field(default=None, compare=False)
    at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Seen:
    """One batch job as the scheduler tells it; what it does not tell is None.

    Attributes:
        name: as the scheduler knows it, see `Scheduler.known_as`.
        state: None if its word, or the whole row, means nothing to us: that is no end.
        word: the scheduler's own word for its state.
        reason: why it waits, or ended so, in the scheduler's own words.
        explained: the same in plain English, where we know it.
        never_starts: it waits for what does not come by itself.
        starts_at, ends_at: when it did, or is expected to.
        end: how it ended, as far as this answer tells.
    """

    id: str
    name: str | None = None
    state: State | None = None
    word: str = ""
    reason: str | None = None
    explained: str | None = None
    never_starts: bool = False
    submitted_at: datetime | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    hosts: tuple[str, ...] = ()
    end: End | None = None


@dataclass(frozen=True)
class Plan:
    """What the scheduler would do with a request now; it may come otherwise.

    Attributes:
        starts_at: None where it does not say.
        told: its own words.
    """

    starts_at: datetime | None
    hosts: tuple[str, ...]
    told: str
