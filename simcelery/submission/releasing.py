"""Release: open gates in spite of canaries, fuses or whoever has closed them, or let single jobs out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from simcelery import broker
from simcelery.board import engine, interventions, transitions
from simcelery.board.batches import batches
from simcelery.board.reads import gates
from simcelery.board.reads.jobs import Filter
from simcelery.board.transitions import LetGo
from simcelery.failpoints import failpoint
from simcelery.submission import lineage
from simcelery.submission.publishing import publish

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LONGEST = 10.0  # seconds that jobs are moved from here; workers move the rest


def held(which: Filter, limit: int | None = None) -> list[int]:
    """The ids of the jobs that pass the filter and are held, ascending."""
    with engine.begin() as connection:
        return [number for number, _ in gates.held_jobs(connection, which)][:limit]


def release(which: Filter, limit: int | None = None, by: str | None = None) -> list[int]:
    """Release the jobs that pass the filter and are held; their ids.

    A gate all of whose jobs are named opens, also for what is recorded behind it later, and its fuse counts
    anew. Where only some are named, these run, and no fuse counts them; the others stay held.

    Parameters:
        by: who does it; default: whoever runs this process.
    """
    by = by or lineage.submitter()
    with engine.begin() as connection:
        chosen = gates.held_jobs(connection, which)[:limit]
        by_gate: dict[int, list[int]] = {}
        for number, gate in chosen:
            by_gate.setdefault(gate, []).append(number)
        whole = [gate for gate, ids in by_gate.items() if _is_all(connection, gate, ids)]
    failpoint("before_gate_opens")
    opened = [number for gate in whole for number in by_gate[gate]]
    single = [number for number, gate in chosen if gate not in whole]
    with engine.begin() as connection:
        # First, since nobody may wait for a job who has locked a gate.
        interventions.note(connection, "release", opened, by)
        transitions.release_gates(connection, whole)
        failpoint("before_gate_commit")
    failpoint("after_gate_opened")
    freed = []
    if single:  # in a transaction of their own, as they would be locked out of order
        with engine.begin() as connection:
            freed = transitions.release_jobs(connection, single, by)
    for gate in whole:
        for _ in batches(partial(_let_go, gate), _LONGEST, more=attrgetter("moved")):
            pass
    publish(freed)
    return sorted([*freed, *opened])


def _is_all(connection: Connection, gate: int, ids: Sequence[int]) -> bool:
    return gates.number_held(connection, gate, len(ids) + 1) == len(ids)


def _let_go(gate: int, rows: int) -> LetGo:
    step = transitions.let_go_at_once(engine.begin, gate, rows)
    if step.pending:
        number = len(step.pending)
        what = f"job {step.pending[0].id} is" if number == 1 else f"{number:,} jobs are"
        broker.publish_or_leave(step.pending, f"{what} released and")
    return step
