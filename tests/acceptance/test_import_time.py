"""A module that submits a job while it is imported would record another one at every import."""

from __future__ import annotations

import pytest

import simcelery
from tests.conftest import Project
from tests.waiting import within

AT_THE_TOP = {
    "submit": "add.submit(1)",
    "submit_many": "add.submit_many([{'a': 1}])",
    "delay": "add.delay(1)",
    "apply_async": "add.apply_async((1,))",
}


@pytest.mark.parametrize("how", AT_THE_TOP)
def test_nothing_is_submitted_while_workflows_load(project: Project, how: str) -> None:
    source = project.folder / "sims.py"
    source.write_text(source.read_text() + f"\n\n{AT_THE_TOP[how]}\n")
    number = len(source.read_text().splitlines())
    refused = project.run("celery", "-A", "simcelery", "worker", timeout=within(60))
    assert refused.returncode == 2
    line = next(line for line in refused.stderr.splitlines() if line.startswith("simcelery:"))
    assert f"sims.py, line {number} submits a job while it is imported" in line
    assert "put it into a function" in line
    assert "Traceback" not in refused.stderr
    project.run("simcelery", "run", "sims.add", "a=1")
    assert len(simcelery.jobs()) == 0


def test_a_script_submits_at_its_top(project: Project) -> None:
    done = project.python("import sims; print(sims.add.submit(1).id)")
    assert done.returncode == 0, done.stderr
    assert len(simcelery.jobs()) == 1
