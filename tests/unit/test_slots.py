"""The memory that a worker's parent shares with its pool children: who writes what, and whom it reaches."""

from __future__ import annotations

import fcntl
import logging
import math
import multiprocessing
import os
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from simcelery import log_records
from simcelery.log_records import NOTHING, About
from simcelery.worker import slots as module
from simcelery.worker.slots import child as child_side
from simcelery.worker.slots.child import QUICK, Slot
from simcelery.worker.slots.layout import FAILURES_KEPT, PROGRESS_BYTES, Fields, Order, Phase, token_of
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import Running, running_in
from tests.waiting import within


@pytest.fixture
def slots() -> Slots:
    """Of a worker whose pool has not forked yet."""
    return Slots()


def claims(slot: Slot, job_id: int = 7, attempt: int = 1, workflow: str = "w") -> uuid.UUID:
    """The child behind this slot claims a job, and is granted it; the claim."""
    claim_id = uuid.uuid4()
    slot.claiming(uuid.uuid4(), claim_id)
    slot.starting(job_id, attempt, workflow)
    return claim_id


def runs(slots: Slots, slot: Slot, limit: float | None = None, retry_in: float | None = None) -> Running:
    """The child behind this slot runs a job; what the parent reads."""
    claim_id = claims(slot)
    slot.running(limit, retry_in, seed=3)
    found = slots.of_claim(claim_id)
    assert found is not None
    return found


