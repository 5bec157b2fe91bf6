"""From any earlier schema to 0011: claim and finish are the functions of now, and no others are left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simcelery.board import migrate
from simcelery.settings import Settings
from tests.migration.test_0002_recovery import ROWS, database, query  # noqa: F401 (a fixture)

PENDING = """
UPDATE workers SET lease_expires_at = now() + interval '1 h', ended_at = NULL;
UPDATE jobs SET state = 'pending', finished_at = NULL, worker_id = NULL, pid = NULL, claim_id = NULL,
    losses = 0
"""
CLAIM = """
SELECT jobs.id FROM workers, claim_jobs(gen_random_uuid(), (SELECT workflow FROM jobs LIMIT 1),
    gen_random_uuid(), workers.id, 1, (SELECT queue FROM jobs LIMIT 1), 0, 0, {}) AS jobs
"""
FINISH = """
SELECT id, state FROM finish_attempts((SELECT jsonb_agg(jsonb_build_object('id', id, 'claim_id', claim_id,
    'outcome', 'succeeded', 'result', 1, 'waited', 0, 'ago', 0)) FROM jobs WHERE state = 'running'))
"""
# The parameters of `claim_jobs`, as the boards of the time have it.
EARLIER = {
    "0003": None,
    "0004": "uuid, text, uuid, bigint, integer, text, integer, boolean",
    "0006": "uuid, text, uuid, bigint, integer, text, integer, integer",
    "0010": "uuid, text, uuid, bigint, integer, text, integer, integer, uuid",
}


@pytest.mark.parametrize("revision", EARLIER)
def test_a_job_of_before_is_claimed_and_finished(database: Callable[[str], Settings], revision: str) -> None:  # noqa: F811
    board = database("old_board")
    migrate.upgrade(board, "0003")
    query(board, ROWS)
    query(board, PENDING)
    migrate.upgrade(board, revision)
    query(board, "DROP FUNCTION IF EXISTS claim_jobs")
    if parameters := EARLIER[revision]:
        body = "RETURNS SETOF jobs LANGUAGE sql AS 'SELECT * FROM jobs'"
        query(board, f"CREATE FUNCTION claim_jobs({parameters}) {body}")
        query(board, "CREATE FUNCTION finish_jobs(jsonb) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT 1'")
    migrate.upgrade(board)
    assert query(board, CLAIM.format("gen_random_uuid()")) == []
    claimed = query(board, CLAIM.format("workers.registration"))
    assert len(claimed) == 1
    assert query(board, FINISH) == [(claimed[0][0], "succeeded")]
    assert query(board, "SELECT result FROM jobs WHERE state = 'succeeded'") == [(1,)]
    functions = query(
        board, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    )
    now = {file.stem for file in Path("simcelery/board/sql/functions").glob("*.sql")}
    assert {name for (name,) in functions if "jobs" in name or "attempts" in name} <= now
