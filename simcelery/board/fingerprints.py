"""Find an existing job with the same parameters, however it was submitted.

It is found by a hash of its workflow, the workflow's declared version and its parameters. An index of this
hash on `jobs` would cost each submission 25 % more of Postgres's time, and each claim and finish 50 %
more. So hashes are written only when needed: the first search for jobs by their parameters computes those
of all jobs recorded since the last one, and stores them in a separate table. The few jobs that are not
there yet are read each time, so the table affects only the speed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, select, text

from simcelery.board import engine, sql
from simcelery.board.batches import batches
from simcelery.board.models import Job

_TAIL = 1000  # so many jobs without a fingerprint are read at each look
_STEP = 100_000  # fingerprints are written in a transaction
_LONGEST_WAIT, _PAUSE = 5.0, 0.01  # with those who are recording, seconds
_LOCK, _REVISION = 7_233_002, 7_233_003


class Alike(Protocol):
    """What a job is to do."""

    @property
    def workflow(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...


def same(connection: Connection, wanted: Mapping[str, Alike]) -> dict[str, int]:
    """Existing jobs with the same workflow, version and parameters as these, by the same keys.

    If there are several, one that succeeded is preferred, then one that may still succeed, then one that
    did not; among these, the oldest.
    """
    if not wanted:
        return {}
    jobs = wanted.values()
    # Postgres takes the jobs without a fingerprint for a third of all.
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    found = sql.execute(
        connection,
        "jobs_with_parameters",
        keys=list(wanted),
        workflows=[job.workflow for job in jobs],
        versions=[job.version for job in jobs],
        parameters=[getattr(job, "parameters_json", None) or engine.as_json(job.parameters) for job in jobs],
    )
    return {row.key: row.id for row in found}


def by_key(connection: Connection, keys: Collection[str]) -> dict[str, int]:
    """The existing jobs that have these keys."""
    if not keys:
        return {}
    found = connection.execute(select(Job.idempotency_key, Job.id).where(Job.idempotency_key.in_(keys)))
    return {key: number for key, number in found if key is not None}


def hold_parameters(connection: Connection) -> None:
    """Until the end of the transaction, no job's parameters change: for whoever looks for a job by them.

    To be called before any job is locked.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _REVISION})


def hold_searches(connection: Connection) -> None:
    """Until the end of the transaction, nobody looks for a job by its parameters, or changes those of any.

    To be called before any job is locked.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _REVISION})


def renew(connection: Connection, job_ids: Iterable[int]) -> None:
    """Write the fingerprints of jobs again whose parameters were revised in this transaction.

    Those that are not in the table yet are left to `catch_up`, which waits until this transaction ends.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    sql.execute(connection, "renew_fingerprints", ids=list(job_ids))


def catch_up() -> None:
    """Write the fingerprints of jobs recorded since the last time, if there are many.

    The table must hold all ids up to its largest. A transaction may have taken an id without having
    recorded its job yet, so this waits for those that are recording now, and leaves out what begins after
    them.

    Raises:
        BoardUnreachableError: Postgres cannot be reached.
    """
    [row] = engine.one_round_trip(sql.statement("fingerprints_behind"), {"most": _TAIL + 1})
    if row["behind"] <= _TAIL:
        return
    with engine.begin() as connection:
        newest = connection.scalar(text("SELECT last_value FROM jobs_id_seq"))
    if not _all_recorded():
        return

    def write(_: int) -> int:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            return int(sql.execute(connection, "fill_fingerprints", newest=newest, most=_STEP).rowcount)

    for _ in batches(write, rows=_STEP):
        pass


def _all_recorded() -> bool:
    """Wait for those that are recording now; False if one takes too long."""
    recording = _recording()
    deadline = time.monotonic() + _LONGEST_WAIT
    while recording and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        recording &= _recording()
    return not recording


def _recording() -> set[str]:
    return {row["virtualtransaction"] for row in engine.one_round_trip(sql.statement("recorders"), {})}
