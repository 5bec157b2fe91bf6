"""Jobs that ask for memory: what all their processes use together counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import simcelery
from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until, within

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 2**20


@pytest.fixture(scope="module")
def sims(shared_project: Project) -> Project:
    return shared_project


def test_a_job_whose_processes_use_too_much_together_is_ended_and_says_what_to_do(
    sims: Project, tmp_path: Path
) -> None:
    """None of them alone does."""
    job = submit(sims, f"uses_memory.submit(90, 3, {str(tmp_path / 'marker')!r}, 60.0)")
    wait_until(lambda: job.state == "failed", 30)
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["cause"]) == ("failed", "out_of_memory")
    assert (ended["error_type"], row(job.id).failures) == ("OutOfMemoryError", 1)
    assert "200.0 MiB" in ended["error_message"]
    assert "--memory" in ended["error_message"]
    assert ended["peak_memory"] > 200 * MIB
    assert (tmp_path / "marker").read_text() == "cleaned up"


def test_a_submission_may_ask_for_more_and_the_peak_is_that_of_all_processes(sims: Project) -> None:
    job = submit(sims, f"uses_memory.submit(90, 3, seconds={within(3.0)}, memory='1G')")
    assert job.result(timeout=within(30)) == 3
    [ended] = attempts(job.id)
    assert 3 * 90 * MIB < ended["peak_memory"] < 1024 * MIB


def test_what_earlier_jobs_have_left_in_its_process_is_not_the_next_ones(sims: Project) -> None:
    kept = submit(sims, "keeps_memory.submit_many([{'mib': 300, 'seconds': 1.0}] * 2)[0]")
    wait_until(lambda: kept.state == "succeeded" and simcelery.get_job(kept.id + 1).state == "succeeded", 30)
    for mib, seconds in ((10, 1.0), (300, within(20))):
        job = submit(sims, f"uses_memory.submit({mib}, 1, seconds={seconds})")
        wait_until(lambda job=job: job.state.is_terminal, 30)
        [ended] = attempts(job.id)
        assert ended["cause"] == (None if mib == 10 else "out_of_memory"), ended["error_message"]


def test_when_memory_runs_out_the_kernel_takes_a_job_before_its_worker(sims: Project) -> None:
    job = submit(sims, "add.submit(1)")
    job.wait(timeout=within(30))
    [ended] = attempts(job.id)
    of_worker, of_jobs = [
        int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (sims.processes[0].pid, ended["pid"])
    ]
    assert of_jobs > of_worker or of_worker == 1000


def test_a_command_is_ended_by_what_it_asked_for(sims: Project) -> None:
    code = "import time; kept = b'x' * (400 << 20); time.sleep(600)"
    done = sims.run("simcelery", "submit", "-o", "quiet", "--memory", "200M", "--", "python", "-c", code)
    assert done.returncode == 0, done.stderr
    job = simcelery.get_job(int(done.stdout))
    wait_until(lambda: job.state == "failed", 30)
    assert [one["cause"] for one in attempts(job.id)] == ["out_of_memory"]


def uses(mib: int, ran: Path, enough: int) -> str:
    """A program that uses so much memory: until it is ended, but for the run in which it has enough."""
    return (
        f"import pathlib, time; ran = pathlib.Path({str(ran)!r}); ran.open('a').write('x'); "
        f"kept = b'x' * ({mib} << 20); time.sleep(1 if ran.stat().st_size >= {enough} else 600); "
        "print('done')"
    )


def test_a_command_that_ran_out_of_memory_gets_more_and_succeeds(sims: Project, tmp_path: Path) -> None:
    code = uses(300, tmp_path / "ran", enough=2)
    asked = ("--memory", "200M", "--on-oom", "memory=x3,max=1G")
    done = sims.run("simcelery", "submit", "-o", "quiet", *asked, "--", "python", "-c", code)
    assert done.returncode == 0, done.stderr
    job = simcelery.get_job(int(done.stdout))
    wait_until(lambda: job.state.is_terminal, 60)
    assert [(one["outcome"], one["cause"]) for one in attempts(job.id)] == [
        ("failed", "out_of_memory"),
        ("succeeded", None),
    ]
    shown = sims.run("simcelery", "show", str(job.id)).stdout
    assert "attempt 1 (out_of_memory), ran with: memory 200.0 MiB; the next one: memory 600.0 MiB" in shown
    assert "memory 600.0 MiB" in sims.run("simcelery", "explain", str(job.id)).stdout


def test_a_command_that_ignores_sigterm_is_ended_at_its_time_limit_and_gets_more_time(sims: Project) -> None:
    seconds = sleeper()
    asked = ("--time-limit", "1", "--on-time-limit", "time_limit=x1.5,max=1.5")
    words = f"trap '' TERM; while true; do sleep {seconds}; done"
    done = sims.run("simcelery", "submit", "-o", "quiet", *asked, "--", "sh", "-c", words)
    assert done.returncode == 0, done.stderr
    job = simcelery.get_job(int(done.stdout))
    wait_until(lambda: job.state.is_terminal, 60)
    assert [(one["outcome"], one["cause"]) for one in attempts(job.id)] == [("failed", "time_limit")] * 2
    assert (row(job.id).error or "").endswith("tried 00:00:01, 00:00:01.5, which is the most")
    assert command_alive(f"sleep {seconds}") == 0


def test_what_cannot_be_asked_for_is_refused_in_one_line(sims: Project) -> None:
    for size, said in (("8", "at least 1M"), ("lots", "is not a size"), ("-1G", "is not a size")):
        done = sims.run("simcelery", "submit", f"--memory={size}", "--", "true")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "memory" in done.stderr
        assert said in done.stderr


# --- with workers of its own; the board is emptied, so the one above is at its end ---


def test_more_is_decided_once_for_each_end_whoever_is_killed_meanwhile(
    project: Project, tmp_path: Path
) -> None:
    """kill -9 of the worker while the decision is not committed, and just after it is."""
    once = tmp_path / "once"
    once.mkdir()
    lines = ("before_finish", "after_finish")
    killing = {
        "SIMCELERY_FAILPOINTS": ",".join(f"{line}=kill-parent" for line in lines),
        "SIMCELERY_FAILPOINTS_ONCE": str(once),
    }
    workers = [project.worker("-c", "1", **killing)]
    code = uses(500, tmp_path / "ran", enough=4)
    asked = ("--memory", "200M", "--on-oom", "memory=x2,max=1G")
    done = project.run("simcelery", "submit", "-o", "quiet", *asked, "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    job = simcelery.get_job(int(done.stdout))

    def is_over() -> bool:
        if workers[-1].poll() is not None:
            workers.append(project.worker("-c", "1", **killing))
        return job.state.is_terminal

    wait_until(is_over, 90)
    assert {path.name for path in once.iterdir()} == set(lines)
    assert len(workers) == 3
    assert [(one["outcome"], one["cause"]) for one in attempts(job.id)] == [
        ("lost", "worker_lost"),
        ("failed", "out_of_memory"),
        ("failed", "out_of_memory"),
        ("succeeded", None),
    ]
    assert (row(job.id).failures, row(job.id).losses) == (0, 1)
    shown = project.run("simcelery", "show", str(job.id)).stdout
    for tried in (
        "attempt 2 (out_of_memory), ran with: memory 200.0 MiB; the next one: memory 400.0 MiB",
        "attempt 3 (out_of_memory), ran with: memory 400.0 MiB; the next one: memory 800.0 MiB",
    ):
        assert tried in shown
    assert sql("SELECT attempt FROM escalations ORDER BY attempt") == [(2,), (3,)]
