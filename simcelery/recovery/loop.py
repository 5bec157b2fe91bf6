"""Turns: which act of recovery is due, and who does it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simcelery.board import engine, turns
from simcelery.errors import ServiceError
from simcelery.recovery import republish, settle, stage
from simcelery.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Act:
    """One act of recovery. `share` is its interval in units of the setting ``tick_every``."""

    name: str
    tick: Callable[[], Any]
    share: float


ACTS = (
    Act("stage", stage.tick, 1.0),
    Act("republish", republish.tick, 1.0),
    Act("settle", settle.tick, 2.0),
)


def round_of_turns(settings: Settings, by: str) -> None:
    """Take every turn that is due. A service that is away is no fault: the next round finds the work.

    Parameters:
        by: who this is, for the record.
    """
    for act in ACTS:
        try:
            with engine.begin() as connection:
                mine = turns.take_turn(connection, act.name, act.share * settings.tick_every, by)
            if mine:
                act.tick()
        except ServiceError as error:
            log.warning("%s waits: %s", act.name, error)
