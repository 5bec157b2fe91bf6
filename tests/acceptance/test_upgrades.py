"""The board is upgraded while workers and clients of the version before are at work.

A fresh clone has no other version of the package. So the next one is made of this one: a copy with one
migration more, which changes what migrations do change, and with the statements that go with it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import simcelery
from simcelery.board import engine, migrate, schema
from simcelery.services import Services
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings, get_settings
from tests.acceptance.helpers import executions
from tests.conftest import Project, make_project
from tests.programs import BIN
from tests.servers import all_succeeded, ask, outcomes, submit_traces
from tests.waiting import wait_until, within

NEXT = f"{int(schema.REVISION) + 1:04}"
MIGRATION = """
from alembic import op
revision, down_revision = "{next}", "{now}"

def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN made_for TEXT NOT NULL DEFAULT ''")
    op.execute("DROP FUNCTION IF EXISTS {old}")
"""


def next_version(folder: Path, function: str) -> Path:
    """The package as it will be, where one of the schema's functions has another name; its parent folder."""
    package = folder / "simcelery"
    shutil.copytree(Path(simcelery.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    versions = package / "board" / "migrations" / "versions"
    text = MIGRATION.format(next=NEXT, now=schema.REVISION, old=function)
    (versions / f"{NEXT}_next.py").write_text(text)
    for file in package.rglob("*.sql"):
        file.write_text(file.read_text().replace(f"{function}(", f"{function}_{NEXT}("))
    known = package / "board" / "schema.py"
    known.write_text(known.read_text().replace(f'"{schema.REVISION}"', f'"{NEXT}"'))
    return folder


@dataclass
class Upgrading:
    """A board of its own; a project with this version, whose programs may also be those of the next one."""

    settings: Settings
    project: Project
    next: dict[str, str]


@pytest.fixture
def upgrading(board: Services, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Upgrading]:
    with psycopg.connect(board.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS upgraded WITH (FORCE)")
        connection.execute("CREATE DATABASE upgraded")
    url = urlsplit(board.database_url)._replace(path="/upgraded").geturl()
    settings = replace(get_settings(), database_url=Secret(url))
    migrate.upgrade(settings)
    (tmp_path / "project").mkdir()
    project = make_project(board, tmp_path / "project")
    project.environment |= {"SIMCELERY_DATABASE_URL": url, "SIMCELERY_HOME": str(tmp_path / "home")}
    yield Upgrading(settings, project, {"PYTHONPATH": str(next_version(tmp_path / "next", request.param))})
    project.end()
    engine.dispose()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("upgrading", ["claim_jobs", "finish_attempts"], indirect=True)
def test_workers_of_before_end_their_jobs_begin_no_more_and_leave_the_rest_to_the_next_version(
    upgrading: Upgrading, tmp_path: Path
) -> None:
    """Whether the next version claims in another way, or finishes in another way."""
    settings, project = upgrading.settings, upgrading.project
    counts, gate = [tmp_path / f"count{number}" for number in range(10)], tmp_path / "gate"
    gate.mkdir()
    workers = [project.worker("-c", "1") for _ in range(2)]
    long = f"import sims\nfor _ in range(2): sims.writes.submit('f', 6, {str(gate)!r})"
    assert project.python(long).returncode == 0
    running = "SELECT count(*) AS n FROM jobs WHERE state = 'running'"
    wait_until(lambda: ask(settings, running)[0]["n"] == 2)
    submit_traces(project, counts)

    done = project.run("simcelery", "db", "upgrade", **upgrading.next)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"schema {schema.REVISION} → {NEXT}\n"
    said = f"it has schema {NEXT}, but this worker needs {schema.REVISION}; it takes no more jobs"
    wait_until(lambda: [log.count(said) for log in project.log_of_each().values()] == [1, 1])
    assert ask(settings, running)[0]["n"] == 2
    (gate / "0").touch()
    for worker in workers:
        assert worker.wait(within(60)) == 1
    assert project.logs().count(said) == 2
    assert "Traceback" not in project.logs()
    assert not any(map(executions, counts))

    # They are of no use any more, and say so.
    refused = f"has schema {NEXT}, newer than {schema.REVISION} of this simcelery: upgrade simcelery here"
    for words in (["celery", "-A", "simcelery", "worker"], ["simcelery", "submit", "sims.add", "a=1"]):
        done = project.run(*words)
        assert done.returncode == 2
        assert refused in done.stderr.splitlines()[-1]

    late = project.worker("-c", "1", **upgrading.next)
    wait_until(lambda: all_succeeded(settings, 12), 60)
    assert [executions(count) for count in counts] == [1] * 10
    assert outcomes(settings) == [["succeeded"]] * 12
    assert late.poll() is None
    assert "Traceback" not in project.logs()


# A script that goes on for long.
SCRIPT = """
import sims, time
while True:
    sims.add.submit(1)
    print("recorded", flush=True)
    time.sleep(0.2)
"""


@pytest.mark.parametrize("upgrading", ["claim_jobs"], indirect=True)
def test_a_script_of_before_ends_with_one_line(upgrading: Upgrading, tmp_path: Path) -> None:
    project = upgrading.project
    said = tmp_path / "said"
    done = project.run("python", "-c", "import sims; sims.add.submit(1)")
    assert done.returncode == 0, done.stderr
    (project.folder / "script.py").write_text(SCRIPT)
    with said.open("wb") as output:
        words = [str(BIN / "python"), "script.py"]
        script = subprocess.Popen(
            words, cwd=project.folder, env=project.environment, stdout=output, stderr=output
        )
    project.processes.append(script)
    wait_until(lambda: said.read_text().count("recorded") >= 2)
    assert project.run("simcelery", "db", "upgrade", **upgrading.next).returncode == 0
    before = ask(upgrading.settings, "SELECT count(*) AS n FROM jobs")[0]["n"]
    assert script.wait(within(30)) == 1
    last = said.read_text().splitlines()[-1]
    assert f"has schema {NEXT}, newer than {schema.REVISION} of this simcelery: upgrade" in last
    assert before >= 3
