"""Which nodes an allocation leaves out: those on which a worker took no jobs when it was last heard of.

Most of the time none. Never so many that it could run nowhere, nor so many that the fault may be the jobs':
then none is left out, and the board says so, as it says which are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simcelery.board import bad_hosts, engine
from simcelery.board.bad_hosts import BadHost, is_same
from simcelery.board.clusters import ClusterRow
from simcelery.board.reads.clusters import BadNode, bad_nodes
from simcelery.cluster.profile import Profile
from simcelery.describe.words import many
from simcelery.schedulers.asking import Refused, Unknown
from simcelery.schedulers.options import value_of
from simcelery.schedulers.scheduler import Scheduler
from simcelery.settings import Settings

log = logging.getLogger(__name__)

_REFUSED = "the scheduler refuses it: "


@dataclass(frozen=True)
class Verdict:
    """The nodes that are bad. They are left out, unless there is a reason why not."""

    bad: tuple[BadNode, ...] = ()
    kept: str | None = None

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the scheduler is asked to leave out."""
        return () if self.kept else tuple(one.name for one in self.bad)


def judge(profile: Profile, scheduler: Scheduler, settings: Settings) -> Verdict:
    """What the next allocation of a cluster is to leave out. The scheduler is asked if there is anything."""
    if profile.launcher == "local":
        return Verdict()  # there is only this host
    with engine.begin(settings) as connection:
        bad = bad_hosts.bad_hosts(connection)
        recent = bad_hosts.hosts_of(connection, profile.name) if bad else []
    if not bad:
        return Verdict()
    verdict = choose(bad, _nodes(profile, scheduler), recent, profile.nodes)
    cannot = scheduler.cannot_exclude(profile.options)
    return Verdict(verdict.bad, cannot) if verdict.bad and cannot else verdict


def _nodes(profile: Profile, scheduler: Scheduler) -> dict[str, bool] | None:
    partition = value_of(profile.options, "-p", "--partition") or profile.partition
    try:
        return scheduler.nodes(partition)
    except Unknown as error:
        log.warning("cluster %s: the nodes are not known: %s", profile.name, error)
        return None


def choose(
    bad: Sequence[BadHost], nodes: Mapping[str, bool] | None, recent: Sequence[str], needed: int
) -> Verdict:
    """Which of the bad hosts are nodes, and whether so many can be left out.

    Parameters:
        nodes: those that there are, with whether they take batch jobs; None: nobody knows.
        recent: the hosts on which the cluster has lately run.
        needed: how many nodes an allocation has.
    """
    known = recent if nodes is None else nodes
    found = [
        BadNode(name, host.host, host.until, host.why)
        for host in bad
        for name in known
        if name == host.node or is_same(name, host.host)
    ]
    chosen = tuple({one.name: one for one in found}.values())
    return Verdict(chosen, _why_not({one.name for one in chosen}, nodes, recent, needed) if chosen else None)


def _why_not(
    chosen: set[str], nodes: Mapping[str, bool] | None, recent: Sequence[str], needed: int
) -> str | None:
    if nodes is not None:
        usable = [name for name, is_usable in nodes.items() if is_usable and name not in chosen]
        if len(usable) < needed:
            rest = f"only {many(len(usable), 'node')}" if usable else "no node"
            return f"{rest} of its partition would be left"
    run = [host for host in recent if any(is_same(host, name) for name in chosen)]
    # The only host that is known says nothing of others; where nobody knows others, there may be none.
    tells = len(recent) > 1 or nodes is None
    if tells and 2 * len(run) > len(recent):
        return f"it has lately run on {many(len(recent), 'host')}, and more than half would be left out"
    return None


def note(cluster: ClusterRow, verdict: Verdict) -> Verdict:
    """Note it on the board; what a scheduler has refused to leave out it is not asked again.

    Returns:
        What holds.
    """
    known = {one.name for one in bad_nodes(cluster.bad_nodes)}
    if known == set(verdict.left_out) and (cluster.bad_nodes_kept or "").startswith(_REFUSED):
        verdict = Verdict(verdict.bad, cluster.bad_nodes_kept)
    _write(cluster.name, verdict)
    return verdict


def note_refusal(cluster: str, verdict: Verdict, error: Refused) -> None:
    """Note that the scheduler takes batch jobs of it only if nothing is left out."""
    _write(cluster, refused(verdict, error))


def refused(verdict: Verdict, error: Refused) -> Verdict:
    """The scheduler takes no batch job that leaves these out: it is asked without."""
    return Verdict(verdict.bad, _REFUSED + str(error))


def _write(cluster: str, verdict: Verdict) -> None:
    with engine.begin() as connection:
        bad_hosts.note(connection, cluster, verdict.bad, verdict.kept)
