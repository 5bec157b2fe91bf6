"""Several submissions that depend on each other, recorded in one transaction: all of them or none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from simcelery.board import fingerprints, transitions
from simcelery.board.values import NewJob, Recorded
from simcelery.errors import ParametersError
from simcelery.submission.bulk import CHUNK, write_each
from simcelery.submission.options import Options
from simcelery.submission.publishing import publish_recorded
from simcelery.submission.records import Records
from simcelery.submission.submit import recording

_MOST_EDGES = 1_000_000


@dataclass
class Part:
    """One of the submissions.

    Attributes:
        new: its jobs.
        options: those with which they were made.
        waits_for: earlier parts whose jobs must all succeed first.
        waits_for_any: those whose jobs must all have ended.
    """

    new: list[NewJob]
    options: Options
    waits_for: list[Part] = field(default_factory=list)
    waits_for_any: list[Part] = field(default_factory=list)


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
        len(part.new) * sum(len(one.new) for one in [*part.waits_for, *part.waits_for_any]) for part in parts
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
            new = part.new
            if parents or ends:
                new = [
                    job.alike(parents=job.parents | parents, after_any=job.after_any | ends) for job in new
                ]
            recorded = transitions.record(connection, new, on_failed=part.options.on_failed)
            ids[id(part)] = frozenset(one.id for one in recorded)
            found += recorded
    return found
