"""What may be said about a job besides its parameters."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from simcelery import needs
from simcelery.errors import ParametersError
from simcelery.needs import Needs
from simcelery.notifying import addresses
from simcelery.notifying.forms import DONE, EVENTS
from simcelery.quantities import parse_duration
from simcelery.readable import short
from simcelery.settings import KEEP, Keep, is_keep
from simcelery.workflows.definition import Definition
from simcelery.workflows.encoding import JobRef

if TYPE_CHECKING:
    from simcelery.board.transitions.record import OnFailed


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a submission. What is None comes from the workflow.

    Parameters:
        queue: where it waits.
        priority: 0 to 9, higher runs first.
        tags: words to find it by.
        after: jobs (handles or ids) that must succeed first.
        after_any: jobs that must end first, however they do: for reports, and to clean up. It does not run
            again if one of them is retried after it was let go.
        run_at: not before this moment (a timezone-aware datetime).
        delay: not before so many seconds from now (or ``"1h30m"``, or a timedelta).
        dedupe: give the job that is on the board with these parameters already, however it was submitted.
        key: give the job that was submitted with this key, whatever its parameters.
        on_failed: where that job failed: ``retry`` it, ``keep`` it as it is, or raise an ``error``.
        max_attempts, max_losses, time_limit, time_request, cores, memory, gpus, on, keep: as in `workflow`.
        notify: who is told about these jobs: ``http://…``, ``https://…`` or ``mailto:…``, one or several.
        notify_on: of which events: ``done``, ``first-failure``, ``held``, ``stalled``.
        canary: of many jobs, so many run first; the others are held until these have succeeded.
        max_fails: of many jobs, hold those that have not begun once more than ``20`` have failed, or more
            than ``"5%"`` of those that have ended.
    """

    queue: str | None = None
    priority: int | None = None
    tags: Iterable[str] = ()
    after: Iterable[JobRef | int] | JobRef | int = ()
    after_any: Iterable[JobRef | int] | JobRef | int = ()
    run_at: dt.datetime | None = None
    delay: float | str | dt.timedelta | None = None
    dedupe: bool = False
    key: str | None = None
    on_failed: OnFailed = "retry"
    max_attempts: int | None = None
    max_losses: int | None = None
    time_limit: float | str | dt.timedelta | None = None
    time_request: float | str | dt.timedelta | None = None
    cores: int | None = None
    memory: int | str | None = None
    gpus: int | None = None
    on: Mapping[str, Mapping[str, Any]] | None = None
    keep: Keep | None = None
    notify: Iterable[str] | str = field(default=(), repr=False)  # most often secrets
    notify_on: Iterable[str] = (DONE,)
    canary: int | None = None
    max_fails: int | str | None = None

    def __post_init__(self) -> None:
        """Refuse what no job can have. Iterators are read once, here.

        Raises:
            ParametersError: an option is malformed; one line says which.
        """
        object.__setattr__(self, "tags", words(self.tags))
        for name in ("after", "after_any"):
            object.__setattr__(self, name, tuple(_parents(name, getattr(self, name))))
        for name, given in (("queue", [self.queue]), ("key", [self.key]), ("tags", self.tags)):
            for word in given:
                _check_word(name, word)
        told = _several(self.notify, "notify must be an address or a list of them")  # which may be secrets
        object.__setattr__(self, "notify", tuple(dict.fromkeys(map(addresses.checked, told))))
        object.__setattr__(self, "notify_on", tuple(_events(self.notify_on)))
        _check_number("priority", self.priority, 0, 9)
        _check_number("max_attempts", self.max_attempts, 1, _MOST)
        _check_number("max_losses", self.max_losses, 0, _MOST)
        _check_moment(self.run_at)
        if self.on_failed not in ("retry", "keep", "error"):
            raise ParametersError(f"on_failed must be retry, keep or error, not {short(self.on_failed)}")
        seconds(self.delay, "delay")
        for name in ("time_limit", "time_request"):
            if seconds(getattr(self, name), name) == 0:
                raise ParametersError(f"{name} must be more than 0 seconds")
        _ = self.needs
        _check_keep(self.keep)
        _check_number("canary", self.canary, 1, _MOST)
        object.__setattr__(self, "max_fails", _max_fails(self.max_fails))

    @property
    def stops_itself(self) -> bool:
        """Whether these are options of many jobs: with canaries, or a fuse."""
        return self.canary is not None or self.max_fails is not None

    @property
    def fails_allowed(self) -> int | None:
        """How many may fail."""
        return self.max_fails if isinstance(self.max_fails, int) else None

    @property
    def percent_allowed(self) -> float | None:
        """How many of a hundred that have ended may have failed."""
        return float(self.max_fails[:-1]) if isinstance(self.max_fails, str) else None

    @cached_property
    def needs(self) -> Needs:
        """What is asked for of the node.

        Raises:
            ParametersError: it is malformed.
        """
        try:
            return needs.asked(cores=self.cores, memory=self.memory, gpus=self.gpus, on=self.on)
        except ValueError as error:
            raise ParametersError(str(error)) from None

    @property
    def parents(self) -> frozenset[int]:
        """The ids of the jobs that must succeed first."""
        return frozenset(map(_number, self.after))  # type: ignore[arg-type]

    @property
    def ends(self) -> frozenset[int]:
        """The ids of the jobs that must end first."""
        return frozenset(map(_number, self.after_any))  # type: ignore[arg-type]

    @property
    def known(self) -> frozenset[tuple[int, uuid.UUID]]:
        """Those of both of which a handle was given, with their task ids."""
        given = [*self.after, *self.after_any]  # type: ignore[misc]
        return frozenset(pair for job in given if (pair := as_known(job)))


