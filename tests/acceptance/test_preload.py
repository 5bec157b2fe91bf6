"""Workflows that are imported in each pool child: for libraries that do not survive a fork."""

from __future__ import annotations

import ctypes.util
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.acceptance.helpers import submit
from tests.board_helpers import row
from tests.conftest import BIN, Project
from tests.waiting import wait_until, within

FRESH = {"SIMCELERY_PRELOAD": "false"}

THREADS = """

import os
from concurrent import futures
with Path(os.environ["IMPORTED"]).open("a") as file:
    file.write(f"{os.getpid()}\\n")
pool = futures.ThreadPoolExecutor(1)
pool.submit(int).result()

@workflow
def threaded(pause: float = 0.0) -> int:
    time.sleep(pause)
    return pool.submit(os.getpid).result(timeout=10)
"""
OPENMP = """

import ctypes
end = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
library = ctypes.CDLL("libgomp.so.1")
library.GOMP_parallel(end, None, 2, 0)

@workflow
def parallel() -> str:
    library.GOMP_parallel(end, None, 2, 0)
    return "done"
"""


def define(project: Project, code: str) -> None:
    with (project.folder / "sims.py").open("a") as file:
        file.write(code)


def imported(path: Path) -> set[int]:
    """The processes that have imported the module."""
    return set(map(int, path.read_text().split()))


def test_each_pool_child_imports_the_workflows_and_the_worker_does_not(
    project: Project, tmp_path: Path
) -> None:
    define(project, THREADS)
    project.environment["IMPORTED"] = str(tmp_path / "imported")
    worker = project.worker("-c", "2", **FRESH)
    wait_until(lambda: len(imported(tmp_path / "imported")) == 3)  # one only told the worker
    assert worker.pid not in imported(tmp_path / "imported")
    first = submit(project, "threaded.submit()")
    ran_in = first.result(timeout=within(30))
    assert psutil.Process(ran_in).ppid() == worker.pid
    assert ran_in in imported(tmp_path / "imported")
    assert "loading the workflows started" not in project.logs()
    # A child that takes the place of another one imports them as well.
    lost = submit(project, "threaded.submit(60.0)")
    wait_until(lambda: row(lost.id).pid)
    os.kill(row(lost.id).pid or 0, signal.SIGKILL)
    wait_until(lambda: row(lost.id).attempt == 2)
    assert row(lost.id).pid in imported(tmp_path / "imported")


@pytest.mark.skipif(ctypes.util.find_library("gomp") is None, reason="libgomp is not installed")
def test_openmp_that_ran_during_the_import_runs_in_jobs(project: Project) -> None:
    define(project, OPENMP)
    project.worker("-c", "1", **FRESH)
    assert submit(project, "parallel.submit()").result(timeout=within(30)) == "done"


def test_a_worker_shows_what_it_learned_of_its_workflows(project: Project) -> None:
    project.worker("-c", "1", **FRESH)
    told = project.run("simcelery", "workflows", "-o", "json")
    project.stop()
    project.worker("-c", "1")
    assert project.run("simcelery", "workflows", "-o", "json").stdout == told.stdout
    assert "sims.add" in told.stdout


@pytest.mark.parametrize(
    ("code", "environment", "said"),
    [
        ("raise RuntimeError('no licence')", {}, "'sims' does not import: RuntimeError: no licence"),
        ("import os; os._exit(7)", {}, "ended with status 7"),
        ("", {"SIMCELERY_PLAIN_TASKS": '["celery.ping"]'}, "plain_tasks need preload"),
    ],
)
def test_what_cannot_be_imported_stops_the_worker_with_one_line(
    project: Project, code: str, environment: dict[str, str], said: str
) -> None:
    define(project, f"\n\n{code}\n")
    done = project.run(str(BIN / "celery"), "-A", "simcelery", "worker", "-c", "1", **FRESH, **environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
