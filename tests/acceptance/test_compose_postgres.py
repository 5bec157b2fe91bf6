"""What docker-compose.yml does to a new Postgres: who logs in owns the board, and not the server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from simcelery.board import engine, migrate
from simcelery.services import programs
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from tests.servers import own_servers

SCRIPT = Path(__file__).parents[2] / "docker" / "postgres" / "simcelery.sql"


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server is that had a superuser postgres, as in the image, before the script has run."""
    with own_servers(tmp_path_factory.mktemp("compose")) as settings:
        assert settings.database_url is not None
        ours = settings.database_url.get_secret_value()
        engine.dispose()
        with psycopg.connect(ours, autocommit=True) as connection:
            connection.execute("CREATE ROLE postgres SUPERUSER LOGIN PASSWORD 'of-the-image'")
        where = f"{urlsplit(ours).hostname}:{urlsplit(ours).port}"
        image = f"postgresql://postgres:of-the-image@{where}/postgres"
        with psycopg.connect(image, autocommit=True) as connection:
            connection.execute("ALTER DATABASE simcelery RENAME TO before")
            connection.execute("ALTER ROLE simcelery RENAME TO before")
        psql = [str(programs.postgres_bin(None) / "psql"), "-v", "ON_ERROR_STOP=1", "-X", "-d", image]
        environment = {**os.environ, "POSTGRES_PASSWORD": "of-'the'-board"}
        subprocess.run([*psql, "-f", str(SCRIPT)], env=environment, check=True)
        yield where


def login(where: str, user: str, password: str) -> str:
    return f"postgresql://{user}:{password}@{where}/{'simcelery' if user == 'simcelery' else 'postgres'}"


def test_the_board_is_made_and_the_server_is_not_managed(new: str, settings_of_board: Settings) -> None:
    migrate.upgrade(settings_of_board)
    with engine.begin(settings_of_board) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 0
        asked = "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
        assert connection.exec_driver_sql(asked).scalar() is False
    url = login(new, "simcelery", "of-'the'-board")
    for refused in (
        "COPY jobs FROM PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
        "CREATE DATABASE d",
    ):
        with (
            psycopg.connect(url, autocommit=True) as connection_,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection_.execute(refused.encode())


@pytest.fixture
def settings_of_board(new: str) -> Iterator[Settings]:
    """Those of whoever has the password."""
    yield replace(Settings(), database_url=Secret(login(new, "simcelery", "of-'the'-board")))
    engine.dispose()


@pytest.mark.parametrize("password", ["of-the-image", "of-'the'-board", ""])
def test_nobody_logs_in_as_the_superuser(new: str, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(login(new, "postgres", password))
