"""Jobs that take longer than allocations last, in words."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.describe import estimate
from simcelery.describe.words import duration, many

if TYPE_CHECKING:
    from simcelery.board.reads.expected import Expected
    from simcelery.board.sql import Reader

LONGER = "start the cluster again with a longer walltime, or say with --time-request how long jobs take"
_NEARLY_ALL = 0.95  # as in `is_fresh`, in the schema
ADVICE = "start a worker whose allocation lasts longer, or one without an end"


def basis(expected: Expected) -> str:
    """On what an expected time is based, such as ``p90 of 200 runs``."""
    match expected.basis:
        case "request":
            return "as its time request says"
        case "limit":
            return "its time limit"
        case "attempt":
            return "the end of an allocation has cut an attempt short"
    with_tags = " with its tags" if expected.basis == "tags" else ""
    return f"p90 of {many(expected.successes or 0, 'run')}{with_tags}"


def fits(expected: Expected | None, worker: Mapping[str, Any]) -> bool:
    """Whether a worker lasts as long from now on, or has just begun and tries it."""
    if expected is None:
        return True
    fresh = left(worker) >= _NEARLY_ALL * whole(worker)
    return left(worker) >= (expected.tried_from if fresh else expected.seconds)


def left(worker: Mapping[str, Any]) -> float:
    """For how many seconds a worker still runs jobs."""
    return _until(worker, worker["now"])


def whole(worker: Mapping[str, Any]) -> float:
    """For how many seconds it runs jobs, from its start on."""
    return _until(worker, worker["started_at"])


def _until(worker: Mapping[str, Any], since: dt.datetime) -> float:
    ends_at = worker["ends_at"]
    return math.inf if ends_at is None else float((ends_at - since).total_seconds())


def takes(expected: Expected) -> str:
    """``it needs about 3h10m (p90 of 200 runs)``."""
    return f"it needs about {duration(expected.seconds)} ({basis(expected)})"


def never(expected: Expected | None, queue: str, able: Sequence[Mapping[str, Any]]) -> str:
    """That no allocation of these workers is long enough; empty if one is, or if there is none."""
    if expected is None or not able:
        return ""
    longest = max(whole(worker) for worker in able)
    if longest >= expected.tried_from:
        return ""
    return f"{takes(expected)}; no allocation of {queue} lasts longer than {duration(longest)}"


def no_cluster(expected: Expected, lasting: Mapping[str, float]) -> str:
    """That no allocation of these clusters is long enough."""
    longest = duration(max(lasting.values()))
    return f"{takes(expected)}; no allocation of {clusters(lasting)} has longer than {longest} for jobs"


def clusters(names: Iterable[str]) -> str:
    """``cluster cpu``, or ``clusters cpu and gpu``."""
    *others, last = sorted(names)
    return f"clusters {', '.join(others)} and {last}" if others else f"cluster {last}"


def too_long(connection: Reader) -> list[tuple[str, str]]:
    """Which of the first pending jobs outlast every live worker that could run them, and what to do."""
    from simcelery.board import reads

    live = reads.workers(connection, live_only=True)
    kinds = sorted({(queue, name) for one in live for queue in one["queues"] for name in one["workflows"]})
    longest = [
        (queue, name, max((whole(one) for one in estimate.able(live, queue, {name})), default=math.inf))
        for queue, name in kinds
    ]
    limits = {(queue, name): seconds for queue, name, seconds in longest if seconds < math.inf}
    return beyond(connection, limits)


def beyond(connection: Reader, limits: Mapping[tuple[str, str], float]) -> list[tuple[str, str]]:
    """Which of the first pending jobs need more seconds than these, by queue and workflow, and what to do."""
    from simcelery.board.reads.expected import outlasting

    found = []
    for one in outlasting(connection, [(*kind, seconds) for kind, seconds in limits.items()]):
        who, needs = f"job {one.first}", "needs"
        if one.number > 1:
            who, needs = f"{many(one.number, 'pending job')} of {one.workflow}", "need"
        lasts = duration(limits[one.queue, one.workflow])
        text = f"{who} in queue {one.queue!r} {needs} about {duration(one.seconds)}"
        found.append((f"{text}, and no allocation there lasts longer than {lasts}", ADVICE))
    return found
