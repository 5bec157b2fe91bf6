"""What may be said about a job besides its parameters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from simcelery.errors import ParametersError
from simcelery.settings import parse_duration
from simcelery.workflows.definition import Definition
from simcelery.workflows.encoding import JobRef

if TYPE_CHECKING:
    from simcelery.board.jobs import OnFailed


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a submission. What is None comes from the workflow.

    Parameters:
        queue: where it waits.
        priority: 0 to 9, higher runs first.
        tags: words to find it by.
        after: jobs (handles or ids) that must succeed first.
        run_at: not before this moment (a timezone-aware datetime).
        delay: not before so many seconds from now (or ``"1h30m"``, or a timedelta).
        dedupe: give the job that already has these parameters, if there is one.
        key: the same, for a key of your own; implies `dedupe`.
        on_failed: where that job failed: ``retry`` it, ``keep`` it as it is, or raise an ``error``.
        max_attempts, max_losses, time_limit: as in `workflow`.
    """

    queue: str | None = None
    priority: int | None = None
    tags: Iterable[str] = ()
    after: Iterable[JobRef | int] | JobRef | int = ()
    run_at: dt.datetime | None = None
    delay: float | str | dt.timedelta | None = None
    dedupe: bool = False
    key: str | None = None
    on_failed: OnFailed = "retry"
    max_attempts: int | None = None
    max_losses: int | None = None
    time_limit: float | str | dt.timedelta | None = None

    def __post_init__(self) -> None:
        """Refuse what no job can have.

        Raises:
            ParametersError: an option is malformed; one line says which.
        """
        if self.priority is not None and (not isinstance(self.priority, int) or not 0 <= self.priority <= 9):
            raise ParametersError(f"priority must be a number from 0 to 9, not {self.priority!r}")
        if self.queue is not None and not self.queue:
            raise ParametersError("queue must not be empty")
        if isinstance(self.tags, str):
            raise ParametersError(f"tags must be a list of words: write tags=[{self.tags!r}]")
        if any(not isinstance(tag, str) or not tag or "\0" in tag for tag in self.tags):
            raise ParametersError("tags must be words, without NUL characters")
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ParametersError("run_at must be timezone-aware: add tzinfo, such as datetime.timezone.utc")
        for name, least in (("max_attempts", 1), ("max_losses", 0)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise ParametersError(f"{name} must be a number from {least}, not {value!r}")
        if self.on_failed not in ("retry", "keep", "error"):
            raise ParametersError(f"on_failed must be retry, keep or error, not {self.on_failed!r}")
        seconds(self.delay, "delay")
        seconds(self.time_limit, "time_limit")

    @property
    def parents(self) -> frozenset[int]:
        """The ids of the jobs to wait for."""
        after = (self.after,) if isinstance(self.after, JobRef | int) else self.after
        return frozenset(job.id if isinstance(job, JobRef) else int(job) for job in after)


NAMES = frozenset(field.name for field in fields(Options))


def seconds(value: float | str | dt.timedelta | None, name: str) -> float | None:
    """A duration in seconds.

    Raises:
        ParametersError: it is none, or negative.
    """
    if value is None:
        return None
    try:
        found = value.total_seconds() if isinstance(value, dt.timedelta) else parse_duration(value)
    except ValueError as error:
        raise ParametersError(f"{name}: {error}") from None
    if found < 0:
        raise ParametersError(f"{name} must not be negative, not {value!r}")
    return found


def split(definition: Definition, given: Mapping[str, Any]) -> tuple[dict[str, Any], Options]:
    """Named values of a call: parameters of the workflow, and options. The workflow's names win.

    Raises:
        ParametersError: an option is malformed.
    """
    names = set(definition.parameters.names)
    chosen = {name: value for name, value in given.items() if name in NAMES and name not in names}
    return {name: value for name, value in given.items() if name not in chosen}, Options(**chosen)
