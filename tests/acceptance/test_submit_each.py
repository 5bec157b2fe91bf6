"""``simcelery submit --each`` of more jobs than one transaction takes: streamed, and safe to interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psycopg

from tests.conftest import BIN, Project
from tests.waiting import wait_until, within


def submit(project: Project, *options: str, stdin: Path | None = None, **extra: str) -> subprocess.Popen[str]:
    """Start ``submit sims.add``."""
    with open(stdin or os.devnull) as source:
        return subprocess.Popen(
            [str(BIN / "simcelery"), "submit", "sims.add", *options],
            cwd=project.folder,
            env={**project.environment, **extra},
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def lines(project: Project, count: int, last: str = "") -> Path:
    """A file of so many lines, and one more."""
    path = project.folder / "points.jsonl"
    path.write_text("".join(f'{{"a": {n}}}\n' for n in range(count)) + last)
    return path


def recorded(project: Project) -> tuple[int, int]:
    """How many jobs are on the board, and with how many different parameters."""
    with psycopg.connect(project.environment["SIMCELERY_DATABASE_URL"]) as connection:
        [found] = connection.execute("SELECT count(*), count(DISTINCT parameters) FROM jobs").fetchall()
    return found[0], found[1]


def test_interrupted_and_repeated_each_job_is_recorded_once(project: Project) -> None:
    path = lines(project, 25_000)
    reached = project.folder / "reached"
    reached.mkdir()
    process = submit(
        project,
        *("--each", str(path), "--dedupe"),
        SIMCELERY_FAILPOINTS="after_record=sleep:3",
        SIMCELERY_FAILPOINTS_ONCE=str(reached),
    )
    wait_until(lambda: (reached / "after_record").exists(), 60)
    assert recorded(project)[0] == 10_000
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=within(60))
    assert (process.returncode, out) == (130, "")
    assert "interrupted: 10,000 jobs recorded (ids " in error
    assert "repeat the same command to continue from there" in error
    again = project.run("simcelery", "submit", "sims.add", "--each", str(path), "--dedupe")
    assert "25,000 jobs" in again.stdout
    assert "15,000 new, 10,000 existing" in again.stdout
    assert recorded(project) == (25_000, 25_000)


def test_a_bad_line_of_a_large_file_is_found_before_anything_is_recorded(project: Project) -> None:
    path = lines(project, 11_000, '{"a": "x"}\n')
    done = project.run("simcelery", "submit", "sims.add", "--each", str(path))
    assert done.returncode == 2
    assert "points.jsonl line 11001: sims.add: parameter 'a'" in done.stderr
    assert recorded(project)[0] == 0


def test_a_bad_line_of_stdin_says_what_is_recorded_and_how_to_go_on(project: Project) -> None:
    path = lines(project, 11_000, '{"a": "x"}\n')
    process = submit(project, "--each", "-", "--dedupe", stdin=path)
    out, error = process.communicate(timeout=within(60))
    assert (process.returncode, out) == (2, "")
    assert "stdin line 11001: sims.add: parameter 'a'" in error
    assert "10,000 jobs recorded; repeat the same command to continue from there" in error
    assert recorded(project)[0] == 10_000
    path = lines(project, 11_001)
    process = submit(project, "--each", "-", "--dedupe", "-o", "quiet", stdin=path)
    out, error = process.communicate(timeout=within(60))
    assert (process.returncode, error) == (0, "")
    assert len(set(out.split())) == 11_001
    assert recorded(project) == (11_001, 11_001)


def test_memory_does_not_grow_with_the_number_of_jobs(project: Project) -> None:
    few, many = (_peak(project, lines(project, count)) for count in (20_000, 90_000))
    assert many - few < 30, (few, many)  # 70,000 lists of parameters take more than twice that
    assert recorded(project)[0] == 110_000


def _peak(project: Project, path: Path) -> float:
    """The peak memory of a submission, MiB."""
    process = submit(project, "--each", str(path))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.communicate()
    assert process.returncode == 0
    return usage.ru_maxrss / 1024
