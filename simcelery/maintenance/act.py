"""What an act of recovery is. The module of each act ends with its `Act`, and `acts` lists them all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from simcelery.maintenance.effects import USUAL, Effects


class Tick(Protocol):
    """Does an act once, and returns how many of each thing it counts."""

    def __call__(self, effects: Effects = ...) -> int | tuple[int, ...]:
        """Do it once, now."""


class Wait(NamedTuple):
    """Since when Postgres has been running, and until when an act therefore waits."""

    started_at: dt.datetime
    until: dt.datetime


@dataclass(frozen=True)
class Act:
    """One act of recovery.

    Attributes:
        name: its name on the board, in logs and on the command line.
        every: its interval, in units of the setting ``tick_every``.
        tick: does it once, and returns how many of each of `counts`.
        counts: what it counts, by the names in ``recover -o json``.
        does: what it does, for the documentation and the help.
        told: what it did, for people. In braces: a name of `counts`; ``jobs``: the first of them, such as
            "3 jobs"; the setting that it needs, as a duration.
        needs: the setting without which there is nothing to do.
        wait: whether it must wait now; None: it never does.
    """

    name: str
    every: float
    tick: Tick
    counts: tuple[str, ...]
    does: str
    told: str
    needs: str | None = None
    wait: Callable[[Effects], Wait | None] | None = None

    def do(self, effects: Effects = USUAL) -> dict[str, int]:
        """Do it once; return how many, by what it counts."""
        found = self.tick(effects)
        return dict(zip(self.counts, found if isinstance(found, tuple) else (found,), strict=True))
