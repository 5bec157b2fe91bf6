"""Where the demo runs: on its own servers, in its own folder. No other board is touched."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simcelery import services
from simcelery.board import engine, migrate
from simcelery.demo import workers
from simcelery.settings import SETTINGS_FILE, Settings, find_settings_file, get_settings, isolate

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_URLS = ("SIMCELERY_DATABASE_URL", "SIMCELERY_BROKER_URL")


@dataclass(frozen=True)
class Place:
    """What the demo has started.

    Attributes:
        look: what to put before a command so that it uses the demo's board.
    """

    home: Path
    look: str
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def of_its_own(count: int, *, keep: bool) -> Iterator[Place]:
    """Servers and `count` workers for the length of a block; this process's settings then point to them.

    They and their folder remain if `keep` is set and the block succeeds.

    Raises:
        ServiceError: a server does not start.
    """
    home = Path(tempfile.gettempdir()).absolute() / f"simcelery-demo-{secrets.token_hex(4)}"
    place = Place(home, _before_commands(home), [])
    isolate(home)
    os.environ["SIMCELERY_SHUTDOWN_GRACE"] = "5s"  # nobody needs what its workers have not finished
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        services.up(get_settings())
        migrate.upgrade(get_settings())
        workers.start(count, home, place.workers)
        yield place
    except BaseException:
        _remove(place)
        raise
    if not keep:
        _remove(place)


def _before_commands(home: Path) -> str:
    """Settings in the user's environment must not lead to another board."""
    look = f"SIMCELERY_HOME={home}"
    if find_settings_file() is not None:
        look += f" {SETTINGS_FILE}={os.devnull}"
    if named := [name for name in _URLS if os.environ.get(name)]:
        look = " ".join(["env", *(f"-u {name}" for name in named), look])
    return look


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _remove(place: Place) -> None:
    """Remove everything, ignoring further signals from an impatient user."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        workers.stop(place.workers)
        engine.dispose()
        services.erase(Settings(home=place.home))  # and never another
        shutil.rmtree(place.home, ignore_errors=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
