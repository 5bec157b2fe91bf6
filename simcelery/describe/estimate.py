"""How long jobs will take, judged by those that have succeeded. An estimate always says what it is based on.

The only rule for it: ``watch``, ``status``, ``submit``, ``show`` and ``explain`` all ask here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import duration, many

if TYPE_CHECKING:
    from simcelery.board.reads.estimates import Unfinished, Usual
    from simcelery.board.reads.filters import Filter
    from simcelery.board.sql import Reader

# Where the 90th percentile is so many times the median, the parameters decide: then a range is told.
_WIDE = 2.0


@dataclass(frozen=True)
class Estimate:
    """Seconds until jobs have ended, if all of them take as long as their workflow's last successes.

    Attributes:
        seconds: if each takes the median.
        p90_seconds: if each takes as long as the 90th percentile.
        slots: how many slots of live workers can run them.
        successes: how many successes this is based on, of the workflow that has the fewest.
    """

    seconds: float
    p90_seconds: float
    slots: int
    successes: int

    def __str__(self) -> str:
        return f"{_about(self.seconds, self.p90_seconds)} on {many(self.slots, 'slot')}, by {self.basis}"

    @property
    def basis(self) -> str:
        """What it is based on."""
        return _basis(self.successes)

    def as_json(self) -> dict[str, Any]:
        """For ``-o json``."""
        return {**asdict(self), "basis": self.basis}


@dataclass
class _Share:
    """The work of the same workers."""

    slots: int
    work: list[float] = field(default_factory=lambda: [0.0, 0.0])
    longest: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, jobs: int, times: tuple[float, float], due: float) -> None:
        for at, one in enumerate(times):
            self.work[at] += jobs * one
            self.longest[at] = max(self.longest[at], due + one)

    def seconds(self, at: int) -> float:
        return max(self.work[at] / self.slots, self.longest[at])


def able(
    workers: Iterable[Mapping[str, Any]], queue: str, workflows: Collection[str]
) -> list[Mapping[str, Any]]:
    """Those of the live workers, as `reads.workers` returns them, that run jobs of these from the queue."""
    return [
        worker
        for worker in workers
        if queue in worker["queues"]
        and not worker["quarantined_at"]
        and not set(worker["workflows"]).isdisjoint(workflows)
    ]


def slots(workers: Iterable[Mapping[str, Any]]) -> int:
    """How many jobs they run at the same time."""
    return sum(worker["concurrency"] for worker in workers)


def estimate(
    groups: Sequence[Unfinished], workers: Sequence[Mapping[str, Any]], times: Mapping[str, Usual]
) -> Estimate | None:
    """How long these jobs will take; None if that is unknown of any: no success yet, or nobody to run it.

    What is running counts as half done. Jobs wait for no others but those that are due later: what else the
    same workers have to do, and which jobs depend on each other, is not counted.
    """
    shares: dict[tuple[int, ...], _Share] = {}
    used: dict[int, Mapping[str, Any]] = {}
    for group in groups:
        usual, who = times.get(group.workflow), able(workers, group.queue, [group.workflow])
        if usual is None or not slots(who):
            return None
        used |= {worker["id"]: worker for worker in who}
        share = shares.setdefault(tuple(worker["id"] for worker in who), _Share(slots(who)))
        left = 0.5 if str(group.state) == "running" else 1.0
        share.add(group.count, (left * usual.median, left * usual.p90), max(0.0, group.due))
    if not shares:
        return None
    return Estimate(
        seconds=max(share.seconds(0) for share in shares.values()),
        p90_seconds=max(share.seconds(1) for share in shares.values()),
        slots=slots(used.values()),
        successes=min(times[group.workflow].successes for group in groups),
    )


@dataclass(frozen=True)
class Outlook:
    """What is unfinished, who could run it, and how long its workflows usually take."""

    groups: Sequence[Unfinished] = ()
    workers: Sequence[Mapping[str, Any]] = ()
    times: Mapping[str, Usual] = field(default_factory=dict)

    def estimate(self, workflows: Collection[str] | None = None) -> Estimate | None:
        """For all jobs, or those of these workflows."""
        groups = [one for one in self.groups if workflows is None or one.workflow in workflows]
        return estimate(groups, self.workers, self.times)


def outlook(connection: Reader, which: Filter) -> Outlook:
    """Read from the board what an estimate of the matching jobs needs; nothing if all have finished."""
    from simcelery.board.reads import estimates

    return expected(connection, estimates.unfinished(connection, which))


def expected(connection: Reader, groups: Sequence[Unfinished]) -> Outlook:
    """The same for jobs that are known already."""
    from simcelery.board import reads
    from simcelery.board.reads import estimates

    times = estimates.usual(connection, {group.workflow for group in groups}) if groups else {}
    return Outlook(groups, reads.workers(connection, live_only=True) if times else (), times)


def usually(times: Usual) -> str:
    """How long one job usually takes: ``about 3m10s, 90 % within 5m (by the last 200 successes)``.

    Of a workflow whose parameters decide the time only a range: ``about 10s to 5m``, from median to 90 %.
    """
    about = _about(times.median, times.p90)
    within = "" if _is_wide(times.median, times.p90) else f", 90 % within {duration(times.p90)}"
    return f"{about}{within} (by {_basis(times.successes)})"


def usual_as_json(times: Usual | None) -> dict[str, Any] | None:
    """The same for ``-o json``."""
    if times is None:
        return None
    return {
        "seconds": times.median,
        "p90_seconds": times.p90,
        "successes": times.successes,
        "basis": _basis(times.successes),
    }


def _about(low: float, high: float) -> str:
    return f"about {duration(low)} to {duration(high)}" if _is_wide(low, high) else f"about {duration(low)}"


def _is_wide(low: float, high: float) -> bool:
    return high > _WIDE * low and duration(high) != duration(low)


def _basis(successes: int) -> str:
    return "the last success" if successes == 1 else f"the last {successes:,} successes"
