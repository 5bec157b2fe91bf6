"""From 0007 to 0008: a board with rows that the new CHECKs refuse becomes one on which all work goes on."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from simcelery.board import migrate
from simcelery.settings import Settings
from tests import hostile_rows
from tests.migration.test_0002_recovery import database, query  # noqa: F401 (a fixture)

WORKER = """
INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at)
VALUES ('w@a', 'a', 1, '{default}', 2, '0', now() + interval '1 h')
"""
HONEST = """
INSERT INTO jobs
    (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses, submitted_by)
SELECT gen_random_uuid(), 'w', '{}', 'pending', 'default', 4, 1, 5, 'me' FROM generate_series(1, 20)
"""
CLAIM = """
SELECT jobs.id FROM workers, claim_jobs(gen_random_uuid(), 'w', gen_random_uuid(), workers.id, 1,
    'default', 0, 1000, workers.registration) AS jobs WHERE workers.id = (SELECT min(id) FROM workers)
"""


def test_bad_rows_are_put_right_and_every_row_can_be_changed(
    database: Callable[[str], Settings],  # noqa: F811
) -> None:
    board = database("bad_board")
    migrate.upgrade(board, "0007")
    query(board, WORKER)
    query(board, HONEST)
    assert board.database_url is not None
    hostile_rows.write(board.database_url.get_secret_value(), hostile_rows.first())
    before = dict(query(board, "SELECT id, parameters::text FROM jobs"))
    migrate.upgrade(board, "0008")
    # Nobody's parameters are lost, and who could not be run is not run.
    failed = query(board, "SELECT id FROM jobs WHERE error_type = 'UnreadableRowError'")
    assert len(failed) >= 10
    for number, text in query(board, "SELECT id, parameters::text FROM jobs"):
        assert before[number] in text
    for table in ("jobs", "attempts", "workers", "workflows"):
        constrained = query(
            board,
            f"SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'c'",
        )
        for (name,) in constrained:
            query(board, f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
    migrate.upgrade(board)
    claimed = query(board, CLAIM)
    assert len(claimed) > 20
    assert query(board, "SELECT mend_rows()") == []


def test_what_cannot_be_read_is_refused(database: Callable[[str], Settings]) -> None:  # noqa: F811
    """All but JSON that is one, and holds what is none: that is looked at by whoever reads it."""
    board = database("checked_board")
    migrate.upgrade(board)
    query(board, WORKER)
    for name, statement in hostile_rows.first().items():
        if name in hostile_rows.OTHERS or name in IN_JSON:
            continue
        with pytest.raises(psycopg.errors.CheckViolation):
            query(board, f"DO $$ BEGIN {statement}; RAISE '{name}'; END $$")


IN_JSON = {
    *(name for name, given in hostile_rows.WAITING.items() if given.get("parameters", "")[:2] == "'{"),
    "succeeded with a deep result",
    "succeeded with a float that is none",
    "progress counts in words",
    "sent two thousand times",
    "failed without an error",
}
