"""Canaries and fuses: what waits at a closed gate, what opens and closes it, and what races with that."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text

from simcelery.board import engine, gates, leases, retention, transitions
from simcelery.board.batches import ROWS
from simcelery.board.gates import Behind, NewGate
from simcelery.board.values import Claim, ClaimRequest, Recorded
from simcelery.maintenance import hold as maintenance_of_gates
from simcelery.maintenance.hold import tick
from tests.board_helpers import (
    AGAIN,
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
    retry,
    row,
    settle,
    sql,
    state,
    states,
    worker,
)
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")


def gate(**asked: object) -> int:
    """A gate, closed if it has canaries."""
    with engine.begin() as connection:
        return gates.create(connection, NewGate("w", (), "test", **asked))  # type: ignore[arg-type]


def behind(number: int, count: int, canaries: Sequence[int] = (), **changes: object) -> list[Recorded]:
    """So many jobs behind a gate, the canaries at these places."""
    with engine.begin() as connection:
        closed = gates.is_closed(connection, number)
        found = transitions.record(
            connection,
            [new_job(**changes) for _ in range(count)],
            behind=Behind(number, closed, frozenset(canaries)),
        )
        gates.add_canaries(connection, number, [found[place].id for place in canaries])
    return found


def end(job: Recorded, me: int, how: object = SUCCESS) -> Claim:
    """Claim and finish a job."""
    claimed = must_claim(job.task_id, me)
    assert finish(claimed, how) is not None  # type: ignore[arg-type]
    return claimed


def closed_by(number: int) -> str | None:
    """What closed the gate."""
    return (
        str(found) if (found := sql("SELECT closed_by FROM gates WHERE id = :id", id=number)[0][0]) else None
    )


# --- canaries ---


def test_nothing_runs_before_the_canaries_and_all_does_after_the_last() -> None:
    me = worker()
    jobs = behind(gate(canary=2), 5, [0, 4])
    assert states(jobs) == ["pending", "blocked", "blocked", "blocked", "pending"]
    assert claim(jobs[1].task_id, me) is None
    end(jobs[0], me)
    assert tick() == (0, 0)
    end(jobs[4], me)
    assert tick() == (0, 3)
    assert states(jobs) == ["succeeded", "pending", "pending", "pending", "succeeded"]


def test_of_a_large_sweep_all_but_the_canaries_are_held() -> None:
    behind(number := gate(canary=2), 250, [0, 249])
    found = sql("SELECT state, count(*) FROM jobs WHERE gate_id = :id GROUP BY 1 ORDER BY 1", id=number)
    assert found == [("blocked", 248), ("pending", 2)]


@pytest.mark.parametrize("how", [ERROR, None], ids=["failed", "cancelled"])
def test_a_canary_that_does_not_succeed_holds_all_until_it_is_retried(how: object) -> None:
    me = worker()
    jobs = behind(number := gate(canary=2), 4, [0, 1])
    end(jobs[0], me)
    if how:
        end(jobs[1], me, how)
    else:
        cancel(jobs[1].id)
    assert tick() == (0, 0)
    settle()
    assert states(jobs)[2:] == ["blocked", "blocked"]
    assert closed_by(number) == "canary"
    retry(jobs[1].id)
    assert tick() == (0, 0)
    end(jobs[1], me)
    assert tick() == (0, 2)


def test_canaries_that_were_there_before_count_and_are_left_where_they_are() -> None:
    me = worker()
    old = [record(idempotency_key=f"k{place}") for place in range(2)]
    end(old[0], me)
    number = gate(canary=2)
    with engine.begin() as connection:
        found = transitions.record(
            connection,
            [new_job(idempotency_key=f"k{place}") for place in range(4)],
            behind=Behind(number, True, frozenset([0])),
        )
        gates.add_canaries(connection, number, [found[0].id])
    assert [job.how for job in found] == ["existing", "existing", "new", "new"]
    assert states(found) == ["succeeded", "pending", "blocked", "blocked"]
    assert tick() == (0, 2)


def test_a_gate_asks_only_its_own_canaries() -> None:
    me = worker()
    proven, other = behind(gate(canary=1), 2, [0]), behind(gate(canary=1), 2, [0])
    end(proven[0], me)
    assert tick() == (0, 1)
    assert states([proven[1], other[1]]) == ["pending", "blocked"]


def test_only_a_gate_whose_canaries_have_all_succeeded_is_opened_for_that() -> None:
    me = worker()
    proven, too, unproven, blown = (gate(canary=1), gate(canary=1), gate(canary=1), gate(max_fails=0))
    for number in (proven, too):
        end(behind(number, 2, [0])[0], me)
    behind(unproven, 2, [0])
    end(behind(blown, 1)[0], me, ERROR)
    with engine.begin() as connection:
        opened = [transitions.open_gate(connection, number) for number in (proven, unproven, blown)]
    assert opened == [True, False, False]
    assert [closed_by(number) for number in (proven, too, unproven, blown)] == [
        None,
        "canary",
        "canary",
        "fuse",
    ]


def test_a_step_at_a_gate_that_has_turned_meanwhile_moves_nothing() -> None:
    number = gate(max_fails=0)
    jobs = behind(number, 2)
    with engine.begin() as connection:
        assert transitions.hold(connection, number, 10) == 0
    end(jobs[0], worker(), ERROR)
    tick()
    with engine.begin() as connection:
        assert transitions.let_go(connection, number, 10) == (0, [])
    assert state(jobs[1].id) == "blocked"


def test_jobs_are_let_go_until_none_is_left_that_could_be() -> None:
    number, other = gate(canary=1), gate(canary=1)
    first, second, third = behind(number, 3)
    behind(number, 1, parents=[record().id])
    behind(other, 1)

    def step(most: int) -> tuple[int, list[object]]:
        with engine.begin() as connection:
            moved = transitions.let_go(connection, number, most).moved
        return moved, [row.moving for row in sql("SELECT moving FROM gates ORDER BY id")]

    with engine.begin() as connection:
        transitions.release_gates(connection, [number, other])
    with engine.begin() as holder:
        holder.execute(text("SELECT FROM jobs WHERE id = :id FOR UPDATE"), {"id": second.id})
        assert step(1) == (1, [True, True])
        assert step(10) == (1, [True, True])
        assert step(10) == (0, [True, True]), "one is held by somebody else"
    assert states([first, second, third]) == ["pending", "blocked", "pending"]
    assert step(10) == (1, [False, True])


def test_what_waits_for_a_limit_is_left_to_it_and_what_has_been_woken_is_not() -> None:
    number = gate(canary=1)
    first, woken, waits = behind(number, 3)
    elsewhere = record()
    for job, woken_at in ((woken, "now()"), (waits, "NULL"), (elsewhere, "NULL")):
        sql(
            "INSERT INTO throttled (job_id, limit_name, queue, workflow, priority, woken_at) "
            f"VALUES ({job.id}, 'workflow:w', 'default', 'w', 4, {woken_at})"
        )

    def step() -> tuple[int, bool]:
        with engine.begin() as connection:
            moved = transitions.let_go(connection, number, 1).moved
        return moved, sql("SELECT moving FROM gates")[0][0]

    with engine.begin() as connection:
        transitions.release_gates(connection, [number])
    assert step() == (1, True)
    assert step() == (1, False)
    assert states([first, woken, waits]) == ["pending", "pending", "blocked"]


def test_more_than_one_step_is_let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance_of_gates, "LONGEST_ACT", within(30))
    me = worker()
    jobs = behind(gate(canary=1), ROWS + 2, [0])
    end(jobs[0], me)
    assert tick() == (0, ROWS + 1)
    assert sql("SELECT count(*) FROM jobs WHERE state = 'blocked'")[0][0] == 0


def test_what_is_held_and_released_at_several_gates_is_counted_together() -> None:
    me = worker()
    opened = [behind(gate(canary=1), 3, [0]) for _ in range(2)]
    blown = [behind(gate(max_fails=0), 3) for _ in range(2)]
    for jobs in opened:
        end(jobs[0], me)
    for jobs in blown:
        end(jobs[0], me, ERROR)
    assert tick() == (4, 4)


def test_when_the_time_of_an_act_is_over_the_rest_is_moved_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me = worker()
    opened, blown = behind(gate(canary=1), 3, [0]), behind(gate(max_fails=0), 3)
    end(opened[0], me)
    end(blown[0], me, ERROR)
    with monkeypatch.context() as patch:
        patch.setattr(maintenance_of_gates, "LONGEST_ACT", 0.0)
        assert tick() == (0, 0)
    assert tick() == (2, 2)


def test_a_gate_that_another_has_opened_meanwhile_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    number = gate(canary=1)
    behind(number, 2, [0])
    monkeypatch.setattr(transitions, "gates_due", lambda connection: [(number, "open")])
    assert tick() == (0, 0)


@pytest.mark.parametrize("how", ["proven", "by hand"])
def test_whoever_opens_a_gate_and_dies_leaves_the_rest_to_others(how: str) -> None:
    me = worker()
    jobs = behind(number := gate(canary=1), 3, [0])
    sql("UPDATE gates SET changed_at = now() - interval '1 h'")
    if how == "proven":
        end(jobs[0], me)
    with engine.begin() as connection:
        if how == "proven":
            assert transitions.open_gate(connection, number)
        else:
            assert transitions.release_gates(connection, [number]) == [number]
    assert tick() == (0, 2)
    assert sql("SELECT changed_at > now() - interval '1 min' FROM gates") == [(True,)]


def test_what_else_holds_a_job_goes_on_holding_it() -> None:
    me = worker()
    parent = record()
    number = gate(canary=1)
    [canary] = behind(number, 1, [0])
    [child] = behind(number, 1, parents=[parent.id])
    [later] = behind(number, 1, delay=3600)
    assert states([child, later]) == ["blocked", "blocked"]
    end(canary, me)
    assert tick() == (0, 1)
    assert states([child, later]) == ["blocked", "scheduled"]
    end(parent, me)
    assert state(child.id) == "pending"


def test_a_parent_that_succeeds_opens_no_gate_and_settle_leaves_alone_what_is_held() -> None:
    me = worker()
    parent = record()
    number = gate(canary=1)
    behind(number, 1, [0])
    [child] = behind(number, 1, parents=[parent.id])
    end(parent, me)
    assert claim(child.task_id, me) is None, "it is pending for a moment, and no claim is given it"
    assert tick() == (1, 0)
    assert (state(child.id), row(child.id).unmet, row(child.id).held) == ("blocked", 0, True)
    sql("UPDATE jobs SET settled_at = 'epoch' WHERE id = :id", id=parent.id)
    settle()
    assert state(child.id) == "blocked"
    assert sql("SELECT settled_at > 'epoch' FROM jobs WHERE id = :id", id=parent.id) == [(True,)]


def test_a_parent_that_fails_takes_down_what_is_held_as_well() -> None:
    me = worker()
    parent = record()
    number = gate(canary=1)
    behind(number, 1, [0])
    [child] = behind(number, 1, parents=[parent.id])
    end(parent, me, ERROR)
    settle()
    assert state(child.id) == "upstream_failed"


def test_a_canary_is_not_pruned_while_jobs_wait_for_it() -> None:
    me = worker()
    jobs = behind(gate(canary=2), 3, [0, 1])
    end(jobs[0], me)
    end(jobs[1], me, ERROR)
    with engine.begin() as connection:
        assert retention.delete_finished(connection, 0.0, 10) == 0
        transitions.retry(connection, [jobs[1].id], by="test")
    end(jobs[1], me)
    assert tick() == (0, 1)
    with engine.begin() as connection:
        assert retention.delete_finished(connection, 0.0, 10) == 2


# --- the fuse ---


def test_one_failure_too_many_holds_what_has_not_begun_and_lets_go_on_what_has() -> None:
    me = worker()
    jobs = behind(number := gate(max_fails=1), 6)
    [later] = behind(number, 1, delay=3600)
    [again] = behind(number, 1, max_attempts=3)
    end(again, me, AGAIN)
    running = must_claim(jobs[0].task_id, me)
    for job in jobs[1:3]:
        assert closed_by(number) is None
        end(job, me, ERROR)
    assert closed_by(number) == "fuse"
    assert claim(jobs[3].task_id, me) is None, "from the failure on, not only once it is moved"
    assert tick() == (4, 0)
    assert states([*jobs, later]) == ["running", "failed", "failed", *["blocked"] * 4]
    assert state(again.id) == "scheduled", "it has begun"
    assert finish(running, SUCCESS) is not None
    sql("UPDATE jobs SET run_at = now() WHERE id = :id", id=again.id)
    with engine.begin() as connection:
        transitions.stage(connection, 10)
    end(again, me)


def test_a_held_job_has_no_message_and_gets_a_new_one() -> None:
    me = worker()
    jobs = behind(number := gate(max_fails=0), 2)
    sql("UPDATE jobs SET published_at = now(), publish_count = 2")
    end(jobs[0], me, ERROR)
    tick()
    held = sql("SELECT published_at, publish_count FROM jobs WHERE id = :id", id=jobs[1].id)
    assert held == [(None, 0)]
    with engine.begin() as connection:
        assert transitions.release_gates(connection, [number]) == [number]
        [sent] = transitions.let_go(connection, number, 10).pending
    assert sent.id == jobs[1].id


def test_only_failures_count_and_each_job_once() -> None:
    me = worker()
    number = gate(max_fails=1)
    jobs = behind(number, 8, max_losses=5)
    end(jobs[0], me, ERROR)
    for job in jobs[1:4]:  # lost, cancelled, or without a chance
        end(job, me, LOST)
    cancel(jobs[4].id)
    sql("UPDATE jobs SET state = 'upstream_failed', finished_at = now() WHERE id = :id", id=jobs[5].id)
    assert closed_by(number) is None
    for _ in range(3):
        retry(jobs[0].id)
        end(jobs[0], me, ERROR)
    assert closed_by(number) is None
    end(jobs[6], me, ERROR)
    assert closed_by(number) == "fuse"


@pytest.mark.parametrize(
    ("percent", "ends", "blows"),
    [
        (5.0, "f", False),  # 100 %
        (5.0, "ffff", False),
        (5.0, "fffff", True),
        (50.0, "sssssfffff", False),  # just as many as may
        (50.0, "ssssfffff", True),
        (50.0, "ssssssffffff" * 2 + "f", True),
        (20.0, "ssssf" * 8, False),
        (20.0, "ssssf" * 8 + "f", True),
    ],
)
def test_of_a_hundred_that_have_ended_so_many_may_have_failed(percent: float, ends: str, blows: bool) -> None:
    me = worker()
    jobs = behind(number := gate(max_fails_percent=percent), len(ends))
    for job, how in zip(jobs, ends, strict=True):
        assert closed_by(number) is None
        end(job, me, ERROR if how == "f" else SUCCESS)
    assert closed_by(number) == ("fuse" if blows else None)


def test_a_canary_that_fails_blows_no_fuse() -> None:
    me = worker()
    jobs = behind(number := gate(canary=1, max_fails=0), 2, [0])
    end(jobs[0], me, ERROR)
    assert closed_by(number) == "canary"
    retry(jobs[0].id)
    end(jobs[0], me)
    assert tick() == (0, 1)


def test_several_that_fail_in_one_statement_are_all_counted() -> None:
    """As when a worker is lost for the last time with all that it ran."""
    me = worker()
    number = gate(max_fails=2)
    jobs = behind(number, 4, max_losses=0)
    for job in jobs[:3]:
        must_claim(job.task_id, me)
    with engine.begin() as connection:
        leases.bury(connection, [me])
        transitions.rescue_now(connection, [me], 10)
    assert states(jobs) == ["failed"] * 3 + ["pending"]
    assert closed_by(number) == "fuse"


def test_after_a_release_the_fuse_counts_anew() -> None:
    me = worker()
    number = gate(max_fails=1)
    jobs = behind(number, 6)
    for job in jobs[:2]:
        end(job, me, ERROR)
    assert tick() == (4, 0)
    with engine.begin() as connection:
        assert transitions.release_gates(connection, [number]) == [number]
        assert transitions.release_gates(connection, [number]) == []
    assert tick() == (0, 4)
    end(jobs[2], me, ERROR)
    assert closed_by(number) is None
    end(jobs[3], me, ERROR)
    assert closed_by(number) == "fuse"
    assert tick() == (2, 0)


def test_what_failed_before_a_release_no_longer_counts() -> None:
    me = worker()
    number, other = gate(max_fails=1), gate(max_fails=0)
    jobs, [elsewhere] = behind(number, 6), behind(other, 1)
    for job in [*jobs[:2], elsewhere]:
        end(job, me, ERROR)
    with engine.begin() as connection:
        assert transitions.release_gates(connection, [number]) == [number]
    assert closed_by(other) == "fuse", "only the one that was named"
    end(jobs[2], me, ERROR)
    retry(jobs[2].id)
    end(jobs[2], me, ERROR)
    assert closed_by(number) is None
    end(jobs[3], me, ERROR)
    assert closed_by(number) == "fuse"


def test_after_a_release_a_percentage_says_nothing_before_five_have_failed_again() -> None:
    me = worker()
    jobs = behind(number := gate(max_fails_percent=5.0), 10)
    for job in jobs[:5]:
        end(job, me, ERROR)
    with engine.begin() as connection:
        assert transitions.release_gates(connection, [number]) == [number]
    for job in jobs[5:]:
        assert closed_by(number) is None
        end(job, me, ERROR)
    assert closed_by(number) == "fuse"


def test_a_job_that_is_released_by_itself_waits_for_its_parents_and_one_behind_no_gate_is_left_alone() -> (
    None
):
    me = worker()
    parent = record()
    number = gate(canary=1)
    behind(number, 1, [0])
    [child] = behind(number, 1, parents=[parent.id])
    [later] = behind(number, 1, delay=3600)
    free = record(parents=[parent.id])
    with engine.begin() as connection:
        wanted = [later.id, child.id, free.id, parent.id]
        assert transitions.release_jobs(connection, wanted, by="test") == [child.id, later.id]
    assert states([child, later, free]) == ["blocked", "scheduled", "blocked"]
    end(parent, me)
    assert states([child, free]) == ["pending", "pending"]
    assert claim(child.task_id, me) is not None


def test_a_job_that_is_released_by_itself_leaves_the_others_held() -> None:
    me = worker()
    number = gate(max_fails=0)
    jobs = behind(number, 4)
    end(jobs[0], me, ERROR)
    tick()
    with engine.begin() as connection:
        assert transitions.release_jobs(connection, [jobs[0].id, jobs[1].id], by="test") == [jobs[1].id]
    assert tick() == (0, 0)
    assert states(jobs) == ["failed", "pending", "blocked", "blocked"]
    end(jobs[1], me, ERROR)


def test_what_is_put_back_unbegun_is_held_and_what_is_released_while_it_ran_goes_on() -> None:
    me = worker()
    number = gate(max_fails=0)
    jobs = behind(number, 3)
    unbegun, begun = must_claim(jobs[0].task_id, me), must_claim(jobs[1].task_id, me)
    end(jobs[2], me, ERROR)
    transitions.put_back([unbegun])
    with engine.begin() as connection:
        transitions.release(connection, registration(me))
    assert tick() == (1, 0)
    assert states(jobs[:2]) == ["blocked", "pending"]
    assert claim(begun.task_id, me) is not None


def test_a_message_for_what_is_held_leads_to_another_job_but_never_to_one_behind_a_closed_gate() -> None:
    me = worker()
    jobs = behind(gate(max_fails=0), 3)
    end(jobs[0], me, ERROR)
    free = record()
    assert led_to(jobs[1], me) == [], "those not yet moved come first in its lane"
    tick()
    assert led_to(jobs[1], me) == [free.id]


def led_to(job: Recorded, me: int) -> list[int]:
    """The jobs that a message for this one leads to, with a slice."""
    request = ClaimRequest(job.task_id, "w", uuid.uuid4(), registration(me), 100, "default", 0, 10)
    return [claimed.job_id for claimed in transitions.claim(request)]


# --- races ---


def at_once(*calls: Callable[[], object]) -> None:
    """All of these at the same time."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(run, call) for call in calls]:
            done.result()


