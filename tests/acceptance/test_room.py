"""What jobs need of a node, with real workers; the devices are played: nobody looks behind their names."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import simcelery
from simcelery.services import Services
from tests.acceptance.helpers import submit, submit_each
from tests.board_helpers import attempts, sql
from tests.conftest import Project, make_project
from tests.waiting import wait_until, within

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
NODE = {"SIMCELERY_GPUS": "4-7", "SIMCELERY_CORES": "6", "SIMCELERY_MEMORY": "4G"}


@pytest.fixture(scope="module")
def node(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A worker on a node with four devices and six cores, with more slots than that."""
    made = make_project(servers, tmp_path_factory.mktemp("node"))
    made.worker("-c", "8", **NODE, OMP_NUM_THREADS="3")
    yield made
    made.end()


@pytest.fixture
def neighbour(node: Project) -> Iterator[None]:
    """Another worker on that node, which has found the same devices."""
    other = node.worker("-c", "8", **NODE)
    yield
    node.processes.remove(other)
    other.kill()
    other.wait(within(20))


@pytest.mark.usefixtures("neighbour")
def test_twelve_jobs_never_share_one_of_four_devices_whatever_is_killed(
    node: Project, tmp_path: Path
) -> None:
    stay = tmp_path / "stay"
    stay.touch()
    jobs = submit_each(node, f"uses_device.submit({str(tmp_path)!r}, {{}})", [0.3] * 12)
    ids = [job.id for job in jobs]
    chance, kills = random.Random(7), 0
    until = time.monotonic() + within(60)
    while any(not job.state.is_terminal for job in jobs) and time.monotonic() < until:
        running = sql("SELECT pid FROM jobs WHERE id = ANY(:ids) AND state = 'running'", ids=ids)
        assert len(running) <= 4
        if running and kills < 4:
            kills += 1
            with suppress(ProcessLookupError):
                os.kill(chance.choice(running).pid, signal.SIGKILL)
        if kills == 4:
            stay.unlink(missing_ok=True)
        time.sleep(0.2)
    assert [job.state for job in jobs] == ["succeeded"] * 12, sql("SELECT error_message FROM jobs")
    assert {job.result() for job in jobs} <= {"4", "5", "6", "7"}
    begun = sum(len(path.read_text()) for path in tmp_path.iterdir())
    lost = sum(one["outcome"] == "lost" for job in jobs for one in attempts(job.id))
    assert 12 <= begun <= 12 + lost
    assert lost >= 1


def test_a_job_sees_the_devices_and_starts_the_threads_that_it_asked_for(node: Project) -> None:
    given = submit(node, f"sees.submit({[*DEVICES, *THREADS]!r}, gpus=2, cores=2)").result(timeout=within(30))
    assert [given[name] for name in THREADS] == ["2"] * 3
    assert [given[name] for name in DEVICES] == ["4,5", "0,1", "4,5", "4,5"]


def test_one_that_asks_for_nothing_finds_everything_as_it_was(node: Project) -> None:
    given = submit(node, f"sees.submit({[*DEVICES, *THREADS]!r})").result(timeout=within(30))
    assert given == {name: os.environ.get(name) for name in (*DEVICES, *THREADS)} | {"OMP_NUM_THREADS": "3"}


def test_jobs_that_fit_overtake_one_that_does_not_and_it_comes_when_there_is_room(
    node: Project, tmp_path: Path
) -> None:
    holds = submit(node, f"trace.submit({str(tmp_path / 'one')!r}, pause=60, cores=5)")
    wait_until(lambda: holds.state == "running")
    large = submit(node, f"trace.submit({str(tmp_path / 'two')!r}, cores=6)")
    small = submit_each(node, "add.submit({}, cores=1)", range(5))
    plain = submit_each(node, "add.submit({})", range(20))
    assert [job.result(timeout=within(30)) for job in (*small, *plain)] == [*range(1, 6), *range(1, 21)]
    assert large.state == "pending"
    assert holds.state == "running"
    holds.cancel()
    assert large.result(timeout=within(30)) == "ran"
    [first], [second] = attempts(holds.id), attempts(large.id)
    assert second["started_at"] >= first["finished_at"]


def test_what_never_fits_is_named_and_keeps_neither_slots_nor_the_worker(node: Project) -> None:
    done = node.run("simcelery", "submit", "sims.add", "a=1", "--gpus", "5", "--memory", "1G")
    assert done.returncode == 0, done.stderr
    assert "5 GPUs" in done.stderr
    number = int(done.stdout.split()[1])
    explained = node.run("simcelery", "explain", str(number)).stdout
    assert "asks for memory 1.0 GiB, 5 GPUs" in explained
    assert "no live worker" in explained
    assert submit(node, "add.submit(2)").result(timeout=within(30)) == 3
    simcelery.get_job(number).cancel()
    assert all(process.poll() is None for process in node.processes)
