"""Hold: keep what waits from beginning until it is released. Nothing is cancelled, and what runs goes on."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import partial

from simcelery.board import engine, interventions, transitions
from simcelery.board import gates as recorded
from simcelery.board.batches import batches
from simcelery.board.gates import NewGate
from simcelery.board.reads import gates
from simcelery.board.reads.jobs import Filter
from simcelery.submission import lineage

_MANY = 5000  # jobs in one transaction
_LONGEST = 10.0  # seconds that jobs are moved from here; workers move the rest


def waiting(which: Filter, limit: int | None = None) -> list[int]:
    """The ids of the jobs that pass the filter and can be held, ascending."""
    with engine.begin() as connection:
        return [number for number, _, _ in gates.waiting_jobs(connection, which)][:limit]


def hold(which: Filter, limit: int | None = None, by: str | None = None) -> list[int]:
    """Hold the jobs that pass the filter and wait; their ids. What is held already is left alone.

    Where all that waits of a sweep with canaries or a fuse is named, its gate is closed, also for what is
    recorded behind it later. Where only some are named, these leave it: no fuse counts them any more. So do
    canaries whose gate is closed until they have succeeded; it still waits for them.

    Parameters:
        by: who does it; default: whoever runs this process.
    """
    by = by or lineage.submitter()
    while True:
        with suppress(_GateClosedError):
            whole, single = _close(which, limit, by)
            break
    for gate in whole:
        for _ in batches(partial(_move, gate), _LONGEST):
            pass
    held = [number for ids in whole.values() for number in ids]
    for workflow, ids in single.items():
        held += _put_behind_new(workflow, ids, by)
    return sorted(held)


class _GateClosedError(Exception):
    """A gate has just been closed by its fuse, or by somebody else: what it holds must be looked at again."""


def _close(which: Filter, limit: int | None, by: str) -> tuple[dict[int, list[int]], dict[str, list[int]]]:
    """Close the gates all of whose waiting jobs are named; these jobs by gate, the others by workflow."""
    whole: dict[int, list[int]] = defaultdict(list)
    single: dict[str, list[int]] = defaultdict(list)
    with engine.begin() as connection:
        chosen = gates.waiting_jobs(connection, which)[:limit]
        for number, _, gate in chosen:
            if gate is not None:
                whole[gate].append(number)
        for gate, ids in list(whole.items()):
            if gates.number_waiting(connection, gate, len(ids) + 1) > len(ids):
                del whole[gate]
        for number, workflow, gate in chosen:
            if gate not in whole:
                single[workflow].append(number)
        # First, since nobody may wait for a job who has locked a gate.
        interventions.note(connection, "hold", [number for ids in whole.values() for number in ids], by)
        if transitions.close_gates(connection, whole, by) != sorted(whole):
            raise _GateClosedError
    return whole, single


def _move(gate: int, rows: int) -> int:
    with engine.begin() as connection:
        return transitions.hold(connection, gate, rows)


def _put_behind_new(workflow: str, ids: list[int], by: str) -> list[int]:
    """Put jobs behind a gate of their own; those that have not begun or ended meanwhile."""
    with engine.begin() as connection:
        gate = recorded.create(connection, NewGate(workflow, (), by, held_by=by))
        held = transitions.put_behind(connection, gate, ids[:_MANY], by)
    for start in range(_MANY, len(ids), _MANY):
        with engine.begin() as connection:
            held += transitions.put_behind(connection, gate, ids[start : start + _MANY], by)
    return held
