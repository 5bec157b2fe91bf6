"""Claim and finish in one round trip each: one job, or the short jobs of a slice together.

These are the transitions that every job needs, so they are functions in the schema, or at least plain SQL.
What is special (a failure, a job that others wait for, an attempt that was given up) is left to
`transitions`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simcelery.board import engine
from simcelery.board.transitions.finish import Claim, Report
from simcelery.failpoints import failpoint

_COLUMNS = (
    "id, task_id, claim_id, attempt, workflow, parameters, queue, priority, tags, failures, max_attempts, "
    "time_limit, soft_time_limit, checkpoint"
)
# The two functions are in the schema, made by its migrations.
_CLAIM = f"""
SELECT {_COLUMNS} FROM claim_jobs(
  %(task_id)s, %(workflow)s, %(claim_id)s, %(worker_id)s, %(pid)s, %(queue)s, %(least)s, %(more)s,
  %(registration)s
)
"""
_FINISH = "SELECT * FROM finish_jobs(%(outcomes)s)"

_IS_KNOWN = "SELECT FROM workers WHERE id = %(worker_id)s AND registration = %(registration)s"
_HOLDS_LEASE = f"{_IS_KNOWN} AND ended_at IS NULL AND lease_expires_at > now()"

# What this process holds as far as the board knows, while it knows of nothing: the answer never came.
_FORGOTTEN = (
    f"SELECT {_COLUMNS} FROM jobs WHERE state = 'running' AND worker_id = %(worker_id)s AND pid = %(pid)s "
    f"AND EXISTS ({_IS_KNOWN})"
)

# Nothing of these was executed, so there is no attempt; whoever ate their messages, they are sent anew.
_PUT_BACK = """
WITH held AS (
  SELECT id FROM jobs JOIN unnest(%(ids)s::bigint[], %(claims)s::uuid[]) AS given(id, claim_id)
    USING (id, claim_id)
  WHERE state = 'running' ORDER BY id FOR UPDATE OF jobs
)
UPDATE jobs SET state = CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
  finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN now() END,
  attempt = attempt - 1, published_at = NULL, publish_count = 0
FROM held WHERE jobs.id = held.id
RETURNING jobs.id
"""


@dataclass(frozen=True)
class Wanted:
    """What a pool child asks for.

    Attributes:
        task_id: the job that the message names.
        claim_id: what its claim is to write: the child's own choice, noted before.
        worker_id, registration: who asks; see `leases.Registration`.
        queue: where others of the same workflow are taken from.
        least: how urgent a job must be to take the place of the named one, where that is gone.
        more: how many others, at most.
        durable: whether the claim must outlive a crash of Postgres.
    """

    task_id: uuid.UUID
    workflow: str
    claim_id: uuid.UUID
    worker_id: int
    registration: uuid.UUID
    pid: int
    queue: str = ""
    least: int = 0
    more: int = 0
    durable: bool = True


@dataclass(frozen=True)
class Outcome:
    """What came of a claim.

    Attributes:
        job_id: None where only the claim itself is known.
        waited: seconds between the claim and the beginning of the attempt.
        ended: when the attempt ended, by the monotonic clock; None: just now.
        workflow, took: of the attempt; how long it took, in seconds.
    """

    task_id: uuid.UUID
    claim_id: uuid.UUID
    report: Report
    job_id: int | None = None
    waited: float = 0.0
    ended: float | None = None
    workflow: str = ""
    took: float = 0.0

    def ago(self, now: float) -> float:
        """Seconds since the attempt ended; `now` by the monotonic clock."""
        return 0.0 if self.ended is None else now - self.ended


def claim(wanted: Wanted) -> list[Claim]:
    """pending → running, if the worker's own lease still holds. The claim ids fence every later write.

    Returns:
        The job that the message names, or the one that takes its place; then the others, most urgent first.

    Raises:
        BoardUnreachableError: whether anything was claimed is not known: see `forgotten`.
    """
    failpoint("before_claim")
    return _in_order(engine.one_round_trip(_CLAIM, vars(wanted), durable=wanted.durable), wanted)


def holds_lease(wanted: Wanted) -> bool:
    """Whether the worker may claim anything: its lease has not lapsed."""
    return bool(engine.one_round_trip(_HOLDS_LEASE, vars(wanted)))


def forgotten(wanted: Wanted) -> list[Claim]:
    """What this process has claimed without ever hearing of it: the answer to an earlier try was lost."""
    return _in_order(engine.one_round_trip(_FORGOTTEN, vars(wanted)), wanted)


def succeed(outcomes: Sequence[Outcome], now: float) -> set[int]:
    """running → succeeded; the ids of the jobs that it hit.

    The others have children on the board, or are no longer this claim's: `transitions.finish` knows.

    Parameters:
        now: the time, by the monotonic clock.
    """
    given = engine.as_json([_row(one, now) for one in outcomes])
    failpoint("before_finish")
    return {number for (number,) in engine.one_round_trip(_FINISH, {"outcomes": given})}


def _row(one: Outcome, now: float) -> dict[str, Any]:
    report = one.report
    return {
        "id": one.job_id,
        "claim_id": one.claim_id.hex,
        "result": report.result,
        "waited": one.waited,
        "ago": one.ago(now),
        "cpu_seconds": report.cpu_seconds,
        "peak_memory": report.peak_memory,
        "workdir": report.workdir,
        "code_version": report.code_version,
        "seed": report.seed,
        "log": report.log,
    }


def put_back(claims: Sequence[Claim]) -> None:
    """running → pending (cancelled, where that was asked for) for claims that were never begun."""
    given = {"ids": [one.job_id for one in claims], "claims": [one.claim_id for one in claims]}
    engine.one_round_trip(_PUT_BACK, given)


def _in_order(rows: list[tuple[Any, ...]], wanted: Wanted) -> list[Claim]:
    claims = [Claim(*row) for row in rows]
    return sorted(claims, key=lambda one: (one.task_id != wanted.task_id, -one.priority, one.job_id))
