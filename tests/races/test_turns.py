"""Recovery by turns: one worker at a time, without a leader."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from simcelery.board import engine, transitions, turns
from tests.board_helpers import record, state

pytestmark = pytest.mark.usefixtures("board")


def test_of_many_workers_one_takes_each_turn() -> None:
    start = threading.Barrier(5)

    def take(number: int) -> bool:
        start.wait()
        with engine.begin() as connection:
            return turns.take_turns(connection, {"stage": 60.0}, f"w{number}").acts == {"stage"}

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(take, range(5))) == 1


@pytest.mark.slow
def test_two_stagings_at_once_stage_each_job_once() -> None:
    recorded = [record(delay=0.05) for _ in range(50)]
    start = threading.Barrier(2)

    def stage() -> list[int]:
        start.wait()
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(0.1)")
            return [job.id for job in transitions.stage(connection)]

    # now() is the start of the transaction, so let the time come first.
    threading.Event().wait(0.2)
    with ThreadPoolExecutor(2) as pool:
        staged = [number for one in (pool.submit(stage), pool.submit(stage)) for number in one.result()]
    assert sorted(staged) == sorted(job.id for job in recorded)
    assert {state(job.id) for job in recorded} == {"pending"}