def is_awaited(connection: Connection) -> bool:
    """Whether somebody waits for this transaction."""
    me = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return bool(sql("SELECT FROM pg_stat_activity WHERE :me = ANY (pg_blocking_pids(pid))", me=me))


def test_of_failures_at_once_none_is_missed() -> None:
    me = worker()
    for _ in range(5):
        jobs = behind(number := gate(max_fails=3), 5)
        claims = [must_claim(job.task_id, me, pid=place) for place, job in enumerate(jobs[:4])]
        at_once(*(lambda one=one: finish(one, ERROR) for one in claims))  # type: ignore[misc]
        assert closed_by(number) == "fuse"
        assert tick() == (1, 0)


@pytest.mark.parametrize("how", ["proven", "by hand"])
def test_a_gate_opens_only_when_what_is_recorded_behind_it_is_committed(how: str) -> None:
    """Otherwise that would be blocked for ever: recorded as held, and missed by whoever opened the gate."""
    number = gate(canary=1)
    [canary] = behind(number, 1, [0])
    if how == "proven":
        end(canary, worker())
    done: list[object] = []

    def opens() -> None:
        if how == "by hand":
            with engine.begin() as connection:
                transitions.release_gates(connection, [number])
        done.append(tick())

    opening = threading.Thread(target=opens)
    with engine.begin() as connection:
        closed = gates.is_closed(connection, number)
        [held] = transitions.record(connection, [new_job()], behind=Behind(number, closed))
        opening.start()
        wait_until(lambda: done or is_awaited(connection))
        assert not done
    opening.join()
    assert done == [(0, 1)]
    assert state(held.id) == "pending"


