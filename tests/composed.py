"""A Postgres as docker-compose.yml makes it: that of its image, then the script that makes the logins."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from simcelery.board import engine
from simcelery.services import programs
from tests.servers import own_servers

SCRIPT = Path(__file__).parents[1] / "docker" / "postgres" / "simcelery.sql"
OF_THE_IMAGE = "of-the-image"


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        where: ``host:port``.
        superuser_url: of one who stays when the image's superuser has no password any more.
    """

    where: str
    superuser_url: str

    def url(self, user: str, password: str) -> str:
        """What a login has as its ``database_url``."""
        return f"postgresql://{user}:{password}@{self.where}/simcelery"

    def run_script(self, passwords: Mapping[str, str]) -> None:
        """As the container does with a new volume, and as people do with one that is there already."""
        psql = [str(programs.postgres_bin(None) / "psql"), "-v", "ON_ERROR_STOP=1", "-X"]
        environment = {**os.environ, **passwords}
        subprocess.run([*psql, "-d", self.superuser_url, "-f", str(SCRIPT)], env=environment, check=True)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A server with a superuser postgres, as the image makes it, and without a board."""
    with own_servers(folder) as settings:
        assert settings.database_url is not None
        ours = settings.database_url.get_secret_value()
        engine.dispose()
        where = f"{urlsplit(ours).hostname}:{urlsplit(ours).port}"
        with psycopg.connect(ours, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '{OF_THE_IMAGE}'")
        with psycopg.connect(
            f"postgresql://postgres:{OF_THE_IMAGE}@{where}/postgres", autocommit=True
        ) as renamer:
            renamer.execute("ALTER DATABASE simcelery RENAME TO before")
            renamer.execute("ALTER ROLE simcelery RENAME TO before")
        yield Postgres(where, f"postgresql://before:{urlsplit(ours).password}@{where}/postgres")
