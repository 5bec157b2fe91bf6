"""The way to board and broker through the relay: two ports of this machine, for this user's processes only.

What listens there is a process of its own, the `forwarder`: no event loop runs in a process that forks. It
lives as long as any process that has inherited it. A worker starts one before its pool, for all its children.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from typing import Any

from simcelery.errors import SettingsError
from simcelery.pauses import growing
from simcelery.settings import get_settings

BOARD, BROKER = "board", "broker"
HERE = "127.0.0.1"
MOST_SAID = 500  # bytes

_listening: dict[str, socket.socket] = {}  # they outlive a forwarder that was killed
_said: list[int] = []  # a file in which the forwarder says what is wrong
_lock = threading.Lock()
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def is_set() -> bool:
    """Whether board and broker are reached through a relay."""
    return get_settings().relay_url is not None


def port(service: str) -> int | None:
    """The port of this machine that leads to the board or the broker; None: there is no relay between.

    Raises:
        SettingsError: what the settings say of the relay is of no use.
    """
    if not is_set():
        return None
    with _lock:
        if not _listening:
            _open()
    return int(_listening[service].getsockname()[1])


def ports() -> set[int]:
    """Those that are open."""
    return {one.getsockname()[1] for one in _listening.values()}


def trouble() -> str:
    """What is wrong with the relay, in words; empty: nothing is, or there is none."""
    if not _listening:
        return ""
    said = os.pread(_said[0], MOST_SAID, 0).decode(errors="replace").rstrip("\0")
    return said and f"the relay {get_settings().relay_url}: {said}"


def _open() -> None:
    """Start a forwarder; it is started again whenever it ends."""
    from tempfile import TemporaryFile

    settings = get_settings()
    if not settings.relay_token:
        what = "what 'simcelery relay token NAME' has printed where the relay runs"
        raise SettingsError(f"relay_url is set, but not relay_token: set SIMCELERY_RELAY_TOKEN to {what}")
    sockets = {name: socket.create_server((HERE, 0)) for name in (BOARD, BROKER)}
    # Not on a disk, which may be full.
    said = os.memfd_create("said") if sys.platform == "linux" else os.dup(TemporaryFile().fileno())  # noqa: SIM115
    told = {
        "url": settings.relay_url,
        "token": settings.relay_token.get_secret_value(),
        "ca": settings.relay_ca and str(settings.relay_ca),
        "sockets": {name: one.fileno() for name, one in sockets.items()},
        "said": said,
    }
    first = _start(told)
    threading.Thread(target=_keep, args=(first, told), name="relay", daemon=True).start()
    _said[:] = [said]
    _listening.update(sockets)


def _start(told: dict[str, Any]) -> Any:
    """Start a forwarder, and wait until it is ready.

    Its standard input says what it is for, so that no token is on a command line; it ends once nobody has the
    other end of that any more.
    """
    import subprocess

    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "simcelery.relay.forwarder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[*told["sockets"].values(), told["said"]],
        start_new_session=True,  # Ctrl-C and the end of a terminal are not for it
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    process.stdin.write(json.dumps(told).encode() + b"\n")
    process.stdin.flush()
    with process.stdout:
        answer = process.stdout.readline().decode().strip()
    if answer != "ready":
        raise SettingsError(answer or "the forwarder to the relay does not start")
    return process


def _keep(process: Any, told: dict[str, Any]) -> None:
    """Start another one where it ends: something has killed it."""
    for pause in growing(0.1, 10.0):
        process.wait()
        time.sleep(pause)
        try:
            process = _start(told)
        except (OSError, SettingsError):  # no memory, no processes: perhaps later
            continue
