"""What there is to do for a cluster, and what it does with what it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simcelery.board import allocations, clusters, demand, engine, transitions
from simcelery.board.clusters import NewCluster
from simcelery.board.demand import Load, Room
from simcelery.describe import story
from simcelery.describe.reasons import reasons
from simcelery.needs import Needs
from tests.board_helpers import SUCCESS, finish, must_claim, new_job, record, sql, worker

pytestmark = pytest.mark.usefixtures("board")

ROOM = Room(queues=["default"], workflows=None, slots=2, cores=4, memory=2**30, gpus=0, startup=0.0)


def do(act: Any, *args: Any) -> Any:
    with engine.begin() as connection:
        return act(connection, *args)


def start(least: int | None = 0, most: int | None = 9, wanted: int = 0) -> None:
    new = NewCluster(
        name="c",
        launcher="slurm",
        host=None,
        profile={},
        wanted=wanted,
        least=least,
        most=most,
        started_by="me",
    )
    do(clusters.start, new)


def allocation(name: str, state: str, **more: Any) -> int:
    """An allocation with a worker of it; that one's id."""
    names, values = ["cluster", "name", "state", *more], ["'c'", f"'{name}'", f"'{state}'", *more.values()]
    sql(f"INSERT INTO allocations ({', '.join(names)}) VALUES ({', '.join(values)})")
    mine = worker()
    sql("UPDATE workers SET allocation = :name WHERE id = :id", name=name, id=mine)
    return int(mine)


def test_other_autoscalers_see_what_waits_and_what_runs() -> None:
    """As docker/kubernetes/keda.yaml asks: whoever counted only what waits would end workers that work."""

    def seen(queue: str) -> int:
        return int(sql(f"SELECT simcelery_demand('{queue}')")[0][0])

    first, second = record(), record()
    record(queue="other")
    record(parents=[first.id])
    record(run_at=datetime.now(UTC) + timedelta(hours=1))
    assert (seen("default"), seen("other"), seen("none")) == (2, 1, 0)
    sql("UPDATE jobs SET published_at = now(), publish_count = 1 WHERE id = :id", id=first.id)
    running = must_claim(second.task_id, worker())
    assert seen("default") == 2
    finish(running, SUCCESS)
    assert seen("default") == 1


def test_pending_jobs_count_that_such_a_worker_could_run() -> None:
    record()
    record(needs=Needs(cores=3, memory=2**29))
    record(needs=Needs(cores=5))
    record(needs=Needs(memory=2**31))
    record(needs=Needs(gpus=1))
    record(queue="other")
    record(parents=[record(queue="other").id])
    assert do(demand.pending, ROOM, 100) == Load(2, 4, 2**29, 0)
    assert do(demand.pending, ROOM, 1).jobs == 1
    assert do(demand.pending, ROOM._replace(workflows=["nothing"]), 100).jobs == 0
    anything = ROOM._replace(queues=None, cores=None, memory=None, gpus=None)
    assert do(demand.pending, anything, 100).jobs == 7


def test_jobs_that_take_longer_than_an_allocation_lasts_do_not_count() -> None:
    record(time_request=100)
    record(time_request=101)
    record()
    assert do(demand.pending, ROOM, 100, 100.0) == Load(2, 2, 0, 0)
    assert do(demand.pending, ROOM, 100).jobs == 3
    assert do(demand.pending, ROOM._replace(startup=20.0), 100, 120.0).jobs == 2  # it begins them 20 s later
    assert do(demand.pending, ROOM._replace(workflows=["nothing"]), 100, 100.0).jobs == 0
    assert do(demand.pending, ROOM._replace(queues=["other"]), 100, 100.0).jobs == 0
    assert do(demand.pending, ROOM._replace(queues=None), 100, 100.0).jobs == 2


