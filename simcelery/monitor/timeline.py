"""When a job waited and ran: as parts of a line, and as a list of what has happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from simcelery.board.states import State
from simcelery.describe.attempt import error_of
from simcelery.describe.words import duration, moment, span

if TYPE_CHECKING:
    from simcelery.board.reads.expected import Learned
    from simcelery.board.reads.jobs import JobRow

_MOST = 20  # attempts, the last ones
_WIDTH = 100.0  # per cent
LEAST = 0.3  # per cent of the line, which an attempt takes however short it was
_UNKNOWN = dt.datetime.max.replace(tzinfo=dt.UTC)  # when: after all that is known


@dataclass(frozen=True)
class Part:
    """A part of the line: where it begins and how long it is, in per cent.

    Attributes:
        kind: ``waiting``, ``running``, or the outcome of an attempt.
    """

    kind: str
    start: float
    width: float
    text: str


@dataclass(frozen=True)
class Event:
    """Something that has happened; `kind` as of a part."""

    at: str
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Timeline:
    """A job's times."""

    parts: list[Part]
    events: list[Event]

    def drawn(self) -> list[Part]:
        """The parts in the order in which they are drawn: attempts on top, and none too narrow to be seen."""
        waiting = [one for one in self.parts if one.kind == "waiting"]
        attempts = [_visible(one) for one in self.parts if one.kind != "waiting"]
        return waiting + attempts


def of(
    row: JobRow,
    ended: Sequence[Mapping[str, Any]],
    by_hand: Sequence[Mapping[str, Any]] = (),
    now: dt.datetime | None = None,
) -> Timeline:
    """Those of a job with these ended attempts, to which people did this."""
    until = row.finished_at or now or dt.datetime.now(dt.UTC)
    shown = ended[-_MOST:]
    begin = row.submitted_at if len(shown) == len(ended) else shown[0]["started_at"]
    parts = [
        Part(kind, _percent(start - begin, until - begin), _percent(end - start, until - begin), text)
        for kind, start, end, text in _pieces(row, shown, begin, until)
    ]
    told = [*_by_hand(by_hand), *_events(row, shown)]
    return Timeline(parts, [event for _, event in sorted(told, key=itemgetter(0))])


def _visible(one: Part) -> Part:
    width = max(one.width, LEAST)
    return replace(one, start=min(one.start, _WIDTH - width), width=width)


def _percent(part: dt.timedelta, whole: dt.timedelta) -> float:
    # A clock that was set back makes no part longer than the whole.
    return round(_WIDTH * min(max(part / whole, 0.0), 1.0), 2) if whole else 0.0


def _pieces(
    row: JobRow, ended: Sequence[Mapping[str, Any]], begin: dt.datetime, until: dt.datetime
) -> Iterator[tuple[str, dt.datetime, dt.datetime, str]]:
    """What was when; it waited where no attempt ran."""
    attempts = [(str(one["outcome"]), one["started_at"], one["finished_at"], one["attempt"]) for one in ended]
    if row.state is State.RUNNING and row.started_at is not None:
        attempts.append(("running", row.started_at, until, row.attempt))
    last = begin
    for kind, start, end, number in attempts:
        yield "waiting", last, start, f"waited {span(last, start)}"
        yield kind, start, end, f"attempt {number}: {kind}, {span(start, end)}"
        last = end
    if last < until:
        yield "waiting", last, until, f"waited {span(last, until)}"


def _by_hand(interventions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[dt.datetime, Event]]:
    for one in interventions:
        kind = "cancelled" if one["kind"] == "cancel" else ""
        yield one["at"], Event(moment(one["at"]), f"{one['kind']} by {one['by']}", kind)


def _events(row: JobRow, ended: Sequence[Mapping[str, Any]]) -> Iterator[tuple[dt.datetime, Event]]:
    def event(at: dt.datetime | None, text: str, kind: str = "") -> tuple[dt.datetime, Event]:
        return at or _UNKNOWN, Event(moment(at), text, kind)

    yield event(row.submitted_at, f"submitted by {row.submitted_by}")
    for one in ended:
        where = f" on {one['host']}" if one["host"] else ""
        yield event(one["started_at"], f"attempt {one['attempt']} began{where}", "running")
        error, took = error_of(one), span(one["started_at"], one["finished_at"])
        told = f"attempt {one['attempt']}: {one['outcome']} after {took}" + (f", {error}" if error else "")
        yield event(one["finished_at"], told, str(one["outcome"]))
    if row.state is State.RUNNING:
        yield event(row.started_at, f"attempt {row.attempt} began on {row.worker}", "running")
    if row.state is State.SCHEDULED:
        yield event(row.run_at, "is due")
    if row.finished_at is not None and (not ended or ended[-1]["finished_at"] < row.finished_at):
        yield event(row.finished_at, str(row.state).replace("_", " "), str(row.state))


@dataclass(frozen=True)
class Among:
    """Where a job's time lies among those of its siblings: all in per cent of the longest of them."""

    text: str
    median: float
    p90: float
    took: float


def among(row: JobRow, learned: Learned | None, now: dt.datetime | None = None) -> Among | None:
    """How long it took, or has taken so far, beside what is usual; None: nobody knows either."""
    if learned is None or row.started_at is None or row.state not in _RAN:
        return None
    took = ((row.finished_at or now or dt.datetime.now(dt.UTC)) - row.started_at).total_seconds()
    longest = max(1.2 * learned.p90, took, 1e-6)
    place = (
        "no longer than half of them"
        if took <= learned.median
        else "longer than half of them, but not than nine of ten"
        if took <= learned.p90
        else "longer than nine of ten of them"
    )
    whose = f"{row.workflow} with the same tags" if learned.tagged else row.workflow
    so_far = " so far" if row.state is State.RUNNING else ""
    text = (
        f"It took {duration(took)}{so_far}: {place}. "
        f"Of the last {learned.successes:,} successes of {whose}, half took up to "
        f"{duration(learned.median)}, and nine of ten up to {duration(learned.p90)}."
    )
    return Among(text, *(round(_WIDTH * one / longest, 2) for one in (learned.median, learned.p90, took)))


_RAN = (State.RUNNING, State.SUCCEEDED, State.FAILED)
