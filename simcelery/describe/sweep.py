"""Why many jobs are not running: a sentence for each reason, with the number of jobs that it is about."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING, Any

from simcelery.describe import estimate
from simcelery.describe.words import ago, compact, duration, many, one_line, spaced

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.limits import LimitRow
    from simcelery.board.reads.estimates import Usual
    from simcelery.board.reads.gates import ClosedGate
    from simcelery.board.reads.jobs import Filter
    from simcelery.board.reads.needs import Large
    from simcelery.board.reads.sweeps import Alike, HeldUp
    from simcelery.board.reads.workers import Unserved

_HOUR = 3600.0
_NAMED = 5  # ids in a sentence


@dataclass(frozen=True)
class Cause:
    """One reason, and how many jobs it is about: a code for scripts, a sentence, advice if there is any."""

    code: str
    jobs: int
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Sweep:
    """Many jobs and what affects them.

    Attributes:
        groups: the jobs by state, workflow and queue.
        held_up: what the blocked and the upstream_failed ones wait for, or have waited for.
        workers: the live workers, as `reads.workers` returns them.
        rates: by queue, how many of these jobs finished per second of the last hour in which any ran.
        now: the time by Postgres's clock.
        times: how long the pending ones usually take, by workflow.
        gates: the closed gates that hold some of them.
        limits: the limits that some of them wait for; `waiting`: how many.
        full_hosts: the full limits of hosts, by the id of each live worker there.
        large: those that may not fit on any worker.
        alone: by workflow, why its jobs do not run in slices although they are short.
    """

    groups: Sequence[Alike]
    held_up: HeldUp
    workers: list[dict[str, Any]]
    rates: dict[str, float]
    now: dt.datetime
    times: dict[str, Usual] = field(default_factory=dict)
    gates: Sequence[ClosedGate] = ()
    limits: Sequence[LimitRow] = ()
    full_hosts: dict[int, LimitRow] = field(default_factory=dict)
    alone: dict[str, str] = field(default_factory=dict)
    large: Sequence[Large] = ()

    @cached_property
    def states(self) -> dict[str, int]:
        """The number in each state."""
        found: Counter[str] = Counter()
        for group in self.groups:
            found[str(group.state)] += group.count
        return dict(found)

    @property
    def total(self) -> int:
        """How many jobs this is about."""
        return sum(self.states.values())


def read(which: Filter) -> Sweep:
    """Read from the board what its explanation is made from."""
    from simcelery.board import engine

    with engine.begin() as connection:
        return seen(connection, which)


def seen(connection: Connection, which: Filter) -> Sweep:
    """The same on an open connection."""
    from simcelery.board import limits, reads
    from simcelery.board.reads import estimates, gates, sweeps
    from simcelery.board.reads.alone import SHORT, alone

    _, now = reads.started(connection)
    groups = sweeps.alike(connection, which)
    pending = [group for group in groups if str(group.state) == "pending"]
    queues = dict.fromkeys(group.queue for group in pending)
    times = estimates.usual(connection, {group.workflow for group in pending})
    return Sweep(
        groups=groups,
        held_up=sweeps.held_up(connection, which),
        workers=reads.workers(connection, live_only=True),
        rates={queue: _rate(connection, replace(which, queue=queue)) for queue in queues},
        now=now,
        times=times,
        gates=gates.closed_gates(connection, which),
        limits=limits.throttling(connection, which),
        full_hosts=limits.full_hosts(connection) if pending else {},
        large=reads.large(connection, which) if pending else [],
        alone=alone(connection, [name for name, usual in times.items() if usual.median < SHORT]),
    )


def _rate(connection: Any, which: Filter) -> float:
    from simcelery.board.reads import summaries

    period = summaries.period(connection, which, _HOUR)
    [hour] = summaries.throughput(connection, which, _HOUR, 1)
    return hour.finished / period.seconds if period and period.seconds > 0 else 0.0


@dataclass(frozen=True)
class SweepExplanation:
    """What `simcelery explain` says of many jobs; as text it is what that prints.

    Attributes:
        jobs: how many they are.
        states: the number in each state.
        reasons: the most numerous first, then what became of those that have ended.
    """

    jobs: int
    states: dict[str, int]
    reasons: tuple[Cause, ...]

    def __str__(self) -> str:
        return "\n".join((self.title, *self.lines()))

    @property
    def title(self) -> str:
        """How many they are, and in which states."""
        states = ", ".join(f"{number:,} {state}" for state, number in self.states.items())
        return f"{many(self.jobs)}: {states}" if states else "no job matches"

    def lines(self) -> Iterator[str]:
        """The reasons in words, each with what can be done."""
        for cause in self.reasons:
            yield f"  {one_line(cause.text)}"
            if cause.advice:
                yield f"    → {one_line(cause.advice)}"


def explanation(sweep: Sweep, chosen_by: str = "") -> SweepExplanation:
    """Everything that keeps them from running, or what became of them. Asks nobody.

    Parameters:
        chosen_by: the selectors and filters with which a command finds the same jobs.
    """
    found = [
        *_running(sweep),
        *_pending(sweep),
        *_scheduled(sweep),
        *_held(sweep),
        *_throttled(sweep),
        *_held_up(sweep),
        *_over(sweep, chosen_by),
    ]
    found.sort(key=lambda cause: (cause.code in ENDED, -cause.jobs))
    return SweepExplanation(sweep.total, sweep.states, tuple(found))


ENDED = ("succeeded", "failed", "cancelled")


def _running(sweep: Sweep) -> Iterator[Cause]:
    if number := sweep.states.get("running", 0):
        yield Cause("running", number, f"{many(number)} {_verb(number, 'runs', 'run')} now")


def _pending(sweep: Sweep) -> Iterator[Cause]:
    from simcelery.board.reads.workers import Unserved, why_unserved
    from simcelery.describe.needs import ADVICE, never_fit

    nobody: list[Unserved] = []
    served: dict[str, list[Alike]] = {}
    for group in sweep.groups:
        if str(group.state) != "pending":
            continue
        if why := why_unserved(sweep.workers, group.queue, group.workflow):
            nobody.append(Unserved(why, group.queue, group.workflow, group.count))
        else:
            served.setdefault(group.queue, []).append(group)
    too_large: Counter[str] = Counter()
    for one, said in never_fit(sweep.large, sweep.workers):
        too_large[one.queue] += one.number
        yield Cause("never_fits", one.number, said, ADVICE)
    for queue, groups in served.items():
        if (number := sum(group.count for group in groups) - too_large[queue]) > 0:
            yield _queued(sweep, queue, groups, number)
    yield from _nobody(nobody)


def _queued(sweep: Sweep, queue: str, groups: Sequence[Alike], number: int) -> Cause:
    """Live workers can run so many of them: it is a matter of time."""
    from simcelery.board.reads.alone import in_words
    from simcelery.describe.limits import by_host, raise_it

    workflows = {group.workflow for group in groups}
    able = estimate.able(sweep.workers, queue, workflows)
    if able and all(worker["id"] in sweep.full_hosts for worker in able):
        (hosts, limit), *_ = by_host(able, sweep.full_hosts)
        return Cause("limit", number, f"{_wait(number)} a place on {hosts}", raise_it(limit))
    slots = estimate.slots(able)
    said = f"{_wait(number)} {many(slots, 'slot')} on queue {queue!r}"
    if rate := sweep.rates[queue]:
        said += f" (about {duration(number / rate)} at the last hour's rate)"
    elif guess := _guess(sweep, groups):
        said += f" ({guess})"
    else:
        said += " (none of them finished in the last hour, so nobody knows for how long)"
    free = slots - sum(len(worker["running"]) for worker in able)
    if free > 0:
        said += f"; {many(free, 'slot')} {_verb(free, 'is', 'are')} free"
    if whys := [sweep.alone[name] for name in workflows & sweep.alone.keys()]:
        said += f"; they are {in_words(whys)}"
    return Cause("queue", number, said, f"more workers: celery -A simcelery worker -Q {quote(queue)}")


def _guess(sweep: Sweep, groups: Sequence[Alike]) -> estimate.Estimate | None:
    from simcelery.board.reads.estimates import Unfinished

    waiting = [Unfinished(one.workflow, one.queue, one.state, one.count) for one in groups]
    return estimate.estimate(waiting, sweep.workers, sweep.times)


def _nobody(found: Sequence[Unserved]) -> Iterator[Cause]:
    """No live worker can run them: a sentence for each queue, or for each workflow in one."""
    from simcelery.describe.unserved import in_sentences

    together: dict[tuple[str, ...], list[Unserved]] = {}
    for one in found:
        about = (one.queue,) if one.why == "queue" else (one.queue, one.workflow)
        together.setdefault((one.why, *about), []).append(one)
    for (why, *_), alike in together.items():
        [(text, advice)] = in_sentences(alike)
        yield Cause(_NOBODY[why], sum(one.count for one in alike), text, advice)


_NOBODY = {"queue": "no_worker", "workflow": "unknown_workflow", "quarantine": "quarantine"}


def _scheduled(sweep: Sweep) -> Iterator[Cause]:
    for again, code in ((True, "backoff"), (False, "run_at")):
        groups = [one for one in sweep.groups if str(one.state) == "scheduled" and one.again == again]
        if not groups:
            continue
        number = sum(group.count for group in groups)
        waits = _verb(number, "waits", "wait")
        what = (
            f"failed and {waits} for the next attempt"
            if again
            else f"{waits} for the time that was asked for"
        )
        first = min(group.next_at for group in groups if group.next_at is not None)
        yield Cause(code, number, f"{many(number)} {what}; the first is due {ago(first, sweep.now)}")


def _held(sweep: Sweep) -> Iterator[Cause]:
    from simcelery.describe.gates import advice, sentence

    for gate in sweep.gates:
        yield Cause("held", gate.held, f"{many(gate.held)} {sentence(gate)}", advice(gate))


def _throttled(sweep: Sweep) -> Iterator[Cause]:
    from simcelery.describe.limits import raise_it, use

    for limit in sweep.limits:
        number = limit.waiting
        said = f"{_wait(number)} {use(limit)}"
        yield Cause("limit", number, said, raise_it(limit))


def _held_up(sweep: Sweep) -> Iterator[Cause]:
    held = sweep.held_up
    waiting = sweep.states.get("blocked", 0) + sweep.states.get("upstream_failed", 0)
    others = sum(gate.held for gate in sweep.gates) + sum(limit.waiting for limit in sweep.limits)
    all_of_them = (waiting, waiting - others)
    of = "" if held.looked_at in all_of_them else f"of the first {held.looked_at:,} that depend on others, "
    if held.fallen:
        why = f"{_jobs(held.culprits)} did not succeed"
        will = _verb(held.fallen, "depends on what failed", "depend on what failed")
        advice = f"simcelery retry {_selector(held.culprits)}" if held.culprits else ""
        yield Cause("parent_failed", held.fallen, f"{of}{many(held.fallen)} {will}: {why}", advice)
    if held.open:
        waits = _verb(held.open, "waits", "wait")
        advice = f"simcelery explain {_selector(held.parents)}"
        yield Cause("parents", held.open, f"{of}{many(held.open)} {waits} for {_jobs(held.parents)}", advice)


def _over(sweep: Sweep, chosen_by: str) -> Iterator[Cause]:
    errors = f"simcelery errors {chosen_by}".rstrip()
    for state, advice in (("succeeded", ""), ("failed", errors), ("cancelled", "")):
        if number := sweep.states.get(state, 0):
            said = f"{_verb(number, 'was', 'were')} cancelled" if state == "cancelled" else state
            yield Cause(state, number, f"{many(number)} {said}", advice)


def in_words(
    *,
    ids: str = "",
    workflow: str | None = None,
    tags: Sequence[str] = (),
    queue: str | None = None,
    since: str | None = None,
    where: str | None = None,
) -> str:
    """Selectors and filters as they are written on the command line."""
    given = [("-w", workflow), *(("-t", tag) for tag in tags), ("-q", queue)]
    given += [("--since", since), ("--where", where)]
    options = (f"{option} {quote(value)}" for option, value in given if value)
    return " ".join(filter(None, (ids, *options)))


def _jobs(ids: Sequence[int]) -> str:
    """``job 3``, ``3 jobs (17,20,31)``; of very many only the first are known."""
    from simcelery.board.reads.sweeps import NAMED

    if len(ids) == 1:
        return f"job {ids[0]}"
    return f"{many(len(ids))}{' or more' if len(ids) == NAMED else ''} ({spaced(ids, _NAMED)})"


def _selector(ids: Sequence[int]) -> str:
    return compact(ids, _NAMED).removesuffix(",…")


def _verb(number: int, one: str, several: str) -> str:
    return one if number == 1 else several


def _wait(number: int) -> str:
    return f"{many(number)} {_verb(number, 'waits', 'wait')} for"
