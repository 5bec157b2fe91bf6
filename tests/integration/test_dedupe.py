"""Dedupe: a job that has the same parameters is found, however it was submitted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import celery
import psycopg
import pytest

import simcelery
from simcelery.board import engine, fingerprints, retention, transitions
from simcelery.errors import StateError
from simcelery.services import Services
from simcelery.settings import get_settings
from simcelery.submission.by_catalogue import prepare_entry
from simcelery.submission.options import Options
from simcelery.submission.submit import prepare, submit_prepared
from simcelery.worker.parent import announced
from simcelery.workflows.definition import Definition
from tests.board_helpers import ERROR, finish, must_claim, new_job, sql, state, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


@simcelery.workflow(name="spot")
def spot(x: Any = 0, y: float = 1.0) -> Any:
    return x


def one(statement: str) -> Any:
    """The only value that it returns."""
    [(found,)] = sql(statement)
    return found


def count() -> int:
    return int(one("SELECT count(*) FROM jobs"))


def items(many: int) -> list[dict[str, Any]]:
    return [{"x": {"site": n, "and": [n, 'é\\\t"']}} for n in range(many)]


WAYS: dict[str, Callable[[], Any]] = {
    "submit": lambda: spot.submit(x=7),
    "submit_many": lambda: spot.submit_many([{"x": 7}]),
    "a key of its own": lambda: spot.submit(x=7, key="mine"),
    "delay": lambda: spot.delay(7),
    "apply_async": lambda: spot.apply_async(kwargs={"x": 7, "y": 1}, priority=3),
    "a group": lambda: celery.group([spot.s(7)]).apply_async(),
    "scheduled": lambda: spot.submit(x=7, delay=3600),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_job_is_found_whatever_way_it_was_submitted(way: str) -> None:
    WAYS[way]()
    assert spot.submit(x=7, dedupe=True).how == "existing"
    assert spot.submit_many([{"x": 7}, {"x": 8}], dedupe=True).summary()["existing"] == 1
    assert count() == 2


@pytest.mark.parametrize("many", [3, 300, 2500], ids=["insert", "copy", "with fingerprints"])
def test_jobs_that_were_submitted_plainly_are_not_doubled(many: int) -> None:
    plain = spot.submit_many(items(many))
    again = spot.submit_many(items(many + 1), dedupe=True)
    assert again.summary() == {"new": 1, "existing": many, "retried": 0}
    assert again.ids[:many] == plain.ids
    assert count() == many + 1
    assert spot.submit_many(items(many + 1), dedupe=True).ids == again.ids
    assert spot.submit(**items(many)[-1], dedupe=True).id == plain.ids[-1]


def test_fingerprints_are_written_where_many_jobs_have_none() -> None:
    spot.submit_many(items(fingerprints._TAIL))
    spot.submit(x=1, dedupe=True)
    assert one("SELECT count(*) FROM fingerprints") == 0
    spot.submit_many(items(10))
    spot.submit(x=1, dedupe=True)
    assert one("SELECT count(*) FROM fingerprints") == count()


def test_what_differs_is_another_job() -> None:
    first, other = spot.submit(x=0), spot.submit(x=0)
    for x in (1, 1.5, "1", [1], None, True, {"a": 1}, first):
        spot.submit(x=x)
    before = count()
    for x in (1.0, 2, "1.5", [1.0], False, {"a": 1.0}, {"b": 1}, other):
        assert spot.submit(x=x, dedupe=True).how == "new", x
    assert spot.submit(x=1, y=2, dedupe=True).how == "new"
    assert spot.submit(x=first, dedupe=True).how == "existing"
    assert count() == before + 9


def test_another_declared_version_is_another_job() -> None:
    v1, v2 = (Definition(spot.function, name="spot", version=version) for version in "12")
    plain, dedupe = Options(), Options(dedupe=True)
    submit_prepared([prepare(v1, {"x": 5}, plain)], plain)
    assert submit_prepared([prepare(v2, {"x": 5}, dedupe)], dedupe)[0].how == "new"
    assert submit_prepared([prepare(v1, {"x": 5}, dedupe)], dedupe)[0].how == "existing"
    assert one("SELECT array_agg(version ORDER BY id) FROM jobs") == ["1", "2"]


def test_of_several_the_one_that_succeeded_is_taken_then_one_that_may() -> None:
    me = worker()
    failed, pending, succeeded = (spot.submit(x=1) for _ in range(3))
    finish(must_claim(failed.task_id, me, workflow="spot"), ERROR)
    assert spot.submit(x=1, dedupe=True).id == pending.id
    finish(must_claim(succeeded.task_id, me, workflow="spot"))
    assert spot.submit(x=1, dedupe=True).id == succeeded.id
    assert state(failed.id) == "failed"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_one_that_did_not_succeed_is_retried_kept_or_refused_as_asked(end: str) -> None:
    job = spot.submit(x=1)
    if end == "failed":
        finish(must_claim(job.task_id, worker(), workflow="spot"), ERROR)
    else:
        job.cancel()
    kept = spot.submit(x=1, dedupe=True, on_failed="keep")
    assert (kept.id, kept.how, state(job.id)) == (job.id, "existing", end)
    with pytest.raises(StateError, match=f"job {job.id} has the same parameters and is {end}"):
        spot.submit(x=1, dedupe=True, on_failed="error")
    again = spot.submit(x=1, dedupe=True)
    assert (again.id, again.how, state(job.id)) == (job.id, "retried", "pending")
    assert count() == 1


def test_a_client_without_the_code_finds_them_too() -> None:
    entry = announced.entry(spot, get_settings())
    spot.submit(x={"b": 1, "a": 2}, y=3)
    given = {"y": 3, "x": {"a": 2, "b": 1}}
    options = Options(dedupe=True)
    assert submit_prepared([prepare_entry(entry, given, options)], options)[0].how == "existing"


def test_a_job_that_was_being_recorded_meanwhile_is_found(
    board: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a smaller id than jobs whose fingerprints are written before it is there."""
    waits = threading.Event()
    pause = time.sleep
    monkeypatch.setattr(fingerprints, "_LONGEST_WAIT", 60)
    monkeypatch.setattr(
        "simcelery.board.fingerprints.time.sleep", lambda seconds: (waits.set(), pause(seconds))
    )
    with psycopg.connect(board.database_url) as slow:
        slow.execute("SELECT nextval('jobs_id_seq')")
        spot.submit_many(items(fingerprints._TAIL + 1))
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(lambda: spot.submit(x=3, dedupe=True))
            assert waits.wait(within(60))
            slow.execute(
                "INSERT INTO jobs (id, task_id, workflow, parameters, state, queue, priority, max_attempts, "
                "max_losses, submitted_by) VALUES (currval('jobs_id_seq'), gen_random_uuid(), 'spot', "
                """'{"x": "slow", "y": 1.0}', 'pending', 'default', 4, 1, 5, 'me')"""
            )
            slow.commit()
            assert found.result(30).how == "new"
    assert spot.submit(x="slow", dedupe=True).how == "existing"


