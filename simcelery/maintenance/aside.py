"""Processes of their own, for what nothing in a worker may wait for: slow receivers, stores and disks."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading

from simcelery.settings import Settings


class Aside:
    """A module that runs as a process of its own, one at a time; that one begins with `prepare`."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process that was started last has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(
        self, settings: Settings, *arguments: str, **environment: str
    ) -> None:  # pragma: no mutate block, its tests are slow
        """Start it, for the same board, with further variables in its environment."""
        url = settings.board_url().replace("+psycopg", "", 1)
        # Nothing in the folder that the worker was started in takes the place of a module.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._module, *arguments],
            env={**os.environ, "SIMCELERY_DATABASE_URL": url, **environment},
            stdin=subprocess.DEVNULL,
        )
        threading.Thread(target=self._process.wait, daemon=True).start()  # it leaves no zombie


def prepare(name: str) -> None:
    """Begin the process: be ended by signals, and log under a name."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # whoever started it may have blocked them all
    logging.basicConfig(format=f"%(asctime)s %(levelname)s {name}: %(message)s")
