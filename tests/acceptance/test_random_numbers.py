"""Random numbers: no attempt draws what another one drew, and each can be repeated."""

from __future__ import annotations

import json
import os
import signal
import textwrap
from pathlib import Path

import pytest

from tests.board_helpers import attempts, row
from tests.conftest import Project
from tests.waiting import wait_until, within

pytest.importorskip("numpy")

# What loads numpy's global generator before the pool forks, or not.
EARLY = "import numpy as np, numpy.random\n"
LATE = ""
WORKFLOWS = """
import os, random
from simcelery import Retry, current_job, workflow

@workflow
def draw(n: int, pause: float = 0.0) -> dict:
    import time, numpy as np
    time.sleep(pause)
    return {
        "python": random.random(),
        "numpy": float(np.random.rand()),
        "own": float(np.random.default_rng(current_job().seed).random()),
        "pid": os.getpid(),
    }

@workflow
def die() -> None:
    if current_job().attempt == 1:
        os._exit(1)

@workflow(max_attempts=3, retry_delay=0.1)
def again(n: int) -> float:
    import numpy as np
    drawn = float(np.random.rand())
    if current_job().attempt < 3:
        raise ValueError(drawn)
    return drawn
"""
KEPT = """
import random
import numpy as np
from simcelery import workflow

GENERATOR, STATE, PYTHON = np.random.default_rng(), np.random.RandomState(), random.Random()

@workflow
def draw_kept(n: int) -> dict:
    return {"own": float(GENERATOR.random()), "state": float(STATE.rand()), "python": PYTHON.random()}
"""


def _project(project: Project, imports: str, workflows: str = WORKFLOWS) -> Project:
    (project.folder / "sims.py").write_text(imports + textwrap.dedent(workflows))
    return project


def _jobs(*ids: str) -> list[dict]:  # type: ignore[type-arg]
    """What the board holds of these jobs; to ask a program for each would import NumPy as often."""
    rows = [row(int(number)) for number in ids]
    return [{"state": one.state, "result": one.result, "attempts": attempts(one.id)} for one in rows]


def _submit(project: Project, workflow: str, number: int, *options: str) -> list[str]:
    (project.folder / "each.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(number)))
    command = ("submit", workflow, *options, "--each", "each.jsonl", "--wait", "-o", "quiet")
    done = project.run("simcelery", *command, timeout=within(90))
    assert done.returncode == 0, done.stderr + project.logs()
    return done.stdout.split()


@pytest.mark.parametrize("imports", [EARLY, LATE], ids=["before the fork", "inside the workflow"])
def test_no_two_attempts_draw_the_same_and_run_repeats_each(project: Project, imports: str) -> None:
    """In both pool children, in slices, and in a child that took the place of a dead one."""
    _project(project, imports)
    project.worker("-c", "2")
    ids = _submit(project, "sims.draw", 40)
    done = project.run("simcelery", "submit", "sims.die", "--wait")
    assert done.returncode == 0, done.stderr
    ids += _submit(project, "sims.draw", 40)
    jobs = _jobs(ids[0], ids[1], ids[40])
    listed = project.run("simcelery", "results", "-w", "sims.draw", "-o", "json", "-n", "1000")
    results = [one["result"] for one in json.loads(listed.stdout)]
    for kind in ("python", "numpy", "own"):
        assert len({one[kind] for one in results}) == 80, kind
    assert len({one["pid"] for one in results}) >= 2
    for job in jobs:
        seed = job["attempts"][0]["seed"]
        repeated = project.run("simcelery", "run", "sims.draw", "n=0", "--seed", str(seed))
        assert repeated.returncode == 0, repeated.stderr
        del job["result"]["pid"]
        assert job["result"].items() <= json.loads(repeated.stdout).items()
    assert str(jobs[0]["attempts"][0]["seed"]) in project.run("simcelery", "show", ids[0]).stdout


def test_each_attempt_of_a_job_has_a_seed_of_its_own(project: Project) -> None:
    _project(project, EARLY)
    project.worker("-c", "1")
    (number,) = _submit(project, "sims.again", 1)
    (job,) = _jobs(number)
    assert [one["outcome"] for one in job["attempts"]] == ["failed", "failed", "succeeded"]
    assert len({one["seed"] for one in job["attempts"]}) == 3
    drawn = [one["error_message"] for one in job["attempts"][:2]] + [str(job["result"])]
    assert len(set(drawn)) == 3


def test_generators_that_a_module_keeps_are_not_copied_by_the_fork(project: Project) -> None:
    """`rng = numpy.random.default_rng()` at the top of a module is what numpy's own documentation shows."""
    _project(project, "", KEPT)
    project.worker("-c", "2")
    ids = _submit(project, "sims.draw_kept", 20)
    jobs = _jobs(*ids[:2], ids[-1])
    listed = project.run("simcelery", "results", "-o", "json")
    results = [one["result"] for one in json.loads(listed.stdout)]
    for kind in ("own", "state", "python"):
        assert len({one[kind] for one in results}) == 20, kind
    for job in jobs:
        seed = str(job["attempts"][0]["seed"])
        repeated = project.run("simcelery", "run", "sims.draw_kept", "n=0", "--seed", seed)
        assert json.loads(repeated.stdout) == job["result"]


def test_the_seed_of_an_attempt_that_was_killed_is_kept(project: Project, tmp_path: Path) -> None:
    """The run that went wrong is the one to repeat."""
    _project(project, EARLY)
    project.worker("-c", "1")
    done = project.run("simcelery", "submit", "sims.draw", "n=1", "pause=60", "-o", "quiet")
    number = done.stdout.strip()
    wait_until(lambda: _jobs(number)[0]["state"] == "running")
    pid = int(project.run("simcelery", "show", number).stdout.split("pid", 1)[1].split()[0])

    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _jobs(number)[0]["attempts"], 30)
    assert _jobs(number)[0]["attempts"][0]["seed"] is not None
