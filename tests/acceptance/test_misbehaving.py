"""Commands that misbehave side by side: each ends with its cause named, and leaves the node as it was."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import simcelery
from simcelery import Job
from tests.acceptance.helpers import submit
from tests.acceptance.test_unusable_node import mounted
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until, within

GIB = 2**30
MAX_LOG = 16 * 1024


def command(node: Project, words: str, *options: str) -> Job:
    done = node.run("simcelery", "submit", "-o", "quiet", *options, "--", "sh", "-c", words)
    assert done.returncode == 0, done.stderr
    return simcelery.get_job(int(done.stdout))


def larger_than(size: int, *folders: Path) -> list[Path]:
    """The files in these folders that are larger; some may go meanwhile."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_size > size:
                found.append(path)
    return found


def test_each_ends_with_its_cause_named_and_the_node_is_clean(project: Project, tmp_path: Path) -> None:
    root, scratch, seconds = tmp_path / "attempts", tmp_path / "scratch", sleeper()
    where = {"SIMCELERY_WORKDIR_ROOT": str(root), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    worker = project.worker("-c", "3", SIMCELERY_MAX_LOG=str(MAX_LOG), **where)
    with mounted(scratch, "size=8m"):
        prints = command(project, "yes | head -c 1073741824; exit 3", "--keep", "none")
        stubborn = command(project, f"trap '' TERM; while :; do sleep {seconds}; done", "--time-limit", "1")
        fills = command(project, f"dd if=/dev/zero of={scratch}/data bs=1M 2>&1")
        for job in (stubborn, fills, prints):
            job.wait(timeout=within(60))
    ends = {
        job.id: [(one["outcome"], one["cause"]) for one in attempts(job.id)]
        for job in (stubborn, fills, prints)
    }
    assert ends == {
        stubborn.id: [("failed", "time_limit")],
        fills.id: [("failed", "error")],
        prints.id: [("failed", "error")],
    }
    assert "time limit" in (row(stubborn.id).error or "")
    assert "No space left on device" in (row(fills.id).error or "")
    assert f"file system {scratch}: 0 B of 8.0 MiB free" in (row(fills.id).error or "").splitlines()[0]
    assert "exit code 3" in (row(prints.id).error or "").splitlines()[0]
    assert "bytes left out" in prints.log()
    assert len(prints.log()) < 2 * MAX_LOG
    assert command_alive(f"sleep {seconds}") == 0
    assert sql("SELECT count(*) FROM jobs WHERE state = 'running'") == [(0,)]
    [ended] = attempts(prints.id)
    wait_until(lambda: not Path(ended["workdir"]).exists(), 30)
    wait_until(lambda: larger_than(MAX_LOG, root, tmp_path / "tmp") == [], 30)
    assert submit(project, "add.submit(1)").result(timeout=within(30)) == 2
    assert worker.poll() is None
