"""What jobs need of a node, and what is free there: the claim decides."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

import simcelery
from simcelery.board import engine, reads, transitions
from simcelery.board import sql as statements
from simcelery.board.transitions.claim import asked
from simcelery.board.values import Claim, ClaimRequest, EndedAttempt, Recorded
from simcelery.checks.workers import of_workers
from simcelery.cli import waiting
from simcelery.describe import story
from simcelery.describe.reasons import reasons
from simcelery.errors import WaitTimeoutError
from simcelery.needs import Needs, Room
from tests.board_helpers import (
    ERROR,
    LOST,
    SUCCESS,
    cancel,
    claim,
    finish,
    must_claim,
    new_job,
    record,
    registration,
    sql,
    state,
    worker,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("board")

GIB = 2**30


def node(
    cores: int = 4, memory: int = 8 * GIB, gpus: Sequence[str] = ("0", "1", "2", "3"), **where: str
) -> int:
    return worker(room=Room(cores, memory, gpus), **where)


def needing(count: int = 1, priority: int = 4, workflow: str = "w", **needs: int) -> list[Recorded]:
    return [record(priority=priority, workflow=workflow, needs=Needs(**needs)) for _ in range(count)]


def wake(me: int, least: int = 0, more: int = 0) -> list[int]:
    """The jobs that a message brings whose own job is gone."""
    wanted = ClaimRequest(uuid.uuid4(), "w", uuid.uuid4(), registration(me), 100, "default", least, more)
    return [one.job_id for one in transitions.claim(wanted)]


def test_a_claim_is_told_what_it_may_use() -> None:
    [job] = needing(cores=2, memory=GIB, gpus=2)
    claimed = must_claim(job.task_id, node(gpus=("5", "7", "9")))
    assert (claimed.cores, claimed.memory, claimed.gpus) == (2, GIB, ["5", "7"])


def test_a_job_that_needs_nothing_is_not_counted() -> None:
    me = node(cores=1)
    for _ in range(3):
        claimed = must_claim(record().task_id, me)
        assert (claimed.granted, claimed.cores, claimed.memory, claimed.gpus) == (None, None, None, ())
    [job] = needing(cores=1)
    must_claim(job.task_id, me)


@pytest.mark.parametrize(
    ("name", "runs", "asks"), [("cores", 3, 2), ("memory", 5 * GIB, 3 * GIB + 1), ("gpus", 3, 2)]
)
@pytest.mark.parametrize("end", [SUCCESS, ERROR, LOST])
def test_what_does_not_fit_beside_what_runs_waits_until_that_has_ended(
    name: str, runs: int, asks: int, end: EndedAttempt
) -> None:
    me = node()
    [first], [second] = needing(**{name: runs}), needing(**{name: asks})
    running = must_claim(first.task_id, me)
    assert claim(second.task_id, me) is None
    assert state(second.id) == "pending"
    asked = ClaimRequest(second.task_id, "w", uuid.uuid4(), registration(me), 100)
    assert transitions.waits_for_room(asked) == "needs"
    finish(running, end)
    must_claim(second.task_id, me)


ELSEWHERE = {
    "another host": {"host": "other"},
    "another container": {"identity": "machine@test|boot|4026531999|1"},
    "another allocation": {"scheduler_job_id": "8"},
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_worker_elsewhere_has_devices_of_its_own(where: str) -> None:
    first, second = needing(2, gpus=4)
    here = {"identity": "machine@test|boot|4026531836|1", "scheduler_job_id": "7"}
    one, other = node(**here), node(**here | ELSEWHERE[where])
    must_claim(first.task_id, one)
    assert claim(second.task_id, one) is None
    must_claim(second.task_id, other)


def test_two_workers_of_a_node_never_give_the_same_device() -> None:
    """Whatever else they have of it: what each may use of cores and memory it was told itself."""
    me = "machine@test|boot|4026531836|"
    one, other = node(identity=f"{me}1"), node(gpus=("2", "3", "4"), identity=f"{me}2")
    first, second, third = (
        needing(1, gpus=3, cores=4),
        needing(1, gpus=2, cores=4),
        needing(1, gpus=1, cores=4),
    )
    running = must_claim(first[0].task_id, one)
    assert claim(second[0].task_id, other) is not None
    assert sql("SELECT gpus FROM grants ORDER BY job_id") == [(["0", "1", "2"],), (["3", "4"],)]
    assert claim(third[0].task_id, one) is None
    finish(running)
    assert must_claim(third[0].task_id, one).gpus == ["0"]


@pytest.mark.parametrize("needs", [{"cores": 5}, {"memory": 9 * GIB}, {"gpus": 5}])
def test_what_never_fits_is_never_claimed(needs: dict[str, int]) -> None:
    [job] = needing(**needs)
    assert claim(job.task_id, node()) is None


def test_a_worker_that_does_not_say_what_it_has_runs_only_what_needs_nothing() -> None:
    me, [job] = worker(), needing(cores=1)
    assert claim(job.task_id, me) is None
    must_claim(record().task_id, me)


def test_a_message_whose_job_does_not_fit_brings_one_that_does() -> None:
    me = node()
    large, second = needing(2, gpus=3)
    must_claim(large.task_id, me)
    [small] = needing(gpus=1)
    plain = record()
    wanted = ClaimRequest(second.task_id, "w", uuid.uuid4(), registration(me), 100, "default")
    brought = [transitions.claim(wanted) for _ in range(3)]
    assert [[one.job_id for one in some] for some in brought] == [[small.id], [plain.id], []]
    assert [list(one.gpus) for [one] in brought[:1]] == [["3"]]
    assert state(second.id) == "pending"


LONG_AGO = "UPDATE passed_over SET since = now() - interval '11 minutes'"


def test_a_job_that_others_have_overtaken_for_long_has_room_kept_for_it() -> None:
    """Nobody overtakes it any more, but for what is more urgent, needs nothing, or fits beside it as well."""
    me = node(cores=4, workflows=["w", "other"])
    running = [must_claim(job.task_id, me) for job in needing(2, cores=1)]
    [large] = needing(cores=3, workflow="other")
    assert claim(large.task_id, me, workflow="other") is None
    small = needing(4, cores=1)
    running.append(must_claim(small[0].task_id, me))
    sql(LONG_AGO)
    assert claim(small[1].task_id, me) is None
    assert wake(me) == []
    must_claim(record().task_id, me)
    urgent = must_claim(needing(cores=1, priority=5)[0].task_id, me)
    for one in (*running, urgent):
        finish(one)
    beside = must_claim(small[1].task_id, me)
    assert claim(small[2].task_id, me) is None
    taken = must_claim(large.task_id, me, workflow="other")
    assert sql("SELECT job_id FROM passed_over WHERE job_id = :id", id=large.id) == []
    for one in (taken, beside):
        finish(one)
    must_claim(small[2].task_id, me)


def codes(number: int) -> dict[str, str]:
    return {one.code: one.text for one in reasons(story.read(number))}


def test_who_waits_since_room_is_kept_is_told_for_which_job() -> None:
    me = node(cores=4, workflows=["w", "other"], nodename="n1@a")
    must_claim(needing(cores=1)[0].task_id, me)
    [large] = needing(cores=4, workflow="other")
    assert claim(large.task_id, me, workflow="other") is None
    [small], [urgent] = needing(cores=1), needing(cores=1, priority=5)
    plain = record()
    assert "room_kept" not in codes(small.id)
    assert codes(large.id)["no_room"] == "it asks for 4 cores, and waits until so much is free on n1@a"
    sql(LONG_AGO)
    assert codes(large.id)["no_room"].endswith(
        "free on n1@a, which is kept for it: it has been overtaken for ten minutes"
    )
    assert codes(small.id)["room_kept"] == (
        f"it asks for 1 core, and room on n1@a is kept for job {large.id}, "
        "which others have overtaken for ten minutes"
    )
    assert "room_kept" not in codes(urgent.id)
    assert "room_kept" not in codes(plain.id)
    node(cores=4, workflows=["w"], nodename="n2@b")
    assert "room_kept" not in codes(small.id)
    cancel(large.id)
    assert "room_kept" not in codes(small.id)


def test_another_message_of_its_lane_brings_it_when_there_is_room() -> None:
    me = node(cores=4, workflows=["w"])
    running = must_claim(needing(cores=1)[0].task_id, me)
    [large] = needing(cores=4)
    assert claim(large.task_id, me) is None
    small = needing(2, cores=1)
    sql(LONG_AGO)
    assert wake(me) == []
    finish(running)
    wanted = ClaimRequest(small[0].task_id, "w", uuid.uuid4(), registration(me), 100, "default")
    assert [one.job_id for one in transitions.claim(wanted)] == [large.id]


@pytest.mark.parametrize("how", ["recently", "cancelled", "too large", "not served"])
def test_room_is_kept_only_for_what_may_come(how: str) -> None:
    me = node(cores=4, workflows=["w", "other"])
    must_claim(needing(cores=3)[0].task_id, me)
    [large] = needing(cores=4, workflow="other")
    assert claim(large.task_id, me, workflow="other") is None
    if how != "recently":
        sql(LONG_AGO)
        assert claim(needing(cores=1)[0].task_id, me) is None
    if how == "cancelled":
        cancel(large.id)
    elif how == "too large":
        sql("UPDATE workers SET cores = 3 WHERE id = :id", id=me)
        sql("UPDATE grants SET cores = 2")
    elif how == "not served":
        sql("UPDATE workers SET workflows = '{w}' WHERE id = :id", id=me)
    must_claim(needing(cores=1)[0].task_id, me)
    assert len(sql("SELECT FROM passed_over WHERE job_id = :id", id=large.id)) == (how != "cancelled")


def test_nothing_travels_with_a_job_that_needs_something() -> None:
    me, [job] = node(), needing(cores=1)
    record()
    assert wake(me, more=10) == [job.id]


def test_where_very_many_do_not_fit_what_comes_behind_them_is_found_by_its_own_message() -> None:
    me = node()
    with engine.begin() as connection:
        jobs = [new_job(needs=Needs(gpus=9)) for _ in range(300)]
        transitions.record(connection, jobs)
    [behind] = needing(gpus=1)
    assert wake(me) == []
    must_claim(behind.task_id, me)


@pytest.mark.parametrize("workers", [1, 2])
def test_slots_that_claim_at_the_same_moment_never_share_a_device(workers: int) -> None:
    """Twelve jobs, four devices, eight slots: whoever gets one finishes and asks again."""
    nodes = [node(cores=100) for _ in range(workers)]
    jobs = needing(12, gpus=1)
    held: set[str] = set()
    most: list[int] = []
    done: list[int] = []
    counting = threading.Lock()
    begin = threading.Barrier(8)

    def slot(pid: int) -> None:
        begin.wait()
        while len(done) < len(jobs):
            for job in jobs:
                claimed = claim(job.task_id, nodes[pid % workers], pid=pid)
                if claimed is not None:
                    run(claimed)

    def run(claimed: Claim) -> None:
        [device] = claimed.gpus
        with counting:
            assert device not in held
            held.add(device)
            most.append(len(held))
        with counting:
            held.remove(device)
        assert finish(claimed) is not None
        done.append(claimed.job_id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(slot, range(100, 108)))
    assert sorted(done) == sorted(job.id for job in jobs)
    assert max(most) <= 4


def test_who_claims_while_another_slot_does_waits_and_then_knows_what_is_left() -> None:
    me, (first, second) = node(), needing(2, gpus=3)

    def in_doubt() -> bool:
        """Whether the second slot waits, or knows already."""
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(sql(waiting)) or missed.done()

    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            wanted = ClaimRequest(first.task_id, "w", uuid.uuid4(), registration(me), 100, "default")
            assert statements.execute(connection, "claim", **asked(wanted)).all()
            missed = pool.submit(claim, second.task_id, me, pid=101)
            wait_until(in_doubt)
        assert missed.result() is None
    assert state(second.id) == "pending"


def test_the_account_is_that_of_running_claims_alone() -> None:
    """A job that was put back, lost, or claimed anew elsewhere holds nothing here."""
    one, other = node(), node(host="other")
    first, second = needing(2, gpus=4)
    before = must_claim(first.task_id, one)
    transitions.put_back([before])
    must_claim(first.task_id, other)
    must_claim(second.task_id, one)
    assert sql("SELECT count(*) FROM grants") == [(2,)]


def test_an_answer_that_was_lost_is_found_again_with_what_was_given() -> None:
    me, [job] = node(), needing(gpus=2, cores=3)
    wanted = ClaimRequest(job.task_id, "w", uuid.uuid4(), registration(me), 100, "default")
    claimed = transitions.claim(wanted)
    assert transitions.forgotten(wanted) == claimed
    assert claimed[0].gpus == ["0", "1"]


def test_a_worker_that_drains_waits_only_for_what_it_can_ever_run() -> None:
    me = node()

    def left() -> bool:
        with engine.begin() as connection:
            return reads.anything_left(connection, ["default"], ["w"], me)

    needing(cores=5)
    assert not left()
    [job] = needing(cores=4)
    assert left()
    must_claim(job.task_id, me)
    assert left()


def test_jobs_that_never_fit_are_named_wherever_somebody_would_wonder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_HINT_AFTER", 0.0)
    me = worker(room=Room(4, 8 * GIB, ()), workflows=["w"], nodename="small@test")
    many = [record(tags=["mine"], needs=Needs(cores=64)) for _ in range(3)]
    fits, gpu = (
        record(tags=["mine"], needs=Needs(cores=4)),
        record(tags=["mine"], workflow="v", needs=Needs(gpus=1)),
    )
    said = str(simcelery.jobs(tags=["mine"]).explain())
    asks = (
        "3 pending jobs of w in queue 'default' ask for 64 cores, and no live worker has as much: small@test"
    )
    assert asks in said
    assert "1 job waits for" in said
    assert "no live worker of its queue knows the workflow v" in said
    with engine.begin() as connection:
        assert asks in "\n".join(check.found for check in of_workers(connection) if check.name == "queues")
    must_claim(fits.task_id, me)
    with pytest.raises(WaitTimeoutError):
        waiting.follow(waiting.Watch([one.id for one in (*many, gpu, fits)]), 0.1)
    assert asks in capsys.readouterr().err
    worker(room=Room(64, GIB, ()), workflows=["w"], nodename="large@test")
    assert "ask for 64 cores" not in str(simcelery.jobs(tags=["mine"]).explain())
    sql("UPDATE workers SET queues = '{other}' WHERE nodename = 'large@test'")
    assert "ask for 64 cores" in str(simcelery.jobs(tags=["mine"]).explain())
