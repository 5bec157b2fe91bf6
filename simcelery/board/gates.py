"""Gates: what the jobs of a sweep wait behind while its canaries run, or since its fuse has blown.

Whoever records jobs holds the gate FOR KEY SHARE, and whoever opens it locks it FOR UPDATE: so it does not
open while jobs are recorded as held, and none is left behind. What failures change at a gate waits for
neither.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Boolean, ColumnElement, Connection, insert, literal_column, select

from simcelery.board.models import Canary, Gate
from simcelery.board.reads.rules import HELD

# A percentage says nothing before so many have failed; `count_failures`, in the schema, knows it as well.
LEAST_FAILED = 5


@dataclass(frozen=True)
class NewGate:
    """A gate to record.

    Attributes:
        canary: how many canaries must succeed before it opens; None: it is open.
        max_fails: it closes when more have failed;
        max_fails_percent: or when more than so many of a hundred that have ended.
        held_by: who has closed it by hand, from the beginning.
    """

    workflow: str
    tags: tuple[str, ...]
    submitted_by: str
    canary: int | None = None
    max_fails: int | None = None
    max_fails_percent: float | None = None
    held_by: str | None = None


@dataclass(frozen=True)
class Behind:
    """The gate that jobs are recorded behind.

    Attributes:
        closed: whether they are held.
        canaries: the places, among those recorded, of the ones that are not.
    """

    gate_id: int
    closed: bool
    canaries: frozenset[int] = frozenset()


def create(connection: Connection, gate: NewGate) -> int:
    """Record a gate; with canaries, or held by somebody, it is closed. Returns its id."""
    closed_by = "hand" if gate.held_by else "canary" if gate.canary else None
    values = {**vars(gate), "tags": list(gate.tags), "closed_by": closed_by}
    percent = None if gate.max_fails_percent is None else LEAST_FAILED - 1
    values["fails_left"] = percent if gate.max_fails is None else gate.max_fails
    return connection.execute(insert(Gate).values(values).returning(Gate.id)).scalar_one()


def is_closed(connection: Connection, gate_id: int) -> bool:
    """Whether what is recorded behind it is held; until the end of the transaction it does not open."""
    closed_by = select(Gate.closed_by).where(Gate.id == gate_id).with_for_update(read=True, key_share=True)
    return connection.execute(closed_by).scalar_one() is not None


def add_canaries(connection: Connection, gate_id: int, job_ids: Collection[int]) -> None:
    """The jobs that must succeed before it opens."""
    if job_ids:
        connection.execute(insert(Canary), [{"gate_id": gate_id, "job_id": job} for job in sorted(job_ids)])


def is_held() -> ColumnElement[bool]:
    """Whether a job is blocked behind a closed gate, for expressions."""
    return literal_column(HELD, Boolean).label("held")  # or its text would name parameters beside it
