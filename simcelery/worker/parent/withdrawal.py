"""That a worker takes no jobs for a while, and why: its node takes no files, or it is in quarantine, or both.

It claims nothing and consumes nothing, and its row on the board says why, until the last reason has gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from simcelery.board import engine, quarantine
from simcelery.board.values import Registration
from simcelery.settings import Settings
from simcelery.worker.parent import outbox
from simcelery.worker.slots.parent import Slots


class Withdrawal:
    """The withdrawal of one worker. If Postgres is unreachable, the board is told when it is back.

    Parameters:
        consumer: returns the worker's consumer, which takes the messages.
    """

    def __init__(
        self, slots: Slots, settings: Settings, me: Registration, consumer: Callable[[], Any]
    ) -> None:
        self._slots = slots
        self._settings = settings
        self._me = me
        self._consumer = consumer
        self._notes: dict[str, str] = {}
        self._changing = threading.Lock()

    def begin(self, reason: str, note: str) -> bool:
        """Take no jobs from now on. Returns whether this reason is new; a different note is written again.

        Parameters:
            note: what the board says about it.
        """
        with self._changing:
            is_new, alone = reason not in self._notes, not self._notes
            if self._notes.get(reason) == note:
                return False
            self._notes[reason] = note
            if alone:
                self._slots.close()
                self._consumer().leave_all_queues()
            self._tell()
        return is_new

    def end(self, reason: str) -> bool:
        """This reason is gone; without any other, take jobs again. Returns whether it was one."""
        with self._changing:
            was_one = self._notes.pop(reason, None) is not None
            if not self._notes:
                self._slots.reopen()
            if was_one:
                if not self._notes:
                    self._consumer().return_to_queues()
                self._tell()
        return was_one

    def _tell(self) -> None:
        # Whoever comes first tells how it is then; a change meanwhile has a key of its own.
        outbox.add(("withdrawal", *self._notes.values()), self._write)

    def _write(self) -> None:
        with self._changing:
            note = "; ".join(self._notes.values())
        with engine.begin(self._settings) as connection:
            if note:
                quarantine.withdraw(connection, self._me, note)
            else:
                quarantine.lift(connection, self._me)
