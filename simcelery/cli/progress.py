"""Progress of jobs: counts by workflow and state, polled repeatedly, with the rate and the time left."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simcelery.describe.estimate import Estimate, Outlook, outlook
from simcelery.describe.job import progress as in_words

if TYPE_CHECKING:
    from simcelery.board.reads.gates import ClosedGate
    from simcelery.board.reads.jobs import Filter

_MEMORY = 60.0  # seconds: the rate is that of the last minute,
_ENOUGH, _LONGEST_MEMORY = 10, 3600.0  # or, if jobs are slow, of the last 10, looking back at most an hour
_OUTLOOK_EVERY = 30.0  # seconds between two looks at how long jobs usually take
_SHARE = 10  # polling may take at most a tenth of the time


@dataclass(frozen=True)
class Part:
    """The jobs of one workflow, or all jobs.

    Attributes:
        states: number of jobs by state, without states that have none.
        rate: jobs finished per second, while there was work.
        estimate: how long what is left will take, judged by earlier jobs; None if nobody knows.
    """

    name: str
    states: Mapping[str, int]
    rate: float
    estimate: Estimate | None = None

    @property
    def total(self) -> int:
        """The number of jobs watched."""
        return sum(self.states.values())

    @property
    def finished(self) -> int:
        """The number in a terminal state."""
        return _finished(self.states)

    @property
    def left(self) -> float | None:
        """Seconds until all have finished at this rate; None if none is finishing."""
        return (self.total - self.finished) / self.rate if self.rate else None


class Progress:
    """The jobs that match a filter; for the whole board, only those that had not finished at first.

    Attributes:
        gates: the closed gates that hold some of them.
        report: what a single job that runs says of its progress, ``14/24 steps``.
    """

    def __init__(self, which: Filter, *, everything: bool) -> None:
        self._which = which
        self._everything = everything
        self._began = time.monotonic()
        self._before: dict[str, Counter[str]] = {}  # jobs that had finished before the watch began
        self._states: dict[str, Counter[str]] = {}
        self._seen: deque[tuple[float, dict[str, Counter[str]]]] = deque()
        self._cost = 0.0
        self._outlook, self._outlook_at = Outlook(), -_OUTLOOK_EVERY
        self.gates: list[ClosedGate] = []
        self.report = ""

    def poll(self) -> None:
        """Ask the board.

        Raises:
            ServiceError: Postgres does not answer.
        """
        from simcelery.board import engine, reads
        from simcelery.board.reads import gates

        asked = time.monotonic()
        which = self._which
        if which.since is not None:  # it counts back from when the watch began
            which = replace(which, since=which.since + asked - self._began)
        with engine.begin() as connection:
            found = reads.counts_by_workflow(connection, which)
            if asked - self._outlook_at >= _OUTLOOK_EVERY:
                self._outlook, self._outlook_at = outlook(connection, which), asked
            self.gates = gates.closed_gates(connection, which)
            if which.ids is not None and len(which.ids) == 1:
                job = reads.job(connection, which.ids[0])
                runs = job is not None and job.state == "running" and job.progress
                self.report = in_words(runs) if runs else ""
        states = {name: Counter({str(s): n for s, n in counted.items()}) for name, counted in found.items()}
        if self._everything and not self._seen:
            self._before = {name: Counter(dict(_terminal(counted))) for name, counted in states.items()}
        for name, before in self._before.items():
            states[name] = states.get(name, Counter()) - before
        now = time.monotonic()
        self._cost = now - asked
        self._states = {name: counted for name, counted in states.items() if counted}
        self._seen.append((now, self._states))
        while self._remembers_enough(now):
            self._seen.popleft()

    def _remembers_enough(self, now: float) -> bool:
        """Whether the oldest poll may be dropped: for slow jobs a minute is too short."""
        if len(self._seen) <= 2 or now - self._seen[1][0] < _MEMORY:
            return False
        finished = _sum(self._states).finished - _sum(self._seen[1][1]).finished
        return finished >= _ENOUGH or now - self._seen[1][0] > _LONGEST_MEMORY

    def pause(self, every: float) -> float:
        """Seconds to wait before the next poll: the longer a poll takes, the less often it is repeated."""
        return max(every, _SHARE * self._cost)

    def parts(self) -> list[Part]:
        """One part per workflow, the one with the most unfinished jobs first."""
        parts = [self.together(name, [name]) for name in self._states]
        return sorted(parts, key=lambda part: (part.finished - part.total, part.name))

    def all(self) -> Part:
        """All workflows as one part."""
        return self.together("all", self._states)

    def together(self, title: str, names: Iterable[str]) -> Part:
        """Several workflows as one part."""
        names = list(names)
        seen = [(at, _sum(states, names)) for at, states in self._seen]
        states = seen[-1][1].states if seen else {}
        left = sum(states.values()) > _finished(states)
        return Part(title, states, _rate(seen), self._outlook.estimate(names) if left else None)

    @property
    def idle(self) -> bool:
        """Whether jobs are pending but none has started or finished since the beginning."""
        states = self.all().states
        return not self.all().rate and not states.get("running") and bool(states.get("pending"))


def _rate(seen: list[tuple[float, Part]]) -> float:
    """Jobs finished per second while there was work: from the last poll before the first job started to the
    first poll after the last one finished, or until now while any job is running or pending.
    """
    first, last = 0, len(seen) - 1
    while first < last and _same(seen, first, first + 1) and not _any(seen[first + 1][1], "running"):
        first += 1
    while first < last and _same(seen, last - 1, last) and not _any(seen[last][1], "running", "pending"):
        last -= 1
    finished = seen[last][1].finished - seen[first][1].finished if seen else 0
    # A retry makes finished jobs unfinished again.
    return finished / (seen[last][0] - seen[first][0]) if finished > 0 else 0.0


def _same(seen: list[tuple[float, Part]], one: int, other: int) -> bool:
    return seen[one][1].finished == seen[other][1].finished


def _any(part: Part, *states: str) -> bool:
    return any(part.states.get(state) for state in states)


def _sum(states: Mapping[str, Mapping[str, int]], names: Iterable[str] | None = None) -> Part:
    found: Counter[str] = Counter()
    for name in states if names is None else names:
        found.update(states.get(name, {}))
    return Part("", found, 0.0)


def _terminal(states: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    from simcelery.board.states import TERMINAL

    return ((state, number) for state, number in states.items() if state in TERMINAL)


def _finished(states: Mapping[str, int]) -> int:
    return sum(number for _, number in _terminal(states))