def test_short_jobs_count_behind_many_that_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "_ASKED_MOST", 500)
    do(transitions.record, [new_job(time_request=1000) for _ in range(800)])
    for _ in range(3):
        record(time_request=10)
    do(transitions.record, [new_job(time_request=1000) for _ in range(800)])
    record(workflow="v")
    record(workflow="v", needs=Needs(cores=5))
    assert do(demand.pending, ROOM, 100, 100.0).jobs == 4


def test_what_a_worker_that_has_just_begun_would_try_counts() -> None:
    record(time_limit=1000)
    assert do(demand.pending, ROOM, 100, 100.0).jobs == 1


def test_the_start_of_a_worker_takes_as_long_as_that_of_the_first_in_the_newest_allocation() -> None:
    start()
    for number, seconds in (("1", 500), ("2", 90)):
        allocation(f"simcelery-c-{number}", "running", ran_from=f"now() - interval '{seconds} s'")
    again = worker()
    sql(
        "UPDATE workers SET allocation = 'simcelery-c-2', started_at = now() + interval '1 h' WHERE id = :id",
        id=again,
    )
    assert do(demand.room_of, "c").startup == pytest.approx(95, abs=1)


def test_what_runs_on_its_workers_counts_until_they_end() -> None:
    start()
    mine = allocation("simcelery-c-1", "running")
    must_claim(record().task_id, mine)
    must_claim(record().task_id, worker())
    assert do(demand.running, "c") == Load(1, 1, 0, 0)
    sql("UPDATE workers SET ended_at = now() WHERE id = :id", id=mine)
    assert do(demand.running, "c").jobs == 0


def test_the_newest_worker_says_what_they_have() -> None:
    start()
    assert do(demand.room_of, "c") is None
    allocation("simcelery-c-1", "running")
    newest = allocation("simcelery-c-2", "running")
    sql(
        "UPDATE workers SET queues = '{gpu}', cores = 7, gpus = '{0,1}', concurrency = 3 WHERE id = :id",
        id=newest,
    )
    room = do(demand.room_of, "c")
    assert (room.queues, room.slots, room.cores, room.gpus) == (["gpu"], 3, 7, 2)


def test_what_a_worker_that_is_gone_did_not_know_the_next_one_may() -> None:
    """Somebody has added a workflow, and nothing runs: a worker has to come for anybody to tell."""
    start()
    mine = allocation("simcelery-c-1", "running")
    sql("UPDATE workers SET workflows = '{w}', cores = 4 WHERE id = :id", id=mine)
    assert do(demand.room_of, "c").workflows == ["w"]
    for gone in ("ended_at = now()", "ended_at = NULL, lease_expires_at = now()"):
        sql(f"UPDATE workers SET {gone} WHERE id = :id", id=mine)
        room = do(demand.room_of, "c")
        assert (room.workflows, room.queues, room.cores) == (None, ["default"], 4)


def test_what_there_was_before_a_cluster_was_started_says_nothing_of_it() -> None:
    """It was stopped, and started again with another profile."""
    start()
    record()
    over = {"cause": "'finished'", "starts_at": "now() - interval '2 min'", "ended_at": "now()"}
    for number in (1, 2):
        allocation(f"simcelery-c-{number}", "ended", **over)
    sql("UPDATE jobs SET submitted_at = now() - interval '1 min'")
    assert do(demand.is_disbelieved, "c", ROOM)
    do(clusters.stop, "c")
    start()
    assert do(demand.room_of, "c") is None
    assert not do(demand.is_disbelieved, "c", ROOM)


