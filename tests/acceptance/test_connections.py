"""How many connections to Postgres and Redis a worker holds."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import redis

from simcelery.broker.transport import LONGEST_WAIT
from simcelery.services import Services
from tests.acceptance.helpers import executions
from tests.board_helpers import sql, state
from tests.conftest import Project
from tests.waiting import wait_until, within


def connections(worker: int) -> int:
    """Those of a worker and of its pool children."""
    names = [
        f"simcelery {pid}" for pid in (worker, *(child.pid for child in psutil.Process(worker).children()))
    ]
    return int(
        sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = ANY(:names)", names=names)[0][0]
    )


def test_a_worker_whose_children_run_long_jobs_holds_one_connection(project: Project, tmp_path: Path) -> None:
    counts = [tmp_path / f"count{i}" for i in range(3)]
    code = "".join(f"; sims.trace.submit({str(count)!r}, pause=12)" for count in counts)
    assert project.python(f"import sims{code}").returncode == 0
    worker = project.worker("-c", "3")
    wait_until(lambda: all(map(executions, counts)))
    wait_until(lambda: connections(worker.pid) <= 1, 8)
    wait_until(lambda: [state(number) for (number,) in sql("SELECT id FROM jobs")] == ["succeeded"] * 3)


def test_an_idle_worker_is_four_clients_of_redis_and_ends_as_soon_as_it_is_told(
    project: Project, servers: Services
) -> None:
    """It asks for messages, listens, sends events, and asks whether messages wait that do not reach it."""
    with redis.Redis.from_url(servers.broker_url) as asking:
        before = {one["id"] for one in asking.client_list()}
        worker = project.worker("-c", "1")

        def commands() -> list[str]:
            return sorted(one["cmd"] for one in asking.client_list() if one["id"] not in before)

        wait_until(lambda: "exists" in commands(), 15)
        found = commands()
        assert len(found) == 4, found
        assert {"brpop", "exists"} < set(found)
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(within(10)) == 0
    assert time.monotonic() - began < LONGEST_WAIT - 0.5
