"""What a job prints is on the board while it runs, and whatever dies, each byte of it is there once."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

import simcelery
from simcelery.board import engine
from simcelery.board.reads import logs
from tests.acceptance.helpers import submit, submit_command
from tests.board_helpers import attempts, sql
from tests.conftest import Project
from tests.waiting import wait_until, within


def logs_of(job: simcelery.Job) -> dict[int, str]:
    """What each attempt has printed so far."""
    with engine.begin() as connection:
        found = logs.of_attempts(connection, [job.id]).get(job.id, [])
    return {one.attempt: one.text for one in found}


def go(folder: Path, *numbers: int) -> None:
    """Let the job go on behind these parts."""
    for number in numbers:
        (folder / str(number)).touch()


@pytest.mark.parametrize("how", ["print", "write", "process"])
def test_what_a_job_prints_is_on_the_board_while_it_runs(project: Project, tmp_path: Path, how: str) -> None:
    project.worker()
    job = submit(
        project, f"speaks.submit({['first ½', ' and so on', chr(10)]!r}, {str(tmp_path)!r}, {how!r})"
    )
    wait_until(lambda: logs_of(job) == {1: "first ½"})
    assert job.state == "running"
    shown = project.run("simcelery", "logs", str(job.id), "-o", "json")
    [attempt] = json.loads(shown.stdout)["attempts"]
    assert attempt["log"] == "first ½"
    assert attempt["host"]
    go(tmp_path, 0)
    wait_until(lambda: logs_of(job) == {1: "first ½ and so on"})
    go(tmp_path, 1, 2)
    assert job.result(timeout=within(30)) == 3
    assert logs_of(job) == {1: "first ½ and so on\n"}


def test_what_a_command_prints_is_on_the_board_while_it_runs(project: Project, tmp_path: Path) -> None:
    project.worker()
    script = f"printf 'half a li'; until test -e {tmp_path}/0; do sleep 0.1; done; echo ne; echo error >&2"
    job = submit_command(project, "sh", "-c", script)
    wait_until(lambda: logs_of(job) == {1: "half a li"})
    go(tmp_path, 0)
    job.wait(timeout=within(30))
    assert logs_of(job) == {1: "half a line\nerror\n"}


@pytest.mark.parametrize("seen", [False, True])
def test_of_a_job_killed_in_mid_line_the_log_ends_where_it_ended(
    project: Project, tmp_path: Path, seen: bool
) -> None:
    project.worker()
    if not seen:
        go(tmp_path, 0)
    job = submit(project, f"speaks.submit(['line\\nhalf a li'], {str(tmp_path)!r}, 'write', 'kill')")
    if seen:
        wait_until(lambda: logs_of(job) == {1: "line\nhalf a li"})
        go(tmp_path, 0)
    assert job.result(timeout=within(60)) == 1
    assert logs_of(job) == {1: "line\nhalf a li", 2: "line\nhalf a li"}
    assert [one["outcome"] for one in attempts(job.id)] == ["lost", "succeeded"]


@pytest.mark.parametrize(
    "line", ["before_log_sent", "after_log_sent", "before_finish", "before_finish_commit"]
)
def test_whoever_is_killed_between_sending_and_finish_each_byte_is_there_once(
    project: Project, tmp_path: Path, line: str
) -> None:
    once = tmp_path / "once"
    once.mkdir()
    project.worker("-c", "1", SIMCELERY_FAILPOINTS=f"{line}=kill", SIMCELERY_FAILPOINTS_ONCE=str(once))
    parts = ["a" * 4095 + "½" * 3000, "half a li"]
    job = submit(project, f"speaks.submit({parts!r}, {str(tmp_path)!r}, 'write', 'no')")
    if line.startswith("before_finish"):
        wait_until(lambda: logs_of(job) == {1: parts[0]})
        go(tmp_path, 0, 1)
    wait_until(lambda: (once / line).exists())
    if project.processes[0].poll() is not None or "sent" in line:
        project.processes[0].wait(within(20))
        project.worker()
    wait_until(lambda: len(attempts(job.id)) == 1)
    expected = "".join(parts) if line.startswith("before_finish") else parts[0]
    assert logs_of(job)[1] == expected
    go(tmp_path, 0, 1)
    job.wait(timeout=within(60))
    assert logs_of(job)[1] == expected
    assert set(logs_of(job).values()) == {expected, "".join(parts)}


def test_a_job_that_prints_without_end_costs_board_and_node_little(project: Project, tmp_path: Path) -> None:
    project.worker(SIMCELERY_MAX_LOG="100 KiB")
    job = submit(project, f"floods.submit(60, {str(tmp_path)!r})")
    wait_until(lambda: "the last line" in job.log())
    kept = sql("SELECT sum(octet_length(text)) FROM log_chunks")[0][0]
    assert 90 * 1024 < kept <= 100 * 1024
    (tmp_path / "go").touch()
    assert job.result(timeout=within(30)) < 4 * 2**20  # what its file holds on the disk
    said = job.log()
    head, gap, tail = said.partition(" bytes left out …\n")
    left_out = int(head.rpartition("… ")[2].replace(",", ""))
    kept = sql("SELECT sum(octet_length(text)) FROM log_chunks")[0][0]
    assert gap
    assert kept + left_out == 60 * 2**20 + 128
    assert head.startswith("the first line")
    assert tail.rstrip("\n").endswith("the last line".ljust(63, "."))
    assert kept <= 100 * 1024


def test_a_graceful_end_leaves_no_files(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    project.worker(TMPDIR=str(folder))
    job = submit(project, f"speaks.submit(['text'], {str(tmp_path)!r})")
    wait_until(lambda: logs_of(job) == {1: "text"})
    assert len(list(folder.glob("simcelery-*/*"))) >= 2  # its file, under two names
    go(tmp_path, 0)
    job.wait(timeout=within(30))
    project.processes[0].send_signal(signal.SIGTERM)
    project.processes[0].wait(within(30))
    assert list(folder.glob("simcelery-*")) == []
