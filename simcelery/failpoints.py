"""Crashes on purpose, for tests.

``failpoint("after_claim")`` does nothing unless the environment variable ``SIMCELERY_FAILPOINTS``
arms that name: ``after_claim=kill`` ends the process at once with SIGKILL, ``after_claim=kill-parent``
its parent process (the worker, seen from a pool child), ``after_claim=raise`` raises `FailpointError`,
``after_claim=sleep:5`` waits 5 s. ``after_progress=kill@3`` fires only when the process comes there for the
third time. Several are separated by commas. With
``SIMCELERY_FAILPOINTS_ONCE=/some/folder`` each name fires once on the whole machine: the first
process to create the file of that name there wins.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

_ARMED: dict[str, str] = dict(
    item.strip().split("=", 1)
    for item in os.environ.get("SIMCELERY_FAILPOINTS", "").split(",")
    if "=" in item
)
_passed: Counter[str] = Counter()


class FailpointError(RuntimeError):
    """Raised by a failpoint armed with ``raise``."""


def failpoint(name: str) -> None:
    """Die, raise or wait here if the environment arms `name`; otherwise do nothing."""
    if _ARMED and name in _ARMED:
        action, _, nth = _ARMED[name].partition("@")
        _passed[name] += 1
        if nth in ("", str(_passed[name])) and _first_time(name):
            _fire(name, action)


def arm(name: str, action: str | None) -> None:
    """Arm a failpoint in this process and those that it forks; None: disarm it."""
    _passed.pop(name, None)
    if action is None:
        _ARMED.pop(name, None)
    else:
        _ARMED[name] = action


def _first_time(name: str) -> bool:
    folder = os.environ.get("SIMCELERY_FAILPOINTS_ONCE")
    if not folder:
        return True
    try:
        Path(folder, name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _fire(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "kill-parent":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)  # the parent's death ends this process too
    elif action.startswith("sleep:"):
        time.sleep(float(action.removeprefix("sleep:")))
    else:
        raise FailpointError(f"failpoint {name}")
