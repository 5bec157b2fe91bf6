"""What a job needs of its node, and which workers have it, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.describe import estimate
from simcelery.describe.words import duration, many, size
from simcelery.needs import Needs

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import Filter
    from simcelery.board.reads.needs import Kept, Large
    from simcelery.board.sql import Reader
    from simcelery.describe.story import Story

_NOTHING: Mapping[str, int] = {}
_NUMBER = (int, float)


def in_words(needs: Needs | None) -> str:
    """``4 cores, memory 8.0 GiB, 1 GPU``; empty if it has asked for nothing."""
    if needs is None:
        return ""
    parts = (
        many(needs.cores, "core") if needs.cores else "",
        f"memory {size(needs.memory)}" if needs.memory else "",
        many(needs.gpus, "GPU") if needs.gpus else "",
    )
    return ", ".join(filter(None, parts))


def as_json(needs: Needs) -> dict[str, Any]:
    """What a job needs; ``on`` is what its later attempts get, by the cause of an end."""
    known = {name: value for name, value in vars(needs).items() if name != "escalation"}
    return known | {"on": None if needs.escalation is None else json.loads(needs.escalation)}


def got_in_words(values: Mapping[str, Any]) -> str:
    """``memory 8.0 GiB, queue himem``: what an attempt ran with, or the next one gets."""
    parts = (
        f"memory {size(values['memory'])}" if isinstance(values.get("memory"), int) else "",
        f"time limit {duration(values['time_limit'])}"
        if isinstance(values.get("time_limit"), _NUMBER)
        else "",
        f"queue {values['queue']}" if "queue" in values else "",
    )
    return ", ".join(filter(None, parts))


def escalation_in_words(one: Mapping[str, Any]) -> str:
    """``attempt 1 (out_of_memory), ran with: memory 4.0 GiB; the next: memory 8.0 GiB``."""
    had, gets = got_in_words(one["before"]), got_in_words(one["after"])
    return f"attempt {one['attempt']} ({one['cause']}), ran with: {had}; the next one: {gets}"


def has_in_words(worker: Mapping[str, Any]) -> str:
    """The same of what a worker's node has."""
    if worker["cores"] is None:
        return "does not say what its node has"
    gpus = len(worker["gpus"] or ())
    memory = f"memory {size(worker['memory'])}"
    return f"has {many(worker['cores'], 'core')}, {memory}, {many(gpus, 'GPU') if gpus else 'no GPU'}"


def fits(needs: Needs, worker: Mapping[str, Any], given: Needs | None = None) -> bool:
    """Whether a worker's node has enough, beside what has been given to others there."""
    if worker["cores"] is None:
        return False
    used = vars(given) if given else _NOTHING
    has = {"cores": worker["cores"], "memory": worker["memory"], "gpus": len(worker["gpus"] or ())}
    asked = vars(needs)
    return all((asked[name] or 0) <= number - (used.get(name) or 0) for name, number in has.items())


def never(needs: Needs | None, able: Sequence[Mapping[str, Any]]) -> str:
    """That none of these workers will ever have what a job needs; empty if one has, or if there is none."""
    if needs is None or not able or any(fits(needs, worker) for worker in able):
        return ""
    return f"it asks for {in_words(needs)}, and {_nobody_has_it(able)}"


def _nobody_has_it(able: Sequence[Mapping[str, Any]]) -> str:
    most = max(able, key=lambda one: (len(one["gpus"] or ()), one["memory"] or 0, one["cores"] or 0))
    return f"no live worker has as much: {most['nodename']} {has_in_words(most)}"


def kept_from(story: Story, free: Sequence[Mapping[str, Any]]) -> list[int]:
    """The jobs for which room is kept on all of these workers, so that there is none for this job."""
    assert story.needs is not None
    found: list[int] = []
    for worker in free:
        first = next((one for one in story.kept if _may_run(one, worker)), None)
        if first is None or first.job_id == story.job.id or first.priority < story.job.priority:
            return []
        used = story.granted.get(worker["id"], Needs())
        if fits(story.needs, worker, _sum(used, first.needs)):
            return []
        found.append(first.job_id)
    return sorted(set(found))


def _may_run(kept: Kept, worker: Mapping[str, Any]) -> bool:
    return bool(estimate.able([worker], kept.queue, {kept.workflow})) and fits(kept.needs, worker)


def _sum(one: Needs, other: Needs) -> Needs:
    return Needs(
        (one.cores or 0) + (other.cores or 0),
        (one.memory or 0) + (other.memory or 0),
        (one.gpus or 0) + (other.gpus or 0),
    )


ADVICE = "ask for less, or start a worker that has as much"


def too_large(connection: Reader, which: Filter) -> list[tuple[str, str]]:
    """Which pending jobs ask for more than any live worker has, and what to do: a pair for all alike."""
    from simcelery.board import reads

    if not (found := reads.large(connection, which)):
        return []
    return [(said, ADVICE) for _, said in never_fit(found, reads.workers(connection, live_only=True))]


def never_fit(found: Sequence[Large], live: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Large, str]]:
    """Those of them for which no live worker will ever have room, each with a sentence that says so."""
    for one in found:
        able = estimate.able(live, one.queue, {one.workflow})
        if able and not any(fits(one.needs, worker) for worker in able):
            who, ask = f"job {one.first}", "asks"
            if one.number > 1:
                who, ask = f"{many(one.number, 'pending job')} of {one.workflow}", "ask"
            asks = f"{who} in queue {one.queue!r} {ask} for {in_words(one.needs)}"
            yield one, f"{asks}, and {_nobody_has_it(able)}"
