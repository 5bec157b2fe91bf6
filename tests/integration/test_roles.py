"""The roles of Postgres: each does its part on the board, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, text

from simcelery.board import engine, migrate, roles, sql
from simcelery.board.roles import TABLES
from simcelery.board.states import State
from simcelery.board.unreadable import mending
from simcelery.errors import RefusedByBoardError
from simcelery.monitor import numbers
from simcelery.services import Services
from tests.logins import Board, board_with_roles

READS, SUBMITS, WORKS, MANAGES = "ada_reads", "ada_submits", "works", "manages"


def add_job(connection: psycopg.Connection, state: str) -> int:
    """Put a job on the board, and return its id."""
    row = connection.execute(
        "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses, "
        "submitted_by, finished_at) VALUES (gen_random_uuid(), 'w', '{}', %s, 'q', 4, 1, 5, 'ada', %s) "
        "RETURNING id",
        [state, "now" if state == "cancelled" else None],
    ).fetchone()
    assert row
    return row[0]


@pytest.fixture(scope="module")
def board(servers: Services) -> Iterator[Board]:
    with board_with_roles(servers, "roles") as made:
        with made.connect() as connection:
            connection.execute("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.secrets (word text)")
            add_job(connection, "pending")
        yield made


def test_who_owns_the_board_and_may_create_roles_needs_no_administrator(servers: Services) -> None:
    """The first test here: so far the server has no such roles."""
    with psycopg.connect(servers.database_url, autocommit=True) as server:
        server.execute("CREATE ROLE owner_of_it LOGIN CREATEROLE PASSWORD 'of-a-test'")
        server.execute("CREATE DATABASE owned OWNER owner_of_it")
        made = Board(servers.database_url.rpartition("/")[0] + "/owned")
        theirs = made.settings("owner_of_it")
        try:
            migrate.upgrade(theirs)
            migrate.give_to_roles(theirs)
            with made.connect("owner_of_it") as connection:
                connection.execute("CREATE ROLE ada_reads LOGIN PASSWORD 'of-a-test' IN ROLE simcelery_read")
            with made.connect(READS) as connection:
                connection.execute("TABLE jobs")
            migrate.upgrade(theirs)
            # On Postgres 14 `public` is a superuser's, who alone can close it.
            left = migrate.give_to_roles(theirs, dry=True)
            assert left[left[0].startswith("REVOKE CREATE")].startswith("GRANT USAGE")
        finally:
            engine.dispose()
            server.execute("DROP DATABASE owned WITH (FORCE)")
            for role in (READS, *roles.ROLES, "owner_of_it"):
                server.execute(f"DROP ROLE IF EXISTS {role}")


def test_every_table_has_been_decided(board: Board) -> None:
    """Whoever adds a table says in `roles.TABLES` what each role may do with it."""
    with board.connect() as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        assert {name for (name,) in rows} == set(TABLES)


def test_functions_run_with_the_rights_of_their_caller_but_for_one(board: Board) -> None:
    """That one sees no table of its caller's, and not everybody may call it."""
    with board.connect() as connection:
        rows = connection.execute(
            "SELECT proname, prosecdef, proconfig, proacl::text FROM pg_proc "
            "WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        ).fetchall()
    assert {name for name, *_ in rows} == {*sql.function_names(), "forget_fingerprints"}
    [(name, _, given, access)] = [row for row in rows if row[1]]
    assert name == "delete_jobs"
    assert given == ["search_path=public, pg_temp"]
    assert access == "{simcelery_admin=X/simcelery_admin,simcelery_work=X/simcelery_admin}"


def test_the_board_belongs_to_the_admins(board: Board) -> None:
    with board.connect() as connection:
        rows = connection.execute(
            "SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION "
            "SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )
        assert rows.fetchall() == [("simcelery_admin",)]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_who_reads_sees_every_table_and_writes_none(board: Board, table: str) -> None:
    with board.connect(READS) as connection:
        connection.execute(f"TABLE {table} LIMIT 1")
        for right in ("INSERT", "UPDATE"):
            [any_column] = connection.execute(
                "SELECT has_any_column_privilege(%s, %s)", [table, right]
            ).fetchone()
            assert not any_column
        rights = "DELETE, TRUNCATE, REFERENCES, TRIGGER"
        [allowed] = connection.execute("SELECT has_table_privilege(%s, %s)", [table, rights]).fetchone()
        assert not allowed


def test_who_reads_can_tell_autoscalers_and_prometheus(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    with board.connect(READS) as connection:
        assert connection.execute("SELECT simcelery_demand('q')").fetchone() == (1,)
    monkeypatch.setattr(engine, "get_settings", lambda: board.settings(READS))
    assert numbers.look().queues["q"].jobs == {State.PENDING: 1}


# What only the owner of the board may do.
OF_ADMINS = [
    "DELETE FROM jobs",
    "TRUNCATE jobs CASCADE",
    "DROP TABLE jobs",
    "DROP FUNCTION claim_jobs",
    "ALTER TABLE jobs DISABLE TRIGGER ALL",
    "ALTER TABLE jobs ADD COLUMN mine text",
    "ALTER FUNCTION delete_jobs(bigint[]) RESET search_path",
    "CREATE OR REPLACE FUNCTION state_after(text, boolean, boolean, integer, integer, integer, integer) "
    "RETURNS text LANGUAGE sql AS $$SELECT 'succeeded'$$",
    "CREATE TABLE mine (a integer)",
    "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE TRIGGER mine BEFORE UPDATE ON jobs EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE mine AS ON INSERT TO jobs DO INSTEAD NOTHING",
    "UPDATE alembic_version SET version_num = '9999'",
    "DELETE FROM attempts",
    "DELETE FROM interventions",
    "UPDATE interventions SET by = 'eve'",
    "DELETE FROM revisions",
    "UPDATE revisions SET parameters = '{}'",
    "INSERT INTO shares (queue, by) VALUES ('q', 'tag')",
    "GRANT simcelery_admin TO stranger",
    "SET ROLE simcelery_admin",
]
# What is not even an administrator's of the board.
OF_THE_SERVER = [
    "CREATE SCHEMA mine",
    "ALTER ROLE simcelery_read SUPERUSER",
    "CREATE ROLE mine LOGIN SUPERUSER",
    "SET session_replication_role = replica",
    "ALTER DATABASE roles SET fsync = off",
    "COPY jobs TO PROGRAM 'id'",
    "COPY jobs TO '/tmp/jobs.of.a.test'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "CREATE TEMPORARY TABLE lines (line text); COPY lines FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_export(lo_create(0), '/tmp/of.a.test')",
    "SELECT * FROM pg_authid",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'simcelery'",
    "TABLE elsewhere.secrets",
    "CREATE TABLE elsewhere.mine (a integer)",
]
# What those who work may do, and others not.
OF_WORKERS = [
    "UPDATE jobs SET result = '1'",
    "UPDATE jobs SET attempt = 0",
    "UPDATE jobs SET workflow = 'other', submitted_by = 'eve'",
    "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses, "
    "result, submitted_by) VALUES (gen_random_uuid(), 'w', '{}', 'pending', 'q', 4, 1, 5, '1', 'ada')",
    "UPDATE attempts SET outcome = 'succeeded'",
    "UPDATE workers SET lease_expires_at = now()",
    "INSERT INTO log_chunks (job_id, attempt, seq, text) VALUES (1, 1, 1, 'forged')",
    "UPDATE limits SET most = 100",
    "UPDATE recovery SET next_at = 'infinity'",
    "SELECT delete_jobs(ARRAY[1])",
    "SELECT * FROM finish_attempts('[{\"id\": 1}]')",
]
OF_SUBMITTERS = [
    "UPDATE jobs SET state = 'cancelled', finished_at = now()",
    "UPDATE jobs SET parameters = '{}'",
    "INSERT INTO dependencies (job_id, parent_id) VALUES (1, 2)",
    "SELECT nextval('jobs_id_seq')",
    "DELETE FROM steps",
]


@pytest.mark.parametrize("statement", [*OF_ADMINS, *OF_THE_SERVER])
@pytest.mark.parametrize("login", [READS, SUBMITS, WORKS])
def test_what_is_nobodys_part_is_refused(board: Board, login: str, statement: str) -> None:
    _is_refused(board, login, statement)


@pytest.mark.parametrize("statement", OF_WORKERS)
@pytest.mark.parametrize("login", [READS, SUBMITS])
def test_who_runs_no_jobs_does_nothing_that_a_worker_does(board: Board, login: str, statement: str) -> None:
    _is_refused(board, login, statement)


@pytest.mark.parametrize("statement", OF_SUBMITTERS)
def test_who_reads_submits_nothing_and_changes_no_job(board: Board, statement: str) -> None:
    _is_refused(board, READS, statement)


@pytest.mark.parametrize("statement", OF_THE_SERVER)
def test_who_manages_the_board_does_not_manage_the_server(board: Board, statement: str) -> None:
    _is_refused(board, MANAGES, statement)


def _is_refused(board: Board, login: str, statement: str) -> None:
    with board.connect(login) as connection:
        connection.execute("BEGIN")  # what is not refused is undone
        with pytest.raises(InsufficientPrivilege):
            connection.execute(statement)


def test_only_what_has_ended_can_be_deleted_and_no_table_of_the_callers_is_seen(board: Board) -> None:
    with board.connect() as connection:
        pending, ended = add_job(connection, "pending"), add_job(connection, "cancelled")
    with board.connect(WORKS) as connection:
        connection.execute("CREATE TEMPORARY TABLE jobs (id bigint, finished_at timestamptz)")
        deleted = connection.execute("SELECT delete_jobs(%s)", [[pending, ended]]).fetchone()
        assert deleted == (1,)
        left = connection.execute(
            "SELECT id FROM public.jobs WHERE id = ANY(%s)", [[pending, ended]]
        ).fetchall()
        assert left == [(pending,)]


def test_an_upgrade_keeps_what_is_new_in_order(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whom of the admins it was made: it belongs to all of them, and who reads sees it."""
    monkeypatch.setitem(TABLES, "new", roles.May(work="INSERT"))

    def install(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE new (id bigint GENERATED BY DEFAULT AS IDENTITY, a text)"))

    monkeypatch.setattr(sql, "install", install)
    migrate.upgrade(board.settings(MANAGES))
    with board.connect(READS) as connection:
        assert connection.execute("TABLE new").fetchall() == []
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'new'").fetchone()
        assert owner == ("simcelery_admin",)
    _is_refused(board, SUBMITS, "INSERT INTO new (a) VALUES ('b')")
    with board.connect(WORKS) as connection:
        connection.execute("INSERT INTO new (a) VALUES ('b')")
    with board.connect(MANAGES) as connection:
        connection.execute("DROP TABLE new")


def test_to_give_it_twice_changes_nothing(board: Board) -> None:
    def access() -> list[object]:
        with board.connect() as connection:
            of_columns = (
                "SELECT attrelid::regclass::text, attname, attacl FROM pg_attribute WHERE attacl IS NOT NULL"
            )
            of_tables = (
                "SELECT relname, relacl, relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
            return [sorted(map(str, connection.execute(one))) for one in (of_columns, of_tables)]

    before = access()
    assert before[0]
    for login in (None, MANAGES):
        migrate.give_to_roles(board.settings(login))
        assert access() == before


def test_a_board_of_the_same_server_is_not_given_by_an_upgrade(board: Board, servers: Services) -> None:
    """The roles are the server's: whoever reads one board does not by that read all others."""
    with psycopg.connect(servers.database_url, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS other WITH (FORCE)")
        server.execute("CREATE DATABASE other")
        other = Board(servers.database_url.rpartition("/")[0] + "/other")
        migrate.upgrade(other.settings())
        migrate.upgrade(other.settings())
        _is_refused(other, READS, "TABLE jobs")
        engine.dispose()
        server.execute("DROP DATABASE other WITH (FORCE)")


def test_who_may_not_mend_rows_is_told_what_they_were_in_the_way_of(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act() -> None:
        raise RefusedByBoardError("the board cannot store this")

    monkeypatch.setattr(mending, "_not_before", float("-inf"))
    monkeypatch.setattr(engine, "get_settings", lambda: board.settings(SUBMITS))
    with pytest.raises(RefusedByBoardError):
        mending.despite_bad_rows(act)
    engine.dispose()
