"""How far work has come: counts by workflow and state, asked again and again; the rate and the time left."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcelery.board.queries import Filter

_MEMORY = 60.0  # seconds: the rate is that of the last minute
_SHARE = 10  # asking may take a tenth of Postgres' time, not more


@dataclass(frozen=True)
class Part:
    """A workflow's jobs, or all of them.

    Attributes:
        states: state → how many; those with none are left out.
        rate: how many finish in a second.
    """

    name: str
    states: Mapping[str, int]
    rate: float

    @property
    def total(self) -> int:
        """All that are watched."""
        return sum(self.states.values())

    @property
    def finished(self) -> int:
        """Those in a terminal state."""
        return _finished(self.states)

    @property
    def left(self) -> float | None:
        """The seconds until all are finished, at this rate; None where nothing finishes."""
        return (self.total - self.finished) / self.rate if self.rate else None


class Progress:
    """The jobs that pass a filter. Of the whole board only what is open, and what finishes from now on."""

    def __init__(self, which: Filter, *, everything: bool) -> None:
        self._which = which
        self._everything = everything
        self._began = time.monotonic()
        self._before: dict[str, Counter[str]] = {}  # what had finished when the watch began
        self._states: dict[str, Counter[str]] = {}
        self._seen: deque[tuple[float, dict[str, int]]] = deque()
        self._cost = 0.0

    def poll(self) -> None:
        """Ask the board.

        Raises:
            ServiceError: Postgres cannot be asked.
        """
        from simcelery.board import engine, queries

        asked = time.monotonic()
        which = self._which
        if which.since is not None:  # it was meant from the beginning
            which = replace(which, since=which.since + asked - self._began)
        with engine.begin() as connection:
            found = queries.counts_by_workflow(connection, which)
        states = {name: Counter({str(s): n for s, n in counted.items()}) for name, counted in found.items()}
        if self._everything and not self._seen:
            self._before = {name: Counter(dict(_terminal(counted))) for name, counted in states.items()}
        for name, before in self._before.items():
            states[name] = states.get(name, Counter()) - before
        now = time.monotonic()
        self._cost = now - asked
        self._states = {name: counted for name, counted in states.items() if counted}
        self._seen.append((now, {name: _finished(counted) for name, counted in self._states.items()}))
        while now - self._seen[0][0] > _MEMORY and len(self._seen) > 2:
            self._seen.popleft()

    def pause(self, every: float) -> float:
        """How long to wait before asking again: what takes long is asked less often."""
        return max(every, _SHARE * self._cost)

    def parts(self) -> list[Part]:
        """By workflow, those with the most to do first."""
        parts = [Part(name, states, self._rate(name)) for name, states in self._states.items()]
        return sorted(parts, key=lambda part: (part.finished - part.total, part.name))

    def all(self) -> Part:
        """All workflows together."""
        return together("all", self.parts())

    @property
    def idle(self) -> bool:
        """Whether jobs are pending, and nothing has happened since the beginning."""
        states = self.all().states
        return not self.all().rate and not states.get("running") and bool(states.get("pending"))

    def _rate(self, name: str) -> float:
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        finished = last.get(name, 0) - first.get(name, 0)
        return finished / (now - began) if finished > 0 else 0.0  # a retry takes finished jobs back


def together(name: str, parts: Iterable[Part]) -> Part:
    """The sum of parts."""
    states: Counter[str] = Counter()
    rate = 0.0
    for part in parts:
        states.update(part.states)
        rate += part.rate
    return Part(name, states, rate)


def _terminal(states: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    from simcelery.board.states import TERMINAL

    return ((state, number) for state, number in states.items() if state in TERMINAL)


def _finished(states: Mapping[str, int]) -> int:
    return sum(number for _, number in _terminal(states))
