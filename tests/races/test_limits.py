"""Limits: never one too many, however many claim at once; what waits is neither lost nor overtaken."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import simcelery
from simcelery.board import engine, gates, leases, limits, transitions
from simcelery.board.gates import Behind, NewGate
from simcelery.board.limits import LimitRow
from simcelery.board.transitions import release
from simcelery.board.values import Claim, ClaimRequest, JobToPublish, Recorded
from simcelery.maintenance import hold, rescue
from simcelery.maintenance.admit import tick
from simcelery.maintenance.effects import BY_HAND
from simcelery.needs import Needs, Room
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    cancel,
    finish,
    new_job,
    record,
    registration,
    retry,
    somebody_waits_for_a_turn,
    sql,
    state,
    states,
    uncommitted_claim,
    worker,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("board")
LICENCE = "tag:licence"


def claim_all(task_id: uuid.UUID, me: int, more: int = 0, pid: int = 100) -> list[Claim]:
    """What a message leads to, and up to so many others."""
    asked = ClaimRequest(task_id, "w", uuid.uuid4(), registration(me), pid, queue="default", more=more)
    return transitions.claim(asked)


def claim(task_id: uuid.UUID, me: int, pid: int = 100) -> Claim | None:
    """What a message leads to, if to anything."""
    return next(iter(claim_all(task_id, me, pid=pid)), None)


def must_claim(task_id: uuid.UUID, me: int) -> Claim:
    """The same where it leads to a job."""
    claimed = claim(task_id, me)
    assert claimed is not None
    return claimed


def limit(most: int, name: str = LICENCE) -> None:
    """Set a limit."""
    with engine.begin() as connection:
        limits.put(connection, {name: most}, "test")


def jobs(count: int, **changes: object) -> list[Recorded]:
    """So many jobs that need the licence."""
    return [record(**{"tags": ["licence"], **changes}) for _ in range(count)]


def behind_a_fuse(count: int) -> tuple[int, list[Recorded]]:
    """A gate that the first failure closes, and so many jobs behind it that need the licence."""
    with engine.begin() as connection:
        gate = gates.create(connection, NewGate("w", (), "test", max_fails=0))
        new = [new_job(tags=["licence"]) for _ in range(count)]
        return gate, transitions.record(connection, new, behind=Behind(gate, False, frozenset()))


def running() -> int:
    """How many jobs are running."""
    return int(sql("SELECT count(*) FROM jobs WHERE state = 'running'")[0][0])


def of(name: str = LICENCE) -> LimitRow:
    """A limit as it stands."""
    with engine.begin() as connection:
        return next(row for row in limits.listed(connection) if row.name == name)


def test_one_too_many_waits_and_runs_when_another_one_has_ended() -> None:
    me = worker()
    limit(2)
    found = jobs(3)
    first, second = (must_claim(job.task_id, me) for job in found[:2])
    assert claim(found[2].task_id, me) is None
    assert states(found) == ["running", "running", "blocked"]
    assert of() == LimitRow(LICENCE, 2, used=2, waiting=1)
    assert tick() == 0
    ended = finish(first, SUCCESS)
    assert ended is not None
    assert [job.id for job in ended.unblocked] == [found[2].id]
    assert tick() == 0
    assert states(found) == ["succeeded", "running", "pending"]
    must_claim(found[2].task_id, me)
    finish(second, SUCCESS)
    assert of() == LimitRow(LICENCE, 2, used=1, waiting=0)
    assert sql("SELECT * FROM throttled") == []


def test_so_many_are_let_in_at_once_as_are_asked_for_and_no_more() -> None:
    me = worker()
    limit(0)
    found = jobs(3)
    for job in found:
        assert claim(job.task_id, me) is None
    limit(9)
    sql("UPDATE jobs SET state = 'blocked' WHERE state = 'pending'")
    sql("UPDATE throttled SET woken_at = NULL")
    with engine.begin() as connection:
        assert [one.id for one in transitions.admit(connection, 1)] == [found[0].id]
    assert states(found) == ["pending", "blocked", "blocked"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [(LICENCE, {}), ("workflow:w", {"tags": []}), ("queue:default", {"tags": ["a", "b"]})],
)
def test_of_many_claims_at_once_only_as_many_win_as_there_are_places(
    name: str, changes: dict[str, object]
) -> None:
    me = worker()
    limit(8, name)
    found = jobs(24, **changes)
    ready = threading.Barrier(12)

    def some(place: int) -> None:
        ready.wait()
        for job in found[place::12]:
            claim(job.task_id, me, pid=place + 1)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(some, range(12)))
    assert running() == 8
    assert sorted(set(states(found))) == ["blocked", "running"]


def test_a_claim_that_has_not_committed_yet_has_its_place() -> None:
    me = worker()
    limit(1)
    one, two = jobs(2)
    with ThreadPoolExecutor(1) as pool:
        with uncommitted_claim(one, me):
            second = pool.submit(claim, two.task_id, me)
            wait_until(lambda: second.done() or somebody_waits_for_a_turn(), 10)
        assert second.result() is None
    assert states([one, two]) == ["running", "blocked"]


def test_a_full_limit_leaves_the_slot_to_others_of_the_lane() -> None:
    me = worker()
    limit(1)
    one, two = jobs(2)
    free = record()
    must_claim(one.task_id, me)
    assert must_claim(two.task_id, me).job_id == free.id
    assert state(two.id) == "blocked"


def test_a_sweep_is_throttled_with_few_claims() -> None:
    me = worker()
    limit(1)
    found = jobs(50)
    must_claim(found[0].task_id, me)
    assert claim(found[1].task_id, me) is None
    assert of().waiting == 49


def test_what_was_throttled_is_not_overtaken_by_what_was_submitted_later() -> None:
    me = worker()
    limit(1)
    first, second = jobs(2)
    held = must_claim(first.task_id, me)
    assert claim(second.task_id, me) is None
    [late] = jobs(1)
    finish(held, SUCCESS)
    assert must_claim(late.task_id, me).job_id == second.id
    assert states([second, late]) == ["running", "pending"]


def test_what_is_more_urgent_comes_first_whenever_it_was_submitted() -> None:
    me = worker()
    limit(1)
    first, second = jobs(2)
    held = must_claim(first.task_id, me)
    assert claim(second.task_id, me) is None
    [urgent] = jobs(1, priority=9)
    finish(held, SUCCESS)
    assert must_claim(urgent.task_id, me).job_id == urgent.id


def test_places_come_back_however_an_attempt_ends() -> None:
    me = worker()
    limit(1)
    for how in (SUCCESS, AGAIN, LOST):
        held = must_claim(jobs(1)[0].task_id, me)
        assert of().used == 1
        finish(held, how)
        assert of().used == 0
        sql("DELETE FROM jobs RETURNING id")
    must_claim(jobs(1)[0].task_id, me)
    with engine.begin() as connection:
        release(connection, registration(me))
    assert of().used == 0


def test_a_place_is_taken_until_the_job_of_a_lost_worker_is_rescued() -> None:
    me, other = worker(lease=0.01), worker()
    limit(1)
    one, two = jobs(2)
    sql("UPDATE workers SET lease_expires_at = now() + interval '1 hour' RETURNING id")
    must_claim(one.task_id, me)
    sql("UPDATE workers SET lease_expires_at = now() - interval '1 s' WHERE id = :id RETURNING id", id=me)
    assert claim(two.task_id, other) is None
    assert tick() == 0
    with engine.begin() as connection:
        leases.bury(connection, [me])
        transitions.rescue_now(connection, [me], 10)
    assert rescue.tick() == tick() == 0
    assert states([one, two]) == ["pending", "pending"]
    # Whichever message comes first: the older one runs.
    assert must_claim(two.task_id, other).job_id in (one.id, two.id)
    assert running() == 1


def test_no_job_of_a_limit_travels_with_others() -> None:
    me = worker()
    found = [record() for _ in range(3)]
    limited = jobs(3)
    limit(2)
    assert {one.job_id for one in claim_all(found[0].task_id, me, more=10)} == {job.id for job in found}
    record()
    assert [one.job_id for one in claim_all(limited[0].task_id, me, more=10)] == [limited[0].id]


def test_a_lowered_limit_ends_nothing_and_a_raised_one_admits_more() -> None:
    me = worker()
    limit(2)
    found = jobs(5)
    held = [must_claim(job.task_id, me) for job in found[:2]]
    limit(1)
    assert of() == LimitRow(LICENCE, 1, used=2, waiting=0)
    assert claim(found[2].task_id, me) is None
    ended = finish(held[0], SUCCESS)
    assert ended is not None
    assert ended.unblocked == ()
    assert tick() == 0
    limit(3)
    assert tick() == 2
    assert states(found) == ["succeeded", "running", "pending", "pending", "blocked"]


def test_a_limit_of_none_holds_all_and_without_it_all_run() -> None:
    me = worker()
    limit(0)
    found = jobs(3)
    assert claim(found[0].task_id, me) is None
    assert states(found) == ["blocked"] * 3
    assert tick() == 0
    with engine.begin() as connection:
        assert limits.remove(connection, [LICENCE, "tag:none"]) == [LICENCE]
    assert tick() == 3
    for job in found:
        must_claim(job.task_id, me)
    assert tick() == 0
    assert sql("SELECT * FROM throttled") == []


def test_what_several_limits_hold_needs_a_place_of_each() -> None:
    me = worker()
    limit(1)
    limit(1, "workflow:w")
    both, other = jobs(1)[0], record()
    held = must_claim(other.task_id, me)
    assert claim(both.task_id, me) is None
    assert of().used == 0
    limit(0)
    finish(held, SUCCESS)
    assert state(both.id) == "pending"
    assert claim(both.task_id, me) is None
    assert sql("SELECT limit_name FROM throttled") == [(LICENCE,)]
    limit(1)
    assert tick() == 1
    must_claim(both.task_id, me)


def test_what_comes_first_and_waits_for_another_limit_as_well_does_not_take_the_place() -> None:
    me = worker()
    limit(1)
    limit(0, "tag:other")
    first, second = jobs(2, tags=["licence", "other"])
    [third] = jobs(1)
    held = must_claim(third.task_id, me)
    assert claim(first.task_id, me) is None
    assert sql("SELECT DISTINCT limit_name FROM throttled") == [(LICENCE,)]
    [late] = jobs(1)
    finish(held, SUCCESS)
    assert must_claim(late.task_id, me).job_id == late.id
    assert state(second.id) == "blocked"


def test_limits_and_what_jobs_need_of_a_node_hold_together() -> None:
    me = worker(room=Room(2, 2**30, ()))
    limit(1)
    [large] = jobs(1, needs=Needs(cores=4))
    [fits, other] = jobs(2, needs=Needs(cores=1))
    free = record(needs=Needs(cores=1))
    assert must_claim(large.task_id, me).job_id == fits.id
    assert must_claim(other.task_id, me).job_id == free.id
    assert states([large, other]) == ["pending", "blocked"] or states([large, other]) == [
        "blocked",
        "blocked",
    ]
    assert claim(record(needs=Needs(cores=1)).task_id, me) is None, "its cores are used"


def test_what_is_cancelled_while_it_waits_takes_no_place() -> None:
    me = worker()
    limit(1)
    first, second, third = jobs(3)
    held = must_claim(first.task_id, me)
    assert claim(second.task_id, me) is None
    cancel(second.id)
    finish(held, SUCCESS)
    assert states([second, third]) == ["cancelled", "pending"]
    retry(second.id)
    assert must_claim(third.task_id, me).job_id == third.id
    assert claim(second.task_id, me) is None


def test_who_admits_and_who_claims_and_who_cancels_at_once_do_not_wait_in_a_circle() -> None:
    me = worker()
    limit(2)
    found = jobs(40)
    ready = threading.Barrier(4)

    def work(place: int) -> None:
        ready.wait()
        for job in found[place::2]:
            if held := claim(job.task_id, me, pid=place + 1):
                assert running() <= 2
                finish(held, SUCCESS)

    def admit(_: int) -> None:
        ready.wait()
        for _ in range(20):
            tick()

    def stop(_: int) -> None:
        ready.wait()
        for job in found[::5]:
            cancel(job.id)

    with ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(work, 0), pool.submit(work, 1), pool.submit(admit, 0), pool.submit(stop, 0)]
        for part in parts:
            part.result()
    while waiting := sql("SELECT id, task_id FROM jobs WHERE state IN ('pending', 'blocked')"):
        tick()
        for _, task_id in waiting:
            if held := claim(task_id, me):
                finish(held, SUCCESS)
    assert set(states(found)) == {"succeeded", "cancelled"}


def test_what_keeps_a_job_is_named() -> None:
    me = worker()
    limit(1)
    first, second = jobs(2)
    must_claim(first.task_id, me)
    claim(second.task_id, me)
    with engine.begin() as connection:
        assert limits.keeping(connection, second.id) == [LimitRow(LICENCE, 1, 1, 1, (first.id,))]
        assert limits.is_throttled(connection, second.id)
        assert not limits.is_throttled(connection, first.id)
    said = str(simcelery.get_job(second.id).explain())
    assert f"it waits for tag:licence: 1 of 1 used by job {first.id}" in said
    assert "simcelery limits set tag:licence N" in said
    assert "1 job waits for tag:licence: 1 of 1 used" in str(simcelery.jobs(tags=["licence"]).explain())
    limit(2)
    said = str(simcelery.get_job(second.id).explain())
    assert "it waited for a limit, which has room now" in said
    limit(0, "workflow:w")
    assert "it waits for workflow:w: 1 of 0 used" in str(simcelery.get_job(second.id).explain())


def test_what_a_limit_has_let_go_and_a_gate_then_holds_is_not_forgotten() -> None:
    me = worker()
    limit(1)
    gate, found = behind_a_fuse(3)
    first = must_claim(found[0].task_id, me)
    assert claim(found[1].task_id, me) is None
    finish(first, ERROR)
    assert states(found) == ["failed", "pending", "blocked"]
    hold.tick(BY_HAND)
    assert states(found) == ["failed", "blocked", "blocked"]
    with engine.begin() as connection:
        transitions.release_gates(connection, [gate])
    hold.tick(BY_HAND)
    assert states(found) == ["failed", "pending", "blocked"]
    tick()
    for job in found[1:]:
        hold.tick(BY_HAND)
        finish(must_claim(job.task_id, me), SUCCESS)
        tick()


def test_it_is_admitted_until_a_step_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes few, so that others are not kept waiting: that it took less than it may says nothing."""
    steps = [[job_to_publish(1)], [job_to_publish(2), job_to_publish(3)], [], [job_to_publish(4)]]
    left = iter(steps)
    monkeypatch.setattr(transitions, "admit", lambda connection, rows: next(left))
    assert tick(BY_HAND) == 3
    assert list(left) == steps[3:]


def job_to_publish(number: int) -> JobToPublish:
    return JobToPublish(number, uuid.uuid4(), "w", "default", 4)


def test_what_a_gate_holds_takes_no_place_of_a_limit() -> None:
    me = worker()
    limit(1)
    _, (first, second) = behind_a_fuse(2)
    [free] = jobs(1)
    held = must_claim(first.task_id, me)
    assert claim(second.task_id, me) is None
    assert states([second, free]) == ["blocked", "blocked"]
    finish(held, ERROR)
    hold.tick(BY_HAND)
    assert states([second, free]) == ["blocked", "blocked"]
    tick()
    assert states([second, free]) == ["blocked", "pending"]
