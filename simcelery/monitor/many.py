"""Acts on all jobs that match: which they are, and how far an act has come."""

from __future__ import annotations

import logging
from asyncio import Lock, Task
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from simcelery.board import reads
from simcelery.board.reads import gates
from simcelery.board.reads.filters import Filter
from simcelery.board.states import ACTIVE, UNSUCCESSFUL, State
from simcelery.errors import SimceleryError, UsageError
from simcelery.monitor.asking import do
from simcelery.monitor.wanted import Wanted
from simcelery.submission import actions, holding, releasing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.sql import Reader

log = logging.getLogger(__name__)

_AT_ONCE = 1000  # jobs
_KNOWN = 50  # undertakings that are remembered


def chosen(wanted: Wanted) -> Filter:
    """Which jobs, but never the whole board just because nothing was chosen.

    Raises:
        UsageError: nothing was; or something in it means nothing.
    """
    if not wanted.narrows():
        raise UsageError("which jobs? Give a filter, such as a tag or a workflow")
    return wanted.which()


def counts(connection: Connection, which: Filter, act: str) -> dict[State, int]:
    """How many of the jobs it would be done to, by state."""
    if act in _OF_GATES:
        number = _OF_GATES[act].number(connection, which)
        return {State.BLOCKED: number} if number else {}
    wanted = _meant(which, act)
    return reads.counts(connection, wanted) if wanted else {}


def ids(connection: Connection, which: Filter, act: str) -> list[int]:
    """Of the jobs that it would be done to; ascending, so that parents come first."""
    if act in _OF_GATES:
        return [number for number, *_ in _OF_GATES[act].jobs(connection, which)]
    wanted = _meant(which, act)
    return reads.ids(connection, wanted) if wanted else []


class _OfGates(NamedTuple):
    """An act that gates decide on: how many jobs it would be done to, and which."""

    number: Callable[[Reader, Filter], int]
    jobs: Callable[[Reader, Filter], Sequence[tuple[Any, ...]]]


_OF_GATES = {
    "hold": _OfGates(gates.count_waiting, gates.waiting_jobs),
    "release": _OfGates(gates.count_held, gates.held_jobs),
}


def _meant(which: Filter, act: str) -> Filter | None:
    possible = ACTIVE if act == "cancel" else UNSUCCESSFUL
    states = possible.intersection(which.states) if which.states else possible
    return replace(which, states=sorted(states)) if states else None


@dataclass
class Undertaking:
    """An act on many jobs, and how far it has come.

    Attributes:
        done: how many of the jobs were looked at.
        with_parents: of a retry, whether parents that did not succeed go back, too.
        changed: how many jobs it was done to; of a retry also parents and descendants.
        query: the filters that chose them, as the end of an address.
        trouble: why it ended before its end.
    """

    act: str
    who: str
    ids: Sequence[int]
    query: str = ""
    with_parents: bool = False
    done: int = 0
    changed: int = 0
    trouble: str = ""
    ended: bool = False

    async def carry_out(self, turns: Lock) -> None:
        """Do it, a thousand jobs at a time; one undertaking after the other."""
        log.info("%s: %s %d jobs", self.who, self.act, len(self.ids))
        try:
            for part in self._parts():
                async with turns:
                    self.changed += await do(partial(_ACTS[self.act], self, part))
                self.done += len(part)
        except SimceleryError as error:
            self.trouble = str(error)
        except Exception:
            log.exception("%s: %s", self.who, self.act)
            self.trouble = "something went wrong; the log of the monitor says what"
        finally:
            self.ended = True
            log.info("%s: %s done to %d jobs %s", self.who, self.act, self.changed, self.trouble)

    def _parts(self) -> Iterator[Sequence[int]]:
        # Of a gate all at once: it opens or closes only if none of its jobs is left out.
        most = len(self.ids) if self.act in _OF_GATES else _AT_ONCE
        return (self.ids[start : start + most] for start in range(0, len(self.ids), most))


class Undertakings:
    """Those of this monitor, by number; the last fifty are remembered."""

    def __init__(self) -> None:
        self._known: dict[int, Undertaking] = {}
        self._number = 0
        self._tasks: set[Task[None]] = set()
        self.turns = Lock()

    def add(self, one: Undertaking) -> int:
        """Its number."""
        self._number += 1
        self._known[self._number] = one
        for number in [number for number, known in self._known.items() if known.ended][:-_KNOWN]:
            del self._known[number]
        return self._number

    def keep(self, task: Task[None]) -> None:
        """Keep one that goes on from being forgotten by the event loop."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def get(self, number: int) -> Undertaking | None:
        """The one of that number, if it is known."""
        return self._known.get(number)


def _cancel(one: Undertaking, some: Sequence[int]) -> int:
    return sum(map(len, actions.cancel(some, by=one.who)))


def _retry(one: Undertaking, some: Sequence[int]) -> int:
    return len(actions.retry(some, with_parents=one.with_parents, by=one.who))


def _hold(one: Undertaking, some: Sequence[int]) -> int:
    return len(holding.hold(Filter(ids=some), by=one.who))


def _release(one: Undertaking, some: Sequence[int]) -> int:
    return len(releasing.release(Filter(ids=some), by=one.who))


_ACTS: Mapping[str, Callable[[Undertaking, Sequence[int]], int]] = {
    "cancel": _cancel,
    "hold": _hold,
    "retry": _retry,
    "release": _release,
}
