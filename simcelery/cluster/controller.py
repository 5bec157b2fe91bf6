"""The process that looks after clusters: one for each board, home and host, as long as there are any.

Whoever starts or changes a cluster sees to it that there is one; so do workers, where it has died. It goes
from cluster to cluster, and for each that is due does a round. Several on several hosts take turns.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from simcelery.board import clusters, engine
from simcelery.board.clusters import ClusterRow
from simcelery.cluster import demand, rounds
from simcelery.cluster.environment import folder_of
from simcelery.cluster.profile import Profile, from_json
from simcelery.errors import ServiceError, ServicesNotRunningError, SimceleryError, UsageError
from simcelery.pauses import growing
from simcelery.schedulers.asking import Unknown
from simcelery.schedulers.launchers import scheduler
from simcelery.schedulers.scheduler import Scheduler
from simcelery.schedulers.seen import Seen
from simcelery.settings import Settings

log = logging.getLogger(__name__)

# Seconds between two rounds of a cluster: nobody minds on this host, and schedulers have many that ask.
_EVERY, _EVERY_HERE = 15.0, 2.0
_PAUSE = 1.0
# Seconds after which workers start another controller, and between their looks.
_NEGLECTED, REPLACE_EVERY = 60.0, 30.0
# Seconds for which the board may be out of reach; whoever changes a cluster then starts another controller.
_PATIENCE = 3600.0

# What schedulers have listed, by launcher and options.
_Looks = dict[tuple[str, tuple[str, ...]], list[Seen]]


def ensure(settings: Settings, parent: int | None = None) -> None:
    """Start it in the background, unless it runs.

    Parameters:
        parent: the process with which it is to end; None: it outlives whoever starts it.

    Raises:
        UsageError: the home cannot be written to.
    """
    with _lock(settings) as is_free:
        if not is_free:
            return
    command = [sys.executable, "-m", "simcelery.cluster", *([] if parent is None else [str(parent)])]
    with _file(settings, "log").open("ab") as output:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=parent is None,
        )


def run(settings: Settings, parent: int | None = None) -> None:
    """Look after the clusters that this host can look after, until there is nothing to do."""
    while True:
        with _lock(settings) as is_free:
            if not is_free:
                return  # another one runs
            _serve(settings, parent)
        # Somebody may have started a cluster after the last look, and seen that there was a controller.
        if not _lives(parent) or not _here(settings):
            return


def _serve(settings: Settings, parent: int | None) -> None:
    since, waiting = time.monotonic(), growing(_PAUSE, 60.0)
    while _lives(parent):
        try:
            found = _here(settings)
        except ServicesNotRunningError:
            return  # 'simcelery down'; what runs here waits for 'simcelery up', which starts another one
        except SimceleryError as error:
            if time.monotonic() - since > _PATIENCE or not settings.home.exists():
                raise
            log.warning("%s", error)
            time.sleep(next(waiting))
            continue
        if not found:
            return
        since, waiting = time.monotonic(), growing(_PAUSE, 60.0)
        look_after(settings, found)
        time.sleep(_PAUSE)


def look_after(settings: Settings, found: Sequence[ClusterRow]) -> None:
    """Do a round of each that is due; of all that can, one does so at a time."""
    looks: _Looks = {}
    for row in found:
        every = _EVERY_HERE if row.launcher == "local" else _EVERY
        try:
            with engine.begin(settings) as connection:
                mine = clusters.take_round(
                    connection, row.name, every, f"{socket.gethostname()}:{os.getpid()}"
                )
            if mine:
                _round(settings, row, looks)
        except SimceleryError as error:
            log.warning("cluster %s: %s", row.name, error)


def _round(settings: Settings, row: ClusterRow, looks: _Looks) -> None:
    trouble = None
    try:
        profile = from_json(row.profile)
        asked = scheduler_of(settings, profile)
        demand.adapt(settings, row)
        rounds.do_round(row, asked, settings, partial(_look, profile, asked, looks))
    except (Unknown, UsageError) as error:
        trouble = str(error)
        log.warning("cluster %s: %s", row.name, error)
    with engine.begin(settings) as connection:
        clusters.note(connection, row.name, trouble)


def _look(profile: Profile, asked: Scheduler, looks: _Looks) -> list[Seen]:
    """What the scheduler lists: one question for all clusters that are its."""
    if profile.launcher == "local":  # each has its own folder of accounts
        return asked.look()
    key = profile.launcher, profile.options
    if key not in looks:
        looks[key] = asked.look()
    return looks[key]


def scheduler_of(settings: Settings, profile: Profile) -> Scheduler:
    """The scheduler through which a cluster is started.

    Raises:
        UsageError: its options make no sense.
    """
    try:
        return scheduler(profile.launcher, folder_of(settings, profile.name), profile.options)
    except ValueError as error:
        raise UsageError(f"cluster {profile.name}: {error}") from None


def can_look_after(settings: Settings, row: ClusterRow) -> bool:
    """Whether this host has the means: the scheduler's commands; for ``local``, it is the host itself."""
    if row.launcher == "local":
        return row.host == socket.gethostname()
    try:
        return not scheduler_of(settings, from_json(row.profile)).missing()
    except UsageError:
        return False


def replace(settings: Settings) -> None:
    """For a worker: start a controller, which ends with it, for clusters that have lost theirs."""
    try:
        with engine.begin(settings) as connection:
            found = clusters.neglected(connection, _NEGLECTED)
    except ServiceError:
        return
    if any(can_look_after(settings, row) for row in found):
        ensure(settings, parent=os.getpid())


def _here(settings: Settings) -> list[ClusterRow]:
    with engine.begin(settings) as connection:
        found = clusters.listed(connection)
    return [row for row in found if can_look_after(settings, row)]


def _lives(parent: int | None) -> bool:
    return parent is None or os.getppid() == parent


@contextmanager
def _lock(settings: Settings) -> Iterator[bool]:
    """Whether nobody else holds it; we do for the length of the block."""
    with _file(settings, "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _file(settings: Settings, kind: str) -> Path:
    folder = settings.home / "clusters"
    board = hashlib.sha256(settings.board_url().encode()).hexdigest()[:8]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    return folder / f"controller-{board}-{socket.gethostname()}.{kind}"
