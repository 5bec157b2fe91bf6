"""What is deleted when it has been over for long enough, and what somebody still needs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import pytest

from simcelery.board import engine, environments, gates, reads, retention, transitions
from simcelery.board.gates import Behind, NewGate
from simcelery.board.values import Recorded
from simcelery.errors import JobNotFoundError
from tests.board_helpers import (
    ERROR,
    cancel,
    claim,
    finish,
    lapse,
    must_claim,
    new_job,
    record,
    row,
    settle,
    sql,
    state,
    worker,
)
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")

HOUR = 3600.0


def prune(older_than: float = HOUR, limit: int = 1000, *, alone: bool = True) -> int:
    with engine.begin() as connection:
        if alone:
            told = retention.count_prunable(connection, older_than)
            assert told == len(retention.prunable(connection, older_than))
        return retention.delete_finished(connection, older_than, limit)


def forget_workers(older_than: float = HOUR) -> int:
    with engine.begin() as connection:
        return retention.forget_workers(connection, older_than, 1000)


def finished(hours_ago: float, **changes: Any) -> Recorded:
    """A job that succeeded so many hours ago."""
    job = record(**changes)
    finish(must_claim(job.task_id, worker()))
    age(job, hours_ago)
    return job


def age(job: Recorded, hours: float) -> None:
    sql(
        "UPDATE jobs SET finished_at = now() - make_interval(secs => :s) WHERE id = :id",
        s=hours * HOUR,
        id=job.id,
    )


def left() -> list[int]:
    return [number for (number,) in sql("SELECT id FROM jobs ORDER BY id")]


def test_finished_jobs_are_deleted_with_all_that_is_theirs() -> None:
    old, young, waits = finished(2), finished(0.9), record()
    sql("INSERT INTO log_chunks VALUES (:id, 1, 1, 'text')", id=old.id)
    sql(
        "INSERT INTO steps (job_id, name, key, code, given, output, attempt, seconds)"
        " VALUES (:id, 'scf', 'k', 'c', '{}', '3', 1, 0.5)",
        id=old.id,
    )
    sql("INSERT INTO checkpoints (job_id, attempt, state) VALUES (:id, 1, '1')", id=old.id)
    assert prune() == 1
    assert left() == [young.id, waits.id]
    for table in ("attempts", "log_chunks", "steps", "checkpoints"):
        assert sql(f"SELECT count(*) FROM {table} WHERE job_id = :id", id=old.id) == [(0,)]
    assert prune() == 0


def test_the_oldest_go_first_and_at_most_so_many() -> None:
    ids = [finished(hours).id for hours in (2, 5, 3, 4)]
    assert prune(limit=2) == 2
    assert left() == [ids[0], ids[2]]
    assert prune(limit=2) == 2


def test_every_terminal_state_is_pruned() -> None:
    failed, cancelled = record(), record()
    child = record(parents=[failed.id])
    finish(must_claim(failed.task_id, worker()), ERROR)
    cancel(cancelled.id)
    settle()
    assert state(child.id) == "upstream_failed"
    for job in (failed, cancelled, child):
        age(job, 2)
    assert prune() == 3
    assert left() == []


def test_a_parent_is_kept_while_a_child_needs_it() -> None:
    parent = finished(3)
    child = record(parents=[parent.id])
    assert prune() == 0
    finish(must_claim(child.task_id, worker()))
    assert prune() == 0  # the child has only just finished
    age(child, 2)
    assert prune() == 2
    assert sql("SELECT count(*) FROM dependencies") == [(0,)]


def test_a_child_may_go_before_its_parent() -> None:
    parent = finished(0.5)
    child = finished(2, parents=[parent.id])
    assert prune() == 1
    assert left() == [parent.id]
    assert child.id not in left()


def test_a_child_that_is_recorded_meanwhile_keeps_its_parent() -> None:
    parent = finished(2)
    started, go = threading.Event(), threading.Event()

    def records() -> Recorded:
        with engine.begin() as connection:
            [child] = transitions.record(connection, [new_job(parents=[parent.id])])
            started.set()
            go.wait(within(10))
        return child

    with ThreadPoolExecutor(1) as pool:
        child = pool.submit(records)
        started.wait(within(10))
        assert prune() == 0  # the recorder holds the parent, and nobody waits for it
        assert not child.done()
        go.set()
        assert state(child.result().id) == "pending"
    assert prune() == 0


def test_a_child_that_was_recorded_after_the_first_look_keeps_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent = finished(2)
    look = retention._is_needed
    looks: list[int] = []

    def records_after_the_first(older_than: float) -> Any:
        looks.append(1)
        if len(looks) == 2:  # the parent is locked by now: as if the child's commit had come just before
            records_a_child()
        return look(older_than)

    def records_a_child() -> None:
        child = record()
        sql(
            "SET LOCAL session_replication_role = replica; "
            f"INSERT INTO dependencies VALUES ({child.id}, {parent.id})"
        )

    monkeypatch.setattr(retention, "_is_needed", records_after_the_first)
    assert prune(alone=False) == 0
    assert len(looks) == 2
    assert parent.id in left()


def test_a_child_cannot_be_recorded_for_a_parent_that_was_just_deleted() -> None:
    parent = finished(2)
    assert prune() == 1
    with pytest.raises(JobNotFoundError, match=f"no job {parent.id}"):
        record(parents=[parent.id])


@pytest.mark.slow
def test_two_prunes_at_once_delete_each_job_once() -> None:
    for _ in range(5):
        parents = [finished(2) for _ in range(6)]
        children = [finished(3, parents=[parent.id]) for parent in parents]
        start = threading.Barrier(2)

        def prunes(start: threading.Barrier = start) -> int:
            start.wait()
            total = 0
            while some := prune(limit=3, alone=False):
                total += some
            return total

        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(prunes), pool.submit(prunes)]
        assert sum(one.result() for one in both) == len(parents) + len(children)
        assert left() == []


def test_two_prunes_meet_the_same_edges_in_the_same_order() -> None:
    parents = [finished(2), finished(2)]
    first, second = [finished(3, parents=[parent.id]) for parent in parents]
    sql("DELETE FROM dependencies")  # so that they do not lie in the table in the order of their ids
    for child, parent in ((second, parents[1]), (first, parents[0])):
        sql("INSERT INTO dependencies VALUES (:child, :parent)", child=child.id, parent=parent.id)
    edge = "SELECT 1 FROM dependencies WHERE job_id = {} FOR UPDATE"
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            connection.exec_driver_sql(edge.format(first.id))
            pruned = pool.submit(prune)
            wait_until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
            connection.exec_driver_sql(edge.format(second.id) + " NOWAIT")
        assert pruned.result() == 4


@pytest.mark.slow
def test_a_retry_and_a_prune_at_once_leave_the_job_whole_or_gone() -> None:
    for _ in range(10):
        job = record()
        finish(must_claim(job.task_id, worker()), ERROR)
        age(job, 2)
        start = threading.Barrier(2)

        def retries(job: Recorded = job, start: threading.Barrier = start) -> int:
            start.wait()
            with engine.begin() as connection:
                return len(transitions.retry(connection, [job.id], by="test"))

        def prunes(start: threading.Barrier = start) -> int:
            start.wait()
            return prune()

        with ThreadPoolExecutor(2) as pool:
            revived, pruned = pool.submit(retries), pool.submit(prunes)
        assert revived.result() + pruned.result() == 1
        assert (job.id in left()) == bool(revived.result())


def test_a_message_or_an_outcome_for_a_deleted_job_does_nothing() -> None:
    job = record()
    claimed = must_claim(job.task_id, worker())
    finish(claimed)
    age(job, 2)
    prune()
    assert claim(job.task_id, worker()) is None
    assert finish(claimed, ERROR) is None
    with engine.begin() as connection:
        assert not transitions.note_late(connection, job.task_id, claimed.claim_id, ERROR)


@pytest.mark.parametrize("number", [1, 300], ids=["insert", "copy"])
def test_a_key_whose_holder_is_pruned_meanwhile_is_free(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = finished(2, idempotency_key="k0")
    module = import_module("simcelery.board.transitions.record")
    look = module._holders

    def after_the_prune(*given: Any) -> Any:
        prune()
        return look(*given)

    monkeypatch.setattr(module, "_holders", after_the_prune)
    with engine.begin() as connection:
        new = transitions.record(connection, [new_job(idempotency_key=f"k{n}") for n in range(number)])
    assert [one.how for one in new] == ["new"] * number
    assert left() == sorted(one.id for one in new)
    assert holder.id not in left()


def test_workers_that_ended_long_ago_are_forgotten_and_their_jobs_keep_the_name() -> None:
    lapsed, ended, runs, live = [worker(nodename=f"w{n}@test") for n in range(4)]
    job = record()
    finish(must_claim(job.task_id, lapsed))
    running = must_claim(record().task_id, runs)
    for each in (lapsed, ended, runs):
        lapse(each, ago=2 * HOUR)
    sql("UPDATE workers SET ended_at = now() - interval '30 min' WHERE id = :id", id=ended)
    assert forget_workers() == 1
    assert sql("SELECT id FROM workers ORDER BY id") == [(ended,), (runs,), (live,)]
    assert row(job.id).worker == "w0@test"
    assert row(running.job_id).worker == "w2@test"
    assert row(record().id).worker is None
    with engine.begin() as connection:
        [(attempt)] = reads.attempts(connection, job.id)
    assert attempt["nodename"] == "w0@test"
    sql("UPDATE workers SET ended_at = now() - interval '2 h' WHERE id = :id", id=ended)
    assert forget_workers() == 1


# --- gates and environments ---


def forget_gates(older_than: float = HOUR) -> int:
    with engine.begin() as connection:
        return retention.forget_gates(connection, older_than, 1000)


def forget_environments(older_than: float = HOUR) -> int:
    with engine.begin() as connection:
        return retention.forget_environments(connection, older_than, 1000)


def old_gate() -> int:
    """A gate of last week."""
    with engine.begin() as connection:
        number = gates.create(connection, NewGate("w", (), "test", canary=1))
    sql("UPDATE gates SET changed_at = now() - interval '7 days' WHERE id = :id", id=number)
    return number


def test_a_gate_goes_when_its_last_job_has_gone_and_a_new_one_stays() -> None:
    number, me = old_gate(), worker()
    with engine.begin() as connection:
        [job] = transitions.record(connection, [new_job()], behind=Behind(number, True, frozenset([0])))
        gates.add_canaries(connection, number, [job.id])
        gates.create(connection, NewGate("w", (), "test"))
    finish(must_claim(job.task_id, me))
    assert forget_gates() == 0
    age(job, 2)
    sql("UPDATE gates SET closed_by = NULL")
    assert prune() == 1
    assert forget_gates() == 1
    assert sql("SELECT count(*), bool_and(id <> :id) FROM gates", id=number) == [(1, True)]


def test_no_gate_goes_while_somebody_records_behind_it() -> None:
    number = old_gate()
    with engine.begin() as connection:
        closed = gates.is_closed(connection, number)
        assert forget_gates() == 0
        transitions.record(connection, [new_job()], behind=Behind(number, closed))
    assert forget_gates() == 0


def environment(**details: Any) -> int:
    """An environment of last week."""
    with engine.begin() as connection:
        number = environments.note(connection, details)
    sql("UPDATE environments SET since = now() - interval '7 days' WHERE id = :id", id=number)
    return number


def test_an_environment_goes_when_no_worker_and_no_attempt_refers_to_it() -> None:
    of_worker, of_attempt, of_nobody = environment(a=1), environment(a=2), environment(a=3)
    job = finished(2)
    sql("UPDATE attempts SET environment_id = :id", id=of_attempt)
    sql("UPDATE workers SET environment_id = :id", id=of_worker)
    assert forget_environments() == 1
    assert sql("SELECT array_agg(id ORDER BY id) FROM environments") == [([of_worker, of_attempt],)]
    assert of_nobody not in (of_worker, of_attempt)
    assert prune() == 1
    assert forget_environments() == 1
    assert state_or_none(job) is None


def state_or_none(job: Recorded) -> str | None:
    found = sql("SELECT state FROM jobs WHERE id = :id", id=job.id)
    return str(found[0][0]) if found else None


def test_an_environment_stays_that_a_worker_is_just_beginning_with() -> None:
    number = environment(a=1)
    with engine.begin() as connection:
        assert environments.note(connection, {"a": 1}) == number
        assert forget_environments() == 0


def horizon() -> float | None:
    """So many hours ago lies the moment until which what ran may be missing."""
    found = sql("SELECT round(extract(epoch FROM now() - until)::numeric / 3600, 2) FROM horizon")
    return float(found[0][0]) if found else None


def test_how_far_it_went_is_noted_and_only_grows() -> None:
    finished(20)
    assert prune(30 * HOUR) == 0
    assert horizon() is None
    assert prune(10 * HOUR) == 1
    assert horizon() == 10
    finished(20)
    assert prune(15 * HOUR) == 1
    assert horizon() == 10
    finished(8)
    assert prune(5 * HOUR) == 1
    assert horizon() == 5


@pytest.mark.parametrize(("ended", "stays"), [(None, True), (1, True), (3, False)])
def test_a_worker_is_kept_as_long_as_its_allocation_counts(ended: int | None, stays: bool) -> None:
    values = "'c', 'slurm', '{}', 1, 'me'"
    sql(f"INSERT INTO clusters (name, launcher, profile, wanted, started_by) VALUES ({values})")
    state = "running', NULL, NULL" if ended is None else f"ended', now() - interval '{ended} h', 'finished'"
    sql(f"INSERT INTO allocations (cluster, name, state, ended_at, cause) VALUES ('c', 'a', '{state})")
    me = worker(allocation="a")
    lapse(me, 10 * HOUR)
    assert forget_workers(2 * HOUR) == (0 if stays else 1)
    assert horizon() == (None if stays else 2)
