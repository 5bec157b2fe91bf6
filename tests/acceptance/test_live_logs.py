"""What a job prints is on the board while it runs, and whatever dies, each byte of it is there once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import simcelery
from simcelery import services
from simcelery.board import engine
from simcelery.board.reads import logs
from simcelery.settings import Settings
from tests import elsewhere, programs
from tests.acceptance.helpers import submit, submit_command
from tests.board_helpers import attempts, sql
from tests.conftest import Project
from tests.servers import ask, kill_server
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


def test_what_jobs_print_and_report_is_on_the_board_while_they_run(project: Project, tmp_path: Path) -> None:
    project.worker("-c", "5")
    parts = ["first ½", " and so on", "\n"]
    jobs = [
        submit(project, f"speaks.submit({parts!r}, {str(tmp_path)!r}, {how!r})")
        for how in ("print", "write", "process")
    ]
    script = f"until test -e {tmp_path}/0; do sleep 0.1; done; printf ' and so on'"
    script += f"; until test -e {tmp_path}/1; do sleep 0.1; done; echo; echo error >&2"
    script = f"printf 'first ½'; {script}"
    commands = [
        submit_command(project, "sh", "-c", script),
        submit(project, f"shell_code.submit({script!r})"),
    ]
    command = commands[0]
    wait_until(lambda: [logs_of(job) for job in (*jobs, *commands)] == [{1: "first ½"}] * 5)
    wait_until(lambda: [job.progress for job in jobs] == [{"done": 1, "total": 3, "message": ""}] * 3)
    assert {str(job.state) for job in (*jobs, *commands)} == {"running"}
    shown = project.run("simcelery", "logs", str(command.id), "-o", "json")
    [attempt] = json.loads(shown.stdout)["attempts"]
    assert attempt["log"] == "first ½"
    assert attempt["host"]
    go(tmp_path, 0)
    wait_until(lambda: [logs_of(job) for job in (*jobs, *commands)] == [{1: "first ½ and so on"}] * 5)
    go(tmp_path, 1, 2)
    for job in jobs:
        assert job.result(timeout=within(30)) == 3
        assert logs_of(job) == {1: "first ½ and so on\n"}
        assert job.progress == {"done": 3, "total": 3, "message": ""}
    for job in commands:
        job.wait(timeout=within(30))
        assert logs_of(job) == {1: "first ½ and so on\nerror\n"}


def test_of_a_job_killed_in_mid_line_the_log_ends_where_it_ended(project: Project, tmp_path: Path) -> None:
    project.worker()
    seen, quick = tmp_path / "seen", tmp_path / "quick"
    seen.mkdir()
    quick.mkdir()
    go(quick, 0)
    jobs = [
        submit(project, f"speaks.submit(['line\\nhalf a li'], {str(folder)!r}, 'write', 'kill')")
        for folder in (seen, quick)
    ]
    wait_until(lambda: logs_of(jobs[0]) == {1: "line\nhalf a li"})
    go(seen, 0)
    for job in jobs:
        assert job.result(timeout=within(60)) == 1
        assert logs_of(job) == {1: "line\nhalf a li", 2: "line\nhalf a li"}
        assert [one["outcome"] for one in attempts(job.id)] == ["lost", "succeeded"]


@pytest.mark.parametrize("line", ["before_log_sent", "after_log_sent", "before_finish"])
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


@pytest.mark.skipif(not elsewhere.possible(), reason="this machine allows no namespaces")
def test_a_job_in_another_namespace_and_home_is_followed_live_and_killed_in_mid_line(
    project: Project, tmp_path: Path
) -> None:
    urls = [urlsplit(project.environment[f"SIMCELERY_{name}_URL"]) for name in ("DATABASE", "BROKER")]
    home = tmp_path / "another home"
    (home / "tmp").mkdir(parents=True)
    log = (tmp_path / "elsewhere.log").open("wb")
    words = ["-m", "tests.elsewhere", *(str(one.port) for one in urls), "--"]
    words += [str(programs.BIN / "celery"), "-A", "simcelery", "worker", "-c", "1"]
    environment = {**project.environment, "SIMCELERY_HOME": str(home), "TMPDIR": str(home / "tmp")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    node = subprocess.Popen(
        [sys.executable, *words], cwd=project.folder, env=environment, stdout=log, stderr=log
    )
    project.processes.append(node)
    job = submit(project, f"speaks.submit(['first\\n', 'half a li'], {str(tmp_path)!r}, 'write', 'kill')")
    follower, shown = tmp_path / "follower.txt", tmp_path / "shown.txt"
    with shown.open("wb") as out, follower.open("wb") as err:
        command = ["simcelery", "logs", "-f", str(job.id)]
        following = programs.start(command, project.folder, project.environment, out, err)
    wait_until(lambda: shown.read_text() == "first\n", 90)
    go(tmp_path, 0)
    wait_until(lambda: shown.read_text() == "first\nhalf a li")
    go(tmp_path, 1)
    assert following.wait(within(60)) == 0
    assert shown.read_text() == "first\nhalf a li\n" * 2
    assert logs_of(job) == {1: "first\nhalf a li", 2: "first\nhalf a li"}
    assert f"attempt 2 of job {job.id} on {elsewhere.NAME}" in follower.read_text()
    [lost, succeeded] = attempts(job.id)
    assert (lost["outcome"], lost["host"], succeeded["outcome"]) == ("lost", elsewhere.NAME, "succeeded")
    project.processes[0].terminate()
    project.processes[0].wait(within(30))


def test_what_is_printed_while_postgres_is_away_follows_later(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    server, project = own
    project.worker()
    code = f"import sims; sims.speaks.submit(['before, ', 'while, ', 'after'], {str(tmp_path)!r})"
    assert project.python(code).returncode == 0

    def printed() -> str:
        [answer] = ask(server, "SELECT string_agg(text, '' ORDER BY seq) AS printed FROM log_chunks")
        return str(answer["printed"])

    wait_until(lambda: printed() == "before, ")
    kill_server(server, "postgres")
    go(tmp_path, 0)
    wait_until(lambda: "writes wait until the board is back" in project.logs())
    services.up(server)
    wait_until(lambda: printed() == "before, while, ")
    go(tmp_path, 1, 2)
    wait_until(lambda: ask(server, "SELECT state FROM jobs") == [{"state": "succeeded"}])
    assert printed() == "before, while, after"


def test_a_file_of_a_job_is_read_through_a_worker_while_it_runs_and_afterwards(
    project: Project, tmp_path: Path
) -> None:
    worker = project.worker()
    lines = "".join(f"step {n}\n" for n in range(40_000))
    code = f"writes.submit('log.lammps', {len(lines)}, {str(tmp_path)!r})"
    job = submit(project, code)
    other = ["simcelery", "logs", str(job.id), "--file"]

    def shown(*arguments: str) -> subprocess.CompletedProcess[str]:
        return project.run(*other, *arguments, SIMCELERY_HOME=str(tmp_path / "other"))

    wait_until(lambda: shown("log.lammps").returncode == 0)
    assert job.state == "running"
    for _ in range(2):  # while it runs, and when it has ended
        found = shown("log.lammps", "--tail", "2")
        assert found.stdout == "step 39998\nstep 39999\n"
        assert f"which has {len(lines):,} bytes" in found.stderr
        whole = json.loads(shown("log.lammps", "-o", "json").stdout)
        assert 250 * 1024 < len(whole["text"]) <= 256 * 1024
        assert (whole["file"], whole["size"]) == ("log.lammps", len(lines))
        missing = shown("log")
        assert missing.returncode == 2
        assert "there is no log in " in missing.stderr
        assert "it holds log.lammps" in missing.stderr
        outside = shown("../../" * 9 + "etc/passwd")
        assert (outside.returncode, outside.stdout) == (2, "")
        assert "lies outside of the job's folder" in outside.stderr
        go(tmp_path, 0)
        job.wait(timeout=within(30))
    assert sql("SELECT count(*) FROM file_requests")[0][0] == 0
    worker.terminate()
    worker.wait(within(30))
    alone = shown("log.lammps")
    assert alone.returncode == 3
    assert "no live worker is on" in alone.stderr
    assert len(alone.stderr.splitlines()) == 1


def test_a_worker_with_another_home_leaves_the_question_to_the_one_that_kept_the_folder(
    project: Project, tmp_path: Path
) -> None:
    keeper = project.worker()
    project.worker("-Q", "elsewhere", SIMCELERY_HOME=str(tmp_path / "other"))
    job = submit(project, f"writes.submit('log.lammps', 7, {str(tmp_path)!r})")

    def shown() -> subprocess.CompletedProcess[str]:
        return project.run("simcelery", "logs", str(job.id), "--file", "log.lammps")

    wait_until(lambda: shown().returncode == 0)
    for _ in range(2):  # while it runs, and when it has ended
        assert [shown().returncode for _ in range(4)] == [0] * 4
        go(tmp_path, 0)
        job.wait(timeout=within(30))
    keeper.terminate()
    keeper.wait(within(30))
    nobody = shown()
    assert nobody.returncode == 3
    assert "or none of them has" in nobody.stderr


def test_a_worker_that_does_not_answer_is_waited_for_fifteen_seconds_and_no_longer(
    project: Project, tmp_path: Path
) -> None:
    """Its lease holds, as if it were stopped, or cut off a moment ago; nothing is left on the board."""
    worker = project.worker("-c", "1")
    job = submit(project, f"writes.submit('log.lammps', 10, {str(tmp_path)!r})")
    wait_until(lambda: job.state == "running")
    worker.send_signal(signal.SIGSTOP)
    try:
        sql("UPDATE workers SET lease_expires_at = now() + interval '1 h'")
        began = time.monotonic()
        asked = project.run("simcelery", "logs", str(job.id), "--file", "log.lammps")
        took = time.monotonic() - began
    finally:
        worker.send_signal(signal.SIGCONT)
    assert asked.returncode == 3
    assert "nobody has read the file within 15 s" in asked.stderr
    assert f"which runs job {job.id}, does not answer" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1
    assert 15 <= took < within(20)
    assert sql("SELECT count(*) FROM file_requests")[0][0] == 0
    go(tmp_path, 0)
