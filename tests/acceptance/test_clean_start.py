"""Whatever a job does to its process, the next job begins as the first one did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from simcelery.errors import JobFailedError
from simcelery.services import Services
from tests.board_helpers import attempts, sql
from tests.conftest import Project, empty, make_project
from tests.waiting import wait_until, within

pytestmark = pytest.mark.installed_programs

PUT_BACK = [
    "alarm",
    "alarm that raises",
    "alarm behind the mask",
    "virtual timer",
    "profiling timer",
    "faulthandler",
    "handlers",
    "mask",
    "recursion limit",
    "high recursion limit",
    "switch interval",
    "trace",
    "profile",
    "trace of threads",
    "hooks",
    "numpy errors",
    "numpy printing",
    "warnings",
    "warnings replaced",
    "socket time-out",
    "gc off",
    "gc threshold",
    "gc freeze",
    "logging disabled",
    "logging level",
    "logging handlers",
    "loggers disabled",
    "decimal",
    "locale",
    "time zone",
    "sys.path",
    "sys.path replaced",
    "sys.argv",
    "environment",
    "environment replaced",
    "umask",
    "folder",
    "streams",
    "descriptors",
    "temporary folder",
    "start method",
    "process forgotten",
    "event loop closed",
    "event loop left open",
    "cores",
    "soft limit",
    "soft limit of a file",
    "thread that ends",
    "daemon that ends",
    "zombie",
    "pool by fork",
    "pool by spawn",
    "pool by forkserver",
    "joblib",
    "tqdm",
]
COSTS_THE_CHILD = [
    "no new privileges",
    "open file",
    "open file with a high number",
    "open pipe",
    "listening socket",
    "function that cleaning up calls",
    "thread",
    "process",
    "daemon",
    "process by fork",
    "process by spawn",
    "process by forkserver",
]
OF_ROOT = {"effective user": False, "user": False, "root directory": True}


def may(lower: str, put_back: str) -> bool:
    """Whether a process of ours may undo this; it takes privileges that also root in a container may lack."""
    code = f"import os, resource as r; {lower}; {put_back}"
    return (
        subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


PRIVILEGED = {
    "nice": may("os.nice(5)", "os.setpriority(os.PRIO_PROCESS, 0, 0)"),
    "hard limit": may("r.setrlimit(7, (512, 512))", "r.setrlimit(7, (1024, 1024))"),
}

root = os.geteuid() == 0
ALL = [
    *((how, True) for how in PUT_BACK),
    *((how, False) for how in COSTS_THE_CHILD),
    *PRIVILEGED.items(),
    *((how, stays) for how, stays in OF_ROOT.items() if root),
]


@pytest.fixture(scope="module")
def lone(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A worker with one pool child; its workflows can be imported here."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("project"))
    made.worker("-c", "1")
    sys.path.insert(0, str(made.folder))
    yield made
    sys.path.remove(str(made.folder))
    made.end()


def run(name: str, *parameters: Any) -> tuple[Any, int]:
    """Run a job; its result and the pid of its pool child."""
    import sims

    job = getattr(sims, name).submit(*parameters)
    result = job.result(timeout=within(60))
    [attempt] = attempts(job.id)
    return result, attempt["pid"]


@pytest.mark.parametrize(("how", "stays"), ALL, ids=[how for how, _ in ALL])
def test_the_next_job_finds_its_process_as_the_first_one_did(lone: Project, how: str, stays: bool) -> None:
    if how in ("joblib", "tqdm"):
        pytest.importorskip(how)
    if "numpy" in how:
        run("imports_late", "numpy")
    before, _ = run("tidy")
    _, pid = run("dirty", how)
    after, next_pid = run("tidy", 0.4)
    if not stays and "numpy" not in how:
        before["numpy"], before["precision"] = after["numpy"], after["precision"]
    assert after == before
    assert (next_pid == pid) is stays, lone.logs()[-2000:]
    assert sql("SELECT count(*) FROM jobs WHERE losses > 0 OR attempt <> 1") == [(0,)]
    assert lone.processes[0].poll() is None


def test_a_failed_attempt_is_cleaned_up_after_as_well(lone: Project) -> None:
    import sims

    for how in ("alarm", "recursion limit", "umask", "thread", "process"):
        before, _ = run("tidy")
        with pytest.raises(JobFailedError, match="diverged"):
            sims.dirty_and_fails.submit(how).result(timeout=within(60))
        after, _ = run("tidy", 0.4)
        assert after == before
    assert sql("SELECT count(*) FROM jobs WHERE losses > 0") == [(0,)]


def test_in_a_slice_the_others_go_on_in_another_child(lone: Project) -> None:
    """Nothing is lost, and nothing that had not begun counts as an attempt."""
    import sims

    hows = {50: "alarm", 100: "thread", 150: "recursion limit", 200: "open file", 250: "daemon"}
    jobs = sims.tiny_and_dirty.submit_many(
        [{"number": number, "how": hows.get(number, "")} for number in range(400)]
    )
    wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE state IN ('pending', 'running')") == [(0,)])
    assert {job.state for job in jobs} == {"succeeded"}
    assert sql("SELECT count(*) FROM jobs WHERE losses > 0 OR attempt <> 1") == [(0,)]
    pids = {attempts(job.id)[0]["pid"] for job in jobs}
    assert len(pids) == 4


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
@pytest.mark.parametrize("how", ["Pool", "Process", "ProcessPoolExecutor"])
def test_multiprocessing_works_by_every_method(lone: Project, how: str, method: str) -> None:
    if method == "loky":
        pytest.importorskip("joblib")
        if how != "Pool":
            pytest.skip("it has a pool only")
    (value, places), _ = run("computes_in_children", how, method)
    assert value == 3
    assert {place["folder"] for place in places} == {"its own"}
    assert all(place["main"] in (None, "") and not place["of the worker"] for place in places)
    assert run("tidy")[0]["children"] == ""


def test_a_module_that_freezes_what_it_imported_costs_no_child(project: Project) -> None:
    """Some of it dies in a job; that is nothing that the job has changed."""
    frozen = "import gc\n\nMINE = [[number] for number in range(1000)]\ngc.freeze()\n"
    shrink = "\n\n@workflow\ndef shrink() -> int:\n    del MINE[:100]\n    return gc.get_freeze_count()\n"
    sims = project.folder / "sims.py"
    sims.write_text(sims.read_text() + frozen + shrink)
    project.worker("-c", "1")
    client = "import sims; print([sims.shrink.submit().result(timeout=60) for _ in range(3)])"
    counts = json.loads(project.python(client).stdout)
    assert counts == sorted(counts, reverse=True)
    assert sql("SELECT count(DISTINCT pid) FROM attempts") == [(1,)]