def in_another_process(act: Callable[[], object]) -> int:
    """A forked process does this and ends; its pid."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return child


def test_a_childs_log_records_name_the_attempt_that_it_runs(slots: Slots) -> None:
    slot, claim_id = Slot.taken(slots.memory, 0), uuid.uuid4()
    assert slot.about() == NOTHING
    slot.claiming(uuid.uuid4(), claim_id)
    assert slot.about() == NOTHING  # it may not get one
    slot.starting(7, 2, "w")
    assert slot.about() == About(7, 2, str(claim_id))
    slot.idle()
    assert slot.about() == NOTHING


def test_the_parent_reads_what_a_child_of_its_pool_does(slots: Slots) -> None:
    task_id, claim_id = uuid.uuid4(), uuid.uuid4()

    def work() -> None:
        slot = Slot.taken(slots.memory, 2)
        slot.claiming(task_id, claim_id)
        slot.starting(41, 3, "relax")
        slot.printing(4)
        slot.running(60.0, 5.0, seed=8)

    before = time.monotonic()
    pid = in_another_process(work)
    [running] = slots.busy()
    assert before + 60.0 <= running.deadline <= time.monotonic() + 60.0
    assert before <= running.started <= time.monotonic()
    assert running == Running(
        index=2,
        pid=pid,
        phase=Phase.RUNNING,
        claim_id=claim_id,
        task_id=task_id,
        job_id=41,
        attempt=3,
        deadline=running.deadline,
        retry_in=5.0,
        warned=False,
        seed=8,
        started=running.started,
        output=4,
    )
    assert slots.claims == 1


def test_an_attempt_goes_from_claiming_to_idle(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    seen: list[Running] = []
    assert list(slots.busy()) == []
    slot.claiming(uuid.uuid4(), uuid.uuid4())
    seen += slots.busy()
    slot.starting(7, 1, "w")
    seen += slots.busy()
    slot.running(None, None, seed=0)
    seen += slots.busy()
    slot.finishing(succeeded=True, failed=False)
    seen += slots.busy()
    slot.idle()
    assert [one.phase for one in seen] == [Phase.CLAIMING, Phase.STARTING, Phase.RUNNING, Phase.FINISHING]
    assert [one.job_id for one in seen] == [0, 7, 7, 7]  # while it claims, nobody knows what it will get
    assert [one.seed for one in seen] == [None, None, 0, 0]
    assert [one.deadline for one in seen] == [math.inf] * 4
    assert list(slots.busy()) == []


class Moving:
    """The fields of a child that goes on just after the parent has read one of them."""

    def __init__(self, fields: Fields, name: str, goes_on: Callable[[], object]) -> None:
        self._fields, self._name, self._goes_on = fields, name, goes_on

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._fields, name)
        if name == self._name:
            self._name = ""
            self._goes_on()
        return value


@pytest.mark.parametrize("after", ["claim_id", "task_id", "pid", "deadline", "seed"])
@pytest.mark.parametrize("becomes", ["idle", "the next job", "an outcome"])
def test_a_parent_never_reads_half_of_one_moment_and_half_of_the_next(
    slots: Slots, after: str, becomes: str
) -> None:
    slot = Slot.taken(slots.memory, 0)

    def goes_on() -> None:
        match becomes:
            case "idle":
                slot.idle()
            case "the next job":
                runs(slots, slot)
            case _:
                slot.finishing(succeeded=True, failed=False)

    former = runs(slots, slot)
    moving: Any = Moving(slots.memory.fields[0], after, goes_on)
    read = running_in(0, moving)
    if becomes == "an outcome" and read is not None:  # all of it is of the later moment
        assert (read.claim_id, read.phase, read.deadline) == (former.claim_id, Phase.FINISHING, math.inf)
    else:
        assert read is None


@pytest.mark.parametrize("after", ["claim_id", "task_id"])
def test_nor_half_of_the_first_job(slots: Slots, after: str) -> None:
    slot = Slot.taken(slots.memory, 0)
    moving: Any = Moving(slots.memory.fields[0], after, lambda: claims(slot))
    assert running_in(0, moving) is None


def test_what_is_logged_of_an_attempt_says_so(slots: Slots) -> None:
    log_records.install()
    running = runs(slots, Slot.taken(slots.memory, 0))
    with running.in_log():
        record: Any = logging.makeLogRecord({})
    assert (record.job, record.attempt, record.claim) == (7, 1, str(running.claim_id))


def test_what_the_last_job_left_in_a_slot_is_not_the_next_ones(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    runs(slots, slot, limit=60.0, retry_in=5.0)
    assert memory_of(slots) == (None, 0)
    slot.running(None, None, seed=3, memory=100, memory_retry_in=5.0, memory_left=7)
    assert memory_of(slots) == (100, 7)
    slot.note_warning()
    claim_id = uuid.uuid4()
    slot.claiming(uuid.uuid4(), claim_id)
    [running] = slots.busy()
    assert (running.claim_id, running.job_id, running.attempt) == (claim_id, 0, 0)
    assert (running.deadline, running.retry_in, running.warned) == (math.inf, None, False)
    assert running.seed is None
    assert memory_of(slots) == (None, 0)


def memory_of(slots: Slots) -> tuple[int | None, int]:
    """What the one attempt may use, and what earlier jobs have left."""
    [running] = slots.busy()
    return running.memory, running.memory_left


def test_what_only_the_board_knows_has_no_limit_here() -> None:
    gone = Running.gone(10, uuid.uuid4(), uuid.uuid4(), 7, 2)
    assert (gone.phase, gone.job_id, gone.attempt, gone.pid) == (Phase.RUNNING, 7, 2, 10)
    assert (gone.deadline, gone.retry_in, gone.warned) == (math.inf, None, False)


def test_startup_holds_a_slot_and_no_job(slots: Slots) -> None:
    Slot.taken(slots.memory, 0).warming()
    [warming] = slots.busy()
    assert (warming.phase, warming.job_id) == (Phase.WARMING, 0)
    assert slots.claims == 0


# --- orders ----------------------------------------------------------------------------------------


def test_an_order_reaches_the_attempt_that_it_is_meant_for(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    running = runs(slots, slot)
    assert slot.order is Order.NONE
    slots.give(running, Order.CANCEL, processes=4)
    assert (slot.order, slot.order_processes) == (Order.CANCEL, 4)
    slots.give(running, Order.TIME_LIMIT)
    assert (slot.order, slot.order_processes) == (Order.TIME_LIMIT, 0)


def test_an_order_that_comes_too_late_never_hits_the_next_job(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    former = runs(slots, slot)
    runs(slots, slot)
    slots.give(former, Order.CANCEL)
    assert slot.order is Order.NONE


def test_nor_does_one_that_the_last_job_had(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    slots.give(runs(slots, slot), Order.CANCEL)
    runs(slots, slot)
    assert slot.order is Order.NONE


def test_an_order_is_for_one_child_alone(slots: Slots) -> None:
    mine, others = Slot.taken(slots.memory, 0), Slot.taken(slots.memory, 1)
    slots.give(runs(slots, mine), Order.WARN)
    runs(slots, others)
    assert (mine.order, others.order) == (Order.WARN, Order.NONE)


def test_all_orders_but_the_warning_end_an_attempt() -> None:
    assert {order for order in Order if not order.ends} == {Order.NONE, Order.WARN}


def test_a_signal_from_outside_is_a_warning(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    runs(slots, slot)
    slot.note_warning()
    assert slot.warned
    assert [one.warned for one in slots.busy()] == [True]


def test_so_is_that_of_an_order_for_this_attempt(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    slots.give(runs(slots, slot), Order.WARN)
    slot.note_warning()
    assert slot.warned


def test_the_signal_of_an_order_for_the_last_job_is_no_warning_for_the_next(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    slots.give(runs(slots, slot), Order.CANCEL)
    runs(slots, slot)
    slot.note_warning()
    assert not slot.warned


def test_a_signal_long_after_that_order_is_one(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot.taken(slots.memory, 0)
    slots.give(runs(slots, slot), Order.CANCEL)
    runs(slots, slot)
    later = time.monotonic() + 6.0
    monkeypatch.setattr(child_side, "time", SimpleNamespace(monotonic=lambda: later))
    slot.note_warning()
    assert slot.warned


# --- the time that an attempt has ------------------------------------------------------------------


def test_what_has_returned_has_time_to_be_encoded_and_is_not_done_again(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    running = runs(slots, slot, limit=0.5, retry_in=9.0)
    slot.returned()
    [now] = slots.busy()
    assert now.deadline > running.deadline + 10.0
    assert now.retry_in is None
    slot.keeping()
    assert [one.deadline for one in slots.busy()] == [math.inf]


def test_a_limit_that_is_far_away_stays_where_it_is(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    running = runs(slots, slot, limit=3600.0)
    slot.returned()
    assert [one.deadline for one in slots.busy()] == [running.deadline]


def test_an_attempt_whose_outcome_is_known_has_no_time_limit(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    runs(slots, slot, limit=0.5)
    slot.finishing(succeeded=False, failed=True)
    assert [one.deadline for one in slots.busy()] == [math.inf]


# --- children that die -----------------------------------------------------------------------------


def test_what_a_dead_child_did_is_known_after_its_successor_has_the_slot(slots: Slots) -> None:
    dead = in_another_process(lambda: claims(Slot.taken(slots.memory, 0), job_id=41))
    successor = Slot.taken(slots.memory, 0)
    claim_id = claims(successor, job_id=42)
    assert [one.job_id for one in slots.busy()] == [42]
    found = slots.of_pid(dead)
    assert found is not None
    assert (found.job_id, found.pid) == (41, dead)
    mine = slots.of_pid(os.getpid())
    assert mine is not None
    assert mine.claim_id == claim_id
    assert slots.of_pid(2**22 + 1) is None


def test_a_child_that_died_without_a_job_leaves_no_will(slots: Slots) -> None:
    def work() -> None:
        slot = Slot.taken(slots.memory, 0)
        claims(slot)
        slot.idle()

    dead = in_another_process(work)
    Slot.taken(slots.memory, 0)
    assert slots.of_pid(dead) is None


def test_nor_does_one_that_asks_for_its_own_slot_again(slots: Slots) -> None:
    claims(Slot.taken(slots.memory, 0))
    Slot.taken(slots.memory, 0).idle()
    assert slots.of_pid(os.getpid()) is None


def test_a_slot_is_cleared_of_a_dead_attempt_and_of_no_other(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    former = runs(slots, slot)
    current = runs(slots, slot)
    slots.clear(former)
    assert [one.claim_id for one in slots.busy()] == [current.claim_id]
    slots.clear(current)
    assert list(slots.busy()) == []


def test_who_holds_a_slice_is_known_until_it_is_seen_to(slots: Slots) -> None:
    def work() -> None:
        slot = Slot.taken(slots.memory, 0)
        slot.holding()
        claims(slot)

    dead = in_another_process(work)
    assert slots.holders() == {dead}
    mine = Slot.taken(slots.memory, 0)
    assert slots.holders() == {dead}  # in its will
    mine.holding()
    assert slots.holders() == {dead, os.getpid()}
    slots.bury(dead)
    assert slots.holders() == {os.getpid()}
    mine.idle()
    assert slots.holders() == set()


# --- what a child has to show ----------------------------------------------------------------------


def test_a_record_counts_quick_failures_in_a_row_and_names_them(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    tasks = []
    for number in range(3):
        claims(slot, job_id=number, workflow="relax")
        tasks += [one.task_id for one in slots.busy()]
        slot.finishing(succeeded=False, failed=True)
    [record] = slots.histories()
    assert (record.workflow, record.failures, record.failed) == ("relax", 3, tuple(tasks))
    assert (record.succeeded_at, slot.failures) == (None, 3)
    claims(slot)
    slot.finishing(succeeded=True, failed=False)
    [record] = slots.histories()
    assert (record.failures, record.failed) == (0, ())
    assert record.succeeded_at is not None


def test_neither_a_slow_failure_nor_a_loss_is_the_nodes(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot.taken(slots.memory, 0)
    claims(slot)
    slot.finishing(succeeded=False, failed=True)
    claims(slot)
    slot.finishing(succeeded=False, failed=False)
    assert slot.failures == 0
    claims(slot)
    slow = time.monotonic() + QUICK + 1.0
    monkeypatch.setattr(child_side, "time", SimpleNamespace(monotonic=lambda: slow))
    slot.finishing(succeeded=False, failed=True)
    assert slot.failures == 0


def test_of_many_failures_the_last_ones_are_named(slots: Slots) -> None:
    slot, tasks = Slot.taken(slots.memory, 0), []
    for _ in range(FAILURES_KEPT + 5):
        claims(slot)
        tasks += [one.task_id for one in slots.busy()]
        slot.finishing(succeeded=False, failed=True)
    [record] = slots.histories()
    assert record.failures == FAILURES_KEPT + 5
    assert sorted(record.failed) == sorted(tasks[-FAILURES_KEPT:])


def test_a_child_that_ran_nothing_has_no_record(slots: Slots) -> None:
    Slot.taken(slots.memory, 0).claiming(uuid.uuid4(), uuid.uuid4())
    assert slots.histories() == []


def test_a_name_of_any_length_and_script_fits(slots: Slots) -> None:
    claims(Slot.taken(slots.memory, 0), workflow="x" + "ü" * 150)  # it is cut inside of a character
    [record] = slots.histories()
    assert record.workflow == "x" + "ü" * 99 + "\N{REPLACEMENT CHARACTER}"


# --- whether anything may be claimed ---------------------------------------------------------------


def test_a_closed_worker_claims_nothing_until_it_is_opened_again(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    claims(slot)
    slot.finishing(succeeded=False, failed=True)
    assert slot.take_job()
    slots.close()
    assert (slots.closed, slot.take_job(), slots.draining) == (True, False, False)
    slots.reopen()
    assert (slots.closed, slot.take_job()) == (False, True)
    assert slot.failures == 0  # counted anew


@pytest.mark.parametrize("reason", ["drain", "report_broken", "report_unusable"])
def test_what_ends_a_worker_or_its_node_is_not_undone_by_the_end_of_a_quarantine(
    slots: Slots, reason: str
) -> None:
    getattr(slots if reason == "drain" else Slot.taken(slots.memory, 0), reason)()
    assert slots.closed
    slots.close()
    slots.reopen()
    assert slots.closed


def test_a_node_that_takes_files_again_is_usable(slots: Slots) -> None:
    Slot.taken(slots.memory, 0).report_unusable()
    assert slots.unusable
    slots.usable()
    assert (slots.unusable, slots.closed) == (False, True)
    slots.reopen()
    assert not slots.closed


def test_the_children_claim_so_many_jobs_all_together_and_no_more() -> None:
    limited = Slots(max_jobs=3)
    one, other = (Slot.taken(limited.memory, index) for index in (0, 1))
    assert one.counts_jobs
    in_another_process(lambda: one.take_job() and claims(one))
    assert [one.take_job(), other.take_job(), one.take_job()] == [True, True, False]
    one.return_job()  # its claim missed
    assert [other.take_job() for _ in range(2)] == [True, False]
    claims(other)
    assert (limited.claims, one.take_job()) == (2, False)


def test_children_that_count_at_the_same_moment_claim_no_job_too_many() -> None:
    fork = multiprocessing.get_context("fork")
    reached, most = fork.RawArray("i", 2), 2000
    limited = Slots(max_jobs=most)

    def child(index: int) -> None:
        slot = Slot.taken(limited.memory, index)
        reached[index] = 1
        while not reached[1 - index]:
            pass
        while slot.take_job():
            slot.starting(1, 1, "w")

    children = [fork.Process(target=child, args=(index,)) for index in (0, 1)]
    for one in children:
        one.start()
    for one in children:
        one.join(within(60))
    assert limited.claims == most
    assert min(fields.claims for fields in limited.memory.used()) > 0


@pytest.mark.parametrize("successor", [True, False], ids=["its successor", "its parent"])
def test_a_child_that_dies_before_its_claim_takes_no_job_with_it(successor: bool) -> None:
    limited = Slots(max_jobs=1)

    def dies() -> None:
        slot = Slot.taken(limited.memory, 0)
        slot.claiming(uuid.uuid4(), uuid.uuid4())
        assert slot.take_job()

    dead = in_another_process(dies)
    other = Slot.taken(limited.memory, 1)
    assert not other.take_job()
    if successor:
        Slot.taken(limited.memory, 0)
    else:
        found = limited.of_pid(dead)
        assert found is not None
        limited.clear(found)
    assert other.take_job()


def test_a_child_that_dies_while_it_counts_holds_up_nobody() -> None:
    limited = Slots(max_jobs=1)
    assert limited.memory.lock is not None
    lock = limited.memory.lock
    in_another_process(lambda: fcntl.lockf(lock, fcntl.LOCK_EX))
    assert Slot.taken(limited.memory, 0).take_job()


def test_a_job_that_closes_every_file_keeps_its_child_from_no_other() -> None:
    limited = Slots(max_jobs=1)
    assert limited.memory.lock is not None
    lock = limited.memory.lock.fileno()
    kept = os.dup(lock)
    os.close(lock)
    try:
        assert Slot.taken(limited.memory, 0).take_job()
    finally:
        os.dup2(kept, lock)
        os.close(kept)


def test_as_many_jobs_are_used_up_as_were_claimed() -> None:
    limited = Slots(max_jobs=2)
    slot = Slot.taken(limited.memory, 0)
    claims(slot)
    assert (limited.claims, limited.jobs_used_up) == (1, False)
    claims(slot)
    assert (limited.claims, limited.jobs_used_up) == (2, True)


def test_without_a_limit_jobs_are_never_used_up(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    for _ in range(50):
        assert slot.take_job()
        claims(slot)
    assert (slot.counts_jobs, slots.jobs_used_up) == (False, False)


def test_an_acquittal_is_seen_by_the_children(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    assert not slot.acquitted
    slots.acquit(time.monotonic() + 30.0)
    assert slot.acquitted


# --- marks -----------------------------------------------------------------------------------------


def test_a_mark_names_the_attempt_and_its_worker(slots: Slots) -> None:
    assert slots.mark(7, 2) == f"7.2@{slots.token}"
    assert slots.mark(7, 2) != slots.mark(7, 3)


def test_no_two_workers_have_the_same_token() -> None:
    assert len({token_of("a|b|c|d", 1), token_of("a|b|c|d", 2), token_of("a|b|c|e", 1)}) == 3
    assert token_of("a|b|c|d", 1) == token_of("a|b|c|d", 1)


# --- the process's own view ------------------------------------------------------------------------


@pytest.fixture
def mine(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> Slot:
    """This process as a pool child."""
    monkeypatch.setattr(module, "mine", Slot.taken(slots.memory, 0))
    return module.mine


def test_a_process_without_a_worker_goes_on_for_ever_and_claims_nothing() -> None:
    mine = module.mine
    assert (mine.in_pool_child, mine.is_closed(), mine.should_stop(), mine.order) == (
        False,
        False,
        False,
        Order.NONE,
    )
    assert (mine.counts_jobs, mine.take_job()) == (True, False)


def test_only_a_forked_process_is_a_pool_child(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "mine", module.mine)
    module.share(slots)
    module.take(3)
    assert not module.mine.in_pool_child
    claims(module.mine)  # --unsafe-pool
    assert (slots.claims, list(slots.busy())) == (1, [])

    def forked() -> None:
        module.take(3)
        assert module.mine.in_pool_child
        claims(module.mine, job_id=8)

    child = in_another_process(forked)
    assert [(one.pid, one.index, one.job_id) for one in slots.busy()] == [(child, 3, 8)]


@pytest.mark.parametrize("in_pool_child", [True, False])
def test_what_holds_for_a_worker_holds_for_all_its_processes(
    slots: Slots, mine: Slot, monkeypatch: pytest.MonkeyPatch, in_pool_child: bool
) -> None:
    if not in_pool_child:
        module.share(slots)
    assert (module.mine.is_closed(), module.mine.should_stop()) == (False, False)
    slots.close()
    assert (module.mine.is_closed(), module.mine.should_stop()) == (True, False)
    slots.drain()
    assert module.mine.should_stop()
    assert module.mine.mark(7, 2) == slots.mark(7, 2)


@pytest.mark.parametrize("why", ["order", "warning"])
def test_a_job_should_stop_when_anything_says_so(slots: Slots, mine: Slot, why: str) -> None:
    running = runs(slots, mine)
    assert not mine.should_stop()
    if why == "order":
        slots.give(running, Order.WARN)
    else:
        mine.note_warning()
    assert mine.should_stop()


def test_children_that_take_their_first_job_at_the_same_moment_are_all_seen() -> None:
    fork = multiprocessing.get_context("fork")
    reached = fork.RawArray("i", 2)
    rounds = [Slots() for _ in range(1000)]

    def child(index: int) -> None:
        for number, slots in enumerate(rounds, 1):
            slot = Slot.taken(slots.memory, index)
            reached[index] = number
            while reached[1 - index] < number:
                pass  # a lock would let them go on one after the other
            slot.claiming(uuid.UUID(int=1), uuid.UUID(int=2))

    children = [fork.Process(target=child, args=(index,)) for index in (0, 1)]
    for one in children:
        one.start()
    for one in children:
        one.join(within(60))
    assert [len(list(slots.busy())) for slots in rounds] == [2] * len(rounds)


def test_what_was_sent_of_an_output_counts_for_its_own_attempt_only(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    first = runs(slots, slot)
    assert slot.sent is None
    slots.sent(first, 3)
    assert slot.sent == 3
    slot.printing(7)
    claims(slot)
    assert slot.sent is None
    [second] = slots.busy()
    assert second.output == 0
    slots.sent(first, 5)
    assert slot.sent is None
    slots.sent(second, 0)
    assert slot.sent == 0


def test_progress_reaches_the_parent_whole_or_not_at_all(slots: Slots) -> None:
    slot = Slot.taken(slots.memory, 0)
    running = runs(slots, slot)
    assert slots.progress(running) == b""
    assert slot.report(b'{"done": 1}')
    assert slots.progress(running) == b'{"done": 1}'
    assert not slot.report(b"1" * PROGRESS_BYTES)
    assert slot.report(b"1" * (PROGRESS_BYTES - 1))
    assert slots.progress(running) == b"1" * (PROGRESS_BYTES - 1)
    slots.memory.fields[0].progress_version += 1  # it is just being written
    assert slots.progress(running) == b""
    slots.memory.fields[0].progress_version += 1
    claims(slot)
    assert slots.progress(running) == b""
    [later] = slots.busy()
    assert slots.progress(later) == b""
    assert not child_side.Outside(slots.memory, alone=False).report(b"1")  # nobody would read it


def test_each_report_has_a_version_of_its_own(slots: Slots) -> None:
    """Otherwise a parent that was interrupted in the middle of reading might take two halves for one."""
    slot = Slot.taken(slots.memory, 0)
    runs(slots, slot)
    versions = set()
    for _ in range(3):
        assert slot.report(b"1")
        versions.add(slots.memory.fields[0].progress_version)
    assert len(versions) == 3


def test_progress_that_a_dead_child_was_just_writing_does_not_silence_its_successor(slots: Slots) -> None:
    slots.memory.fields[0].progress_version = 7
    slot = Slot.taken(slots.memory, 0)
    running = runs(slots, slot)
    assert slot.report(b"1")
    assert slots.progress(running) == b"1"


def test_each_time_that_something_is_freed_counts_whoever_says_it(slots: Slots) -> None:
    first, second = Slot.taken(slots.memory, 0), Slot.taken(slots.memory, 1)
    for freed in (first.freed, first.freed, second.freed, slots.freed, slots.freed):
        freed()
    assert slots.memory.freed() == 5


def test_that_a_host_is_crowded_is_known_to_all_its_children(slots: Slots) -> None:
    first, second = Slot.taken(slots.memory, 0), Slot.taken(slots.memory, 1)
    assert not second.crowded
    first.report_crowded()
    assert second.crowded
