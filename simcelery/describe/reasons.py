"""Why a job does not run, or not yet, in sentences: from what the board says, without asking it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from simcelery.describe.job import progress
from simcelery.describe.words import ago, compact, duration, many, named

if TYPE_CHECKING:
    from simcelery.describe.story import Story


@dataclass(frozen=True)
class Reason:
    """One of the reasons: a word for scripts, a sentence, and what to do if anything can be done."""

    code: str
    text: str
    advice: str = ""


def reasons(story: Story) -> Iterator[Reason]:
    """All that keeps it from running, or where it runs, or how it ended."""
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
    yield from _outdated(story)


def _outdated(story: Story) -> Iterator[Reason]:
    """Live workers that may run it, or have run it, with other files than those of its submitter."""
    from simcelery.board.sources import differing
    from simcelery.describe.outdated import in_sentences

    job = story.job
    able = [worker for worker in story.workers if job.queue in worker["queues"]]
    if story.worker is not None and str(job.state) in ("running", "succeeded", "failed"):
        able = [worker for worker in story.workers if worker["nodename"] == story.worker["nodename"]]
    for text, advice in in_sentences(differing(able, story.submitted, only=job.workflow)):
        yield Reason("outdated", text, advice)


def _blocked(story: Story) -> Iterator[Reason]:
    open_, failed = _parents(story)
    if failed:
        yield Reason(
            "parent_failed",
            f"{named(failed)} did not succeed, so that this one fails too (upstream_failed) in a moment",
            f"simcelery retry {compact(failed)}",
        )
    elif open_:
        states = sorted({story.parents[number] for number in open_})
        yield Reason(
            "parents",
            f"it waits for {named(open_)} ({', '.join(states)})",
            f"simcelery explain {open_[0]}",
        )
    else:
        yield Reason("settle", "all its parents have succeeded: settle, an act of recovery, sends it on")
    if failed or not open_:
        yield from _nobody_recovers(story, "settles it")


def _parents(story: Story) -> tuple[list[int], list[int]]:
    """Those that are not finished, and those that did not succeed."""
    over = ("failed", "cancelled", "upstream_failed")
    failed = [number for number, state in story.parents.items() if state in over]
    return [n for n, state in story.parents.items() if state not in (*over, "succeeded")], failed


def _scheduled(story: Story) -> Iterator[Reason]:
    job = story.job
    if job.attempt and job.error:
        yield Reason("backoff", f"attempt {job.attempt} failed ({job.error}); the next one is waited for")
    if job.run_at is not None and job.run_at > story.now:
        at = f"{job.run_at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        yield Reason("run_at", f"it runs {ago(job.run_at, story.now)}, not before {at}")
        return
    yield Reason(
        "stage", f"its time came {ago(job.run_at, story.now)}: stage, an act of recovery, sends it on"
    )
    yield from _nobody_recovers(story, "stages it")


def _nobody_recovers(story: Story, does: str) -> Iterator[Reason]:
    if not story.workers:
        yield Reason(
            "no_worker",
            f"no worker lives that {does}",
            "celery -A simcelery worker, or simcelery recover",
        )


def _pending(story: Story) -> Iterator[Reason]:
    from simcelery.board.reads.workers import why_unserved

    job = story.job
    why = why_unserved(story.workers, job.queue, job.workflow)
    consumers = [worker for worker in story.workers if job.queue in worker["queues"]]
    knowing = [worker for worker in consumers if job.workflow in worker["workflows"]]
    start = f"celery -A simcelery worker -Q {quote(job.queue)}"
    if story.last:
        cause = f" ({story.last['cause']})" if story.last["cause"] else ""
        yield Reason(
            "again", f"attempt {story.last['attempt']} was {story.last['outcome']}{cause}; it runs again"
        )
    if why == "queue":
        lives = f"{many(len(story.workers), 'worker')} live{'' if len(story.workers) > 1 else 's'}, but none"
        who = lives if story.workers else "no worker lives that"
        yield Reason("no_worker", f"{who} consumes its queue {job.queue!r}", start)
    elif why == "workflow":
        yield Reason(
            "unknown_workflow",
            f"{_names(consumers)} consume{_s(consumers)} its queue {job.queue!r}, "
            f"but {'does' if len(consumers) == 1 else 'do'} not know its workflow {job.workflow}",
            f"start a worker that has the workflow's module: {start}",
        )
    elif why == "quarantine":
        yield Reason(
            "quarantine",
            f"all that know its workflow are in quarantine: {_names(knowing)}",
            "find out what is missing there (simcelery workers), then restart them",
        )
    else:
        yield from _queued(story, [worker for worker in knowing if not worker["quarantined_at"]])
    for worker in knowing:
        if worker["note"]:
            yield Reason("note", f"{worker['nodename']}: {worker['note']}")


def _queued(story: Story, able: list[dict[str, Any]]) -> Iterator[Reason]:
    """Somebody can run it: it is a matter of time."""
    job = story.job
    slots, busy = sum(w["concurrency"] for w in able), sum(len(w["running"]) for w in able)
    if story.before:
        yield Reason(
            "queue",
            f"{many(story.before)} of its workflow and queue {job.queue!r} come{_one_s(story.before)} first",
        )
    if busy >= slots:
        yield Reason("busy", f"all {many(slots, 'slot')} of {_names(able)} are taken")
    elif job.published_at is None:
        yield Reason(
            "unpublished", "its message has not been sent yet: workers feed the queue piece by piece"
        )
    else:
        sent = ago(job.published_at, story.now)
        yield Reason(
            "published",
            f"its message was sent {sent}; {_names(able)} ha{'s' if len(able) == 1 else 've'} a free slot; "
            "a lost message is sent again by itself",
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
    if job.cancel_requested_at is not None:
        asked = ago(job.cancel_requested_at, story.now)
        yield Reason("cancel", f"its cancel was requested {asked}, and waits for the worker to end it")
    if worker is None or worker["lease_expires_at"] > story.now:
        return
    ended = f"{worker['nodename']} has ended" if worker["ended_at"] else "its worker's lease has ended"
    yield Reason("lease", f"{ended}, {ago(worker['lease_expires_at'], story.now)}: {_rescue(story, worker)}")
    yield from _nobody_recovers(story, "rescues it")


def _rescue(story: Story, worker: dict[str, Any]) -> str:
    left = rescued_in(story, worker)
    outcome = "cancelled" if story.job.cancel_requested_at else "rescued"
    return f"it will be {outcome} in about {duration(left)}" if left > 0 else f"it is {outcome} in a moment"


def rescued_in(story: Story, worker: dict[str, Any]) -> float:
    """Seconds until the job's worker is taken for lost; at most 0: it is due."""
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
        yield Reason("failed", f"it failed {when} ({used}): {job.error}", f"simcelery retry {job.id}")
    elif state == "cancelled":
        said = f": {story.last['error_message']}" if story.last and story.last["error_message"] else ""
        yield Reason("cancelled", f"it was cancelled {when}{said}", f"simcelery retry {job.id}")
    else:
        said = job.error_message or "a job that it waited for did not succeed"
        advice = f"simcelery retry {job.id} --with-parents"
        yield Reason("upstream_failed", f"it did not run, since {when} {said}", advice)


def _names(workers: list[dict[str, Any]], most: int = 3) -> str:
    names = [str(worker["nodename"]) for worker in workers]
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _s(found: list[Any]) -> str:
    return "s" if len(found) == 1 else ""


def _one_s(count: int) -> str:
    return "s" if count == 1 else ""
