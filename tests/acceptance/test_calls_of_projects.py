"""Calls of executors run only where the files are those with which they were submitted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.board_helpers import attempts, sql
from tests.conftest import Project
from tests.programs import BIN
from tests.waiting import wait_until, within

SCRIPT = """
import simcelery
def answer(x): return {result}
if __name__ == "__main__":
    with simcelery.Executor(tag="calls") as executor:
        print(*[call.result() for call in [executor.submit(answer, x) for x in range(3)]])
"""


def script(project: Project, result: str, name: str = "mymd.py") -> subprocess.Popen[str]:
    """Start a project's script, whose function gives this."""
    (project.folder / name).write_text(SCRIPT.format(result=result))
    return subprocess.Popen(
        [BIN / "python", name],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(one: subprocess.Popen[str]) -> tuple[str, str]:
    """What it printed."""
    try:
        return one.communicate(timeout=within(60))
    finally:
        one.kill()


def put_back() -> int:
    """How many calls wait for a worker with other files."""
    return int(sql("SELECT count(*) FROM jobs WHERE error_type = 'OtherSourceError'")[0][0])


@pytest.fixture
def pair(project: Project, tmp_path: Path) -> Iterator[tuple[Project, Project]]:
    """Two projects on one home, each of which may have a module `mymd`."""
    made = []
    for name in ("ours", "theirs"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "simcelery.toml").write_text("workflows = []\n")
        made.append(Project(folder, dict(project.environment), []))
    yield made[0], made[1]
    for one in made:
        one.end()


@pytest.mark.parametrize("others", ["another version", "no module"])
def test_a_call_waits_for_a_worker_of_its_own_project(pair: tuple[Project, Project], others: str) -> None:
    ours, theirs = pair
    if others == "another version":
        (theirs.folder / "mymd.py").write_text(SCRIPT.format(result="-x"))
    theirs.worker("-c", "1")
    waiting = script(ours, "10 * x")
    try:
        wait_until(lambda: put_back() == 3, 30)
        assert sql("SELECT max(attempt), max(losses), max(failures) FROM jobs") == [(0, 0, 0)]
        [(number,)] = sql("SELECT min(id) FROM jobs")
        said = ours.run("simcelery", "explain", str(number), COLUMNS="300").stdout
        assert "mymd.py as it was submitted" in " ".join(said.split())
        assert f" has {others}" in said
        assert waiting.stderr is not None
        line = waiting.stderr.readline()  # said once, of those that it has seen put back by then
        assert "for a worker that has mymd.py as it is here" in line
        ours.worker("-c", "1")
        assert end(waiting)[0] == "0 10 20\n"
    finally:
        waiting.kill()
    assert [len(attempts(one)) for one in (number, number + 1, number + 2)] == [1, 1, 1]
    assert put_back() == 0
    own = sql("SELECT count(DISTINCT worker_id) FROM attempts")
    assert own == [(1,)]


def test_a_script_that_is_edited_gets_nothing_from_the_code_of_before(pair: tuple[Project, Project]) -> None:
    """The calls of before had not begun; they are made with the script as it is now."""
    ours, _ = pair
    first = script(ours, "x")
    wait_until(lambda: sql("SELECT count(*) FROM jobs") == [(3,)], 30)
    first.kill()
    again = script(ours, "10 * x")
    wait_until(lambda: sql("SELECT count(DISTINCT parameters ->> 'source') FROM revisions") == [(1,)], 30)
    ours.worker("-c", "1")
    assert end(again)[0] == "0 10 20\n"


def test_a_worker_with_old_workflows_loaded_does_not_run_a_call_of_their_module(
    pair: tuple[Project, Project],
) -> None:
    ours, _ = pair
    (ours.folder / "simcelery.toml").write_text('workflows = ["mymd"]\n')
    declared = "from simcelery import workflow\n@workflow\ndef w() -> int: return 1\n"
    (ours.folder / "mymd.py").write_text(declared + SCRIPT.format(result="x"))
    ours.worker("-c", "1")
    new = script(ours, "10 * x")
    wait_until(lambda: put_back() == 3, 30)
    assert "has loaded an earlier version" in sql("SELECT min(error_message) FROM jobs")[0][0]
    ours.end()
    ours.processes.clear()
    ours.worker("-c", "1")
    assert end(new)[0] == "0 10 20\n"


def test_two_projects_with_a_module_of_the_same_name_each_get_their_own(
    pair: tuple[Project, Project],
) -> None:
    for one in pair:
        one.worker("-c", "1")
    scripts = [script(one, f"{sign}10 * x") for one, sign in zip(pair, ("+", "-"), strict=True)]
    assert [end(one)[0] for one in scripts] == ["0 10 20\n", "0 -10 -20\n"]


def test_a_call_that_names_no_source_runs_with_what_is_there(pair: tuple[Project, Project]) -> None:
    ours, _ = pair
    (ours.folder / "mymd.py").write_text(SCRIPT.format(result="x"))
    ours.worker("-c", "1")
    done = ours.run("simcelery", "submit", "function", "function=mymd:answer", 'arguments={"x": 7}', "--wait")
    assert done.returncode == 0, done.stderr
    assert sql("SELECT result FROM jobs") == [(7,)]
