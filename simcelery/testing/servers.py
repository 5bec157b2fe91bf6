"""The servers of a test run, and the settings that lead to them and to nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import redis

from simcelery import broker, services, settings
from simcelery.board import engine, for_tests, migrate

# Short, so that nobody waits; what you have set yourself counts more.
_QUICK = {
    "LEASE": "5s",
    "RENEW_EVERY": "1s",
    "TICK_EVERY": "200ms",
    "KILL_GRACE": "1s",
    "SHUTDOWN_GRACE": "2s",
}


@dataclass(frozen=True)
class Board:
    """Where the tests' jobs are.

    This process and all that it starts find it by the environment: submit and look as you always do, from
    Python or with the command ``simcelery``.

    Attributes:
        home: the temporary home, with the folders of the jobs in ``home/workdirs``.
        database_url: of Postgres.
        broker_url: of Redis.
    """

    home: Path
    database_url: str
    broker_url: str
    _of_its_schema: for_tests.Rows = field(repr=False)

    def empty(self) -> None:
        """Delete all jobs, workers, messages and files of jobs."""
        with engine.begin() as connection:
            for_tests.empty(connection, but=self._of_its_schema)
        redis.Redis.from_url(self.broker_url).flushdb()
        for folder in (settings.get_settings().workdirs, settings.get_settings().spool):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def of_its_own(home: Path) -> Iterator[Board]:
    """Embedded servers in this home, for the length of a block; the environment leads to them alone."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DATABASE_URL", "BROKER_URL"):
            environment.delenv(f"SIMCELERY_{name}", raising=False)
        given = {"HOME": str(home), "WORKDIR_ROOT": str(home / "workdirs")}
        given |= {name: value for name, value in _QUICK.items() if not os.environ.get(f"SIMCELERY_{name}")}
        _set(environment, given)
        try:
            with _servers(home) as running:
                urls = {"DATABASE_URL": running.database_url, "BROKER_URL": running.broker_url}
                _set(environment, urls)
                _use_broker(running.broker_url)
                migrate.upgrade()
                with engine.begin() as connection:
                    rows = for_tests.contents(connection)
                yield Board(home, running.database_url, running.broker_url, rows)
        finally:
            environment.undo()
            settings.override({})


def _set(environment: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name, value in given.items():
        environment.setenv(f"SIMCELERY_{name}", value)
    settings.override({})


@contextmanager
def _servers(home: Path) -> Iterator[services.Services]:
    own = replace(settings.get_settings(), home=home)
    try:
        yield services.up(own)
    finally:
        engine.dispose()
        services.erase(own)


def _use_broker(url: str) -> None:
    """Forget the broker that a module of tests may have used when it was imported."""
    app = broker.app()
    if app.conf.broker_url != url:
        app.conf.broker_url = url
        app._after_fork()  # its connections
