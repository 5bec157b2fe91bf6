"""Wait for jobs, then show them with their results: for ``wait``, ``submit`` and ``result``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcelery.cli.options import EXIT_INTERRUPTED, Output
from simcelery.cli.output import note, say, show_ids, show_json
from simcelery.cli.selectors import chunks
from simcelery.cli.waiting import Watch, follow
from simcelery.describe.job import as_json
from simcelery.describe.plain import plain
from simcelery.describe.words import compact, many, told

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import JobRow


def wait_for(ids: Sequence[int], timeout: float | None, output: Output, *, single: bool) -> int:
    """Wait, then show the jobs; return the exit code.

    Raises:
        JobError: the only job did not succeed, or the timeout has passed.
    """
    watch = Watch(ids)
    follow(watch, timeout)
    succeeded = watch.states["succeeded"] == len(ids)
    if output == "quiet":
        show_ids(ids)
    elif output == "json":
        rows = [as_json(row) for row in rows_of(ids)]
        show_json(rows[0] if single else rows)
    elif single:
        show_result(rows_of(ids)[0])
    else:
        say(f"{many(len(ids))}: {watch.in_words() or 'nothing to wait for'}")
    return 0 if succeeded else 1


def wait_or_leave(ids: Sequence[int], timeout: float | None, output: Output, *, single: bool) -> int:
    """The same; Ctrl-C stops the waiting, not the jobs.

    Raises:
        As `wait_for`.
    """
    try:
        return wait_for(ids, timeout, output, single=single)
    except KeyboardInterrupt:
        what = f"wait {compact(ids)}" if len(ids) < 100 else "status"
        note(f"simcelery: no longer waiting; the jobs continue (simcelery {what})")
        return EXIT_INTERRUPTED


def rows_of(ids: Sequence[int]) -> list[JobRow]:
    """The jobs, in the order of their ids."""
    from simcelery.board import engine, reads

    found: list[JobRow] = []
    with engine.begin() as connection:
        for part in chunks(ids):
            found += reads.jobs(connection, reads.Filter(ids=part), newest=False)
    return found


def show_result(row: JobRow) -> None:
    """Print the result of a finished job.

    Raises:
        JobError: it did not succeed.
    """
    if row.state != "succeeded":
        from simcelery.submission.handle import Job

        failure = Job(row.id, row.task_id, row.workflow).failure(row)
        if row.error_type == "CommandError":
            raise type(failure)(f"{told(str(failure))} ('simcelery show {row.id}' shows its output)")
        raise failure
    show_json(plain(row.result))
