"""What a client tells the board that submits jobs, without SQLAlchemy: jobs of which nobody need be asked.

Most are; the others are for `transitions.record`.
"""

from __future__ import annotations

from collections.abc import Sequence

from simcelery.board import copying, round_trips, sql
from simcelery.board.asking import Asking
from simcelery.board.json_text import as_json
from simcelery.board.rows import COLUMNS, Row, lines, shared
from simcelery.board.sql import Reader
from simcelery.board.states import State
from simcelery.board.values import NewJob, Recorded


def may_be_alone(job: NewJob) -> bool:
    """Whether it can be recorded here: it depends on nothing, and has no key, time or needs."""
    plain = job.idempotency_key is None and not job.waits_for and job.needs is None
    return job.id is None and plain and not is_timed(job)


def is_timed(job: NewJob) -> bool:
    """Whether it may have to wait for a moment."""
    return job.run_at is not None or job.delay is not None


def record_alone(job: NewJob, *, published: bool = False) -> Recorded:
    """Record a job for which `may_be_alone`: a transaction of its own.

    Parameters:
        published: whether its message is sent next, so that nobody need say so later.

    Raises:
        BoardUnreachableError: Postgres cannot be reached; it says whether the job is `perhaps_done`.
    """
    values = shared(job) | {
        "task_id": job.task_id,
        "parameters": job.parameters_json or as_json(job.parameters),
        "published": published,
    }
    [row] = round_trips.one_round_trip(sql.statement("record_alone"), values)
    return Recorded(row["id"], job.task_id, "new", published=published)


def record_plain(connection: Asking, jobs: Sequence[NewJob]) -> list[Recorded]:
    """Record many jobs, for each of which `may_be_alone`, in the caller's transaction."""
    rows = [
        Row(job, number, 0, State.PENDING, None)
        for job, number in zip(jobs, numbered(connection, len(jobs)), strict=True)
    ]
    copying.copy(connection.driver, f"jobs ({COLUMNS})", lines(rows))
    return [Recorded(row.id, row.job.task_id, "new") for row in rows]


def numbered(connection: Reader, count: int) -> list[int]:
    """Ids for so many jobs to record, in ascending order."""
    return sorted(sql.execute(connection, "allocate_ids", count=count).scalar() or [])


def mark_published(ids: Sequence[int]) -> None:
    """Note that messages for these jobs were sent. A job that is being claimed meanwhile needs no note.

    If a crash of Postgres loses the mark, a second, harmless message is sent, so it does not wait for the
    disk.

    Raises:
        BoardUnreachableError: Postgres cannot be reached; the mark may not have been made.
    """
    round_trips.one_round_trip(sql.statement("mark_published"), {"ids": list(ids)}, durable=False)


def note_source(workflow: str, source: str, submitted_by: str) -> None:
    """Note that the workflow is submitted with this source. Writes nothing if it was the same last time.

    Raises:
        BoardUnreachableError: Postgres cannot be reached; the note may not have been made.
    """
    values = {"workflow": workflow, "source": source, "submitted_by": submitted_by}
    round_trips.one_round_trip(sql.statement("note_source"), values)
