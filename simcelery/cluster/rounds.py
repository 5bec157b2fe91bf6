"""One round of a cluster: note what the scheduler tells, cancel what is too much, submit what is missing.

Any process that has the scheduler's commands may do it, and be killed at any line: what it has recorded, and
not submitted, is found by its name, or makes room for another.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from simcelery.board import allocations, engine
from simcelery.board.allocations import Observed
from simcelery.board.clusters import ClusterRow
from simcelery.cluster import bad_nodes, lost, worker_options
from simcelery.cluster.bad_nodes import Verdict
from simcelery.cluster.environment import folder_of, hand_over
from simcelery.cluster.profile import Profile, from_json
from simcelery.cluster.script import script
from simcelery.errors import UsageError
from simcelery.execution import durable
from simcelery.execution.command import last_lines
from simcelery.failpoints import failpoint
from simcelery.schedulers.asking import Refused, Unknown
from simcelery.schedulers.request import Request
from simcelery.schedulers.scheduler import Scheduler
from simcelery.schedulers.seen import Seen, State
from simcelery.settings import Settings

log = logging.getLogger(__name__)

_TAIL_LINES, _TAIL_BYTES = 20, 8 * 1024
_MAX_IDLE = "60"
_RECENT = 3600.0  # seconds for which the output of one that has ended is still looked for


def do_round(
    cluster: ClusterRow,
    scheduler: Scheduler,
    settings: Settings,
    look: Callable[[], Sequence[Seen]] | None = None,
    replaces: Callable[[], bool] = lambda: True,
) -> bool:
    """Do one round; whether what is missing was submitted, as `replaces` says.

    Parameters:
        look: what the scheduler lists, where it has been asked just now for another cluster.
        replaces: asked when it is known what has ended: whether what is missing is submitted.

    Raises:
        Unknown: the scheduler does not answer properly. Nothing is believed to be over because of that.
        UsageError: the profile is none, or what is needed cannot be written.
        BoardUnreachableError: the rest is for another round.
    """
    folder = folder_of(settings, cluster.name)
    _note(cluster.name, scheduler, look or scheduler.look)
    lost.rescue(cluster.name, settings)
    _keep_tails(cluster.name, folder)
    _cancel(cluster, scheduler)
    bad = _bad_nodes(cluster, scheduler, settings)
    if not replaces():
        return False
    _submit(cluster, scheduler, settings, folder, bad)
    return True


def _note(cluster: str, scheduler: Scheduler, look: Callable[[], Sequence[Seen]]) -> None:
    """What the scheduler tells, and how those ended that it does not list any more."""
    with engine.begin() as connection:
        names = {scheduler.known_as(name): name for name in allocations.remembered(connection, cluster)}
    if not names:
        return
    seen = [one for one in look() if one.name in names]
    # Of a name that was refused Slurm may list another one, which has failed: what lives counts.
    seen.sort(key=lambda one: one.state is not State.ENDED)
    seen = list({one.name: one for one in seen}.values())
    told = [_observed(names[one.name], one) for one in seen if one.name is not None]
    with engine.begin() as connection:
        missing = allocations.observe(connection, cluster, told)
    unsaid = {
        one.id: names[one.name] for one in seen if one.name and one.state is State.ENDED and not one.end
    }
    unsaid |= {row.scheduler_id: row.name for row in missing if row.scheduler_id is not None}
    known = {id: scheduler.known_as(name) for id, name in unsaid.items()}
    for number, end in (scheduler.ends(known) if known else {}).items():
        with engine.begin() as connection:
            allocations.ended(connection, unsaid[number], str(end.cause), end.told, end.began_at, end.at)


def _observed(name: str, seen: Seen) -> Observed:
    return Observed(
        name=name,
        scheduler_id=seen.id,
        state=None if seen.state is None else str(seen.state),
        word=seen.word,
        reason=seen.explained or seen.reason,
        never_starts=seen.never_starts,
        hosts=seen.hosts,
        starts_at=seen.starts_at,
        ends_at=seen.ends_at,
        cause=str(seen.end.cause) if seen.end else None,
        told=seen.end.told if seen.end else None,
    )


def _keep_tails(cluster: str, folder: Path) -> None:
    """The last lines of what has ended, where it may say why."""
    with engine.begin() as connection:
        found = allocations.listed(connection, cluster, ended_within=_RECENT)
    for row in found:
        if row.ended_at is not None and row.tail is None and (tail := _tail(folder, row.name)):
            with engine.begin() as connection:
                allocations.keep_tail(connection, row.name, tail)


def _tail(folder: Path, name: str) -> str:
    return last_lines(folder / f"{name}.out", _TAIL_LINES, _TAIL_BYTES).removesuffix("\n")


def _cancel(cluster: ClusterRow, scheduler: Scheduler) -> None:
    """By id; by name one whose reply was lost."""
    leaves = worker_options.names(from_json(cluster.profile).worker, "--max-idle")
    with engine.begin() as connection:
        found = allocations.too_many(connection, cluster.name, may_idle=leaves)
    if found:
        failpoint("allocations_to_cancel")
        ids = [row.scheduler_id for row in found if row.scheduler_id]
        scheduler.cancel(ids, [row.name for row in found if not row.scheduler_id])


def _bad_nodes(cluster: ClusterRow, scheduler: Scheduler, settings: Settings) -> Verdict:
    if cluster.state == "stopped":
        return Verdict()
    return bad_nodes.note(cluster, bad_nodes.judge(from_json(cluster.profile), scheduler, settings))


def _submit(
    cluster: ClusterRow, scheduler: Scheduler, settings: Settings, folder: Path, bad: Verdict
) -> None:
    stay, leave = _profiles(cluster)
    with engine.begin() as connection:
        names = allocations.plan(connection, cluster.name, lambda: new_name(cluster.name), stay.all_cores)
    if not names:
        return
    failpoint("allocations_recorded")
    left = list(names)
    try:
        always = len(names) if cluster.least is None else cluster.least - cluster.live
        hand_over(settings, cluster.name, cluster.launcher)
        while left:
            profile = stay if len(names) - len(left) < always else leave
            request = _written(profile, folder, left[0], bad)
            if not _submit_one(profile, scheduler, request, left.pop(0), bad):
                break
    finally:
        with engine.begin() as connection:
            allocations.withdraw(connection, left)


def _profiles(cluster: ClusterRow) -> tuple[Profile, Profile]:
    """Of what is always wanted, and of what is there for work: those workers leave when there is none."""
    stay = from_json(cluster.profile)
    if worker_options.names(stay.worker, "--max-idle"):
        return stay, stay
    return stay, replace(stay, worker=(*stay.worker, "--max-idle", _MAX_IDLE))


def new_name(cluster: str) -> str:
    """One that no other batch job has."""
    return f"simcelery-{cluster}-{secrets.token_hex(4)}"


def _written(profile: Profile, folder: Path, name: str, bad: Verdict) -> Request:
    """What is asked for one, with its script."""
    request = request_for(profile, folder, name, bad.left_out)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with durable.complete(request.script, lambda: None) as file:
            os.fchmod(file.fileno(), 0o700)
            file.write(script(profile, name).encode())
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    return request


def _submit_one(profile: Profile, scheduler: Scheduler, request: Request, name: str, bad: Verdict) -> bool:
    """Submit one; whether it makes sense to go on with others.

    Raises:
        Unknown: it may be submitted or not.
    """
    with engine.begin() as connection:
        if not allocations.may_submit(connection, name):
            return True
    failpoint("allocation_may_be_submitted")
    try:
        number = _submitted(scheduler, request, profile.name, bad)
    except Refused as error:
        log.warning("cluster %s: %s", profile.name, error)
        with engine.begin() as connection:
            allocations.refused(connection, name, str(error))
        return False
    except Unknown as error:
        with engine.begin() as connection:
            allocations.unclear(connection, name, str(error))
        raise Unknown(f"{name} may have been submitted, or not: {error}") from None
    failpoint("allocation_submitted")
    with engine.begin() as connection:
        allocations.submitted(connection, name, number)
    return True


def _submitted(scheduler: Scheduler, request: Request, cluster: str, bad: Verdict) -> str:
    """Its id. What is left out for its own good must not keep it from running: then nothing is."""
    try:
        return scheduler.submit(request)
    except Refused as error:
        if not request.exclude:
            raise
        number = scheduler.submit(replace(request, exclude=()))
        bad_nodes.note_refusal(cluster, bad, error)
        return number


def request_for(profile: Profile, folder: Path, name: str, left_out: Sequence[str] = ()) -> Request:
    """What is asked of the scheduler for one allocation."""
    return Request(
        name=name,
        script=folder / f"{name}.sh",
        folder=folder,
        walltime=profile.walltime,
        nodes=profile.nodes,
        cores=profile.cores,
        memory=profile.memory,
        gpus=profile.gpus,
        partition=profile.partition,
        account=profile.account,
        exclude=tuple(left_out),
        options=profile.options,
    )
