"""pending → running, in one round trip: one job, or the short jobs of a slice; and back if not started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from simcelery.board import engine, sql
from simcelery.board.states import OTHER_SOURCE
from simcelery.board.values import Claim, ClaimRequest, from_row
from simcelery.failpoints import failpoint


def claim(request: ClaimRequest) -> list[Claim]:
    """pending → running, if the worker's own lease still holds. The claim ids fence every later write.

    Returns:
        The job that the message names, or the one that takes its place; then the others, most urgent first.

    Raises:
        BoardUnreachableError: whether anything was claimed is not known: see `forgotten`.
    """
    failpoint("before_claim")
    return in_order(engine.one_round_trip(*claiming(request), durable=request.durable), request)


def claiming(request: ClaimRequest) -> tuple[str, dict[str, Any]]:
    """The statement that claims, and its parameters."""
    return sql.statement("claim"), asked(request)


def holds_lease(request: ClaimRequest) -> bool:
    """Whether the worker may claim anything: its lease has not expired."""
    return bool(engine.one_round_trip(sql.statement("holds_lease"), asked(request)))


def waits_for_room(request: ClaimRequest) -> Literal["host", "time", "needs"] | None:
    """What a claim that found nothing lacked: a place of its host's limit, time, or what its job needs."""
    found = engine.one_round_trip(sql.statement("waits_for_room"), asked(request))
    if not found:
        return None
    return "host" if found[0]["crowded"] else "time" if found[0]["late"] else "needs"


def forgotten(request: ClaimRequest) -> list[Claim]:
    """What this process has claimed without knowing it, because the answer to an earlier call was lost."""
    return in_order(engine.one_round_trip(sql.statement("forgotten_claims"), asked(request)), request)


def put_back(claims: Sequence[Claim]) -> None:
    """running → pending (or cancelled, if that was requested) for claims whose jobs were never started."""
    given = {"ids": [one.job_id for one in claims], "claims": [one.claim_id for one in claims]}
    engine.one_round_trip(sql.statement("put_back"), given)


def set_aside(one: Claim, why: str) -> None:
    """running → scheduled (or cancelled) for a job that was not started, since others have to run it.

    It comes again after 1 s at first, and later after a quarter of its age, but at most 30 s.

    Parameters:
        why: what is wrong with the files of the worker, for the job's row.
    """
    given = {"job_id": one.job_id, "claim_id": one.claim_id, "error_type": OTHER_SOURCE, "why": why}
    engine.one_round_trip(sql.statement("set_aside"), given)


def asked(request: ClaimRequest) -> dict[str, Any]:
    """The parameters of the statements about a claim."""
    return {
        "task_id": request.task_id,
        "workflow": request.workflow,
        "claim_id": request.claim_id,
        "worker_id": request.worker.worker_id,
        "registration": request.worker.key,
        "pid": request.pid,
        "queue": request.queue,
        "least": request.least,
        "more": request.more,
    }


def in_order(rows: list[dict[str, Any]], request: ClaimRequest) -> list[Claim]:
    """Claims from rows: the job that was asked for first, then the others, most urgent first."""
    claims = [from_row(Claim, row) for row in rows]
    return sorted(claims, key=lambda one: (one.task_id != request.task_id, -one.priority, one.job_id))
