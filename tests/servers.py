"""Embedded servers of a test's own, to be killed and started; and ways to look at what became of the jobs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

from simcelery import services
from simcelery.board import engine, migrate
from simcelery.services import programs
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from tests.conftest import Project, empty, make_project
from tests.kept_servers import never_sync
from tests.waiting import wait_until


@contextmanager
def own_servers(folder: Path) -> Iterator[Settings]:
    """Servers with the schema, under a home in `folder`, and the settings that reach them."""
    mine = Settings(home=folder / "home")
    running = services.up(mine)
    never_sync(running)
    urls = {
        "database_url": Secret(running.database_url),
        "broker_url": Secret(running.broker_url),
    }
    reachable = replace(mine, **urls)
    try:
        migrate.upgrade(reachable)
        yield reachable
    finally:
        engine.dispose()
        services.erase(mine)


@contextmanager
def own_project(settings: Settings, folder: Path) -> Iterator[Project]:
    """A project on these servers, all of them up; its first job is job 1."""
    running = services.up(settings)
    empty(running)
    with psycopg.connect(running.database_url) as connection:
        connection.execute("TRUNCATE jobs RESTART IDENTITY CASCADE")
    shutil.rmtree(settings.spool, ignore_errors=True)
    folder.mkdir()
    project = make_project(running, folder)
    project.environment["SIMCELERY_HOME"] = str(settings.home)
    try:
        yield project
    finally:
        project.end()


def kill_server(settings: Settings, name: str) -> None:
    """kill -9 of one embedded server, ``postgres`` or ``valkey``, that this test started."""
    [pid] = [one.pid for one in services.status(settings) if one.name == name]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def postgres_tool(name: str, *arguments: str) -> None:
    """Run one of Postgres's own tools."""
    words = [str(programs.postgres_bin(None) / name), *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def ask(settings: Settings, statement: str, *values: object) -> list[dict[str, Any]]:
    """What a board answers; this process's own settings may point to another one."""
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    try:
        return _asked(url, statement, values)
    except psycopg.OperationalError:  # the server was killed since
        _connection.cache_clear()
        return _asked(url, statement, values)


def _asked(url: str, statement: str, values: tuple[object, ...]) -> list[dict[str, Any]]:
    return _connection(url).execute(statement.encode(), values).fetchall()


@lru_cache(maxsize=4)
def _connection(url: str) -> psycopg.Connection[dict[str, Any]]:
    # Kept: to log in costs both sides more than most questions, and some are asked twenty times a second.
    return psycopg.connect(url, row_factory=dict_row, autocommit=True)


def all_succeeded(settings: Settings, count: int) -> bool:
    """Whether so many jobs are on the board, and all have succeeded."""
    rows = ask(settings, "SELECT state, count(*) AS n FROM jobs GROUP BY state")
    return [(row["state"], row["n"]) for row in rows] == [("succeeded", count)]


def outcomes(settings: Settings) -> list[list[str]]:
    """For each job, how its attempts ended."""
    rows = ask(
        settings,
        "SELECT array_remove(array_agg(outcome ORDER BY a.attempt), NULL) AS ended"
        " FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id GROUP BY j.id ORDER BY j.id",
    )
    return [row["ended"] for row in rows]


@dataclass
class Traps:
    """Failpoints of running workers, set one by one; each makes one process sleep, and only once."""

    folder: Path
    lines: tuple[str, ...]

    def environment(self, seconds: float) -> dict[str, str]:
        """What the workers are started with. No trap is set yet."""
        self.folder.mkdir()
        for line in self.lines:
            (self.folder / line).touch()
        return {
            "SIMCELERY_FAILPOINTS": ",".join(f"{line}=sleep:{seconds}" for line in self.lines),
            "SIMCELERY_FAILPOINTS_ONCE": str(self.folder),
        }

    def set(self) -> None:
        """The next process at each of the lines sleeps there."""
        for line in self.lines:
            (self.folder / line).unlink()

    def sprung(self) -> bool:
        """Whether a process has come to every one of the lines."""
        return all((self.folder / line).exists() for line in self.lines)


def executions(path: Path) -> int:
    """How often ``trace`` ran for this file."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def submit_traces(project: Project, paths: list[Path], **given: object) -> None:
    """Submit one ``trace`` for each file, from a client of its own."""
    words = "".join(f", {name}={value!r}" for name, value in given.items())
    code = "import sims\n" + "\n".join(f"sims.trace.submit({str(path)!r}{words})" for path in paths)
    done = project.python(code)
    assert done.returncode == 0, done.stderr
