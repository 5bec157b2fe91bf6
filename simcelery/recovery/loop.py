"""Turns: which act of recovery is due, and who does it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from simcelery.board import engine, turns
from simcelery.errors import ServiceError
from simcelery.recovery import prune, republish, rescue, settle, stage
from simcelery.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Act:
    """One act of recovery. `share` is its interval in units of the setting ``tick_every``."""

    name: str
    tick: Callable[[], Any]
    share: float


def acts(judge: int | None) -> tuple[Act, ...]:
    """All five; `judge` is the worker that judges whether others are lost."""
    return (
        Act("rescue", partial(rescue.tick, judge), 1.0),
        Act("stage", stage.tick, 1.0),
        Act("republish", republish.tick, 1.0),
        Act("settle", settle.tick, 2.0),
        Act("prune", prune.tick, 60.0),
    )


class Turns:
    """One worker's part in recovery.

    Parameters:
        by: who this is, for the record.
        worker_id: its id on the board; None: it is no worker, and rescue takes its word.
    """

    def __init__(self, settings: Settings, by: str, worker_id: int | None = None) -> None:
        self._settings = settings
        self._by = by
        self._acts = acts(worker_id)
        self._waiting: set[str] = set()

    def round(self) -> None:
        """Take every turn that is due. A service that is away is no fault: a later round finds the work."""
        for act in self._mine():
            try:
                act.tick()
                self._waiting.discard(act.name)
            except ServiceError as error:
                self._say_once(act.name, error)
            except Exception:
                log.exception("%s failed; the others go on", act.name)

    def _mine(self) -> list[Act]:
        every = {act.name: act.share * self._settings.tick_every for act in self._acts}
        try:
            with engine.begin() as connection:
                taken = turns.take_turns(connection, every, self._by)
        except ServiceError as error:
            self._say_once("recovery", error)
            return []
        self._waiting.discard("recovery")
        return [act for act in self._acts if act.name in taken]

    def _say_once(self, name: str, error: ServiceError) -> None:
        if name not in self._waiting:  # not twice a second
            log.warning("%s waits: %s", name, error)
        self._waiting.add(name)
