"""What tells one board from another, and stays the same for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine

from simcelery.board.reads.identity import identity
from simcelery.services import Services


def identity_of(url: str) -> str:
    made = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with made.connect() as connection:
        return identity(connection)


@pytest.fixture
def another(servers: Services) -> Iterator[str]:
    """The URL of another database of the same server."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE another")
        yield servers.database_url.rpartition("/")[0] + "/another"
        connection.execute("DROP DATABASE another WITH (FORCE)")


@pytest.fixture
def role(servers: Services) -> Iterator[str]:
    """The URL of the board for an ordinary role."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE ordinary LOGIN PASSWORD 'ordinary'")
        yield "postgresql://ordinary:ordinary@" + servers.database_url.rpartition("@")[2]
        connection.execute("DROP ROLE ordinary")


def test_two_databases_of_a_server_are_two_boards(servers: Services, another: str) -> None:
    assert identity_of(servers.database_url) == identity_of(servers.database_url)
    assert identity_of(servers.database_url) != identity_of(another)


def test_every_role_sees_the_same_board(servers: Services, role: str) -> None:
    assert identity_of(role) == identity_of(servers.database_url)


def test_a_role_that_may_not_ask_the_server_still_tells_two_boards_apart(
    servers: Services, role: str, another: str
) -> None:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    with psycopg.connect(another, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        mine, its = identity_of(role), identity_of(role.rpartition("/")[0] + "/another")
    finally:
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
    assert mine != its
