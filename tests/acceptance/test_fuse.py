"""A sweep that stops itself, on real workers: canaries, fuse, release, and kill -9 at every line between."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

import simcelery
from simcelery.maintenance.hold import tick
from tests.board_helpers import ERROR, SUCCESS, finish, must_claim, worker
from tests.conftest import Project
from tests.waiting import wait_until


def states() -> dict[str, int]:
    """How many jobs are in each state."""
    return {str(state): number for state, number in simcelery.jobs().counts().items()}


def submit(project: Project, count: int, *options: str, **environment: str) -> list[int]:
    """Submit so many jobs of a workflow that fails at once, unless the file `mended` exists."""
    points = project.folder / "points.jsonl"
    mended = json.dumps(str(project.folder / "mended"))
    points.write_text("".join(f'{{"number": {n}, "mended": {mended}}}\n' for n in range(count)))
    done = project.run(
        *("simcelery", "submit", "sims.typo", "--each", str(points), "-t", "scan", "-o", "quiet", *options),
        **environment,
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def mend(project: Project) -> None:
    """From now on the workflow succeeds."""
    (project.folder / "mended").touch()


def test_a_sweep_with_a_typo_costs_five_jobs(project: Project) -> None:
    project.worker()
    ids = submit(project, 10_000, "--canary", "5")
    canaries = [ids[place] for place in (0, 2500, 5000, 7499, 9999)]
    wait_until(lambda: states() == {"failed": 5, "blocked": 9995}, 60)
    assert [job.id for job in simcelery.jobs(state="failed")] == canaries
    told = project.run("simcelery", "status").stdout
    assert "9,995 (9,995 held)" in told
    assert f"held: canary {ids[0]} failed: NameError: name 'presure' is not defined" in told
    assert told.rstrip().endswith("9,995 jobs wait: simcelery release scan")
    explained = project.run("simcelery", "explain", str(ids[1])).stdout
    assert f"held: canary {ids[0]} failed: NameError" in explained
    assert f"simcelery retry {','.join(map(str, canaries))}" in explained
    mend(project)
    assert project.run("simcelery", "retry", "-s", "failed", "-y").returncode == 0
    wait_until(lambda: "blocked" not in states() and states()["succeeded"] > 5, 60)
    assert "held" not in project.run("simcelery", "status").stdout


def test_a_fuse_holds_the_rest_of_short_jobs_as_well(project: Project) -> None:
    """They travel in slices: one that has begun ends with the first failure."""
    mend(project)
    project.worker("-c", "2")
    submit(project, 300)  # so that the worker knows how short they are
    wait_until(lambda: states() == {"succeeded": 300}, 60)
    (project.folder / "mended").unlink()
    submit(project, 1000, "--max-fails", "10")
    wait_until(lambda: states().get("blocked", 0) + states()["failed"] == 1000, 60)
    assert 11 <= states()["failed"] <= 13, "one too many, and what ran then"


@pytest.mark.parametrize("line", ["before_finish", "after_finish"])
def test_a_pool_child_killed_as_the_fuse_blows_changes_nothing(
    project: Project, tmp_path: Path, line: str
) -> None:
    """At most its own job runs once more, since it has begun."""
    once = tmp_path / "once"
    once.mkdir()
    submit(project, 40, "--max-fails", "0")
    project.worker("-c", "1", SIMCELERY_FAILPOINTS=f"{line}=kill", SIMCELERY_FAILPOINTS_ONCE=str(once))
    wait_until(lambda: states() in ({"failed": 1, "blocked": 39}, {"failed": 2, "blocked": 38}), 60)
    assert (once / line).exists()


HOLDING = ["before_hold", "before_hold_commit", "after_hold"]
RELEASING = ["before_release", "before_release_commit", "after_release"]
OPENING = ["before_gate_opens", "before_gate_commit", "after_gate_opened"]


@pytest.mark.parametrize("line", HOLDING + OPENING + RELEASING)
def test_killed_at_any_line_of_holding_and_releasing_nothing_is_lost(project: Project, line: str) -> None:
    """Whoever does the act is killed there; the next one goes on with it."""
    me = worker()
    ids = submit(project, 30, *(("--max-fails", "0") if line in HOLDING else ("--canary", "1")))
    claimed = must_claim(simcelery.get_job(ids[0]).task_id, me, workflow="sims.typo")
    assert finish(claimed, ERROR if line in HOLDING else SUCCESS) is not None
    killed = project.run("simcelery", "recover", SIMCELERY_FAILPOINTS=f"{line}=kill")
    assert killed.returncode == -signal.SIGKILL
    tick()
    assert states() == ({"failed": 1, "blocked": 29} if line in HOLDING else {"succeeded": 1, "pending": 29})
    assert tick() == (0, 0)


@pytest.mark.parametrize("line", OPENING + RELEASING)
def test_a_client_killed_at_any_line_of_a_release_leaves_it_undone_or_to_the_workers(
    project: Project, line: str
) -> None:
    submit(project, 30, "--canary", "1")
    released = project.run("simcelery", "release", "scan", SIMCELERY_FAILPOINTS=f"{line}=kill")
    assert released.returncode == -signal.SIGKILL
    tick()
    undone = line in ("before_gate_opens", "before_gate_commit")
    assert states() == ({"pending": 1, "blocked": 29} if undone else {"pending": 30})
    assert len(simcelery.release("scan")) == (29 if undone else 0)


def test_a_client_killed_as_it_records_leaves_a_whole_sweep_or_none(project: Project) -> None:
    points = project.folder / "points.jsonl"
    points.write_text("".join(f'{{"a": {n}}}\n' for n in range(20)))
    command = ("simcelery", "submit", "sims.add", "--each", str(points), "--canary", "2")
    killed = project.run(*command, SIMCELERY_FAILPOINTS="before_record_commit=kill")
    assert killed.returncode == -signal.SIGKILL
    assert states() == {}
    killed = project.run(*command, SIMCELERY_FAILPOINTS="after_record=kill")
    assert killed.returncode == -signal.SIGKILL
    assert states() == {"pending": 2, "blocked": 18}
    project.worker("-c", "1")
    wait_until(lambda: states() == {"succeeded": 20}, 60)
