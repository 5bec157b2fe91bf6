"""From 0002 to 0003: indexes for large boards, storage, and what settle has done."""

from __future__ import annotations

from collections.abc import Callable

from simcelery.board import engine, migrate, transitions
from simcelery.settings import Settings
from tests.migration.test_0002_recovery import ROWS, database, query  # noqa: F401 (a fixture)

STORAGE = "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r' ORDER BY 1"


def test_tables_are_vacuumed_alike_on_an_old_and_a_fresh_board(
    database: Callable[[str], Settings],  # noqa: F811
) -> None:
    old, fresh = database("old_board"), database("fresh_board")
    migrate.upgrade(old, "0002")
    query(old, ROWS)
    assert query(old, STORAGE) == []
    migrate.upgrade(old)
    migrate.upgrade(fresh)
    assert query(old, STORAGE) == query(fresh, STORAGE)
    assert [name for name, _ in query(old, STORAGE)] == ["jobs", "workers"]


def test_what_failed_before_is_settled_once_and_for_all(
    database: Callable[[str], Settings],  # noqa: F811
) -> None:
    board = database("old_board")
    migrate.upgrade(board, "0002")
    query(board, ROWS)
    query(
        board,
        """INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, unmet, max_attempts,
            max_losses, submitted_by) VALUES (gen_random_uuid(), 'w', '{}', 'blocked', 'q', 4, 1, 1, 5, 'me');
        INSERT INTO dependencies SELECT max(id), 3 FROM jobs""",
    )
    migrate.upgrade(board)
    assert query(board, "SELECT id FROM jobs WHERE settled_at IS NOT NULL") == []
    with engine.begin(board) as connection:
        assert transitions.settle(connection, 1000).failed == [4]
    with engine.begin(board) as connection:
        assert not transitions.settle(connection, 1000).more
    assert query(board, "SELECT id, state FROM jobs WHERE settled_at IS NOT NULL ORDER BY id") == [
        (3, "failed"),
        (4, "upstream_failed"),
    ]


def test_a_renewal_of_a_lease_moves_no_index_entry(database: Callable[[str], Settings]) -> None:  # noqa: F811
    board = database("old_board")
    migrate.upgrade(board)
    query(board, ROWS)
    with engine.begin(board) as connection:
        connection.exec_driver_sql(
            "UPDATE workers SET renewed_at = now(), lease_expires_at = now() + interval '20 s'"
        )
        counted = "SELECT pg_stat_get_xact_tuples_hot_updated('workers'::regclass)"
        assert connection.exec_driver_sql(counted).scalar() == 1
