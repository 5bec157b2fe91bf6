"""From 0003 to 0004: claim and finish as functions."""

from __future__ import annotations

from collections.abc import Callable

from simcelery.board import migrate
from simcelery.settings import Settings
from tests.migration.test_0002_recovery import ROWS, database, query  # noqa: F401 (a fixture)

PENDING = """
UPDATE workers SET lease_expires_at = now() + interval '1 h', ended_at = NULL;
UPDATE jobs SET state = 'pending', finished_at = NULL, worker_id = NULL, pid = NULL, claim_id = NULL,
    losses = 0
"""
CLAIM = """
SELECT id FROM claim_jobs(gen_random_uuid(), (SELECT workflow FROM jobs LIMIT 1), gen_random_uuid(),
    (SELECT id FROM workers LIMIT 1), 1, (SELECT queue FROM jobs LIMIT 1), 1, false)
"""
FINISH = """
SELECT * FROM finish_jobs((SELECT jsonb_agg(jsonb_build_object('id', id, 'claim_id', claim_id, 'result', 1,
    'waited', 0, 'ago', 0)) FROM jobs WHERE state = 'running'))
"""


def test_a_job_of_before_is_claimed_and_finished(database: Callable[[str], Settings]) -> None:  # noqa: F811
    board = database("old_board")
    migrate.upgrade(board, "0003")
    query(board, ROWS)
    query(board, PENDING)
    migrate.upgrade(board, "0004")
    claimed = query(board, CLAIM)
    assert len(claimed) == 1
    assert query(board, FINISH) == claimed
    assert query(board, "SELECT id, result FROM jobs WHERE state = 'succeeded'") == [(claimed[0][0], 1)]
