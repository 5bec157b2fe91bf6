"""Steps and checkpoints on real workers, which die at the worst lines."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from simcelery import services
from simcelery.settings import Settings
from tests.acceptance.helpers import submit
from tests.board_helpers import attempts
from tests.conftest import Project
from tests.servers import ask, kill_server
from tests.waiting import wait_until, within

STAGES = ["relax", "strain", "fit"]


def made(path: Path) -> Counter[str]:
    """How often each step was made."""
    return Counter(path.read_text().split()) if path.exists() else Counter()


# The failpoints, and how often the step in which a child dies there is made.
LINES = {
    "before_step_saved": 2,
    "after_step": 1,
    "after strain": 1,
    "after_checkpoint": 1,
    "after_run": 1,
    "before_finish": 1,
}


@pytest.mark.parametrize(("line", "times"), LINES.items())
def test_a_step_is_made_again_only_if_it_was_not_on_the_board(
    project: Project, tmp_path: Path, line: str, times: int
) -> None:
    count, once = tmp_path / "count", tmp_path / "once"
    once.mkdir()
    project.worker("-c", "1", SIMCELERY_FAILPOINTS=f"{line}=kill", SIMCELERY_FAILPOINTS_ONCE=str(once))
    job = submit(project, f"staged.submit({str(count)!r})")
    assert job.result(timeout=within(40)) == STAGES
    assert (once / line).exists(), "the failpoint did not fire"
    assert [ended["outcome"] for ended in attempts(job.id)] == ["lost", "succeeded"]
    assert made(count) == {"relax": times, "strain": 1, "fit": 1}
    assert [one["name"] for one in job.steps()] == STAGES


def test_workers_killed_again_and_again_make_each_step_once(project: Project, tmp_path: Path) -> None:
    """However many attempts it takes: what is on the board is not computed again."""
    count = tmp_path / "count"
    job = submit(project, f"staged.submit({str(count)!r}, pause={within(1.0)})")
    worker = project.worker("-c", "1")
    for done in range(1, 4):
        wait_until(lambda done=done: len(job.steps()) == done, 40)  # type: ignore[misc]
        worker.kill()
        worker.wait()
        worker = project.worker("-c", "1")
    assert job.result(timeout=within(60)) == STAGES
    assert made(count) == dict.fromkeys(STAGES, 1)


def test_a_step_waits_for_a_board_that_is_away(own: tuple[Settings, Project], tmp_path: Path) -> None:
    """What is finished then is saved when the board is back, and a child that dies afterwards finds it."""
    settings, project = own
    count, once = tmp_path / "count", tmp_path / "once"
    once.mkdir()
    project.worker(
        "-c",
        "1",
        SIMCELERY_FAILPOINTS="before_step_saved=sleep:3,after_step=kill",
        SIMCELERY_FAILPOINTS_ONCE=str(once),
    )
    assert project.python(f"import sims; sims.staged.submit({str(count)!r})").returncode == 0
    wait_until(lambda: (once / "before_step_saved").exists(), 30)
    kill_server(settings, "postgres")
    time.sleep(6)
    services.up(settings)
    states = "SELECT state FROM jobs"
    wait_until(lambda: [row["state"] for row in ask(settings, states)] == ["succeeded"], 60, every=0.3)
    assert (once / "after_step").exists()
    assert made(count) == dict.fromkeys(STAGES, 1)
