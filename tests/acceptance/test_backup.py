"""A backup by pg_dump while everybody works; then the database is lost, and with it all workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from simcelery.board import engine, migrate
from simcelery.services import Services
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings, get_settings
from tests.acceptance import saying
from tests.acceptance.saying import every_outcome_is_its_own, finished, ran
from tests.conftest import Project, make_project
from tests.servers import all_succeeded, ask, postgres_tool
from tests.waiting import wait_until, within

JOBS = 150


def new_database(board: Services) -> str:
    """An empty one, in the place of what was there; its URL."""
    with psycopg.connect(board.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS kept WITH (FORCE)")
        connection.execute("CREATE DATABASE kept")
    return urlsplit(board.database_url)._replace(path="/kept").geturl()


@pytest.fixture
def settings(board: Services) -> Iterator[Settings]:
    made = replace(get_settings(), database_url=Secret(new_database(board)))
    migrate.upgrade(made)
    yield made
    engine.dispose()


@pytest.fixture
def project(settings: Settings, board: Services, tmp_path: Path) -> Iterator[Project]:
    made = make_project(board, tmp_path)
    url = settings.board_url().replace("+psycopg", "")
    made.environment |= {"SIMCELERY_DATABASE_URL": url, "SIMCELERY_HOME": str(tmp_path / "home")}
    saying.add_to(made)
    yield made
    made.end()


@pytest.mark.timeout(240)
def test_a_backup_under_load_is_whole_and_the_same_script_brings_back_what_came_after_it(
    project: Project, settings: Settings, board: Services, tmp_path: Path
) -> None:
    url, dump = project.environment["SIMCELERY_DATABASE_URL"], str(tmp_path / "board.dump")
    workers = [project.worker("-c", "2") for _ in range(2)]
    submission = project.start_python(saying.submits(project, JOBS))
    wait_until(lambda: len(finished(settings)) >= 20)
    known = set(finished(settings))
    postgres_tool("pg_dump", "-Fc", "-f", dump, url)
    behind = len(finished(settings))
    wait_until(lambda: len(finished(settings)) >= behind + 20)
    assert submission.wait(within(90)) == 0

    for worker in workers:
        worker.kill()
        worker.wait()
    new_database(board)
    postgres_tool("pg_restore", "--exit-on-error", "-d", url, dump)
    assert project.run("simcelery", "db", "check").returncode == 0
    restored = ask(settings, "SELECT count(*) AS n FROM jobs")[0]["n"]
    assert len(known) <= restored < JOBS
    assert known <= set(finished(settings))
    unchanged = {name: times for name, times in ran(project).items() if int(name[4:]) + 1 in known}

    late = [project.worker("-c", "2") for _ in range(2)]
    done = project.python(saying.submits(project, JOBS), timeout=within(120))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: all_succeeded(settings, JOBS), 90)
    every_outcome_is_its_own(settings)
    times = ran(project)
    assert unchanged == {name: times[name] for name in unchanged}
    assert set(times) == {f"job-{number}" for number in range(JOBS)}
    assert [worker.poll() for worker in late] == [None, None]
    assert not re.search("Traceback|unreadable", project.logs())
