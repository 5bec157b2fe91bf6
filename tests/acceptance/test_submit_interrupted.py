"""Ctrl-C in ``simcelery submit``, at every moment: one line says what is recorded and how to go on."""

from __future__ import annotations

import array
import fcntl
import os
import re
import signal
import subprocess
import termios
from collections.abc import Sequence

import psycopg
import pytest

from tests.conftest import BIN, Project
from tests.waiting import wait_until, within

BOTH = pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


def start(project: Project, *options: str, **extra: str) -> subprocess.Popen[str]:
    """Start ``submit sims.add``."""
    return subprocess.Popen(
        [str(BIN / "simcelery"), "submit", "sims.add", *options],
        cwd=project.folder,
        env={**project.environment, **extra},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupted_at(failpoint: str, project: Project, *options: str, how: int = signal.SIGINT) -> str:
    """Interrupt a submission at a moment; its only line."""
    reached = project.folder / "reached"
    reached.mkdir()
    process = start(
        project,
        *options,
        SIMCELERY_FAILPOINTS=f"{failpoint}=sleep:2",
        SIMCELERY_FAILPOINTS_ONCE=str(reached),
    )
    wait_until(lambda: (reached / failpoint).exists(), 60)
    return the_line(process, how)


def the_line(process: subprocess.Popen[str], how: int) -> str:
    """Interrupt a submission that prints nothing but the line that says what is recorded."""
    process.send_signal(how)
    out, error = process.communicate(timeout=within(60))
    assert (process.returncode, out) == (130, ""), error
    [line] = filter(None, error.splitlines())
    assert line.startswith("simcelery: interrupted: ")
    return line


def ids(project: Project) -> Sequence[int]:
    """The jobs on the board."""
    with psycopg.connect(project.environment["SIMCELERY_DATABASE_URL"]) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM jobs ORDER BY id")]


def span(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}-{numbers[-1]}"


@BOTH
def test_while_it_reads(project: Project, how: int) -> None:
    process = start(project, "--each", "-")
    assert process.stdin is not None
    process.stdin.write('{"a": 1}\n')
    process.stdin.flush()
    left = array.array("i", [0])
    pipe = process.stdin.fileno()

    def has_read() -> bool:
        fcntl.ioctl(pipe, termios.FIONREAD, left)
        return left[0] == 0

    wait_until(has_read, 60)
    assert the_line(process, how).endswith("interrupted: nothing was recorded")
    assert ids(project) == []


@BOTH
@pytest.mark.parametrize("moment", ["before_record_commit", "after_record"])
def test_while_it_records_a_few(project: Project, moment: str, how: int) -> None:
    """The transaction under way is finished first, so that nothing is in doubt."""
    line = interrupted_at(moment, project, "--grid", "a=1:5:1", how=how)
    found = ids(project)
    assert len(found) == 5
    assert f"interrupted: 5 jobs recorded (ids {span(found)}), and will run without this command" in line
    for verb in ("watch", "wait", "cancel"):
        assert f"'simcelery {verb} {span(found)}'" in line
    assert "the rest" not in line
    assert project.run("simcelery", "cancel", span(found), "-y").returncode == 0


def test_one_job(project: Project) -> None:
    line = interrupted_at("after_record", project, "a=1")
    [number] = ids(project)
    assert f"1 job recorded (ids {number}), and will run" in line
    assert f"'simcelery wait {number}'" in line


@pytest.mark.parametrize(
    ("dedupe", "how"), [(False, signal.SIGINT), (True, signal.SIGTERM)], ids=["plain", "dedupe"]
)
def test_while_it_records_many(project: Project, dedupe: bool, how: int) -> None:
    path = project.folder / "points.jsonl"
    path.write_text("".join(f'{{"a": {n}}}\n' for n in range(21_000)))
    options = ("--each", str(path), *(["--dedupe"] if dedupe else []))
    line = interrupted_at("after_record", project, *options, how=how)
    found = ids(project)
    assert len(found) in (10_000, 20_000)
    assert f"interrupted: {len(found):,} jobs recorded (ids {span(found)}" in line
    assert ("repeat the same command to continue" if dedupe else "with --dedupe to record the rest") in line
    again = project.run("simcelery", "submit", "sims.add", "--each", str(path), "--dedupe")
    assert f"{21_000 - len(found):,} new, {len(found):,} existing" in again.stdout
    assert len(ids(project)) == 21_000


def test_only_what_is_new_is_offered_for_a_cancel(project: Project) -> None:
    project.run("simcelery", "submit", "sims.add", "--grid", "a=1:3:1")
    line = interrupted_at("after_record", project, "--grid", "a=1:5:1", "--dedupe")
    old, new = ids(project)[:3], ids(project)[3:]
    assert f"5 jobs recorded (ids {span(old)}, {span(new)}: 2 new, 3 existing)" in line
    assert f"'simcelery cancel {span(new)}' cancels the new ones" in line


@pytest.mark.parametrize(
    ("output", "how"), [("table", signal.SIGINT), ("json", signal.SIGTERM), ("quiet", signal.SIGINT)]
)
def test_while_it_waits(project: Project, output: str, how: int) -> None:
    process = start(project, "--grid", "a=1:3:1", "-q", "nowhere", "--wait", "-o", output)
    assert process.stderr is not None
    first = process.stderr.readline()  # whatever comes after, the ids are known
    found = ids(project)
    assert first == f"3 jobs (ids {span(found)})\n"
    assert "no live worker serves queue 'nowhere'" in process.stderr.readline()
    assert f"'simcelery wait {span(found)}' waits for them" in the_line(process, how)
    assert len(ids(project)) == 3


def test_while_it_prints(project: Project) -> None:
    """Nobody reads the pipe, so that it is still printing."""
    process = start(project, "--grid", "a=1:1500:1", "-o", "json")
    assert process.stdout is not None
    begun = os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=within(60))
    assert (process.returncode, begun) == (130, b"[")
    assert re.search(rf"interrupted: 1,500 jobs recorded \(ids {span(ids(project))}\)", error)


def test_interrupted_twice_it_leaves_at_once_and_says_what_is_not_known(project: Project) -> None:
    reached = project.folder / "reached"
    reached.mkdir()
    process = start(
        project,
        *("--grid", "a=1:5:1"),
        SIMCELERY_FAILPOINTS="before_record_commit=sleep:20",
        SIMCELERY_FAILPOINTS_ONCE=str(reached),
    )
    wait_until(lambda: (reached / "before_record_commit").exists(), 60)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    line = the_line(process, signal.SIGINT)
    assert "it is not known whether the last 5 jobs were recorded" in line
    assert "nothing else was recorded" in line


def test_what_is_said_first_is_not_part_of_the_answer(project: Project) -> None:
    process = start(project, "a=1", "-q", "nowhere", "--wait", "--timeout", "1s", "-o", "json")
    out, error = process.communicate(timeout=within(60))
    assert process.returncode == 1
    assert error.startswith(f"job {ids(project)[0]}\n")
    assert out == ""