def test_nobody_waits_for_whoever_records_behind_a_gate_to_let_it_fail_or_to_hold_what_is_there() -> None:
    me = worker()
    number = gate(max_fails=0)
    jobs = behind(number, 2)
    claimed = must_claim(jobs[0].task_id, me)
    with ThreadPoolExecutor(1) as pool, engine.begin() as connection:
        gates.is_closed(connection, number)
        [late] = transitions.record(connection, [new_job()], behind=Behind(number, False))
        assert finish(claimed, ERROR) is not None
        assert pool.submit(tick).result(within(5)) == (1, 0)
    assert closed_by(number) == "fuse"
    assert claim(late.task_id, me) is None
    assert tick() == (1, 0)


def test_two_workers_move_each_job_once() -> None:
    me = worker()
    jobs = behind(number := gate(max_fails=0), 50)
    end(jobs[0], me, ERROR)
    counted: list[tuple[int, int]] = []
    at_once(*[lambda: counted.append(tick())] * 3)
    assert sum(held for held, _ in counted) == 49
    with engine.begin() as connection:
        transitions.release_gates(connection, [number])
    counted.clear()
    at_once(*[lambda: counted.append(tick())] * 3)
    assert sum(released for _, released in counted) == 49
    assert sql("SELECT moving FROM gates") == [(False,)]


