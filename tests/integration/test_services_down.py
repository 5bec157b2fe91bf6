"""Every command that acts, while Redis or Postgres is down: one line, and nothing half done."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter

import simcelery
from tests.conftest import Project

DOWN = "127.0.0.1:1"  # where nobody listens, as after a server was killed
# Job #1 is a canary, which holds #2; #3 and #4 are cancelled, and #5 waits.
BEFORE = ("submit sims.add --grid a=1,2 --canary 1", "submit sims.add --grid a=3,4,5", "cancel #3-#4 -y")
# And what each says while Redis is down:
ACTS = {
    "submit sims.add a=1": "job #6 is recorded and will be published later",
    "submit sims.add --grid a=1,2 --canary 1": "job #7 is recorded and will be published later",
    "retry #3": "job #3 is recorded and will be published later",
    "retry #4 --set a=3": "job #4 is recorded and will be published later",
    "release #2": "job #2 is released and will be published later",
    "cancel #5": "",  # workers learn it from the board
}


class Shell:
    """Runs lines in which ``#1`` is the first job of the test."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.first = 1
        self.first += int(self("submit sims.add a=0 -o quiet").stdout)
        for line in BEFORE:
            assert self(line).returncode == 0

    def told(self, line: str) -> str:
        return re.sub(r"#(\d)", lambda match: str(self.first - 1 + int(match[1])), line)

    def __call__(self, line: str) -> subprocess.CompletedProcess[str]:
        return self._project.run("simcelery", *shlex.split(self.told(line), comments=False))

    def states(self) -> dict[int, str]:
        return {job.id - self.first + 1: job.state.value for job in simcelery.jobs()}


def test_without_redis_what_acts_does_all_of_it_on_the_board_and_says_so(project: Project) -> None:
    run = Shell(project)
    project.environment["SIMCELERY_BROKER_URL"] = f"redis://{DOWN}/0"
    for line, said in ACTS.items():
        done = run(line)
        warned = done.stderr.splitlines()
        assert done.returncode == 0, done.stderr
        assert len(warned) == bool(said), (line, warned)
        assert all(run.told(said) in one and "cannot be reached" in one for one in warned), (line, warned)
    found = run.states()
    assert found.pop(0) == "pending"
    assert found[5] == "cancelled"
    assert Counter(found.values()) == {"pending": 6, "cancelled": 1, "blocked": 1}
    assert simcelery.get_job(run.first + 3).parameters["a"] == 3


def test_without_postgres_nothing_is_done_and_one_line_says_why(project: Project) -> None:
    run = Shell(project)
    before = run.states()
    url = project.environment["SIMCELERY_DATABASE_URL"]
    host = url.rpartition("@")[2].partition("/")[0]
    project.environment["SIMCELERY_DATABASE_URL"] = url.replace(host, DOWN)
    for line in (*ACTS, "logs #1 --file x"):
        done = run(line)
        assert (done.returncode, done.stdout) == (3, ""), line
        [said] = done.stderr.splitlines()
        assert said.startswith(f"simcelery: the board at {DOWN}/"), (line, said)
    done = run(f"notify test http://{DOWN}/")  # which needs no board
    assert done.returncode == 3
    assert "unreachable: connection refused" in done.stdout
    assert run.states() == before
