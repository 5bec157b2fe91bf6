"""From 0008 to 0009: a worker is told from another one with its id."""

from __future__ import annotations

from collections.abc import Callable

from simcelery.board import migrate
from simcelery.settings import Settings
from tests.migration.test_0002_recovery import ROWS, database, query  # noqa: F401 (a fixture)
from tests.migration.test_0004_functions import FINISH, PENDING

CLAIM = """
SELECT jobs.id FROM workers, claim_jobs(gen_random_uuid(), (SELECT workflow FROM jobs LIMIT 1),
    gen_random_uuid(), workers.id, 1, (SELECT queue FROM jobs LIMIT 1), 0, 0, {}) AS jobs
"""


def test_a_worker_of_before_has_a_registration_and_claims_by_it(
    database: Callable[[str], Settings],  # noqa: F811
) -> None:
    board = database("old_board")
    migrate.upgrade(board, "0008")
    query(board, ROWS)
    query(board, PENDING)
    migrate.upgrade(board)
    assert query(board, CLAIM.format("gen_random_uuid()")) == []
    claimed = query(board, CLAIM.format("workers.registration"))
    assert len(claimed) == 1
    assert query(board, FINISH) == claimed
