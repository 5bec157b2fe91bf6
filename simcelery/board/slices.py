"""Claim and finish in one round trip each: one job, or the short jobs of a slice together.

These are the transitions that every job needs, so they are plain SQL, sent in one message. What is special
(a failure, a job that others wait for, an attempt that was given up) is left to `transitions`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simcelery.board import engine
from simcelery.board.transitions import Claim, Report
from simcelery.failpoints import failpoint

_COLUMNS = (
    "id, task_id, claim_id, attempt, workflow, parameters, queue, priority, tags, failures, max_attempts, "
    "time_limit, soft_time_limit, checkpoint"
)
_LIVE = "EXISTS (SELECT FROM workers WHERE id = %(worker)s AND ended_at IS NULL AND lease_expires_at > now())"
_CLAIMED = (
    "state = 'running', attempt = attempt + 1, worker_id = %(worker)s, pid = %(pid)s, started_at = now(), "
    "progress = NULL"
)

# A forged message cannot run a job as another workflow.
_CLAIM_ONE = f"""
UPDATE jobs SET {_CLAIMED}, claim_id = %(claim)s
WHERE task_id = %(task)s AND workflow = %(workflow)s AND state = 'pending' AND cancel_requested_at IS NULL
  AND {_LIVE}
RETURNING {_COLUMNS}
"""

_MISSED_BY_LEASE = f"""
SELECT id FROM jobs
WHERE task_id = %(task)s AND workflow = %(workflow)s AND state = 'pending' AND NOT {_LIVE}
"""

# A job with losses or with a time limit never travels in a slice, nor one that others wait for: whoever
# finishes it has more to do. The condition is that of the index jobs_slice.
_CLAIM_MORE = f"""
WITH chosen AS (
  SELECT id FROM jobs
  WHERE workflow = %(workflow)s AND queue = %(queue)s AND state = 'pending' AND losses = 0
    AND time_limit IS NULL AND soft_time_limit IS NULL AND task_id <> %(task)s
    AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)
  ORDER BY priority DESC, id
  LIMIT %(more)s FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET {_CLAIMED}, claim_id = gen_random_uuid()
FROM chosen WHERE jobs.id = chosen.id AND state = 'pending' AND {_LIVE}
RETURNING jobs.{_COLUMNS.replace(", ", ", jobs.")}
"""

# What this process holds as far as the board knows, while it knows of nothing: the answer never came.
_FORGOTTEN = (
    f"SELECT {_COLUMNS} FROM jobs WHERE state = 'running' AND worker_id = %(worker)s AND pid = %(pid)s"
)

_LOCK = "SELECT id FROM jobs WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"

# After the lock, and so with a snapshot that shows every edge to a job that somebody recorded meanwhile.
_SUCCEED = """
WITH given AS (
  SELECT * FROM unnest(
    %(ids)s::bigint[], %(claims)s::uuid[], %(results)s::text[], %(waited)s::float8[], %(ago)s::float8[],
    %(cpu)s::float8[], %(memory)s::bigint[], %(workdirs)s::text[], %(versions)s::text[], %(logs)s::text[]
  ) AS g(id, claim_id, result, waited, ago, cpu_seconds, peak_memory, workdir, code_version, log)
),
done AS (
  UPDATE jobs SET state = 'succeeded', result = g.result::jsonb, error_type = NULL, error_message = NULL,
    started_at = started_at + make_interval(secs => g.waited),
    finished_at = now() - make_interval(secs => g.ago)
  FROM given AS g
  WHERE jobs.id = g.id AND jobs.claim_id = g.claim_id AND state = 'running'
    AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)
  RETURNING jobs.id, attempt, jobs.claim_id, worker_id, pid, started_at, finished_at,
    g.cpu_seconds, g.peak_memory, g.workdir, g.code_version, g.log
),
written AS (
  INSERT INTO attempts (job_id, attempt, claim_id, outcome, worker_id, nodename, host, pid, scheduler_job_id,
    started_at, finished_at, cpu_seconds, peak_memory, workdir, code_version)
  SELECT done.id, attempt, claim_id, 'succeeded', worker_id, nodename, host, done.pid, scheduler_job_id,
    done.started_at, finished_at, cpu_seconds, peak_memory, workdir, code_version
  FROM done LEFT JOIN workers ON workers.id = worker_id
)
"""
_DONE = "SELECT id FROM done"

# Between the two parts of the statement before, where any of the jobs printed something.
_AND_LOG = """,
logged AS (
  INSERT INTO log_chunks (job_id, attempt, seq, text)
  SELECT id, attempt, (SELECT coalesce(max(seq), 0) + 1 FROM log_chunks AS l
                       WHERE l.job_id = done.id AND l.attempt = done.attempt), log
  FROM done WHERE log <> ''
)
"""

# Nothing of these was executed, so there is no attempt; whoever ate their messages, they are sent anew.
_PUT_BACK = """
UPDATE jobs SET state = CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
  finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN now() END,
  attempt = attempt - 1, published_at = NULL, publish_count = 0
