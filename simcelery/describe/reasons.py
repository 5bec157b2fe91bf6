"""Why a job is not running, in sentences: made from a story that has been read; the board is not asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from simcelery.describe import needs, walltime
from simcelery.describe.clusters import troubles, waits
from simcelery.describe.job import progress
from simcelery.describe.saved import restart_line
from simcelery.describe.words import ago, compact, duration, many, named, told

if TYPE_CHECKING:
    from simcelery.describe.story import Story


@dataclass(frozen=True)
class Reason:
    """One reason: a code for scripts, a sentence, and advice if anything can be done."""

    code: str
    text: str
    advice: str = ""


def reasons(story: Story) -> Iterator[Reason]:
    """Everything that keeps the job from running, or where it is running, or how it ended."""
    match str(story.job.state):
        case "blocked":
            yield from _blocked(story)
        case "scheduled":
            yield from _scheduled(story)
        case "pending":
            yield from _pending(story)
        case "running":
            yield from _running(story)
        case state:
            yield from _over(story, state)
    for one in story.escalations:
        yield Reason("escalated", needs.escalation_in_words(one))
    yield from _outdated(story)


def _outdated(story: Story) -> Iterator[Reason]:
    """Live workers that may run it, or ran it, with files other than those it was submitted with."""
    from simcelery.board.sources import differing
    from simcelery.describe.outdated import in_sentences

    job = story.job
    able = [worker for worker in story.workers if job.queue in worker["queues"]]
    if story.worker is not None and str(job.state) in ("running", "succeeded", "failed"):
        able = [worker for worker in story.workers if worker["nodename"] == story.worker["nodename"]]
    for text, advice in in_sentences(differing(able, story.submitted, only=job.workflow)):
        yield Reason("outdated", text, advice)


def _blocked(story: Story) -> Iterator[Reason]:
    if story.gate is not None:
        from simcelery.describe.gates import advice, sentence

        yield Reason("held", sentence(story.gate), advice(story.gate))
    if story.job.unmet:
        yield from _waits_for_parents(story)
    elif story.throttled:
        yield from _throttled(story)
    elif story.gate is None:
        yield Reason("released", "it has been released; hold, an act of recovery, will make it pending")
        yield from _nobody_recovers(story, "release it")


def _throttled(story: Story) -> Iterator[Reason]:
    yield from _full(story)
    if not story.limits:
        yield Reason(
            "admit",
            "it waited for a limit, which has room now; admit, an act of recovery, will make it pending",
        )
        yield from _nobody_recovers(story, "admit it")


def _full(story: Story) -> Iterator[Reason]:
    """The limits that are full."""
    from simcelery.describe.limits import raise_it, use

    for limit in story.limits:
        yield Reason("limit", f"it waits for {use(limit)}", raise_it(limit))


def _waits_for_parents(story: Story) -> Iterator[Reason]:
    open_, failed = _parents(story)
    if (then := story.goes_on_in) is not None:
        open_, failed = ([then] if then in found else [] for found in (open_, failed))
    if open_ and then is not None:
        yield Reason(
            "goes_on",
            f"it has run, and goes on in job {then} ({story.parents[then]}), whose result will be its own",
            f"simcelery explain {then}",
        )
    elif failed:
        yield Reason(
            "parent_failed",
            f"{named(failed)} did not succeed, so this job will become upstream_failed in a moment",
            f"simcelery retry {compact(failed)}",
        )
    elif open_:
        states = sorted({story.parents[number] for number in open_})
        ends = sum(number in story.any_end for number in open_)
        how = " to end" if ends == len(open_) else ""
        rest = f", for {ends:,} of them only to end" if ends and not how else ""
        yield Reason(
            "parents",
            f"it waits for {named(open_)}{how} ({', '.join(states)}){rest}",
            f"simcelery explain {open_[0]}",
        )
    else:
        over = f"all its parents have {'ended' if story.any_end else 'succeeded'}"
        becomes = "pending"
        if then is not None:
            over, becomes = f"job {then}, in which it went on, has succeeded", "succeeded"
        yield Reason("settle", f"{over}; settle, an act of recovery, will make it {becomes}")
    if failed or not open_:
        yield from _nobody_recovers(story, "settle it")


def _parents(story: Story) -> tuple[list[int], list[int]]:
    """The parents that have not finished, and those that did not succeed."""
    over = ("failed", "cancelled", "upstream_failed")
    failed = [n for n, state in story.parents.items() if state in over and n not in story.any_end]
    return [n for n, state in story.parents.items() if state not in (*over, "succeeded")], failed


def _of_other_source(story: Story) -> Iterator[Reason]:
    """A worker has put it back, since its files are not those with which the job was submitted."""
    from simcelery.board.sources import file_of
    from simcelery.board.states import OTHER_SOURCE

    job = story.job
    if job.error_type == OTHER_SOURCE:
        wanted = str(job.parameters.get("source", ""))
        yield Reason(
            "other_source",
            f"it waits for a worker that has {file_of(wanted)} as it was submitted ({wanted}): "
            f"{job.error_message}",
            "start a worker in the project that it was submitted from, or restart the one there; if the file "
            "has been edited since, run the script again",
        )


def _scheduled(story: Story) -> Iterator[Reason]:
    from simcelery.board.states import OTHER_SOURCE

    job = story.job
    yield from _of_other_source(story)
    if job.attempt and job.error and job.error_type != OTHER_SOURCE:
        yield Reason(
            "backoff", f"attempt {job.attempt} failed ({told(job.error)}); it waits for the next attempt"
        )
    if job.run_at is not None and job.run_at > story.now:
        at = f"{job.run_at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        yield Reason("run_at", f"it will run {ago(job.run_at, story.now)}, not before {at}")
        return
    yield Reason(
        "stage",
        f"its time came {ago(job.run_at, story.now)}; stage, an act of recovery, will make it pending",
    )
    yield from _nobody_recovers(story, "stage it")


def _nobody_recovers(story: Story, does: str) -> Iterator[Reason]:
    if not story.workers:
        yield Reason(
            "no_worker",
            f"no live worker is left to {does}",
            "start one with 'celery -A simcelery worker', or run 'simcelery recover'",
        )


def _pending(story: Story) -> Iterator[Reason]:
    yield from _of_other_source(story)
    yield from _full(story)
    if story.last:
        cause = f" ({story.last['cause']})" if story.last["cause"] else ""
        yield Reason(
            "again",
            f"attempt {story.last['attempt']} was {story.last['outcome']}{cause}; the job will run again",
        )
    if (never := nobody_can(story)) is not None:
        if story.too_short and story.expected is not None:
            yield Reason("too_long", walltime.no_cluster(story.expected, story.too_short), walltime.LONGER)
        yield never
    elif in_time := [worker for worker in _able(story) if walltime.fits(story.expected, worker)]:
        yield from _room(story, in_time)
        yield from _crowded(story, in_time)
    else:
        yield _no_time(story, _able(story))
    for text, advice in troubles(story.clusters):
        yield Reason("cluster", text, advice)
    for one in story.allocations:
        yield Reason("allocation", waits(one, story.now), f"simcelery cluster list {one.cluster}")
    for worker in _knowing(story):
        if worker["note"]:
            yield Reason("note", f"{worker['nodename']}: {worker['note']}")


def nobody_can(story: Story) -> Reason | None:
    """Why no live worker will ever run the job, as they are now; None: one may.

    Parameters:
        story: at least the workers, what the job needs, and how long it is expected to take.
    """
    from simcelery.board.reads.workers import why_unserved

    job = story.job
    why = why_unserved(story.workers, job.queue, job.workflow)
    start = f"celery -A simcelery worker -Q {quote(job.queue)}"
    if why == "queue":
        count = len(story.workers)
        others = f" (there {'is' if count == 1 else 'are'} {many(count, 'live worker')})" if count else ""
        return Reason(
            "no_worker", f"no live worker serves its queue {job.queue!r}{others}", f"start one with '{start}'"
        )
    if why == "workflow":
        consumers = [worker for worker in story.workers if job.queue in worker["queues"]]
        return Reason(
            "unknown_workflow",
            f"{_names(consumers)} serve{_s(consumers)} its queue {job.queue!r}, "
            f"but {'does' if len(consumers) == 1 else 'do'} not know its workflow {job.workflow}",
            f"start one that has the workflow's module with '{start}'",
        )
    if why == "quarantine":
        return Reason(
            "quarantine",
            f"all workers that know its workflow are in quarantine: {_names(_knowing(story))}",
            "find out what is wrong there (simcelery workers), then restart them",
        )
    if said := walltime.never(story.expected, job.queue, _able(story)):
        return Reason("too_long", said, walltime.ADVICE)
    long_enough = [worker for worker in _able(story) if walltime.fits(story.expected, worker)]
    if said := needs.never(story.needs, long_enough):
        return Reason("never_fits", said, needs.ADVICE)
    return None


def _knowing(story: Story) -> list[dict[str, Any]]:
    """The workers of its queue that know its workflow."""
    job = story.job
    consumers = [worker for worker in story.workers if job.queue in worker["queues"]]
    return [worker for worker in consumers if job.workflow in worker["workflows"]]


def _able(story: Story) -> list[dict[str, Any]]:
    return [worker for worker in _knowing(story) if not worker["quarantined_at"]]


def _no_time(story: Story, able: list[dict[str, Any]]) -> Reason:
    """It takes longer than these workers still run jobs."""
    assert story.expected is not None
    most = max(walltime.left(worker) for worker in able)
    tried = ", or has just begun" if story.expected.tried_from < story.expected.seconds else ""
    return Reason(
        "no_time",
        f"{walltime.takes(story.expected)}, and waits for an allocation that lasts as long from now on"
        f"{tried}: "
        f"{_names(able)} run{_s(able)} jobs for {duration(most)} more",
    )


def _room(story: Story, able: list[dict[str, Any]]) -> Iterator[Reason]:
    """It needs more of a node than is free, or than is not kept for others."""
    if story.needs is None:
        return
    asks = needs.in_words(story.needs)
    now = [worker for worker in able if needs.fits(story.needs, worker, story.granted.get(worker["id"]))]
    if not now:
        large = [worker for worker in able if needs.fits(story.needs, worker)]
        kept = any(one.job_id == story.job.id for one in story.kept)
        kept_for_it = ", which is kept for it: it has been overtaken for ten minutes" if kept else ""
        yield Reason(
            "no_room", f"it asks for {asks}, and waits until so much is free on {_names(large)}{kept_for_it}"
        )
    elif others := needs.kept_from(story, now):
        yield Reason(
            "room_kept",
            f"it asks for {asks}, and room on {_names(now)} is kept for {named(others)}, which others have "
            "overtaken for ten minutes",
            f"simcelery explain {others[0]}",
        )


def _crowded(story: Story, able: list[dict[str, Any]]) -> Iterator[Reason]:
    """All hosts where it could run have as many jobs as they may; or else it is a matter of time."""
    from simcelery.describe.limits import by_host, raise_it

    if free := [worker for worker in able if worker["id"] not in story.full_hosts]:
        yield from _queued(story, free)
        return
    for hosts, limit in by_host(able, story.full_hosts):
        yield Reason("limit", f"it waits for a place on {hosts}", raise_it(limit))


def _queued(story: Story, able: list[dict[str, Any]]) -> Iterator[Reason]:
    """Live workers can run it: it is a matter of time."""
    job = story.job
    slots, busy = sum(w["concurrency"] for w in able), sum(len(w["running"]) for w in able)
    if story.before:
        ahead = f"{many(story.before)} of the same workflow and queue {job.queue!r}"
        yield Reason("queue", f"{ahead} come{_one_s(story.before)} first")
    if busy >= slots:
        what = "the only slot" if slots == 1 else f"all {many(slots, 'slot')}"
        yield Reason("busy", f"{what} of {_names(able)} {'is' if slots == 1 else 'are'} busy")
    elif job.published_at is None:
        yield Reason(
            "unpublished",
            "its message has not been sent yet: workers send messages only up to publish_window at a time",
        )
    else:
        sent = ago(job.published_at, story.now)
        yield Reason(
            "published",
            f"its message was sent {sent}; {_names(able)} ha{'s' if len(able) == 1 else 've'} a free slot; "
            "if the message was lost, it will be sent again automatically",
        )


def _running(story: Story) -> Iterator[Reason]:
    job, worker = story.job, story.worker
    said = f", {progress(job.progress)}" if job.progress else ""
    where = (
        f"on {worker['nodename']} (host {worker['host']}, pid {job.pid})" if worker else f"in pid {job.pid}"
    )
    yield Reason(
        "running", f"attempt {job.attempt} runs {where}; it started {ago(job.started_at, story.now)}{said}"
    )
    for one in story.continues:
        yield Reason("continues", restart_line(one))
    if job.cancel_requested_at is not None:
        asked = ago(job.cancel_requested_at, story.now)
        yield Reason("cancel", f"a cancel was requested {asked}; its worker has yet to end it")
    if worker is None or worker["lease_expires_at"] > story.now:
        return
    ended = f"{worker['nodename']} ended" if worker["ended_at"] else "its worker's lease expired"
    yield Reason("lease", f"{ended} {ago(worker['lease_expires_at'], story.now)}: {_rescue(story, worker)}")
    yield from _nobody_recovers(story, "rescue it")


def _rescue(story: Story, worker: dict[str, Any]) -> str:
    left = rescued_in(story, worker)
    outcome = "cancelled" if story.job.cancel_requested_at else "rescued"
    when = f"in about {duration(left)}" if left > 0 else "in a moment"
    return f"the job will be {outcome} {when}"


def rescued_in(story: Story, worker: dict[str, Any]) -> float:
    """Seconds until the job may be rescued; 0 or less if it already may be."""
    from simcelery.board import patience

    due = patience.over_at(worker["lease_expires_at"], story.job.started_at, story.started_at, story.lease)
    return (due - story.now).total_seconds()


def _over(story: Story, state: str) -> Iterator[Reason]:
    job = story.job
    when = ago(job.finished_at, story.now)
    if state == "succeeded":
        yield Reason("succeeded", f"it succeeded {when}", f"simcelery result {job.id}")
    elif state == "failed":
        used = f"failures {job.failures} of {job.max_attempts}, losses {job.losses} of {job.max_losses}"
        advice = f"simcelery retry {job.id}"
        if (job.error or "").startswith("ParametersError:"):  # perhaps of a result that it was to be given
            advice = f"with the same parameters it fails again; give others: {advice} --set NAME=VALUE"
        yield Reason("failed", f"it failed {when} ({used}): {told(job.error or '')}", advice)
    elif state == "cancelled":
        said = f": {story.last['error_message']}" if story.last and story.last["error_message"] else ""
        yield Reason("cancelled", f"it was cancelled {when}{said}", f"simcelery retry {job.id}")
    else:
        said = job.error_message or "a job that it depends on did not succeed"
        advice = f"simcelery retry {job.id} --with-parents"
        how = "could not go on, and was given up {}" if job.attempt else "was given up {} without running"
        yield Reason("upstream_failed", f"it {how.format(when)}: {said}", advice)


def _names(workers: list[dict[str, Any]], most: int = 3) -> str:
    names = [str(worker["nodename"]) for worker in workers]
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _s(found: list[Any]) -> str:
    return "s" if len(found) == 1 else ""


def _one_s(count: int) -> str:
    return "s" if count == 1 else ""
