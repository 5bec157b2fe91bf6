"""From 0004 to 0005: lanes, and claims for which a message is a wake-up call."""

from __future__ import annotations

from collections.abc import Callable

from simcelery.board import migrate
from simcelery.settings import Settings
from tests.migration.test_0002_recovery import ROWS, database, query  # noqa: F401 (a fixture)
from tests.migration.test_0004_functions import FINISH, PENDING

CLAIM = """
SELECT id FROM claim_jobs(gen_random_uuid(), (SELECT workflow FROM jobs LIMIT 1), gen_random_uuid(),
    (SELECT id FROM workers LIMIT 1), 1, (SELECT queue FROM jobs LIMIT 1), 0, 0)
"""


def test_a_job_of_before_is_claimed_and_finished(database: Callable[[str], Settings]) -> None:  # noqa: F811
    board = database("old_board")
    migrate.upgrade(board, "0003")
    query(board, ROWS)
    query(board, PENDING)
    query(board, "UPDATE jobs SET published_at = now()")
    migrate.upgrade(board, "0004")
    migrate.upgrade(board, "0005")
    claimed = query(board, CLAIM)
    assert len(claimed) == 1
    assert query(board, FINISH) == claimed
    assert query(board, "SELECT id, result FROM jobs WHERE state = 'succeeded'") == [(claimed[0][0], 1)]
