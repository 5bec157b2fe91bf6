"""How a worker ends: by a signal, by Ctrl+C, or by a limit of its own.

Celery's own way waits for running jobs without an end, or ends them at once. Here they are warned, get a
grace period, and are then released: their jobs run again elsewhere, and no failure is counted.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import platforms, signals
from celery.worker import state

from simcelery.worker.parent.supervisor import Supervisor
from simcelery.worker.slots.layout import Order

EX_OK, EX_FAILURE = 0, 1


class Shutdown:
    """Shuts down one worker. Its methods are called from signal handlers, so they only set attributes.

    Parameters:
        grace: seconds that running jobs have to end.
    """

    def __init__(self, nodename: str, supervisor: Supervisor, grace: float) -> None:
        self._nodename = nodename
        self._supervisor = supervisor
        self._grace = grace
        self._interrupts = 0

    def listen(self) -> None:
        """Take over the signals that end a worker."""
        platforms.signals["SIGTERM"] = self._on_term
        platforms.signals["SIGQUIT"] = self._on_quit
        platforms.signals["SIGINT"] = self._on_interrupt

    def finish_up(self, reason: str = "") -> None:
        """Claim no more jobs, and exit when the running ones have ended, however long that takes."""
        if reason:
            _say(reason)
        self._supervisor.close()
        self._tell("Warm", "", EX_OK)

    def wind_up(self, order: Order = Order.SHUTDOWN, reason: str = "") -> None:
        """Claim no more jobs; warn the running ones, and release them after the grace period."""
        if reason:
            _say(reason)
        self._supervisor.shut_down(self._grace, order)
        self._tell("Warm", "SIGTERM", EX_OK)

    def fail(self, reason: str) -> None:
        """Exit at once, with a line and a status that make a supervisor restart the worker."""
        _say(reason)
        self._supervisor.shut_down(0.0)
        self._tell("Cold", "", EX_FAILURE)

    def _on_term(self, *_: Any) -> None:
        _say(f"stopping; running jobs have {self._grace:g} s to end, then they are released")
        self.wind_up()

    def _on_quit(self, *_: Any) -> None:
        _say("stopping at once; running jobs are released")
        self._supervisor.shut_down(0.0)
        self._tell("Cold", "SIGQUIT", EX_FAILURE)

    def _on_interrupt(self, *_: Any) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            _say(
                f"stopping; running jobs have {self._grace:g} s to end, then they are released; "
                "Ctrl+C again releases them now"
            )
            self._supervisor.shut_down(self._grace)
            self._tell("Warm", "SIGINT", EX_FAILURE)
        elif self._interrupts == 2:
            _say("running jobs are released now; Ctrl+C again leaves everything to the next worker")
            self._supervisor.shut_down(0.0)
        else:
            os._exit(EX_FAILURE)  # the reaper ends what is left, and the next worker takes the jobs back

    def _tell(self, how: str, name: str, exit_code: int) -> None:
        if state.should_stop in (None, False):
            state.should_stop = exit_code
            signals.worker_shutting_down.send(sender=self._nodename, sig=name, how=how, exitcode=exit_code)


def _say(text: str) -> None:
    """Print one line without the locks of buffered streams, since this runs in signal handlers."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"simcelery: {text}\n".encode())
