"""What people do with clusters: each is recorded on the board, and acted upon at once where it can be."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, replace

from simcelery.board import allocations, bad_hosts, clusters, engine
from simcelery.board.allocations import AllocationRow
from simcelery.board.clusters import ClusterRow, NewCluster
from simcelery.board.reads import clusters as reads
from simcelery.cluster import bad_nodes, controller, sites
from simcelery.cluster.bad_nodes import Verdict
from simcelery.cluster.environment import folder_of, hand_over
from simcelery.cluster.profile import Profile, as_json, checked
from simcelery.cluster.rounds import new_name, request_for
from simcelery.cluster.script import script
from simcelery.errors import UsageError
from simcelery.execution import resources
from simcelery.pauses import growing
from simcelery.schedulers.asking import Refused
from simcelery.schedulers.request import Request
from simcelery.schedulers.scheduler import Scheduler, own_name
from simcelery.schedulers.seen import Plan
from simcelery.settings import Settings

WITH_SERVERS = "up"  # the cluster of 'simcelery up --workers'
# Seconds after which a host is taken for gone of which nothing was heard.
_GONE = 300.0
_PAUSE, _ROUND = 0.5, 5.0  # seconds between two looks, and within which a controller looks again
RECENT = 3600.0  # seconds for which allocations that have ended are shown


def start(
    settings: Settings,
    profile: Profile,
    wanted: int,
    by: str,
    least: int | None = None,
    most: int | None = None,
) -> ClusterRow:
    """Start a cluster; the first allocations are submitted before this returns.

    Parameters:
        wanted: how many allocations, to begin with.
        least, most: from then on as many as there is work for, between the two.

    Raises:
        UsageError: there is one of this name; or this host has not the scheduler's commands; or its workers
            could not reach the board.
        Unknown: the scheduler does not answer.
    """
    asked = _usable(settings, profile)
    hand_over(settings, profile.name, profile.launcher)
    new = NewCluster(
        name=profile.name,
        launcher=profile.launcher,
        host=socket.gethostname() if profile.launcher == "local" else None,
        profile=as_json(profile),
        wanted=wanted,
        least=least,
        most=most,
        started_by=by,
        site=sites.site_of(asked, profile),
        owner=own_name(),
    )
    with engine.begin(settings) as connection:
        clusters.start(connection, new)
    return attend(settings, profile.name)


@dataclass(frozen=True)
class Planned:
    """What would be submitted: the script, the options of the command that submits, and what would happen.

    Attributes:
        bad: the nodes that would be left out.
    """

    script: str
    options: list[str]
    plan: Plan | None
    bad: Verdict


def plan(settings: Settings, profile: Profile) -> Planned:
    """What would be submitted now.

    Raises:
        UsageError: as `start`.
        Refused: the scheduler would not take it.
        Unknown: it does not answer.
    """
    asked = _usable(settings, profile)
    name = new_name(profile.name)
    text = script(profile, name)
    bad = bad_nodes.judge(profile, asked, settings)
    request = _written(settings, profile, name, text, bad)
    try:
        try:
            planned = asked.plan(request)
        except Refused as error:
            if not request.exclude:
                raise
            bad, request = bad_nodes.refused(bad, error), replace(request, exclude=())
            planned = asked.plan(request)
        return Planned(text, asked.header(request), planned, bad)
    finally:
        request.script.unlink()


def scale(settings: Settings, name: str, wanted: int) -> ClusterRow:
    """Want another number of allocations.

    Raises:
        UsageError: there is no such cluster, or it is stopped.
    """
    with engine.begin(settings) as connection:
        clusters.scale(connection, name, wanted)
    return attend(settings, name)


def auto(settings: Settings, name: str, least: int, most: int) -> ClusterRow:
    """From now on want as many allocations as there is work for.

    Raises:
        UsageError: as `scale`.
    """
    with engine.begin(settings) as connection:
        clusters.scale(connection, name, least, least, most)
    return attend(settings, name)


def resume(settings: Settings, name: str) -> ClusterRow:
    """Submit again at once, after a pause, and on nodes that were left out, unless a worker there still is.

    Raises:
        UsageError: as `scale`.
    """
    row = get(settings, name)
    with engine.begin(settings) as connection:
        clusters.resume(connection, name)
        bad_hosts.forgive(connection, [one.host for one in reads.bad_nodes(row.bad_nodes)])
    return attend(settings, name)


def stop(settings: Settings, name: str) -> ClusterRow:
    """Cancel all allocations of a cluster, and submit none any more.

    Those of a host that is gone nobody can cancel: they are given up.

    Raises:
        UsageError: there is no such cluster.
    """
    with engine.begin(settings) as connection:
        clusters.stop(connection, name)
    row = get(settings, name)
    if _is_elsewhere(row):
        _give_up(settings, row)
    return attend(settings, name)


def with_servers(settings: Settings, workers: int, by: str) -> ClusterRow:
    """So many workers on this host, which share its cores; their cluster ends with the embedded servers.

    Raises:
        UsageError: as `start`.
    """
    share = max(1, (settings.cores or resources.cores()) // workers)
    profile = checked(settings, WITH_SERVERS, {"launcher": "local", "cores": share})
    with engine.begin(settings) as connection:
        found = clusters.listed(connection, WITH_SERVERS)
    if found and _is_elsewhere(found[0]) and (found[0].live or found[0].state != "stopped"):
        _replace(settings, found[0])
    elif found and found[0].state != "stopped":
        return scale(settings, WITH_SERVERS, workers)
    return start(settings, profile, workers, by)


def _replace(settings: Settings, row: ClusterRow) -> None:
    """Make room for a cluster of this host, as after a container has been made anew."""
    if not _give_up(settings, row):
        raise UsageError(
            f"cluster {row.name} runs on {row.host}: start workers here under another name, "
            "'simcelery cluster start N --on local --name NAME'; or, if that host is gone, try again in "
            f"{_GONE / 60:.0f} minutes"
        )
    with engine.begin(settings) as connection:
        clusters.stop(connection, row.name)


def _is_elsewhere(row: ClusterRow) -> bool:
    return row.launcher == "local" and row.host != socket.gethostname()


def _give_up(settings: Settings, row: ClusterRow) -> bool:
    """Whether the host of a cluster is gone; what it has left ends.

    The board of embedded servers was on that host, too: its workers are gone if no lease holds any more.
    """
    is_embedded = settings.database_url is None
    silence, patience = (0.0, settings.lease + _ROUND) if is_embedded else (_GONE, 0.0)
    until = time.monotonic() + patience
    while True:
        with engine.begin(settings) as connection:
            if allocations.give_up(connection, row.name, row.host or "its host", silence):
                return True
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)


def end_with_servers(settings: Settings, seconds: float) -> bool:
    """End the workers that came with the embedded servers; False: some are left."""
    with engine.begin(settings) as connection:
        found = clusters.listed(connection, WITH_SERVERS)
    if not found or (found[0].state == "stopped" and not found[0].live):
        return True
    stop(settings, WITH_SERVERS)
    return wait_for_end(settings, WITH_SERVERS, seconds)


def wait_for_end(settings: Settings, name: str, seconds: float) -> bool:
    """Wait until a cluster that was stopped has nothing left; False: not within so many seconds."""
    for pause in growing(0.2, 2.0, until=time.monotonic() + seconds):
        if not get(settings, name).live:
            return True
        time.sleep(pause)
    return False


def attend_all(settings: Settings) -> None:
    """See to it that somebody looks after the clusters that this host can look after."""
    with engine.begin(settings) as connection:
        found = clusters.listed(connection)
    if any(controller.can_look_after(settings, row) for row in found):
        controller.ensure(settings)


def attend(settings: Settings, name: str) -> ClusterRow:
    """Do a round of a cluster now, where this host can, and see to it that somebody does the next ones."""
    row = get(settings, name)
    if controller.can_look_after(settings, row):
        with engine.begin(settings) as connection:
            clusters.hurry(connection, name)
        controller.look_after(settings, [row])
        controller.ensure(settings)
    return get(settings, name)


def get(settings: Settings, name: str) -> ClusterRow:
    """The cluster of that name.

    Raises:
        UsageError: there is none.
    """
    with engine.begin(settings) as connection:
        found = clusters.listed(connection, name)
    if not found:
        raise UsageError(f"there is no cluster {name!r}; 'simcelery cluster list' shows those that there are")
    return found[0]


def allocations_of(settings: Settings, name: str) -> list[AllocationRow]:
    """Those that live, and those that ended a short time ago; oldest first."""
    with engine.begin(settings) as connection:
        return allocations.listed(connection, name, RECENT)


def _usable(settings: Settings, profile: Profile) -> Scheduler:
    asked = controller.scheduler_of(settings, profile)
    if missing := asked.missing():
        raise UsageError(
            f"there is no command {missing[0]} on this host, so it cannot start workers through "
            f"{profile.launcher}: log in to a host that has it"
        )
    return asked


def _written(settings: Settings, profile: Profile, name: str, text: str, bad: Verdict) -> Request:
    folder = folder_of(settings, profile.name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        request = request_for(profile, folder, name, bad.left_out)
        request.script.write_text(text)
        os.chmod(request.script, 0o700)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    return request
