"""`logs`: what jobs printed, of one job and of many."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from simcelery.board import engine, transitions
from simcelery.board.values import EndedAttempt
from simcelery.cli.root import run
from tests.board_helpers import AGAIN, ERROR, SUCCESS, finish, must_claim, record, worker

pytestmark = pytest.mark.usefixtures("board")


def ran(*ends: EndedAttempt, **options: object) -> int:
    """A job whose attempts ended so, one after the other."""
    me, job = worker(), record(**options)
    for end in ends:
        finish(must_claim(job.task_id, me), end)
        with engine.begin() as connection:
            transitions.stage(connection, 1000)
    return job.id


def lines(number: int) -> str:
    return "".join(f"line {n}\n" for n in range(1, number + 1))


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert run(["logs", *map(str, arguments)]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 and shown.out else shown.err


def test_of_one_job_all_is_shown_or_its_end_or_one_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    job = ran(replace(AGAIN, log="first\n"), replace(SUCCESS, log=lines(3)), max_attempts=2)
    between = f"attempt 2 of job {job} on test\n"
    assert printed(capsys, job) == f"first\n{between}line 1\nline 2\nline 3\n"
    assert printed(capsys, job, "--tail", 4) == f"first\n{between}line 1\nline 2\nline 3\n"
    assert printed(capsys, job, "--tail", 2) == "line 2\nline 3\n"
    assert printed(capsys, job, "--attempt", 1) == "first\n"
    assert printed(capsys, job, "--attempt", 2, "--tail", 1) == "line 3\n"
    assert printed(capsys, "last", "-o", "quiet") == f"{job}\n"
    found = json.loads(printed(capsys, job, "-o", "json"))
    assert (found["id"], found["state"]) == (job, "succeeded")
    assert [(one["attempt"], one["host"], one["log"]) for one in found["attempts"]] == [
        (1, "test", "first"),
        (2, "test", "line 1\nline 2\nline 3"),
    ]


def test_where_there_is_nothing_it_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    silent = ran(SUCCESS)
    assert printed(capsys, silent) == f"job {silent} has printed nothing\n"
    assert printed(capsys, silent, "--attempt", 3) == (
        f"job {silent} has had 1 attempt: there is no attempt 3\n"
    )
    pending = record()
    assert printed(capsys, pending.id) == f"job {pending.id} has not run yet\n"
    must_claim(pending.task_id, worker())
    assert "is running, and has printed nothing so far" in printed(capsys, pending.id)
    assert printed(capsys, 999999, code=2) == "simcelery: there is no job 999999\n"
    assert "which jobs to show the logs of?" in printed(capsys, code=2)
    assert printed(capsys, "-t", "nothing") == "no job matches\n"


def test_of_several_the_last_lines_of_the_last_attempt_are_shown_by_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = replace(ERROR, error_type="OSError", error_message="disk 3 is full", log="one\ntwo\n")
    alike = [
        ran(replace(AGAIN, log="before\n"), replace(ERROR, log=lines(20)), max_attempts=2, tags=["t"]),
        ran(replace(ERROR, log=lines(2)), tags=["t"]),
    ]
    alone, silent = ran(other, tags=["t"]), ran(SUCCESS, tags=["t"])
    shown = printed(capsys, "-t", "t", "--tail", 2)
    assert shown.splitlines() == [
        "ValueError: boom (2 jobs)",
        f"job {alike[0]} w failed, attempt 2 on test",
        "  line 19",
        "  line 20",
        "",
        f"job {alike[1]} w failed, attempt 1 on test",
        "  line 1",
        "  line 2",
        "",
        "OSError: disk # is full (1 job)",
        f"job {alone} w failed, attempt 1 on test",
        "  one",
        "  two",
        "",
        f"job {silent} w succeeded",
        f"  (job {silent} has printed nothing)",
        "",
    ]
    assert printed(capsys, "-s", "failed", "-o", "quiet").split() == [str(n) for n in (alone, *alike[::-1])]
    found = json.loads(printed(capsys, f"{alike[0]}-{alone}", "-o", "json", "--tail", 1))
    assert [(one["id"], one["attempts"][-1]["log"]) for one in found] == [
        (alone, "two"),
        (alike[1], "line 2"),
        (alike[0], "line 20"),
    ]


def test_of_very_many_only_the_newest_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ids = [ran(replace(SUCCESS, log=f"{n}\n"), tags=["t"]) for n in range(22)]
    assert run(["logs", "-t", "t"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("succeeded") == 20
    assert shown.err == "these are the newest 20 of 22 jobs; -n shows more\n"
    assert printed(capsys, "-t", "t", "-n", 22).count("succeeded") == 22
    assert printed(capsys, "-t", "t", "-n", 1, "-o", "quiet") == f"{ids[-1]}\n"


def test_what_a_job_prints_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    job = ran(replace(SUCCESS, log="\x1b[2Jred\x1b[31m\ttab\rback\n"))
    assert "\x1b" not in printed(capsys, job)


def test_show_of_a_failed_job_ends_with_the_last_ten_lines_the_host_and_the_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    end = replace(ERROR, log=lines(30), workdir="/scratch/42.2")
    job = ran(replace(AGAIN, log="of the first\n", workdir="/scratch/42.1"), end, max_attempts=2)
    assert run(["show", str(job)]) == 0
    last = capsys.readouterr().out.splitlines()[-15:]
    assert [line.strip() for line in last] == [
        "end of the log",
        *(f"line {n}" for n in range(21, 31)),
        f"all 30 lines: simcelery logs {job}",
        "",
        "host     test",
        "workdir  /scratch/42.2",
    ]
    silent = ran(replace(AGAIN, log="of the first\n"), ERROR, max_attempts=2)
    assert run(["show", str(silent)]) == 0
    shown = capsys.readouterr().out
    assert "of the first" not in shown
    assert "(it printed nothing)" in shown
    assert "workdir  (removed, since it stayed empty)" in shown
