"""What several acceptance tests do with a project."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

import simcelery
from simcelery import Job
from tests.conftest import Project
from tests.processes import command_alive
from tests.waiting import wait_until

# The failpoints between message and finish, and how often a job runs that loses its process there once.
LINES = {
    "before_claim": 1,
    "after_claim": 1,
    "before_run": 1,
    "after_run": 2,
    "before_finish": 2,
    "after_finish": 1,
}


def executions(path: Path) -> int:
    """How often ``trace`` ran for this file."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def submit(project: Project, code: str, **environment: str) -> Job:
    """Submit one job of ``sims`` from a client process of its own, such as ``add.submit(1)``."""
    done = project.python(f"import sims; print(sims.{code}.id)", **environment)
    assert done.returncode == 0, done.stderr
    return simcelery.get_job(int(done.stdout))


def submit_each(project: Project, code: str, values: Iterable[object]) -> list[Job]:
    """Submit one job after the other from one client, such as ``add.submit({})`` for each of the values."""
    lines = "".join(f"print(sims.{code.format(value)}.id)\n" for value in values)
    done = project.python(f"import sims\n{lines}")
    assert done.returncode == 0, done.stderr
    return [simcelery.get_job(int(line)) for line in done.stdout.split()]


def submit_command(project: Project, *argv: str) -> Job:
    """Submit a command through the command line."""
    done = project.run("simcelery", "submit", "-o", "quiet", "--", *argv)
    assert done.returncode == 0, done.stderr
    return simcelery.get_job(int(done.stdout))


def wait_for_command(words: str, number: int = 1) -> None:
    """Wait until so many processes with this command line live."""
    wait_until(lambda: command_alive(words) == number)


def controllers(project: Project) -> list[psutil.Process]:
    """The processes that look after its clusters."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            url = process.environ().get("SIMCELERY_DATABASE_URL")
            if (
                "simcelery.cluster" in process.info["cmdline"]
                and url == project.environment["SIMCELERY_DATABASE_URL"]
            ):
                found.append(process)
    return found
