"""What docker-compose.yml does to a new Postgres: each logs in as one, and nobody manages the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from simcelery.board import engine, migrate
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from tests import composed

PASSWORDS = {
    "POSTGRES_PASSWORD": "of-'the'-board",
    "POSTGRES_WORKER_PASSWORD": "of-workers",
    "POSTGRES_CLIENT_PASSWORD": "of-clients",
    "POSTGRES_MONITOR_PASSWORD": "of-monitors",
}
LOGINS = dict(zip(("simcelery", "worker", "client", "monitor"), PASSWORDS.values(), strict=True))
MAY = {"worker": "simcelery_work", "client": "simcelery_submit", "monitor": "simcelery_submit"}


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[composed.Postgres]:
    """With a board that was given to the roles, as the service migrate does it."""
    with composed.postgres(tmp_path_factory.mktemp("compose")) as made:
        made.run_script(PASSWORDS)
        migrate.upgrade(settings_of(made))
        migrate.give_to_roles(settings_of(made))
        yield made
        engine.dispose()


def settings_of(server: composed.Postgres) -> Settings:
    """Those of whoever manages the board."""
    return replace(Settings(), database_url=Secret(server.url("simcelery", LOGINS["simcelery"])))


def connect(server: composed.Postgres, user: str) -> psycopg.Connection:
    return psycopg.connect(server.url(user, LOGINS[user]), autocommit=True)


@pytest.mark.parametrize("user", LOGINS)
def test_nobody_manages_the_server(new: composed.Postgres, user: str) -> None:
    with connect(new, user) as connection:
        asked = "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(asked).fetchone() == (False,)
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        for refused in (
            "COPY jobs FROM PROGRAM 'true'",
            "SELECT pg_read_file('/etc/passwd')",
            "CREATE DATABASE d",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused.encode())


@pytest.mark.parametrize("user", MAY)
def test_each_is_in_the_role_of_its_part_and_in_no_other(new: composed.Postgres, user: str) -> None:
    with connect(new, user) as connection:
        rows = connection.execute(
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole", [user]
        )
        assert rows.fetchall() == [(MAY[user],)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE jobs")


@pytest.mark.parametrize("password", [composed.OF_THE_IMAGE, *PASSWORDS.values(), ""])
def test_nobody_logs_in_as_the_superuser(new: composed.Postgres, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(new.url("postgres", password))


@pytest.mark.parametrize("other", [one for one in LOGINS if one != "worker"])
def test_the_password_of_one_is_not_that_of_another(new: composed.Postgres, other: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(new.url(other, LOGINS["worker"]))


def test_run_again_it_sets_the_passwords_and_makes_what_an_older_volume_lacks(tmp_path: Path) -> None:
    with composed.postgres(tmp_path) as older, psycopg.connect(older.superuser_url, autocommit=True) as root:
        root.execute("CREATE ROLE simcelery LOGIN PASSWORD 'as-it-was'")
        root.execute("CREATE DATABASE simcelery OWNER simcelery")
        before = replace(Settings(), database_url=Secret(older.url("simcelery", "as-it-was")))
        migrate.upgrade(before)
        for _ in range(2):
            older.run_script(PASSWORDS)
            migrate.upgrade(settings_of(older))
            migrate.give_to_roles(settings_of(older))
        for user in MAY:
            with connect(older, user) as connection:
                assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(older.url("simcelery", "as-it-was"))
        engine.dispose()
