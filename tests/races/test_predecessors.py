"""A worker that starts where others died: their death is certain, and stays so."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from simcelery import settings
from simcelery.board import engine, leases
from simcelery.board.values import Claim
from simcelery.errors import BoardUnreachableError
from simcelery.execution.ending import EndedProcesses
from simcelery.execution.identity import identity
from simcelery.services import Services
from simcelery.worker.parent import predecessors
from tests.board_helpers import attempts, must_claim, record, registration, row, sql, state, worker

HOST = socket.gethostname()
NOWHERE = "postgresql://me:secret@127.0.0.1:9/none"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that a worker's entry may name."""
    started = subprocess.Popen(["sleep", "600"])
    yield started
    started.kill()
    started.wait()


def long_job(process: subprocess.Popen[bytes]) -> tuple[Claim, int]:
    """A job that has run for ten hours in a worker that is this process: rescue would wait 15 minutes."""
    me = worker(host=HOST, pid=process.pid, identity=identity(process.pid), lease=60.0)
    claimed = must_claim(record().task_id, me)
    sql("UPDATE jobs SET started_at = now() - interval '10 h' WHERE id = :id", id=claimed.job_id)
    return claimed, me


def die(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_the_jobs_of_a_dead_worker_of_this_host_are_taken_back_at_once(
    board: Services, process: subprocess.Popen[bytes]
) -> None:
    claimed, me = long_job(process)
    die(process)
    assert predecessors.take_over(worker(host=HOST), 0.0) == 1
    assert (state(claimed.job_id), row(claimed.job_id).losses) == ("pending", 1)
    assert row(claimed.job_id).published_at is not None
    assert sql("SELECT ended_at IS NOT NULL FROM workers WHERE id = :id", id=me) == [(True,)]
    assert predecessors.take_over(worker(host=HOST), 0.0) == 0
    assert len(attempts(claimed.job_id)) == 1


@pytest.mark.parametrize(
    ("cause", "expected", "said"),
    [
        ("cancelled", "worker_lost", "allocation 4711 of its worker ended: cancelled (CANCELLED)"),
        ("walltime", "walltime", "allocation 4711 of its worker ended: walltime (CANCELLED)"),
        ("node_failure", "worker_lost", "the worker died and was started again on the same host"),
    ],
)
def test_where_its_allocation_has_ended_that_is_why(
    board: Services, process: subprocess.Popen[bytes], cause: str, expected: str, said: str
) -> None:
    """The next allocation often begins on the same node, before anybody has asked the scheduler again."""
    claimed, me = long_job(process)
    other, _ = long_job(process)  # of a worker that no cluster has started
    sql("UPDATE workers SET allocation = 'simcelery-c-1' WHERE id = :id", id=me)
    sql(
        "INSERT INTO clusters (name, launcher, profile, wanted, started_by) "
        "VALUES ('c', 'slurm', '{}', 1, 'me')"
    )
    sql(
        "INSERT INTO allocations (cluster, name, scheduler_id, state, cause, told, ended_at) "
        "VALUES ('c', 'simcelery-c-1', '4711', 'ended', :cause, 'CANCELLED', now())",
        cause=cause,
    )
    die(process)
    assert predecessors.take_over(worker(host=HOST), 0.0) == 2
    [ended], [alone] = attempts(claimed.job_id), attempts(other.job_id)
    assert (ended["cause"], ended["error_message"]) == (expected, said)
    assert (alone["cause"], alone["error_message"]) == (
        "worker_lost",
        "the worker died and was started again on the same host",
    )


@pytest.mark.parametrize("host", [HOST, "elsewhere"])
def test_those_of_a_living_one_or_of_another_host_are_not(
    board: Services, process: subprocess.Popen[bytes], host: str
) -> None:
    claimed, me = long_job(process)
    if host != HOST:
        sql("UPDATE workers SET host = :host WHERE id = :id", host=host, id=me)
        die(process)
    assert predecessors.take_over(worker(host=HOST), 0.0) == 0
    assert state(claimed.job_id) == "running"
    assert sql("SELECT count(*) FROM workers WHERE ended_at IS NOT NULL") == [(0,)]


def test_a_certain_death_stays_certain_though_postgres_is_away_just_after_it_was_noted(
    board: Services, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed, _ = long_job(process)
    die(process)
    me = worker(host=HOST)

    def goes_away(*_: object) -> EndedProcesses:
        settings.override({"database_url": NOWHERE})
        return EndedProcesses()

    with monkeypatch.context() as during:
        during.setattr(predecessors, "end", goes_away)
        try:
            with pytest.raises(BoardUnreachableError):
                predecessors.take_over(me, 0.0)
        finally:
            settings.override({"database_url": board.database_url})
    assert sql("SELECT count(*) FROM workers WHERE ended_at IS NOT NULL") == [(1,)]
    assert state(claimed.job_id) == "running"
    assert predecessors.take_over(me, 0.0) == 1
    assert state(claimed.job_id) == "pending"


def test_and_though_the_worker_that_noted_it_died_too(
    board: Services, process: subprocess.Popen[bytes]
) -> None:
    claimed, me = long_job(process)
    die(process)
    with engine.begin() as connection:
        assert leases.bury(connection, [me]) == [me]
    assert predecessors.take_over(worker(host=HOST), 0.0) == 1
    assert state(claimed.job_id) == "pending"


def test_a_job_is_taken_back_when_nothing_that_it_started_is_left(
    board: Services, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by who finds the death noted already."""
    claimed, me = long_job(process)
    die(process)
    with engine.begin() as connection:
        leases.bury(connection, [me])
    seen: list[str] = []

    def look(*_: object) -> EndedProcesses:
        seen.append(state(claimed.job_id))
        return EndedProcesses()

    monkeypatch.setattr(predecessors, "end", look)
    predecessors.take_over(worker(host=HOST), 0.0)
    assert seen == ["running"]


def test_a_worker_that_has_ended_and_holds_nothing_is_no_predecessor(board: Services) -> None:
    ended, me = worker(host=HOST), worker(host=HOST)
    must_claim(record().task_id, me)
    with engine.begin() as connection:
        leases.end(connection, registration(ended))
        assert leases.predecessors(connection, HOST, me) == []