FROM unnest(%(ids)s::bigint[], %(claims)s::uuid[]) AS g(id, claim_id)
WHERE jobs.id = g.id AND jobs.claim_id = g.claim_id AND state = 'running'
RETURNING jobs.id
"""


@dataclass(frozen=True)
class Wanted:
    """What a pool child asks for.

    Attributes:
        task_id: the job that the message names.
        claim_id: what its claim is to write: the child's own choice, noted before.
        queue: where `more` jobs of the same workflow are taken from.
        more: how many, at most, besides that one.
        durable: whether the claim must outlive a crash of Postgres.
    """

    task_id: uuid.UUID
    workflow: str
    claim_id: uuid.UUID
    worker_id: int
    pid: int
    queue: str = ""
    more: int = 0
    durable: bool = True

    def values(self) -> dict[str, Any]:
        """By the names that the statements use."""
        return {
            "task": self.task_id,
            "workflow": self.workflow,
            "claim": self.claim_id,
            "worker": self.worker_id,
            "pid": self.pid,
            "queue": self.queue,
            "more": self.more,
        }


@dataclass(frozen=True)
class Outcome:
    """What came of a claim.

    Attributes:
        job_id: None where only the claim itself is known.
        waited: seconds between the claim and the beginning of the attempt.
        ended: when the attempt ended, by the monotonic clock.
    """

    task_id: uuid.UUID
    claim_id: uuid.UUID
    report: Report
    job_id: int | None = None
    waited: float = 0.0
    ended: float = 0.0


def claim(wanted: Wanted) -> list[Claim]:
    """pending → running, if the worker's own lease still holds. The claim ids fence every later write.

    Returns:
        The job of the message first, if it was there to be claimed; then the others, most urgent first.

    Raises:
        BoardUnreachableError: whether anything was claimed is not known: see `forgotten`.
    """
    failpoint("before_claim")
    script = f"{_CLAIM_ONE};{_CLAIM_MORE}" if wanted.more else _CLAIM_ONE
    answers = engine.one_round_trip(script, wanted.values(), durable=wanted.durable)
    return _in_order([row for rows in answers for row in rows], wanted)


def missed_by_lease(wanted: Wanted) -> bool:
    """Whether a claim that missed would have hit, had the worker's lease not lapsed."""
    return engine.one_round_trip(_MISSED_BY_LEASE, wanted.values()) != [[]]


def forgotten(wanted: Wanted) -> list[Claim]:
    """What this process has claimed without ever hearing of it: the answer to an earlier try was lost."""
    [rows] = engine.one_round_trip(_FORGOTTEN, wanted.values())
    return _in_order(rows, wanted)


def succeed(outcomes: Sequence[Outcome], now: float) -> set[int]:
    """running → succeeded; the ids of the jobs that it hit.

    The others have children on the board, or are no longer this claim's: `transitions.finish` knows.

    Parameters:
        now: the time, by the monotonic clock.
    """
    logs = [one.report.log for one in outcomes]
    given = {
        "ids": [one.job_id for one in outcomes],
        "claims": [one.claim_id for one in outcomes],
        "results": [_dumps(one.report.result) for one in outcomes],
        "waited": [one.waited for one in outcomes],
        "ago": [now - one.ended for one in outcomes],
        "cpu": [one.report.cpu_seconds for one in outcomes],
        "memory": [one.report.peak_memory for one in outcomes],
        "workdirs": [one.report.workdir for one in outcomes],
        "versions": [one.report.code_version for one in outcomes],
        "logs": logs,
    }
    failpoint("before_finish")
    log = _AND_LOG if any(logs) else ""
    _, done = engine.one_round_trip(f"{_LOCK};{_SUCCEED}{log}{_DONE}", given)
    return {number for (number,) in done}


def put_back(claims: Sequence[Claim]) -> None:
    """running → pending (cancelled, where that was asked for) for claims that were never begun."""
    given = {"ids": [one.job_id for one in claims], "claims": [one.claim_id for one in claims]}
    engine.one_round_trip(f"{_LOCK};{_PUT_BACK}", given)


def _in_order(rows: list[tuple[Any, ...]], wanted: Wanted) -> list[Claim]:
    claims = [Claim(*row) for row in rows]
    return sorted(claims, key=lambda one: (one.task_id != wanted.task_id, -one.priority, one.job_id))


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
