"""Rounds: which act of recovery is due, and which worker does it."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from simcelery.board import engine, turns
from simcelery.board.unreadable.mending import despite_bad_rows
from simcelery.errors import RefusedByBoardError, ServiceError, SimceleryError
from simcelery.maintenance import acts
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL
from simcelery.settings import Settings

log = logging.getLogger(__name__)

# So many workers may ask at every call: each act is then done well within its interval.
_ENOUGH = 4
# In a fleet so large that each would ask as rarely as it renews its lease, renewals tell when to ask. But
# a clock of Postgres that was set back makes no turn due: for that some ask anyway, now and then.
_ANYWAY = 300.0


class Rounds:
    """One worker's part in recovery.

    Parameters:
        by: the name of this worker, for the record.
        worker_id: its id on the board; None: it is no worker, and rescue trusts it.
        background: turns an act and its name into a function that starts it and hardly waits for its end.
    """

    def __init__(
        self,
        settings: Settings,
        by: str,
        worker_id: int | None = None,
        background: Callable[[str, Callable[[], None]], Callable[[], None]] = lambda _, do: do,
    ) -> None:
        self._settings = settings
        self._by = by
        self._effects = replace(USUAL, judge=worker_id)
        self._begin = {act.name: background(act.name, partial(self._do, act)) for act in acts.ACTS}
        self._known = False
        self._under_way: set[str] = set()
        self._waiting: set[str] = set()
        self._next = 0.0

    @property
    def until_next(self) -> float:
        """Seconds until it may ask again; 0 or less: now."""
        return self._next - time.monotonic()

    def hurry(self) -> None:
        """Ask at the next round: a turn is due."""
        self._next = 0.0

    def round(self) -> None:
        """Take every turn that is due. If a service is unreachable, a later round finds the work.

        An act that takes long holds up nothing else; meanwhile its turns are left to other workers.

        Called twice per ``tick_every``. In a large fleet most calls do nothing, so that all workers
        together ask about as often as four would.
        """
        if time.monotonic() < self._next:
            return
        for name in self._mine():
            self._under_way.add(name)
            self._begin[name]()

    def _do(self, act: Act) -> None:
        try:
            despite_bad_rows(partial(act.do, self._effects))
            self._waiting.discard(act.name)
        except (ServiceError, RefusedByBoardError) as error:
            self._say_once(act.name, error)
        except Exception:
            log.exception("%s failed; the other acts continue", act.name)
        finally:
            self._under_way.discard(act.name)

    def _mine(self) -> list[str]:
        free = [act for act in acts.ACTS if act.name not in self._under_way]
        every = {act.name: act.every * self._settings.tick_every for act in free}
        try:
            if not self._known:
                with engine.begin() as connection:
                    turns.add(connection, [act.name for act in acts.ACTS])
            taken = turns.take_turns(every, self._by, self._countable())
        except ServiceError as error:
            self._say_once("recovery", error)
            return []
        self._known = True
        self._waiting.discard("recovery")
        if taken.set_back:
            log.warning(
                "Postgres's clock was set back; times on the board that are in the future are set to now"
            )
        self._next = time.monotonic() + self._pause(taken.live)
        return [act.name for act in free if act.name in taken.acts]

    def _pause(self, live: int) -> float:
        """Seconds until this worker asks again, unless a renewal of its lease has told that a turn is due.

        So the last live worker of a fleet soon does all the acts alone.
        """
        if live <= _ENOUGH:
            return 0.0
        shared = live / _ENOUGH * self._settings.tick_every / 2
        return (shared if shared < self._settings.renew_every else _ANYWAY) * random.uniform(0.5, 1.0)

    def _countable(self) -> int:
        """The number of live workers beyond which more make no difference."""
        return 1 + math.ceil(_ENOUGH * self._settings.renew_every * 2 / self._settings.tick_every)

    def _say_once(self, name: str, error: SimceleryError) -> None:
        if name not in self._waiting:  # not twice a second
            log.warning("%s is waiting: %s", name, error)
        self._waiting.add(name)
