"""The whole board at a glance, as plain data."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from simcelery.board import reads
from simcelery.board.reads import gates, summaries
from simcelery.board.reads.gates import ClosedGate
from simcelery.board.reads.summaries import Times
from simcelery.board.states import State
from simcelery.checks.workers import of_workers
from simcelery.describe import gates as gates_in_words
from simcelery.describe.estimate import outlook
from simcelery.describe.words import many, rate

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOUR = 3600.0
_MINUTES = 60
_SOME = 10.0  # seconds: what a shorter time would be extrapolated to says nothing
_NEWEST = 5000  # finished jobs whose times are read
MOST = 50  # rows of a table

Tone = Literal["danger", "warning", "info"]


@dataclass(frozen=True)
class Notice:
    """Something that somebody should know first, and what to do about it.

    Attributes:
        tone: ``info`` where it may pass by itself.
    """

    tone: Tone
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Counted:
    """How many jobs of a name are in each state."""

    name: str
    states: Mapping[State, int]

    @property
    def all(self) -> int:
        """Of any state."""
        return sum(self.states.values())


@dataclass(frozen=True)
class Minute:
    """How many jobs finished in it, and how long they had usually waited, in seconds; None: nobody knows."""

    start: dt.datetime
    finished: int
    waited: float | None


@dataclass(frozen=True)
class LastHour:
    """How many jobs finished, minute by minute, how fast, and how long they waited and ran."""

    finished: int
    rate: str
    minutes: list[Minute]
    times: list[Times]

    def chart(self) -> dict[str, object]:
        """The minutes, for the script that draws them."""
        minutes = self.minutes
        lines = [
            [round(one.start.timestamp()) for one in minutes],
            [one.finished for one in minutes],
            [one.waited for one in minutes],
        ]
        return {"kind": "hour", "lines": lines}


@dataclass(frozen=True, eq=False)
class Overview:
    """What everybody wants to know first.

    Attributes:
        held: how many jobs closed gates hold.
        left: how long what is unfinished takes, in words; empty where nobody knows.
        queues: those with unfinished jobs.
        hidden: how many rows were left out of `workflows`.
    """

    notices: list[Notice]
    states: Mapping[State, int]
    held: int
    left: str
    last_hour: LastHour
    queues: list[Counted]
    workflows: list[Counted]
    hidden: int

    def by_state(self) -> list[tuple[str, int]]:
        """All states in their order, each with how many jobs are in it."""
        return [(str(state), self.states.get(state, 0)) for state in State]

    def columns(self, rows: Iterable[Counted]) -> list[State]:
        """The states that occur in the rows."""
        return [state for state in State if any(row.states.get(state) for row in rows)]


# What a queue is about.
UNFINISHED = (State.PENDING, State.RUNNING, State.SCHEDULED, State.BLOCKED)


def read(connection: Connection) -> Overview:
    """How the board stands."""
    counted = reads.counts_by_kind(connection)
    closed = gates.closed_gates(connection, reads.Filter())
    left = outlook(connection, reads.Filter()).estimate()
    workflows = _sums((workflow, states) for (workflow, _), states in counted.items())
    queues = _sums((queue, states) for (_, queue), states in counted.items())
    return Overview(
        notices=[*_held(closed), *_found(connection)],
        states=sum((Counter(states) for states in counted.values()), Counter()),
        held=sum(gate.held for gate in closed),
        left=str(left) if left else "",
        last_hour=_last_hour(connection),
        queues=[queue for queue in queues if any(queue.states.get(state) for state in UNFINISHED)][:MOST],
        workflows=workflows[:MOST],
        hidden=len(workflows[MOST:]),
    )


def _sums(parts: Iterable[tuple[str, Mapping[State, int]]]) -> list[Counted]:
    """One for each name, those with most jobs first."""
    found: dict[str, Counter[State]] = {}
    for name, states in parts:
        found.setdefault(name, Counter()).update(states)
    return sorted(
        (Counted(name, states) for name, states in found.items()), key=lambda one: (-one.all, one.name)
    )


def _held(closed: Iterable[ClosedGate]) -> Iterator[Notice]:
    for gate in closed:
        tone: Tone = "danger" if gates_in_words.needs_somebody(gate) else "info"
        text = f"{many(gate.held)} of {gate.workflow} {gates_in_words.sentence(gate)}"
        yield Notice(tone, text, gates_in_words.advice(gate))


def _found(connection: Connection) -> Iterator[Notice]:
    """What `doctor` would warn of."""
    for check in of_workers(connection):
        if check.verdict != "ok":
            yield Notice("danger" if check.verdict == "FAIL" else "warning", check.found, check.advice)


def _last_hour(connection: Connection) -> LastHour:
    everything = reads.Filter()
    intervals = summaries.throughput(connection, everything, HOUR, _MINUTES)
    finished = sum(one.finished for one in intervals)
    period = summaries.period(connection, everything, HOUR) if finished else None
    waited = summaries.waited(connection, HOUR, _MINUTES) if finished else [None] * _MINUTES
    return LastHour(
        finished=finished,
        rate=rate(finished / period.seconds) if period and period.seconds >= _SOME else "",
        minutes=[
            Minute(one.start, one.finished, seconds) for one, seconds in zip(intervals, waited, strict=True)
        ],
        times=summaries.times(connection, everything, HOUR, _NEWEST) if finished else [],
    )
