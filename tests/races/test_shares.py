"""Queues that are shared: a colleague's ten jobs do not wait for a sweep. Others have strict order."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from simcelery.board import engine, limits, shares, transitions
from simcelery.board.shares import By
from simcelery.board.values import Claim, ClaimRequest
from simcelery.needs import Needs, Room
from tests.board_helpers import SUCCESS, finish, new_job, record, registration, row, sql, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board", "no_queue_stays_shared")


def share(by: By = "submitter", queue: str = "default") -> None:
    with engine.begin() as connection:
        shares.share(connection, queue, by, "test")


def sweep(count: int, who: str = "ann@here", **changes: object) -> list[uuid.UUID]:
    with engine.begin() as connection:
        new = [new_job(submitted_by=who, **changes) for _ in range(count)]
        return [one.task_id for one in transitions.record(connection, new)]


def wake(me: int, named: uuid.UUID | None = None, least: int = 0, more: int = 0, pid: int = 1) -> list[Claim]:
    """What a message brings, whose own job counts or is gone."""
    task = named or uuid.uuid4()
    return transitions.claim(
        ClaimRequest(task, "w", uuid.uuid4(), registration(me), pid, "default", least, more)
    )


def whose(claimed: list[Claim]) -> str:
    return row(claimed[0].job_id).submitted_by


def test_in_strict_order_a_sweep_comes_first() -> None:
    me, tasks = worker(), sweep(5)
    sweep(2, "bob@there")
    assert [whose(wake(me, task)) for task in tasks] == ["ann@here"] * 5


def test_whoever_has_the_fewest_running_comes_first() -> None:
    me, tasks = worker(), sweep(20)
    share()
    assert whose(wake(me, tasks[0])) == "ann@here"
    sweep(4, "bob@there")
    sweep(4, "bob@elsewhere")
    assert whose(wake(me, tasks[1])).startswith("bob@")
    found = [whose(wake(me, task)).partition("@")[0] for task in tasks[2:12]]
    assert found.count("bob") == found.count("ann") == 5


def test_tags_share_likewise_and_others_do_not() -> None:
    me, tasks = worker(), sweep(6, tags=["big", "x"])
    share("tag")
    sweep(3, tags=["small"])
    found = [row(wake(me, task)[0].job_id).tags[0] for task in tasks]
    assert sorted(found) == ["big"] * 3 + ["small"] * 3
    with engine.begin() as connection:
        assert shares.stop(connection, "default")
        assert not shares.stop(connection, "default")
    assert sql("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'jobs_shared%'") == []


def test_what_is_more_urgent_comes_first_whosever_it_is() -> None:
    me, tasks = worker(), sweep(3)
    share()
    sweep(2, "bob@there", priority=3)
    assert [whose(wake(me, task)) for task in tasks] == ["ann@here"] * 3
    sweep(1, "bob@there", priority=9)
    sweep(1, "ann@here", priority=9)
    assert {whose(wake(me, least=4)), whose(wake(me, least=4))} == {"ann@here", "bob@there"}
    assert wake(me, least=4) == []


def test_no_message_is_used_up_for_nothing_and_none_travels_with_others() -> None:
    me, [first, *_] = worker(), sweep(3)
    sql("UPDATE jobs SET published_at = now(), publish_count = 1 RETURNING id")
    share()
    held = wake(me, first, more=10)
    assert [one.task_id for one in held] == [first]
    sweep(1, "bob@there")
    [second] = sql(
        "SELECT task_id FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL ORDER BY id LIMIT 1"
    )
    assert whose(wake(me, second[0])) == "bob@there"
    assert sql("SELECT published_at FROM jobs WHERE task_id = :task", task=second[0]) == [(None,)]


def test_of_many_claims_at_once_each_gets_a_job() -> None:
    me, tasks = worker(), sweep(40)
    share()
    sweep(10, "bob@there")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: wake(me, tasks[n], pid=n + 1), range(40)))
    assert all(len(claimed) == 1 for claimed in found)
    assert len({claimed[0].job_id for claimed in found}) == 40
    assert sum(whose(claimed) == "bob@there" for claimed in found) == 10


def test_a_claim_does_not_wait_for_another_one() -> None:
    me, (taken, free) = worker(), sweep(2)
    share()
    with ThreadPoolExecutor(1) as pool, engine.begin() as connection:
        connection.exec_driver_sql("SELECT FROM jobs WHERE task_id = %s FOR UPDATE", (taken,))
        [claimed] = pool.submit(wake, me, free).result(within(10))
    assert claimed.task_id == free


def test_limits_hold_in_a_queue_that_is_shared() -> None:
    me = worker()
    with engine.begin() as connection:
        limits.put(connection, {"tag:licence": 1}, "test")
    share()
    tasks = sweep(3, tags=["licence"])
    [held] = wake(me, tasks[0])
    free = record(submitted_by="bob@there")
    assert [one.job_id for one in wake(me, tasks[1])] == [free.id]
    assert wake(me, tasks[2]) == []
    finish(held, SUCCESS)
    assert len(wake(me, tasks[1])) == 1


def test_what_does_not_fit_here_keeps_nothing_that_is_less_urgent_from_running() -> None:
    me = worker(room=Room(4, 2**30))
    share()
    record(priority=9, needs=Needs(gpus=1))
    less = record()
    assert [one.job_id for one in wake(me, less.task_id)] == [less.id]


@pytest.mark.slow
def test_a_hundred_thousand_waiting_jobs_make_a_turn_no_dearer() -> None:
    me, tasks = worker(), sweep(100)
    share()
    sweep(3, "bob@there")

    def took(tasks: list[uuid.UUID]) -> float:
        """Milliseconds that a claim takes, without the wait for the disk."""
        each, key = [], registration(me).key
        asked = "SELECT id FROM claim_jobs(%s, 'w', gen_random_uuid(), %s, 1, 'default', 0, 0, %s)"
        with engine.begin() as connection:
            for task in tasks:
                begun = time.perf_counter()
                assert connection.exec_driver_sql(asked, (task, me, key)).all()
                each.append(time.perf_counter() - begun)
        return 1000 * sorted(each)[len(each) // 2]

    few = took(tasks[:20])
    sql(
        "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses, "
        "submitted_by) SELECT gen_random_uuid(), 'w', '{}', 'pending', 'default', 4, 1, 5, 'ann@here' "
        "FROM generate_series(1, 100000) RETURNING 1"
    )
    sweep(3, "eve@there")
    many = took(tasks[20:40])
    print(f"{few:.1f} and {many:.1f} ms")
    assert many < 3 * few + 10, f"{few:.1f} and {many:.1f} ms"
    assert sql("SELECT count(*) FROM jobs WHERE state = 'running' AND submitted_by LIKE 'eve%'") == [(3,)]
