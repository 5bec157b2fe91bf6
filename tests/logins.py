"""A board of its own in the servers of the tests, and a login of Postgres in each of the roles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import psycopg

from simcelery.board import engine, migrate
from simcelery.board.roles import ROLES
from simcelery.services import Services
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings, get_settings

# A login of each role, and one that is in none.
LOGINS = {"ada_reads": "simcelery_read", "ada_submits": "simcelery_submit", "works": "simcelery_work"}
LOGINS |= {"manages": "simcelery_admin", "stranger": None}
_PASSWORD = "of-a-test"


@dataclass(frozen=True)
class Board:
    """A board, and who may do what there.

    Attributes:
        database_url: of who may do everything with the server.
    """

    database_url: str

    def url(self, login: str) -> str:
        """What a login has as its ``database_url``."""
        parts = urlsplit(self.database_url)
        return f"postgresql://{login}:{_PASSWORD}@{parts.hostname}:{parts.port}{parts.path}"

    def settings(self, login: str | None = None) -> Settings:
        """Those of a login; of who may do everything, without one."""
        return replace(get_settings(), database_url=Secret(self.url(login) if login else self.database_url))

    def connect(self, login: str | None = None) -> psycopg.Connection:
        """A connection in which each statement is a transaction."""
        return psycopg.connect(self.url(login) if login else self.database_url, autocommit=True)


@contextmanager
def board_with_roles(servers: Services, name: str, *, given: bool = True) -> Iterator[Board]:
    """A new database with the schema and, where it is `given` to the roles, these and their logins.

    The roles and logins are those of the server: they end with the database.
    """
    with psycopg.connect(servers.database_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        made = Board(servers.database_url.rpartition("/")[0] + f"/{name}")
        try:
            migrate.upgrade(made.settings())
            if given:
                migrate.give_to_roles(made.settings())
                for login, role in LOGINS.items():
                    inside = f"IN ROLE {role}" if role else ""
                    server.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{_PASSWORD}' {inside}")
            yield made
        finally:
            engine.dispose()
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for role in (*LOGINS, *ROLES):
                server.execute(f"DROP ROLE IF EXISTS {role}")