def _check_moment(run_at: Any) -> None:
    if run_at is None:
        return
    if not isinstance(run_at, dt.datetime):
        raise ParametersError(f"run_at must be a datetime, not {short(run_at)}")
    if run_at.tzinfo is None:
        raise ParametersError("run_at must be timezone-aware: add tzinfo, such as datetime.timezone.utc")
    if not 1 < run_at.year <= dt.datetime.now().year + 100:
        raise ParametersError(f"run_at: {run_at} is not a time within the next hundred years")


_MOST = 10_000
_LONGEST_KEY = 1000


def words(tags: Any) -> tuple[Any, ...]:
    """Tags as they are given.

    Raises:
        ParametersError: they are no list.
    """
    if isinstance(tags, str):
        raise ParametersError(f"tags must be a list of words: write tags=[{short(tags)}]")
    return _several(tags, f"tags must be a list of words, not {short(tags)}")


def _several(given: Any, otherwise: str) -> tuple[Any, ...]:
    """A list of things, or one text alone."""
    if isinstance(given, str):
        return (given,)
    if given is not None and not isinstance(given, Iterable):
        raise ParametersError(otherwise)
    return tuple(given or ())


def as_known(job: Any) -> tuple[int, uuid.UUID] | None:
    """The id of a job and its task id, where this is a handle of one."""
    return (job.id, job.task_id) if hasattr(job, "task_id") else None


def _number(job: JobRef | int) -> int:
    return job.id if isinstance(job, JobRef) else job


def _parents(name: str, after: Any) -> Iterator[JobRef | int]:
    jobs = (after,) if isinstance(after, JobRef | int) else after
    for job in _several(jobs, f"{name} must be jobs or their ids, not {short(after)}"):
        number = _number(job)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**63:
            raise ParametersError(f"{name} must be jobs or their ids, not {short(job)}")
        yield job


def _events(given: Any) -> Iterator[str]:
    """Each event once, in the order of the list of all."""
    wanted = _several(given, f"notify: of which events? There are: {', '.join(EVENTS)}")
    for event in wanted:
        if event not in EVENTS:
            raise ParametersError(f"notify: there is no event {short(event)}; there are: {', '.join(EVENTS)}")
    if not wanted:
        raise ParametersError(f"notify: of which events? There are: {', '.join(EVENTS)}")
    return (event for event in EVENTS if event in wanted)


def _max_fails(given: Any) -> int | str | None:
    """A number, or a percentage as text."""
    if given is None:
        return None
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= _MOST_FAILS:
        return given
    if isinstance(given, str) and (match := _SHARE.fullmatch(given.strip())):
        number, percent = match.groups()
        if percent is None and float(number).is_integer() and float(number) <= _MOST_FAILS:
            return int(float(number))
        if percent and 0 < float(number) < 100:
            return f"{float(number):g}%"
    raise ParametersError(
        "max_fails must be how many may fail, such as 20, or a share of those that have ended, such as 5%, "
        f"not {short(given)}"
    )


_MOST_FAILS = 1_000_000_000
_SHARE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(%)?")


def _check_word(name: str, word: Any) -> None:
    if word is None and name != "tags":
        return
    if not isinstance(word, str) or not word or "\0" in word or not word.isprintable():
        raise ParametersError(f"{name}: {short(word)} is not printable text")
    if len(word) > _LONGEST_KEY:
        raise ParametersError(f"{name} may have at most {_LONGEST_KEY:,} characters, not {len(word):,}")


def _check_keep(word: Any) -> None:
    if word is not None and not is_keep(word):
        raise ParametersError(f"keep must be {KEEP}, not {short(word)}")


def _check_number(name: str, value: Any, low: int, high: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ParametersError(f"{name} must be a whole number from {low} to {high}, not {short(value)}")


NAMES = frozenset(field.name for field in fields(Options))


def of(chosen: Mapping[str, Any]) -> Options:
    """Options from the named values of a call.

    Raises:
        ParametersError: there is no such option, or one is malformed.
    """
    for name in chosen:
        if name not in NAMES:
            raise ParametersError(
                f"there is no option {short(name)}; the options are: {', '.join(sorted(NAMES))}"
            )
    return Options(**chosen)


def seconds(value: float | str | dt.timedelta | None, name: str) -> float | None:
    """A duration in seconds.

    Raises:
        ParametersError: it is none, or negative.
    """
    if value is None:
        return None
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise ParametersError(f"{name}: {error}") from None
    if found < 0:
        raise ParametersError(f"{name} must be from 0 seconds to a hundred years, not {short(value)}")
    return found


def split(definition: Definition, given: Mapping[str, Any]) -> tuple[dict[str, Any], Options]:
    """Named values of a call: parameters of the workflow, and options. The workflow's names win.

    Raises:
        ParametersError: an option is malformed.
    """
    names = definition.parameters.names
    chosen = {name: value for name, value in given.items() if name in NAMES and name not in names}
    if not chosen:
        return dict(given), NONE
    return {name: value for name, value in given.items() if name not in chosen}, Options(**chosen)


NONE = Options()  # of most submissions: made, and checked, once
