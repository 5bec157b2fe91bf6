"""From 0050 to 0051: of allocations that there are, workers tell when they ran; the rest nobody knows."""

from __future__ import annotations

from collections.abc import Callable

from simcelery.board import migrate
from simcelery.settings import Settings
from tests.migration.test_0002_recovery import database, query  # noqa: F401 (a fixture)

ROWS = """
INSERT INTO clusters (name, launcher, profile, wanted, started_by) VALUES ('c', 'slurm', '{}', 1, 'me');
INSERT INTO allocations (cluster, name, state, recorded_at, starts_at, ended_at, cause) VALUES
    ('c', 'ran', 'ended', now() - interval '9 h', now() - interval '8 h', now(), 'failed'),
    ('c', 'never', 'ended', now() - interval '9 h', now() - interval '8 h', now(), 'cancelled');
INSERT INTO workers (nodename, host, pid, queues, concurrency, version, allocation, started_at, renewed_at,
    lease_expires_at)
SELECT 'w', 'h', 1, '{}', 1, '0', 'ran', now() - interval '7 h', now() - interval '2 h', now()
"""
RAN = """
SELECT name, extract(epoch FROM now() - ran_from)::integer / 3600,
    extract(epoch FROM now() - ran_until)::integer / 3600
FROM allocations ORDER BY name DESC
"""


def test_what_was_there_ran_as_its_workers_tell(database: Callable[[str], Settings]) -> None:  # noqa: F811
    board = database("old_board")
    migrate.upgrade(board, "0050")
    query(board, ROWS)
    migrate.upgrade(board)
    assert query(board, RAN) == [("ran", 8, 2), ("never", None, None)]
    assert query(board, "SELECT until > now() - interval '10 min' FROM horizon") == [(True,)]


def test_a_board_without_clusters_knows_all(database: Callable[[str], Settings]) -> None:  # noqa: F811
    board = database("new_board")
    migrate.upgrade(board)
    assert query(board, "SELECT * FROM horizon") == []