@pytest.mark.parametrize(
    "numbers",
    [
        "max_fails = NULL, max_fails_percent = 'NaN', fails_left = 0",
        "max_fails = NULL, max_fails_percent = '-Infinity', fails_left = 0",
        "max_fails = NULL, max_fails_percent = 100, fails_left = 0",
        "max_fails = NULL, max_fails_percent = 99.99999999999999, fails_left = 0",
        "max_fails = NULL, fails_left = 0",
        "fails_left = -9223372036854775808",
        "max_fails = -9223372036854775808, fails_left = 0",
        "max_fails = 9223372036854775807, fails_left = 0",
        "counts_from = 'infinity', fails_left = 0",
    ],
)
def test_whatever_numbers_a_gate_holds_jobs_end_alone_and_with_others(numbers: str) -> None:
    me = worker()
    jobs = behind(number := gate(max_fails=3), 8, max_losses=0)
    sql(f"UPDATE gates SET {numbers} WHERE id = :id", id=number)
    alone = [must_claim(job.task_id, me) for job in jobs[:6]]
    for number in (jobs[6].task_id, record(max_losses=0).task_id):  # lost together
        must_claim(number, me)
    for claimed in alone:
        assert finish(claimed, ERROR) is not None
    with engine.begin() as connection:
        leases.bury(connection, [me])
        assert len(transitions.rescue_now(connection, [me], 10)) == 2
    tick()
    assert states(jobs)[:7] == ["failed"] * 7
