"""Several submissions that depend on each other, recorded in one transaction: all of them or none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from simcelery.board import engine, fingerprints, transitions
from simcelery.board.states import State
from simcelery.board.values import NewJob, Recorded
from simcelery.errors import ParametersError
from simcelery.submission.bulk import CHUNK, write_each
from simcelery.submission.handle import Job
from simcelery.submission.options import Options
from simcelery.submission.publishing import publish_recorded
from simcelery.submission.records import Records
from simcelery.submission.submit import recording
from simcelery.workflows.definition import idempotency_key
from simcelery.workflows.encoding import with_jobs

_MOST_EDGES = 1_000_000


@dataclass
class Part:
    """One of the submissions.

    Attributes:
        new: its jobs.
        options: those with which they were made.
        waits_for: earlier parts whose jobs must all succeed first.
        waits_for_any: those whose jobs must all have ended.
        name: by which other parts refer to it.
    """

    new: list[NewJob]
    options: Options
    waits_for: list[Part] = field(default_factory=list)
    waits_for_any: list[Part] = field(default_factory=list)
    name: str | None = None


class Awaited(Job):
    """A job of an earlier part, as a parameter of a later one: its id is known when it is recorded.

    Until then it is minus its place among the jobs of all parts, which is counted from 1.
    """

    @property
    def state(self) -> State:
        """It has not ended."""
        return State.PENDING

    def __repr__(self) -> str:
        return f"<Job {self.workflow} of the same submission>"


def awaited(new: Sequence[NewJob], before: int) -> list[Job]:
    """The jobs of a part, to be parameters of later ones.

    Parameters:
        before: how many jobs the parts before it have.
    """
    return [Awaited(-place, job.task_id, job.workflow) for place, job in enumerate(new, before + 1)]


def planned(parts: Sequence[Part]) -> Iterator[NewJob]:
    """All jobs, to be shown: a job of an earlier part is ``@`` and the name of that part."""
    names = [part.name for part in parts for _ in part.new]
    for job in itertools.chain.from_iterable(part.new for part in parts):
        shown = with_jobs(job.parameters, lambda n: {"$job": n} if n > 0 else f"@{names[-n - 1]}")
        yield job.alike(parameters=shown)


def _with_ids(job: NewJob, recorded: Sequence[Recorded]) -> NewJob:
    """A job with the ids of the recorded jobs that it refers to."""
    if all(parent > 0 for parent in job.parents):
        return job

    def of(number: int) -> int:
        return number if number > 0 else recorded[-number - 1].id

    encoded = with_jobs(job.parameters, lambda number: {"$job": of(number)})
    key = idempotency_key(job.workflow, job.version, encoded) if job.dedupe else job.idempotency_key
    return job.alike(
        parameters=encoded,
        parameters_json=engine.as_json(encoded),
        idempotency_key=key,
        parents=frozenset(map(of, job.parents)),
    )


def check(parts: Sequence[Part]) -> None:
    """Whether they can be recorded together.

    Raises:
        ParametersError: they are too many.
    """
    if sum(len(part.new) for part in parts) > CHUNK:
        raise ParametersError(
            f"these are more than {CHUNK:,} jobs of several submissions, which are not recorded together: "
            "put them into several files, of one submission each if need be"
        )
    edges = sum(
        len(part.new) * sum(len(one.new) for one in [*part.waits_for, *part.waits_for_any])
        + sum(parent < 0 for job in part.new for parent in job.parents)
        for part in parts
    )
    if edges > _MOST_EDGES:
        raise ParametersError(
            f"these jobs would wait for each other in {edges:,} ways, which is more than {_MOST_EDGES:,}: "
            "let them wait for one job that waits for the others"
        )


def submit(parts: Sequence[Part], on_recorded: Callable[[Records], None]) -> Records:
    """Record them, in this order, and publish them.

    Parameters:
        on_recorded: called when they are recorded, from another thread.

    Raises:
        ParametersError: they are too many.
        As `submit.submit` otherwise; then nothing is recorded.
    """
    check(parts)
    done: list[Recorded] = []
    everything = list(itertools.chain.from_iterable(part.new for part in parts))

    def write(new: list[NewJob]) -> None:
        done[:] = _recorded(parts, len(new))
        on_recorded(Records(done))
        publish_recorded(new, done)

    # By a thread: an interruption never leaves in doubt what is recorded.
    write_each(iter([everything]), write)
    return Records(done)


def _recorded(parts: Sequence[Part], total: int) -> list[Recorded]:
    if any(job.dedupe for part in parts for job in part.new):
        fingerprints.catch_up()
    ids: dict[int, frozenset[int]] = {}

    def of(wanted: Sequence[Part]) -> frozenset[int]:
        return frozenset(itertools.chain.from_iterable(ids[id(one)] for one in wanted))

    found: list[Recorded] = []
    with recording(total) as connection:
        for part in parts:
            parents, ends = of(part.waits_for), of(part.waits_for_any)
            new = [_with_ids(job, found) for job in part.new]
            if parents or ends:
                new = [
                    job.alike(parents=job.parents | parents, after_any=job.after_any | ends) for job in new
                ]
            recorded = transitions.record(connection, new, on_failed=part.options.on_failed)
            ids[id(part)] = frozenset(one.id for one in recorded)
            found += recorded
    return found