def test_whoever_takes_too_long_to_record_keeps_nobody_waiting(
    board: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "_LONGEST_WAIT", 0.1)
    with psycopg.connect(board.database_url) as slow:
        slow.execute("SELECT nextval('jobs_id_seq')")
        many = items(fingerprints._TAIL + 1)
        spot.submit_many(many)
        assert spot.submit_many(many, dedupe=True).summary()["existing"] == len(many)
    assert one("SELECT count(*) FROM fingerprints") == 0


def test_two_that_dedupe_at_once_find_or_record_each_job_once() -> None:
    plain = items(1500)[::3]
    spot.submit_many(plain)
    start = threading.Barrier(2)

    def submit(given: list[dict[str, Any]]) -> dict[str, int]:
        start.wait()
        return spot.submit_many(given, dedupe=True).summary()

    given = items(1500)
    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(submit, [given, given[::-1]])
    assert count() == 1500
    assert first["new"] + other["new"] == 1000


def test_a_plain_submission_always_records_and_waits_for_nobody() -> None:
    """Dedupe finds what was committed before it looked; what is recorded plainly later is a second job."""
    with engine.begin() as connection:
        [first] = transitions.record(connection, [prepare(spot, {"x": 1}, Options(dedupe=True))])
        second = spot.submit(x=1)
        third = spot.submit(x=1)
    assert len({first.id, second.id, third.id}) == count() == 3
    assert spot.submit(x=1, dedupe=True).id == first.id


@pytest.fixture
def some_fingerprints(board: Services) -> None:
    spot.submit_many(items(1200))
    fingerprints.catch_up()
    assert one("SELECT count(*) FROM fingerprints") == 1200


@pytest.mark.usefixtures("some_fingerprints")
def test_what_is_pruned_is_not_found_and_leaves_nothing() -> None:
    sql("UPDATE jobs SET state = 'succeeded', finished_at = now() - interval '2 d' WHERE id % 2 = 0")
    with engine.begin() as connection:
        pruned = retention.delete_finished(connection, 86400, limit=2000)
    assert one("SELECT count(*) FROM fingerprints") == 1200 - pruned == 600
    assert spot.submit_many(items(1200), dedupe=True).summary()["existing"] == 600


@pytest.mark.usefixtures("some_fingerprints")
def test_a_board_that_was_emptied_begins_anew() -> None:
    sql("TRUNCATE jobs RESTART IDENTITY CASCADE")
    spot.submit_many(items(5))
    assert spot.submit_many(items(5), dedupe=True).summary()["existing"] == 5


def test_each_job_of_a_kind_is_looked_up_once_however_often_it_is_asked_for() -> None:
    with engine.begin() as connection:
        transitions.record(connection, [new_job() for _ in range(3000)])
    fingerprints.catch_up()
    wanted = [new_job(idempotency_key="k", dedupe=True) for _ in range(3000)]
    with engine.begin() as connection:
        found = transitions.record(connection, wanted)
    assert {each.how for each in found} == {"existing"}
    assert len({each.id for each in found}) == 1
