"""`simcelery.testing`, as people use it: in test runs of their own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil
import pytest

from tests.processes import command_of
from tests.programs import BIN

HOWTO = Path(__file__).parents[2] / "docs" / "howto.md"


def examples() -> dict[str, str]:
    """The files of the how-to about tests."""
    section = HOWTO.read_text().split("\n## Test your workflows\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", section, re.M | re.S)
    return dict(blocks)


@pytest.fixture
def own_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for a test run of somebody else's, with a board that must not be touched."""
    for name in list(os.environ):
        if name.startswith("PYTEST_XDIST"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("SIMCELERY_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:9/production")
    pytester.makefile(".toml", simcelery='broker_url = "redis://127.0.0.1:9/0"\n')
    for name, text in examples().items():
        pytester.path.joinpath(name).write_text(text)
    return pytester


def test_the_examples_of_the_how_to_pass_also_side_by_side(own_run: pytest.Pytester) -> None:
    assert sorted(examples()) == ["conftest.py", "melt.py", "test_melt.py"]
    own_run.runpytest_subprocess("-q", "-n", "2").assert_outcomes(passed=5)


WORKFLOWS = """
import os
import time
from pathlib import Path

from simcelery import current_job, workflow

@workflow
def here() -> str:
    print("printed", flush=True)
    os.environ["LEFT"] = "behind"
    Path("file.txt").write_text("of the job")
    return os.getcwd()

@workflow
def slow(seconds: float) -> int:
    time.sleep(seconds)
    return current_job().attempt

@workflow(time_limit="0.2s")
def endless() -> None:
    time.sleep(60)

@workflow
def reports() -> int:
    for step in range(3):
        current_job().progress(step, message="stored")
    return current_job().attempt

@workflow
def fails() -> None:
    raise ValueError("as it must")
"""
TESTS = """
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from simcelery.errors import UsageError
from sims import endless, fails, here, reports, slow

def test_a_job_runs_in_its_own_folder_and_leaves_the_process_as_it_was(board, worker, monkeypatch):
    monkeypatch.setenv("CHANGED", "by the test")
    job, folder = here.submit(), os.getcwd()
    worker.run()
    assert Path(job.result(), "file.txt").read_text() == "of the job"
    assert Path(job.result()).is_relative_to(board.home)
    assert (os.getcwd(), os.environ.get("LEFT"), os.environ["CHANGED"]) == (folder, None, "by the test")
    assert job.log() == "printed\\n"

def test_every_test_begins_with_job_1_and_the_command_line_sees_it(board, worker):
    assert [job.id for job in slow.submit_many([{"seconds": 0}] * 3)] == [1, 2, 3]
    listed = subprocess.run(["simcelery", "list", "-o", "quiet"], capture_output=True, text=True)
    assert listed.stdout.split() == ["3", "2", "1"]
    assert [job.id for job in worker.run(most=2)] == [1, 2]

def test_the_most_urgent_runs_first_and_what_nobody_knows_waits(board, worker):
    late, early = slow.submit(0), slow.submit(0, priority=9)
    assert worker.run() == [early, late]

def test_what_waits_for_a_failed_job_is_settled(board, worker):
    child = slow.submit(0, after=[fails.submit()])
    worker.run()
    assert child.state == "upstream_failed"

@pytest.mark.timeout(60, method="signal")
def test_the_soft_time_limit_holds_and_leaves_the_time_limit_of_the_test(board, worker):
    job = endless.submit()
    worker.run()
    assert job.row().error_type == "TimeLimitError"
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 60

def test_six_failures_in_a_row_are_not_taken_for_the_nodes_fault(board, worker):
    fails.submit_many([{}] * 6)
    begun = time.monotonic()
    assert len(worker.run()) == 6
    assert time.monotonic() - begun < 9  # the verdict would be waited for

def test_a_crash_after_the_third_report(board, worker, crash_after):
    job = reports.submit()
    crash_after("stored", nth=3)
    assert worker.run() == [job, job]
    assert job.result() == 2

def test_what_a_crash_left_of_a_finished_job_is_its_result(board, worker, crash_after):
    job = reports.submit()
    crash_after("finish")
    assert worker.run() == [job]
    assert (job.result(), job.row().losses) == (1, 0)

def test_a_real_worker_crashes_too(board, worker, crash_after):
    job = reports.submit()
    crash_after("progress")
    worker.start()
    assert (job.result(timeout=60), job.row().losses) == (2, 1)

def test_a_live_worker_keeps_its_jobs_while_time_passes(board, worker, clock):
    node, job = worker.start("-c", "2"), slow.submit(3)
    later = slow.submit(0, delay="2d")
    while job.state != "running":
        time.sleep(0.05)
    clock.advance("2d")
    assert later.result(timeout=60) == 1
    assert (job.result(timeout=60), job.row().losses) == (1, 0)
    assert node.is_alive()
    node.stop()
    assert not node.is_alive()

def test_mistakes_are_one_line(board, worker, clock, crash_after):
    for wrong in ("soon", -1):
        with pytest.raises(UsageError, match="clock.advance"):
            clock.advance(wrong)
    for wrong in ("sims.nothing", "nowhere.nothing", lambda: None):
        with pytest.raises(UsageError, match="crash_after"):
            crash_after(wrong)
    with pytest.raises(UsageError, match="nth"):
        crash_after("run", nth=0)

def test_a_crash_that_never_happens_is_an_error(board, worker, crash_after):
    slow.submit(0)
    crash_after("sims.fails")
    worker.run()

def test_only_run_crashes_after_a_function(board, worker, crash_after):
    crash_after("sims.fails")
    with pytest.raises(UsageError, match="only worker.run"):
        worker.start()
"""


def test_what_the_fixtures_promise(own_run: pytest.Pytester) -> None:
    own_run.makefile(".toml", simcelery='workflows = ["sims"]\n')
    own_run.makepyfile(sims=WORKFLOWS, test_sims=TESTS)
    done = own_run.runpytest_subprocess("-q", "test_sims.py")
    done.assert_outcomes(passed=13, errors=2)  # those whose crash never came
    done.stdout.fnmatch_lines(["*no attempt ever came to sims.fails*"])


def test_nothing_is_left_when_the_run_is_over(own_run: pytest.Pytester) -> None:
    own_run.makepyfile(
        test_home="""
        from pathlib import Path

        def test_home(board):
            Path("home").write_text(str(board.home))
        """
    )
    own_run.runpytest_subprocess("-q", "test_home.py").assert_outcomes(passed=1)
    home = (own_run.path / "home").read_text()
    assert home not in "\n".join(map(command_of, psutil.process_iter()))
    assert not (Path(home) / "servers").exists()


def test_a_run_that_does_not_name_the_plug_in_has_none_of_it(own_run: pytest.Pytester) -> None:
    own_run.path.joinpath("conftest.py").unlink()
    own_run.makepyfile(
        test_other="""
        import sys

        def test_other():
            assert "simcelery" not in sys.modules
        """
    )
    own_run.runpytest_subprocess("-q", "test_other.py").assert_outcomes(passed=1)
