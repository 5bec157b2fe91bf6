"""The process that looks after clusters: one for each board, home and host, as long as there are any.

Whoever starts or changes a cluster sees to it that there is one; so do workers, where it has died. It goes
from cluster to cluster, and for each that is due does a round. Several on several hosts take turns.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

from simcelery.board import clusters, engine
from simcelery.board.clusters import ClusterRow
from simcelery.cluster import demand, environment, rounds, sites
from simcelery.cluster.clearing import Clearing
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
_PATIENCE = 7 * 86400.0
# A spare one leaves a round that is due to others for so many seconds, and ends when it had none for as many.
_SPARE_PATIENCE, _SPARE_ENDS = 5.0, 180.0
_MARGIN = 10.0  # seconds that workers may take longer to end than they should
_LONGEST_LOG = 2**20  # bytes; twice as many are kept
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)

_NOTHING_TO_DO = (
    "its last two workers left without a job: others come when there are newer jobs, or after 10 minutes"
)

# What schedulers have listed, and when, by launcher and options.
_Looks = dict[tuple[str, tuple[str, ...]], tuple[float, list[Seen]]]


def ensure(settings: Settings, parent: int | None = None) -> None:
    """Start it in the background, unless it runs.

    Parameters:
        parent: the process with which it is to end; None: it outlives whoever starts it.

    Raises:
        UsageError: the home cannot be written to.
    """
    with _lock(settings) as lock:
        if lock == "taken":
            return
    command = [sys.executable, "-m", "simcelery.cluster", *([] if parent is None else [str(parent)])]
    with _file(settings, "log").open("ab") as output:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Flags are not in our own environment.
            env={**os.environ, **environment.shown(settings), **environment.hidden(settings)},
            start_new_session=parent is None,
        )


def run(settings: Settings, parent: int | None = None) -> None:
    """Look after the clusters that this host can look after, until there is nothing to do."""
    while True:
        with _lock(settings) as lock:
            if lock == "taken":
                return  # another one runs
            is_needed = _serve(settings, parent, is_spare=parent is not None or lock == "none")
        # Somebody may have started a cluster after the last look, and seen that there was a controller.
        if not is_needed or not _lives(parent) or not _here(settings):
            return


def _serve(settings: Settings, parent: int | None, is_spare: bool) -> bool:
    """Until there is nothing to do; False: others do it.

    Parameters:
        is_spare: there may be others on this host, or it is one of many: who has rounds keeps them.
    """
    answered = had_round = time.monotonic()
    waiting = growing(_PAUSE, 60.0)
    clearing = Clearing(settings)
    while _lives(parent):
        try:
            found = _here(settings)
        except ServicesNotRunningError:
            return True  # 'simcelery down'; what runs here waits for 'simcelery up', which starts another one
        except SimceleryError as error:
            if time.monotonic() - answered > _PATIENCE or not settings.home.exists():
                raise
            log.warning("%s", error)
            time.sleep(next(waiting))
            had_round = time.monotonic()  # nobody had one
            continue
        _shorten_log(settings)
        if not found:
            return True
        answered, waiting = time.monotonic(), growing(_PAUSE, 60.0)
        if look_after(settings, found, _SPARE_PATIENCE if is_spare else 0.0):
            had_round = time.monotonic()
        elif is_spare and time.monotonic() - had_round > _SPARE_ENDS:
            log.info("others look after the clusters")
            return False
        clearing.tick(found)
        time.sleep(_PAUSE)
    return True


def look_after(settings: Settings, found: Sequence[ClusterRow], patience: float = 0.0) -> bool:
    """Do a round of each that is due; of all that can, one does so at a time. Returns whether any was ours.

    Parameters:
        patience: seconds for which rounds are left to others, unless the last one was ours.
    """
    looks: _Looks = {}
    had_round = False
    for row in found:
        try:
            if (now := _take_round(settings, row, patience)) is not None:
                had_round = True
                _round(settings, now, looks)
        except SimceleryError as error:
            log.warning("cluster %s: %s", row.name, error)
        except Exception:  # the others must not be left alone for it
            log.exception("cluster %s", row.name)
    return had_round


def _take_round(settings: Settings, row: ClusterRow, patience: float) -> ClusterRow | None:
    """The cluster as it stands now, if it is our turn: others may have taken minutes."""
    every = _EVERY_HERE if row.launcher == "local" else _EVERY
    by = f"{socket.gethostname()}:{os.getpid()}"
    with engine.begin(settings) as connection:
        if not clusters.take_round(connection, row.name, every, by, patience):
            return None
        return next(iter(clusters.listed(connection, row.name)), None)


def _round(settings: Settings, row: ClusterRow, looks: _Looks) -> None:
    trouble = None
    try:
        profile = from_json(row.profile)
        asked = scheduler_of(settings, profile)
        if not sites.is_ours(row, asked, profile):
            return
        is_in_vain = demand.adapt(settings, row)
        look, replaces = partial(_look, profile, asked, looks), partial(demand.replaces, settings, row)
        replaced = rounds.do_round(row, asked, settings, look, replaces)
        always = row.wanted if row.least is None else row.least
        if is_in_vain or not (replaced or row.live >= always):
            trouble = _NOTHING_TO_DO
    except (Unknown, UsageError) as error:
        trouble = str(error)
        log.warning("cluster %s: %s", row.name, error)
    except ServiceError:
        raise  # it cannot be noted
    except Exception as error:
        trouble = f"its round has failed: {type(error).__name__}: {error}"
        log.exception("cluster %s", row.name)
    with engine.begin(settings) as connection:
        clusters.note(connection, row.name, trouble)


def _look(profile: Profile, asked: Scheduler, looks: _Looks) -> list[Seen]:
    """What the scheduler lists: one question for all clusters that are its, unless others have taken long."""
    if profile.launcher == "local":  # each has its own folder of accounts
        return asked.look()
    key = profile.launcher, profile.options
    if key not in looks or time.monotonic() - looks[key][0] > _EVERY:
        looks[key] = time.monotonic(), asked.look()
    return looks[key][1]


def longest_end(settings: Settings) -> float:
    """Seconds that a worker may need to hand its jobs back and end."""
    return settings.shutdown_grace + settings.kill_grace + _MARGIN


def scheduler_of(settings: Settings, profile: Profile) -> Scheduler:
    """The scheduler through which a cluster is started.

    Raises:
        UsageError: its options make no sense.
    """
    try:
        folder = folder_of(settings, profile.name)
        return scheduler(profile.launcher, folder, profile.options, grace=longest_end(settings))
    except ValueError as error:
        raise UsageError(f"cluster {profile.name}: {error}") from None


def can_look_after(settings: Settings, row: ClusterRow) -> bool:
    """Whether we have the means: the commands of its scheduler, and its user; ``local`` is its own host."""
    if row.launcher == "local" and row.host != socket.gethostname():
        return False
    try:
        profile = from_json(row.profile)
        asked = scheduler_of(settings, profile)
    except UsageError:
        return False
    return not asked.missing() and sites.may_be_ours(row, asked, profile)


def replace(settings: Settings) -> None:
    """For a worker: start a controller, which ends with it, for clusters that have lost theirs."""
    try:
        with engine.begin(settings) as connection:
            found = clusters.neglected(connection, _NEGLECTED)
    except ServiceError:
        return
    for row in found:
        if can_look_after(settings, row) and _is_ours_to_replace(settings, row):
            ensure(settings, parent=os.getpid())
            return


def _is_ours_to_replace(settings: Settings, row: ClusterRow) -> bool:
    """All workers of a cluster see it at once when their board was away: one of them acts."""
    try:
        with engine.begin(settings) as connection:
            return clusters.replace(connection, row.name, _NEGLECTED)
    except ServiceError:
        return False


def _here(settings: Settings) -> list[ClusterRow]:
    with engine.begin(settings) as connection:
        found = clusters.listed(connection)
    return [row for row in found if can_look_after(settings, row)]


def _lives(parent: int | None) -> bool:
    return parent is None or os.getppid() == parent


@contextmanager
def _lock(settings: Settings) -> Iterator[Literal["ours", "taken", "none"]]:
    """Whether somebody else holds it, or we do for the length of the block.

    Where the file system has no locks there is none: several may then run, and take turns.
    """
    path = _file(settings, "lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield "taken"
            return
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            yield "none"
            return
        yield "ours"


def _shorten_log(settings: Settings) -> None:
    """Set aside what has been written, in place of what was set aside before: it is written for months."""
    log_file = _file(settings, "log")
    with suppress(OSError):
        if log_file.stat().st_size > _LONGEST_LOG:
            shutil.copyfile(log_file, log_file.with_suffix(".log.old"))
            os.truncate(log_file, 0)  # whoever has it open writes at its end


def _file(settings: Settings, kind: str) -> Path:
    folder = settings.home / "clusters"
    board = hashlib.sha256(settings.board_url().encode()).hexdigest()[:8]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    return folder / f"controller-{board}-{socket.gethostname()}.{kind}"
