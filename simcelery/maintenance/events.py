"""What subscribers are told of: a new event is a function and a line in `EVENTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from simcelery.board import subscriptions
from simcelery.board.reads.gates import gate_of
from simcelery.board.reads.jobs import Filter
from simcelery.board.subscriptions import States
from simcelery.board.unreadable import bad_rows
from simcelery.describe import gates, sweep
from simcelery.describe.words import duration, many, one_line
from simcelery.settings import get_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOOKED_AT = 10_000  # jobs whose reasons are told
_REASONS = 3
# Characters of an error.
_IN_A_SENTENCE = 500
_OF_AN_ERROR = 2_000


@dataclass
class Look:
    """A subscription that is held and looked at.

    Attributes:
        row: its columns, and whether it ``is_open`` and ``may_be_stalled``.
        unfinished: a job of it that has not ended.
    """

    connection: Connection
    row: Any
    unfinished: int | None

    @property
    def over(self) -> bool:
        """Whether all of its jobs are recorded and have ended."""
        return self.unfinished is None and not self.row.is_open

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return bad_rows.words(self.row.tags)

    @cached_property
    def states(self) -> States:
        """How its jobs stand. Reads all of them: only for what happens rarely."""
        return subscriptions.states(self.connection, self.row.id)


@dataclass(frozen=True)
class Event:
    """Something that happens to a submission.

    Attributes:
        name: as after ``--on``.
        noted: the column that says when it was noticed; until that is empty again, it does not happen again.
        told: what there is to tell, if it has happened: a sentence, and more for the body.
        passed: whether it is no longer so, after it was noticed: then it may happen again.
    """

    name: str
    noted: str
    told: Callable[[Look], tuple[str, dict[str, Any]] | None]
    passed: Callable[[Look], bool] = lambda _: False


def _first_failure(look: Look) -> tuple[str, dict[str, Any]] | None:
    job = subscriptions.first_failure(look.connection, look.row.id)
    if job is None:
        return None
    error = ": ".join(filter(None, (job.error_type, job.error_message)))
    text = ": ".join(filter(None, (f"job {job.id} failed", one_line(error)[:_IN_A_SENTENCE])))
    return text, {"job": job.id, "error": error[:_OF_AN_ERROR]}


def _held(look: Look) -> tuple[str, dict[str, Any]] | None:
    job = subscriptions.held_job(look.connection, look.row.id)
    gate = gate_of(look.connection, job) if job is not None else None
    return None if gate is None else (one_line(gates.sentence(gate)), {"gate": gate.id})


def _is_released(look: Look) -> bool:
    return subscriptions.held_job(look.connection, look.row.id) is None


def _stalled(look: Look) -> tuple[str, dict[str, Any]] | None:
    """Nothing has begun or ended for a time, nothing runs, and not all that is left waits for its time."""
    if not look.row.may_be_stalled or _is_lively(look):
        return None
    numbers = look.states.numbers
    waits = numbers.get("pending") or (numbers.get("blocked") and not numbers.get("scheduled"))
    if not waits or numbers.get("running"):
        return None
    reasons = _reasons(look)
    text = f"nothing has happened for {duration(look.states.quiet)}"
    return ": ".join(filter(None, (text, "; ".join(reasons)))), {"reasons": reasons}


def _goes_on(look: Look) -> bool:
    """Whether something has happened again; asked as rarely as whether it has stalled."""
    return bool(look.row.may_be_stalled) and _is_lively(look)


def _is_lively(look: Look) -> bool:
    return look.states.quiet < get_settings().stalled_after


def _reasons(look: Look) -> list[str]:
    spans = subscriptions.ids(look.connection, look.row.id)
    some = list(islice(chain.from_iterable(range(first, last + 1) for first, last in spans), _LOOKED_AT))
    causes = sweep.explanation(sweep.seen(look.connection, Filter(ids=some))).reasons
    return [one_line(cause.text) for cause in causes if cause.code not in sweep.ENDED][:_REASONS]


def _done(look: Look) -> tuple[str, dict[str, Any]] | None:
    return ("all have ended", {}) if look.over else None


# In the order in which they are told.
EVENTS: tuple[Event, ...] = (
    Event("first-failure", "failed_at", _first_failure),
    Event("held", "held_at", _held, _is_released),
    Event("stalled", "stalled_at", _stalled, _goes_on),
    Event("done", "done_at", _done),
)


def sentence(look: Look, what: str) -> str:
    """What happened, of which jobs, and how these stand."""
    tags = f" ({', '.join(look.tags)})" if look.tags else ""
    numbers = look.states.numbers
    states = ", ".join(f"{number:,} {state}" for state, number in numbers.items())
    return f"{many(sum(numbers.values()))} of {look.row.workflow}{tags}: {what}; {states}"