def test_two_that_left_idle_are_believed_until_there_is_something_new() -> None:
    start()
    record()
    over = {"cause": "'finished'", "starts_at": "now() - interval '2 min'", "ended_at": "now()"}
    allocation("simcelery-c-1", "ended", **over)
    assert not do(demand.is_disbelieved, "c", ROOM)
    second = allocation("simcelery-c-2", "ended", **over)
    sql("UPDATE jobs SET submitted_at = now() - interval '1 min'")
    assert do(demand.is_disbelieved, "c", ROOM)
    newer = record(time_request=100)
    assert not do(demand.is_disbelieved, "c", ROOM)
    assert not do(demand.is_disbelieved, "c", ROOM, 100.0)
    assert do(demand.is_disbelieved, "c", ROOM, 99.0)  # they could not run that either
    assert do(demand.is_disbelieved, "c", ROOM._replace(workflows=["v"]))
    sql("DELETE FROM jobs WHERE id = :id", id=newer.id)
    sql("UPDATE allocations SET ended_at = now() - interval '11 min'")
    assert not do(demand.is_disbelieved, "c", ROOM)
    sql("UPDATE allocations SET ended_at = now()")
    finish(must_claim(record().task_id, second), SUCCESS)
    assert not do(demand.is_disbelieved, "c", ROOM)


def test_explain_says_what_allocations_wait_for() -> None:
    start()
    job = record()
    for number, reason in (("1", "all nodes are in use"), ("2", "of the priority")):
        more = {"reason": f"'{reason}'", "starts_at": "now() + interval '2 h 1 min'"}
        allocation(f"simcelery-c-{number}", "waiting", **more)
    allocation("simcelery-c-3", "running")
    [said] = [one.text for one in reasons(story.read(job.id)) if one.code == "allocation"]
    expected = "2 allocations of cluster c wait: all nodes are in use; the first is expected to start in 2h"
    assert said.startswith(expected)


def test_what_runs_is_not_cancelled_where_the_work_decides() -> None:
    start(wanted=0)
    allocation("simcelery-c-1", "running")
    sql("INSERT INTO allocations (cluster, name, state) VALUES ('c', 'simcelery-c-2', 'waiting')")
    assert [one.name for one in do(allocations.too_many, "c")] == ["simcelery-c-2"]
    do(clusters.scale, "c", 0)
    assert len(do(allocations.too_many, "c")) == 2


def test_one_that_was_started_to_stay_ends_when_the_work_decides_and_it_has_none() -> None:
    """As after 'start 2', and then 'auto'."""
    start(least=None, most=None, wanted=2)
    _, busy = (allocation(f"simcelery-c-{number}", "running") for number in (1, 2))
    job = must_claim(record().task_id, busy)
    do(allocations.observe, "c", [])
    do(clusters.scale, "c", 0, 0, 9)
    assert do(allocations.too_many, "c") == []  # for a minute, others leave by themselves
    sql("UPDATE allocations SET idle_since = idle_since - interval '6 min'")
    assert do(allocations.too_many, "c", True) == []  # its own --max-idle says when
    assert [one.name for one in do(allocations.too_many, "c")] == ["simcelery-c-1"]
    finish(job, SUCCESS)
    do(allocations.observe, "c", [])
    assert sql("SELECT count(idle_since) FROM allocations") == [(2,)]
    must_claim(record().task_id, busy)
    do(allocations.observe, "c", [])
    assert sql("SELECT idle_since FROM allocations WHERE name = 'simcelery-c-2'") == [(None,)]


def test_a_worker_that_nobody_hears_of_is_not_idle() -> None:
    start(wanted=1)
    mine = allocation("simcelery-c-1", "running")
    do(clusters.scale, "c", 0, 0, 9)
    do(allocations.observe, "c", [])
    sql("UPDATE workers SET lease_expires_at = now() WHERE id = :id", id=mine)
    do(allocations.observe, "c", [])
    assert sql("SELECT idle_since FROM allocations") == [(None,)]


def test_those_without_a_job_go_before_those_that_have_one() -> None:
    start(least=None, most=None, wanted=1)
    allocation("simcelery-c-1", "running")
    must_claim(record().task_id, allocation("simcelery-c-2", "running"))
    do(allocations.observe, "c", [])
    assert [one.name for one in do(allocations.too_many, "c")] == ["simcelery-c-1"]


def test_what_runs_is_cancelled_when_the_cluster_is_stopped() -> None:
    start()
    allocation("simcelery-c-1", "running")
    do(clusters.stop, "c")
    assert [one.name for one in do(allocations.too_many, "c")] == ["simcelery-c-1"]
