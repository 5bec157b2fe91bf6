"""Each attempt says with which code, commit, lock file and modules it ran."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from simcelery import get_job
from simcelery.board import engine, leases, retention
from simcelery.board.reads.origins import of_workflow
from tests.board_helpers import attempts, finish, must_claim, record, sql
from tests.conftest import Project

ORIGIN: dict[str, Any] = {
    "python": "3.12.1",
    "simcelery": "0.1.0",
    "modules": ["gcc/12"],
    "workflows": {"w": {"package": "sims", "version": "2.0", "source": "sims.py:1", "tree": "/sims"}},
    "trees": {
        "/sims": {
            "repository": "https://example.org/sims.git",
            "commit": "c" * 40,
            "dirty": True,
            "lock": {"file": "/sims/uv.lock", "sha256": "d" * 64},
        }
    },
}


def worker(origin: dict[str, Any] | None) -> int:
    with engine.begin() as connection:
        return leases.register(
            connection,
            nodename="w@test",
            host="test",
            pid=1,
            queues=["default"],
            concurrency=1,
            scheduler_job_id=None,
            version="0",
            lease=600,
            origin=origin,
        ).worker_id


@pytest.mark.usefixtures("board")
def test_attempts_refer_to_one_row_for_all_that_is_the_same() -> None:
    sql("DELETE FROM environments")
    for origin in (ORIGIN, dict(reversed(ORIGIN.items())), {**ORIGIN, "modules": []}, None):
        job = record()
        finish(must_claim(job.task_id, worker(origin)))
    assert sql("SELECT count(*) FROM environments") == [(2,)]
    found = [attempts(number)[0]["environment"] for (number,) in sql("SELECT id FROM jobs ORDER BY id")]
    assert (
        found[0]
        == found[1]
        == {
            "python": "3.12.1",
            "simcelery": "0.1.0",
            "package": "sims",
            "version": "2.0",
            "source": "sims.py:1",
            "tree": "/sims",
            "repository": "https://example.org/sims.git",
            "commit": "c" * 40,
            "dirty": True,
            "lock": {"file": "/sims/uv.lock", "sha256": "d" * 64},
            "modules": ["gcc/12"],
        }
    )
    assert found[2]["modules"] == []
    assert found[3] is None


@pytest.mark.usefixtures("board")
def test_an_archive_holds_it() -> None:
    job = record()
    finish(must_claim(job.task_id, worker(ORIGIN)))
    with engine.begin() as connection:
        [archived] = retention.archived(connection, [job.id])
    assert json.loads(archived.line)["attempts"][0]["environment"] == ORIGIN


@pytest.mark.parametrize("odd", [[], {"workflows": 7}, {"workflows": {"w": []}, "trees": None}, "text"])
def test_rows_that_others_wrote_are_read_as_far_as_possible(odd: Any) -> None:
    found = of_workflow(odd, "w")
    assert found is None or found["commit"] is None


@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_real_worker_in_a_repository(preload: str, project: Project) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=project.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    Path(project.folder, "uv.lock").write_text("locked")
    git("init", "-q")
    git("add", "sims.py", "uv.lock")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    project.worker(SIMCELERY_PRELOAD=preload, LOADEDMODULES="gcc/12.2")
    number = int(project.run("simcelery", "submit", "sims.add", "a=1", "-o", "quiet").stdout)
    assert project.run("simcelery", "wait", str(number)).returncode == 0
    [attempt] = get_job(number).attempts()
    environment = attempt["environment"]
    assert (environment["commit"], environment["dirty"]) == (commit, False)
    assert (environment["package"], environment["modules"]) == ("sims", ["gcc/12.2"])
    assert environment["source"].startswith("sims.py:")
    shown = project.run("simcelery", "show", str(number)).stdout
    said = next(line for line in shown.splitlines() if "attempt 1, code: " in line)
    assert f"sims ({environment['source']}), commit {commit[:10]}, uv.lock " in said
    assert said.endswith("modules gcc/12.2")
    told = json.loads(project.run("simcelery", "show", str(number), "-o", "json").stdout)
    assert told["attempts"][0]["environment"]["commit"] == commit
