"""The watch over attempts: a played clock, real slots and processes; the board is what is written."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from simcelery.board import transitions
from simcelery.board.states import Cause, Outcome, State
from simcelery.board.transitions.finish import Guard
from simcelery.board.values import Account, EndedAttempt, Registration
from simcelery.errors import BoardUnreachableError
from simcelery.execution import memory, processes, trees
from simcelery.execution.ending import EndedProcesses
from simcelery.settings import Settings
from simcelery.worker import folders
from simcelery.worker.outcomes import finish, spool
from simcelery.worker.parent import outbox, supervisor, watched
from simcelery.worker.parent.supervisor import EVERY, Supervisor
from simcelery.worker.slots.child import Slot
from simcelery.worker.slots.layout import Order, Phase
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import Running
from tests.waiting import wait_until, within

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ME = Registration(1, uuid.uuid4())
GRACE, KILL_GRACE, SLACK = 30.0, 5.0, 1.0
MIB = 2**20


def was_told(pid: int) -> bool:
    """Whether a process that holds SIGTERM back was sent it."""
    status = Path(f"/proc/{pid}/status").read_text()
    [pending] = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd")]
    return bool(int(pending, 16) >> (signal.SIGTERM - 1) & 1)


def is_dying(pid: int) -> bool:
    """Whether SIGKILL waits for a process, or is ending it."""
    status = Path(f"/proc/{pid}/status").read_text()
    [pending] = [line.split()[1] for line in status.splitlines() if line.startswith("SigPnd")]
    flags = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6])
    return bool(int(pending, 16) >> (signal.SIGKILL - 1) & 1 or flags & 0x4)  # the kernel's PF_EXITING


class Child:
    """A pool child: a process that does nothing, and holds SIGTERM back so that it can be seen.

    What a real one writes in its slot, the test writes there for it.
    """

    def __init__(self, slots: Slots, index: int) -> None:
        self._slots, self._index = slots, index
        ready, written = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with suppress(BaseException):
                signal.alarm(120)  # if nobody ends it
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
                os.write(written, b"x")
                while True:
                    signal.pause()
            os._exit(0)
        os.read(ready, 1)
        os.close(ready)
        os.close(written)
        self.slot = Slot.taken(slots.memory, index)
        self.job_id = 100 + index

    def claims(self) -> Running:
        self.slot.claiming(uuid.uuid4(), uuid.uuid4())
        return self.now()

    def runs(
        self,
        limit: float | None = None,
        retry_in: float | None = None,
        memory: int | None = None,
        left: int = 0,
    ) -> Running:
        self.claims()
        self.slot.starting(self.job_id, 1, "w")
        self.slot.running(limit, retry_in, seed=3, memory=memory, memory_retry_in=retry_in, memory_left=left)
        return self.now()

    def now(self) -> Running:
        """What the parent reads of it: a slot whose owner is this child's process."""
        self._slots.memory.fields[self._index].pid = self.pid
        return next(one for one in self._slots.busy() if one.index == self._index)

    def leaves(self, to: Phase = Phase.IDLE) -> None:
        """It has followed, and records its end itself."""
        self.slot.finishing(succeeded=False, failed=False)
        if to is Phase.IDLE:
            self.slot.idle()

    def order(self) -> Order:
        """What the parent has told its attempt."""
        return self.slot.order

    def told(self) -> bool:
        """Whether it was sent SIGTERM."""
        return was_told(self.pid)

    def killed(self) -> bool:
        """Whether it was sent SIGKILL, and so is dead."""
        with suppress(ChildProcessError):
            # On a busy machine it may have been sent one that it has not been ended by yet.
            return os.WIFSIGNALED(os.waitpid(self.pid, 0 if is_dying(self.pid) else os.WNOHANG)[1])
        return True

    def was_stopped(self) -> bool:
        """Whether it was sent SIGSTOP, and goes on again or not."""
        return os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)[0] == self.pid

    def dies(self) -> int:
        """From outside, and unseen by its parent's event loop until now; its pid."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return self.pid


class Worker:
    """A supervisor over two children; `at(seconds)` looks so many seconds after the start."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, shutdown_grace=GRACE, kill_grace=KILL_GRACE)
        self.slots = Slots()
        self.children = [Child(self.slots, 0), Child(self.slots, 1)]
        self._start = time.monotonic()
        self.now = self._start
        self.supervisor = Supervisor(self.slots, self.settings, ME, clock=lambda: self.now)
        self.away = False
        self.guards: list[Guard] = []
        self.written: list[tuple[uuid.UUID, EndedAttempt]] = []
        self.released: list[tuple[int, uuid.UUID]] = []

    def at(self, seconds: float) -> list[tuple[uuid.UUID, EndedAttempt]]:
        """Look then; what has been written on the board by now: jobs, and how their attempts ended."""
        self.now = self._start + seconds
        self.supervisor.look()
        outbox.Outbox(self.settings).finish()
        return self.written

    def write(self, guard: Guard, report: EndedAttempt, job: uuid.UUID, claim_id: uuid.UUID | None) -> None:
        if self.away:
            raise BoardUnreachableError("away")
        self.guards.append(guard)
        # Whatever is written is fenced: by its claim, or where none is known by worker and pid.
        assert ("pid" in str(guard)) is (claim_id is None)
        assert claim_id is None or guard.compare(transitions.by_claim(job, claim_id))
        self.written.append((job, report))

    def release(self, me: Registration, pid: int, running: uuid.UUID) -> None:
        assert me == ME
        self.released.append((pid, running))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    made = Worker(tmp_path)
    monkeypatch.setattr(finish, "write", made.write)
    monkeypatch.setattr(finish, "release_siblings", made.release)
    yield made
    for child in made.children:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


@pytest.fixture
def child(worker: Worker) -> Child:
    return worker.children[0]


def test_it_rests_only_while_nothing_runs_and_nothing_is_to_be_told(worker: Worker, child: Child) -> None:
    looks = worker.supervisor
    is_quiet = looks._ticker._quiet
    assert is_quiet is not None
    assert is_quiet()
    claimed = child.claims()
    assert not is_quiet()
    child.leaves()
    assert is_quiet()
    looks.child_died(str(claimed.task_id), child.pid, "it was killed")
    assert not is_quiet()
    looks._deaths.clear()
    looks._answers.append(({}, []))
    assert not is_quiet()
    looks._answers.clear()
    child.runs()
    looks.look()
    child.leaves()
    assert not is_quiet()  # it has not seen yet that this has ended
    looks.look()
    assert is_quiet()


def account(running: Running, **changes: object) -> Account:
    """The job as the board sees it, while all is well."""
    values = {
        "id": running.job_id,
        "task_id": running.task_id,
        "claim_id": running.claim_id,
        "attempt": running.attempt,
        "state": State.RUNNING,
        "pid": running.pid,
        "worker_id": ME.worker_id,
        "cancel_requested": False,
    }
    return Account(**(values | changes))  # type: ignore[arg-type]


def settle(worker: Worker, *rows: Account) -> None:
    """The lease is renewed, and the board says this of the worker's jobs."""
    worker.supervisor.settle(worker.supervisor.attempts(), list(rows))


# --- time limits -----------------------------------------------------------------------------------


def test_an_attempt_within_its_time_is_left_alone(worker: Worker, child: Child) -> None:
    child.runs(limit=60.0)
    assert worker.at(59.0) == []
    assert (child.told(), child.order()) == (False, Order.NONE)


def test_an_attempt_that_runs_for_too_long_is_told_to_end(worker: Worker, child: Child) -> None:
    child.runs(limit=60.0)
    assert worker.at(61.0) == []  # it reports its end itself, if it follows
    assert (child.told(), child.order()) == (True, Order.TIME_LIMIT)
    assert not child.killed()
    assert not worker.children[1].told()


@pytest.mark.parametrize("to", [Phase.IDLE, Phase.FINISHING])
def test_an_attempt_that_follows_is_neither_killed_nor_written_here(
    worker: Worker, child: Child, to: Phase
) -> None:
    child.runs(limit=60.0)
    worker.at(61.0)
    child.leaves(to)
    assert worker.at(61.0 + KILL_GRACE + SLACK + 1.0) == []
    assert worker.at(1000.0) == []
    assert not child.was_stopped()


def test_one_that_does_not_follow_in_time_is_killed_and_that_is_written(worker: Worker, child: Child) -> None:
    running = child.runs(limit=60.0, retry_in=2.0)
    worker.at(61.0)
    assert worker.at(61.0 + KILL_GRACE + SLACK) == []
    assert not child.killed()
    [(job, report)] = worker.at(61.0 + KILL_GRACE + SLACK + 0.1)
    assert child.killed()
    assert (job, report.outcome, report.cause) == (running.task_id, Outcome.FAILED, Cause.TIME_LIMIT)
    assert (report.retry_in, report.seed) == (2.0, 3)
    assert worker.released == [(child.pid, running.claim_id)]  # what travelled with it, whoever notices when
    assert list(worker.slots.busy()) == []
    # The pool notices the death that we brought about: it is no loss.
    worker.supervisor.child_died(str(running.task_id), child.pid, "SIGKILL")
    assert len(worker.at(70.0)) == 1


def test_a_child_that_moves_on_before_it_is_killed_lives(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its slot and the kill it is stopped, and looked at once more."""
    child.runs(limit=60.0)
    worker.at(61.0)
    looked = worker.slots.of_claim
    looks: list[Running | None] = []

    def moves_on(claim_id: uuid.UUID) -> Running | None:
        if looks:
            wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED, 10, 0.001)
        looks.append(looked(claim_id))
        child.leaves()
        return looks[-1]

    monkeypatch.setattr(worker.slots, "of_claim", moves_on)
    assert worker.at(100.0) == []
    assert [one is None for one in looks] == [False, True]
    assert not child.killed()
    wait_until(lambda: psutil.Process(child.pid).status() != psutil.STATUS_STOPPED, 10, 0.001)


# --- memory ---


def uses(monkeypatch: pytest.MonkeyPatch, **mib: int | None) -> None:
    """From now on this is what the kernel says of every tree: resident, and shared out."""
    pids = (1, 2) if mib.get("several") else (1,)
    exact = mib.get("exact")

    def trees_of(roots: set[int]) -> dict[int, trees.Tree]:
        return {root: trees.Tree(pids, (mib["resident"] or 0) * MIB) for root in roots}

    monkeypatch.setattr(trees, "trees", trees_of)
    monkeypatch.setattr(trees, "shared_out", lambda pids: None if exact is None else exact * MIB)


def test_an_attempt_that_uses_more_memory_than_it_asked_for_is_told_to_end(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    child.runs(memory=100 * MIB)
    uses(monkeypatch, resident=99)
    assert worker.at(1.0) == []
    assert child.order() is Order.NONE
    uses(monkeypatch, resident=101, exact=101)
    assert worker.at(2.0) == []  # it reports its end itself
    assert (child.told(), child.order()) == (True, Order.OUT_OF_MEMORY)
    assert child.slot.measured == (101 * MIB, 101 * MIB)


def test_one_that_does_not_follow_is_killed_and_the_reason_says_what_to_do(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = child.runs(memory=100 * MIB, retry_in=7.0)
    uses(monkeypatch, resident=300, exact=250, several=True)
    worker.at(1.0)
    [(job, report)] = worker.at(1.0 + KILL_GRACE + SLACK + 0.1)
    assert child.killed()
    assert (job, report.outcome, report.cause) == (running.task_id, Outcome.FAILED, Cause.OUT_OF_MEMORY)
    assert (report.error_type, report.retry_in, report.peak_memory) == ("OutOfMemoryError", 7.0, 250 * MIB)
    assert report.error_message is not None
    for said in ("250.0 MiB", "100.0 MiB", "--memory"):
        assert said in report.error_message


def test_memory_that_its_processes_share_counts_once(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    child.runs(memory=100 * MIB)
    uses(monkeypatch, resident=300, exact=90, several=True)
    assert worker.at(1.0) == []
    assert child.order() is Order.NONE
    assert child.slot.measured == (90 * MIB, 90 * MIB)


def test_where_the_kernel_does_not_tell_what_is_shared_all_of_it_counts(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    child.runs(memory=100 * MIB)
    uses(monkeypatch, resident=101, exact=None)
    worker.at(1.0)
    assert child.order() is Order.OUT_OF_MEMORY


def test_an_attempt_that_asked_for_nothing_may_use_anything_and_its_peak_is_known(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = child.runs()
    uses(monkeypatch, resident=900, exact=800, several=True)
    worker.at(2.0)
    uses(monkeypatch, resident=300, exact=200, several=True)
    worker.at(4.0)
    assert child.order() is Order.NONE
    assert child.slot.measured == (300 * MIB, 800 * MIB)
    worker.supervisor.child_died(str(running.task_id), child.dies(), "signal 9 (SIGKILL)")
    [(_, report)] = worker.at(5.0)
    assert report.peak_memory == 800 * MIB


def test_an_attempt_whose_outcome_is_known_is_not_ended_for_its_memory(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    child.runs(memory=100 * MIB)
    uses(monkeypatch, resident=101, exact=101)
    child.leaves(Phase.FINISHING)
    worker.at(1.0)
    assert child.order() is Order.NONE


@pytest.mark.parametrize(
    ("resident", "exact", "used"), [(160, 160, 100), (200, 140, 80), (200, 161, 101), (40, 40, 0)]
)
def test_what_earlier_jobs_left_in_its_child_does_not_count(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch, resident: int, exact: int, used: int
) -> None:
    child.runs(memory=100 * MIB, left=60 * MIB)
    uses(monkeypatch, resident=resident, exact=exact)
    worker.at(1.0)
    assert (child.order() is Order.OUT_OF_MEMORY) == (used > 100)
    assert child.slot.measured[0] == used * MIB


def test_what_an_earlier_job_used_is_not_the_next_ones(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    child.runs(memory=100 * MIB)
    uses(monkeypatch, resident=101, exact=99)
    worker.at(1.0)
    assert child.slot.measured[1] == 99 * MIB
    child.leaves()
    child.runs(memory=50 * MIB)
    assert child.slot.measured == (0, 0)
    assert child.order() is Order.NONE


# --- shutdown --------------------------------------------------------------------------------------


def test_a_worker_that_ends_warns_what_runs_and_ends_it_after_the_grace(worker: Worker, child: Child) -> None:
    running = child.runs()
    worker.supervisor.shut_down(GRACE)
    assert worker.slots.closed
    assert worker.slots.draining  # so that `should_stop` is true
    worker.at(0.0)
    assert (child.told(), child.order()) == (True, Order.WARN)
    worker.slots.give(child.now(), Order.NONE)
    worker.at(GRACE - 1.0)
    assert child.order() is Order.NONE  # it is warned once
    worker.at(GRACE)
    assert child.order() is Order.SHUTDOWN
    [(job, report)] = worker.at(GRACE + KILL_GRACE + SLACK + 1.0)
    assert (job, report.outcome, report.cause) == (running.task_id, Outcome.RELEASED, Cause.SHUTDOWN)
    assert child.killed()


def test_the_end_of_an_allocation_is_a_loss_and_no_release(worker: Worker, child: Child) -> None:
    child.runs()
    worker.supervisor.shut_down(GRACE, Order.WALLTIME)
    worker.at(GRACE)
    [(_, report)] = worker.at(GRACE + KILL_GRACE + SLACK + 1.0)
    assert (report.outcome, report.cause) == (Outcome.LOST, Cause.WALLTIME)


@pytest.mark.parametrize(("first", "second"), [(GRACE, 2.0), (2.0, GRACE)])
def test_of_two_requests_to_end_the_earlier_end_counts(
    worker: Worker, child: Child, first: float, second: float
) -> None:
    child.runs()
    worker.supervisor.shut_down(first)
    worker.supervisor.shut_down(second)
    worker.at(1.9)
    assert child.order() is Order.WARN
    worker.at(2.0)
    assert child.order() is Order.SHUTDOWN


def test_a_worker_that_only_closes_lets_what_runs_go_on(worker: Worker, child: Child) -> None:
    child.runs()
    worker.supervisor.close()
    assert worker.at(1e6) == []
    assert (child.told(), worker.slots.closed, worker.slots.draining) == (False, True, False)


def test_a_child_that_is_signalled_alone_gets_the_grace_and_the_worker_goes_on(
    worker: Worker, child: Child
) -> None:
    child.runs()
    child.slot.note_warning()
    worker.children[1].runs()
    worker.at(0.0)
    worker.at(GRACE - 1.0)
    assert (child.told(), child.order()) == (False, Order.NONE)  # it was warned by whoever signalled it
    worker.at(GRACE)
    assert (child.told(), child.order()) == (True, Order.SHUTDOWN)
    assert not worker.slots.closed
    assert (worker.children[1].told(), worker.children[1].order()) == (False, Order.NONE)


def test_what_is_on_its_way_out_stays_so_when_its_worker_ends_meanwhile(worker: Worker, child: Child) -> None:
    running = child.runs()
    settle(worker, account(running, cancel_requested=True))
    worker.at(0.0)
    worker.supervisor.shut_down(GRACE)
    worker.at(1.0)
    assert child.order() is Order.CANCEL
    [(_, report)] = worker.at(KILL_GRACE + SLACK + 1.0)
    assert report.outcome is Outcome.CANCELLED


@pytest.mark.parametrize("phase", [Phase.CLAIMING, Phase.FINISHING])
def test_a_child_that_waits_for_postgres_is_hurried_at_the_end_and_never_killed(
    worker: Worker, child: Child, phase: Phase
) -> None:
    """Its outcome is known and stays in the spool, or it has none."""
    if phase is Phase.CLAIMING:
        child.claims()
    else:
        child.runs(limit=1.0)
        child.leaves(Phase.FINISHING)
    worker.supervisor.shut_down(GRACE)
    worker.at(GRACE - 1.0)
    assert not child.told()
    worker.at(GRACE)
    assert (child.told(), child.order()) == (True, Order.SHUTDOWN)
    worker.slots.give(child.now(), Order.NONE)
    assert worker.at(1e6) == []
    assert child.order() is Order.NONE  # it is hurried once
    assert not child.killed()


def test_a_startup_function_is_ended_with_its_worker(worker: Worker, child: Child) -> None:
    child.slot.warming()
    child.now()
    worker.at(1e6)
    assert not child.told()
    worker.supervisor.close()
    worker.at(1e6)
    assert child.told()


# --- children that die -----------------------------------------------------------------------------


def test_a_job_whose_child_died_is_lost_and_what_travelled_with_it_goes_back(
    worker: Worker, child: Child
) -> None:
    running = child.runs()
    child.slot.holding()
    child.now()
    worker.supervisor.child_died(str(running.task_id), child.dies(), "Worker exited prematurely: signal 9")
    [(job, report)] = worker.at(0.0)
    assert (job, report.outcome, report.cause) == (running.task_id, Outcome.LOST, Cause.WORKER_LOST)
    assert report.error_message == "Worker exited prematurely: signal 9"
    assert report.seed == 3
    assert worker.released == [(child.pid, running.claim_id)]
    assert list(worker.slots.busy()) == []
    assert worker.slots.holders() == set()


def test_what_a_dead_child_held_is_seen_to_though_another_has_its_slot(worker: Worker, child: Child) -> None:
    child.slot.holding()
    running = child.runs()
    child.dies()
    successor = Slot.taken(worker.slots.memory, 0)
    successor.holding()
    successor.claiming(uuid.uuid4(), uuid.uuid4())
    assert worker.slots.holders() == {child.pid, os.getpid()}
    worker.supervisor.child_died(str(running.task_id), child.pid, "exited")
    worker.at(0.0)
    assert worker.released == [(child.pid, running.claim_id)]
    assert worker.slots.holders() == {os.getpid()}
    assert [one.pid for one in worker.slots.busy()] == [os.getpid()]


@pytest.mark.parametrize("to", [Phase.IDLE, Phase.FINISHING])
def test_a_child_that_died_before_its_outcome_was_on_the_board_has_lost_its_job(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch, to: Phase
) -> None:
    monkeypatch.setattr(folders, "left_by", lambda *attempt: f"the folder of {attempt}")
    running = child.runs()
    child.leaves(to)
    row = account(running)
    child.dies()
    if to is Phase.FINISHING:
        worker.supervisor.child_died(str(running.task_id), child.pid, "exited")
    for seconds in range(2):
        settle(worker, row)
        worker.at(float(seconds))
    [(job, report)] = worker.written
    assert (job, report.outcome) == (running.task_id, Outcome.LOST)
    assert report.workdir == f"the folder of {(running.job_id, 1, running.claim_id)}"


def test_a_death_during_a_cancel_is_the_cancel(worker: Worker, child: Child) -> None:
    running = child.runs()
    settle(worker, account(running, cancel_requested=True))
    worker.at(0.0)
    worker.supervisor.child_died(str(running.task_id), child.dies(), "exited")
    [(_, report)] = worker.at(0.1)
    assert report.outcome is Outcome.CANCELLED


def test_a_death_that_no_slot_tells_of_is_known_by_worker_and_pid(worker: Worker, child: Child) -> None:
    task_id = uuid.uuid4()
    worker.supervisor.child_died(str(task_id), child.dies(), "exited")
    [(job, report)] = worker.at(0.0)
    assert (job, report.outcome) == (task_id, Outcome.LOST)
    assert worker.released == []
    [guard] = worker.guards
    assert guard.compare(transitions.by_child(task_id, ME, child.pid))


def test_a_child_that_is_reported_dead_and_lives_is_left_alone(worker: Worker, child: Child) -> None:
    running = child.runs()
    worker.supervisor.child_died(str(running.task_id), child.pid, "exited")
    assert worker.at(0.0) == []
    assert not child.told()


def test_a_message_of_no_job_of_ours_is_no_death(worker: Worker, child: Child) -> None:
    worker.supervisor.child_died("celery.ping", child.dies(), "exited")
    assert worker.at(0.0) == []


@pytest.mark.parametrize(
    ("before", "after", "message", "cause"),
    [
        (1, 2, "signal 9 (SIGKILL)", Cause.OUT_OF_MEMORY),
        (1, 1, "signal 9 (SIGKILL)", Cause.WORKER_LOST),
        (1, 2, "signal 11 (SIGSEGV)", Cause.WORKER_LOST),
        (None, None, "signal 9 (SIGKILL)", Cause.WORKER_LOST),
    ],
)
def test_a_kill_by_the_kernel_for_want_of_memory_is_told_from_others(
    worker: Worker,
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
    before: int | None,
    after: int | None,
    message: str,
    cause: Cause,
) -> None:
    monkeypatch.setattr(memory, "oom_kills", lambda: before)
    worker.supervisor = Supervisor(worker.slots, worker.settings, ME)
    monkeypatch.setattr(memory, "oom_kills", lambda: after)
    worker.supervisor.child_died(str(child.runs().task_id), child.dies(), message)
    [(_, report)] = worker.at(0.0)
    assert report.cause is cause


@pytest.mark.parametrize("mib", [None, 3072])
def test_whom_the_kernel_killed_for_want_of_memory_is_told_with_what_it_last_used(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch, mib: int | None
) -> None:
    monkeypatch.setattr(memory, "oom_kills", lambda: 1)
    worker.supervisor = Supervisor(worker.slots, worker.settings, ME, clock=lambda: worker.now)
    running = child.runs()
    if mib:
        uses(monkeypatch, resident=2 * mib, exact=2 * mib, several=True)
        worker.at(2.0)
        uses(monkeypatch, resident=mib, exact=mib, several=True)
        worker.at(4.0)
    monkeypatch.setattr(memory, "oom_kills", lambda: 2)
    worker.supervisor.child_died(str(running.task_id), child.dies(), "signal 9 (SIGKILL)")
    [(_, report)] = worker.at(6.0)
    used = " (its processes last used 3.0 GiB)" if mib else ""
    assert report.error_message == (
        f"the kernel killed it because memory ran out{used}: give its worker fewer slots or more memory"
    )


def test_of_several_deaths_at_once_each_is_written(worker: Worker) -> None:
    attempts = [child.runs() for child in worker.children]
    unknown = [uuid.uuid4(), uuid.uuid4()]
    worker.supervisor.child_died(str(uuid.uuid4()), os.getpid(), "lives")
    for child, running in zip(worker.children, attempts, strict=True):
        worker.supervisor.child_died(str(running.task_id), child.dies(), "exited")
    for index, one in enumerate(unknown, 2):
        worker.supervisor.child_died(str(one), Child(worker.slots, index).dies(), "exited")
    written = worker.at(0.0)
    assert {job for job, _ in written} == {*unknown, *(running.task_id for running in attempts)}
    assert {report.error_message for _, report in written} == {"exited"}
    assert {running for _, running in worker.released} >= {running.claim_id for running in attempts}


def test_a_cancel_says_how_many_processes_it_ended(worker: Worker, child: Child) -> None:
    running = child.runs()
    started = started_by(worker, running)
    settle(worker, account(running, cancel_requested=True))
    worker.at(0.0)
    [(_, report)] = worker.at(100.0)
    assert report.error_message == "ended by the cancel; 1 process that it had started"
    os.waitpid(started, 0)


def test_an_outcome_in_the_spool_counts_more_than_the_death_after_it(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = child.runs()
    delivered: list[tuple[object, ...]] = []

    def deliver(*claim: object) -> bool:
        delivered.append(claim)
        return True

    monkeypatch.setattr(spool, "deliver_claim", deliver)
    worker.supervisor.child_died(str(running.task_id), child.dies(), "exited")
    assert worker.at(0.0) == []
    assert delivered == [(worker.settings, running.task_id, running.claim_id)]


def test_an_end_says_where_its_folder_is_and_what_could_not_be_ended(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "left_by", lambda *attempt: f"the folder of {attempt}")

    def end(find: Callable[[], list[psutil.Process]], grace: float) -> EndedProcesses:
        assert grace == 0.0  # it has had its time
        return EndedProcesses(processes=1, left=1, names=(("mpirun", 1),))

    monkeypatch.setattr(watched, "end", end)
    running = child.runs(limit=60.0)
    worker.at(61.0)
    [(_, report)] = worker.at(100.0)
    assert report.workdir == f"the folder of {(running.job_id, 1, running.claim_id)}"
    message = report.error_message or ""
    assert message.startswith("it ran longer than its time limit")
    assert message.endswith("; 1 process ended (mpirun); 1 could not be ended")


def test_an_end_that_finds_no_room_to_wait_in_is_found_again_by_the_accounts(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = child.runs(limit=60.0)
    worker.at(61.0)
    with monkeypatch.context() as full:
        full.setattr(outbox, "add", lambda key, action: False)
        assert worker.at(100.0) == []
    assert child.killed()
    for seconds in (101.0, 102.0):
        settle(worker, account(running))
        worker.at(seconds)
    assert [(job, report.outcome) for job, report in worker.written] == [(running.task_id, Outcome.LOST)]


def test_an_end_that_is_given_up_is_found_again_by_the_accounts(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*what: object) -> None:
        raise RuntimeError("a fault of ours")

    running = child.runs(limit=60.0)
    worker.at(61.0)
    with monkeypatch.context() as broken:
        broken.setattr(finish, "write", breaks)
        assert worker.at(100.0) == []
    for seconds in (101.0, 102.0):
        settle(worker, account(running))
        worker.at(seconds)
    assert [(job, report.outcome) for job, report in worker.written] == [(running.task_id, Outcome.LOST)]


def test_what_is_over_is_watched_no_more(worker: Worker, child: Child) -> None:
    """By itself, or killed: then until the pool has noticed."""
    killed = child.runs(limit=60.0)
    worker.children[1].runs()
    worker.at(0.0)
    assert len(worker.supervisor._watched) == 2
    worker.children[1].leaves()
    worker.at(61.0)
    worker.at(100.0)
    worker.at(101.0)
    assert list(worker.supervisor._watched) == [killed.claim_id]
    assert child.killed()
    worker.supervisor.child_died(str(killed.task_id), child.pid, "SIGKILL")
    worker.at(102.0)
    assert worker.supervisor._watched == {}
    assert len(worker.written) == 1


# --- accounts with the board -----------------------------------------------------------------------


def test_what_the_board_agrees_with_goes_on(worker: Worker, child: Child) -> None:
    settle(worker, account(child.runs()))
    assert worker.at(0.0) == worker.at(1.0) == []
    assert not child.told()


@pytest.mark.parametrize(
    ("says", "order"),
    [
        (lambda one: [account(one, cancel_requested=True)], Order.CANCEL),
        (lambda one: [account(one, claim_id=uuid.uuid4())], Order.GIVEN_UP),
        (lambda one: [account(one, state=State.CANCELLED)], Order.GIVEN_UP),
        (lambda one: [], Order.GIVEN_UP),  # deleted
    ],
    ids=["cancelled", "claimed by another", "over", "deleted"],
)
def test_what_the_board_wants_otherwise_is_ended(
    worker: Worker, child: Child, says: Callable[[Running], list[Account]], order: Order
) -> None:
    settle(worker, *says(child.runs()))
    worker.at(0.0)
    assert (child.told(), child.order()) == (True, order)


def test_an_attempt_that_began_after_the_question_is_not_judged_by_the_answer(
    worker: Worker, child: Child
) -> None:
    before = worker.supervisor.attempts()
    child.runs()
    worker.supervisor.settle(before, [])
    worker.at(0.0)
    assert not child.told()


def test_nor_is_one_that_was_only_being_claimed_at_the_question(worker: Worker, child: Child) -> None:
    """The board is asked about jobs by their ids, and this one's was not known yet."""
    child.claims()
    before = worker.supervisor.attempts()
    assert len(before) == 1
    child.slot.starting(child.job_id, 1, "w")
    child.slot.running(None, None, seed=3)
    child.now()
    worker.supervisor.settle(before, [])
    worker.at(0.0)
    assert (child.told(), child.order()) == (False, Order.NONE)


def test_an_outcome_that_is_being_recorded_is_not_ended_by_a_cancel(worker: Worker, child: Child) -> None:
    running = child.runs()
    child.leaves(Phase.FINISHING)
    settle(worker, account(running, cancel_requested=True))
    assert worker.at(0.0) == worker.at(1e6) == []
    assert not child.told()


def test_a_job_that_nobody_here_runs_is_lost_when_two_renewals_say_so(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    monkeypatch.setattr(processes, "members", lambda pid, mark: searched.append(pid) or [])
    running = child.runs()
    child.leaves()
    row = account(running)
    settle(worker, row)
    assert worker.at(0.0) == []
    settle(worker)
    worker.at(1.0)  # the board has heard of its end meanwhile
    settle(worker, row)
    assert worker.at(2.0) == []
    settle(worker, row)
    [(job, report)] = worker.at(3.0)
    assert (job, report.outcome) == (running.task_id, Outcome.LOST)
    assert report.error_message == "the pool child that ran it is gone"
    assert (child.told(), searched) == (False, [])  # it does something else by now


@pytest.mark.parametrize("why", ["another worker's", "a slice of a child"])
def test_a_job_that_is_accounted_for_is_not_lost(worker: Worker, child: Child, why: str) -> None:
    running = child.runs()
    row = account(running)
    if why == "another worker's":
        child.leaves()
        row = account(running, worker_id=ME.worker_id + 1)
    else:
        child.slot.holding()
        child.now()
        row = account(running, claim_id=uuid.uuid4(), id=999)
    for seconds in range(3):
        settle(worker, row)
        assert [job for job, _ in worker.at(float(seconds)) if job == row.task_id] == []


def test_nor_is_one_whose_end_waits_for_the_board(
    worker: Worker, child: Child, caplog: pytest.LogCaptureFixture
) -> None:
    running = child.runs(limit=60.0)
    worker.at(61.0)
    worker.away = True
    for seconds in range(100, 103):
        assert worker.at(float(seconds)) == []
        settle(worker, account(running))
    worker.away = False
    assert [report.cause for _, report in worker.at(103.0)] == [Cause.TIME_LIMIT]
    assert "no pool child runs it" not in caplog.text


def test_in_the_workers_own_process_nothing_is_ended(worker: Worker, child: Child, tmp_path: Path) -> None:
    supervisor = Supervisor(worker.slots, worker.settings, ME, prefork=False)
    running = child.runs()
    supervisor.settle(supervisor.attempts(), [account(running, cancel_requested=True)])
    supervisor.look()
    assert not child.told()


# --- the end of the worker -------------------------------------------------------------------------


def test_at_the_end_what_the_pool_left_is_ended(worker: Worker, child: Child) -> None:
    """The clock stands still, so that nothing but the death is a reason to go on."""
    running = child.runs(limit=0.0)
    worker.at(1.0)
    worker.supervisor.child_died(str(running.task_id), child.dies(), "exited")
    worker.supervisor.start()
    # A fork waits for it in its turn, and knows it by this name.
    assert "supervisor" in {thread.name for thread in threading.enumerate()}
    worker.supervisor.finish()
    outbox.Outbox(worker.settings).finish()
    [(job, report)] = worker.written
    assert (job, report.cause) == (running.task_id, Cause.TIME_LIMIT)


@pytest.mark.parametrize("ends", [False, True])
def test_at_the_end_what_does_not_end_is_waited_for_only_so_long(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """By the clock of the attempts no time passes, so that it is never killed."""
    child.runs(limit=0.0)
    worker.at(1.0)
    if ends:
        child.leaves()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 1000  # else it waits for ever

    played = SimpleNamespace(monotonic=lambda: 1000.0 + sum(slept), sleep=sleep)
    monkeypatch.setattr(supervisor, "time", played)
    worker.supervisor.start()
    worker.supervisor.finish()
    assert set(slept) == (set() if ends else {EVERY})
    assert sum(slept) == (0.0 if ends else KILL_GRACE + 10.0)


def test_a_look_that_does_not_come_back_does_not_keep_the_worker(
    worker: Worker, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, go_on = threading.Event(), threading.Event()
    looked = worker.slots.busy

    def busy() -> Iterator[Running]:
        if threading.current_thread() is not threading.main_thread():
            stuck.set()
            go_on.wait(within(5))
        return looked()

    monkeypatch.setattr(worker.slots, "busy", busy)
    monkeypatch.setattr(supervisor, "_LAST_LOOKS", 0.1)
    worker.supervisor.start()
    assert stuck.wait(within(10))
    worker.supervisor.finish()
    assert worker.supervisor._ticker.is_alive()
    go_on.set()


def started_by(worker: Worker, running: Running) -> int:
    """A process with the attempt's mark, which does not follow SIGTERM; its pid."""
    mark = worker.slots.mark(running.job_id, running.attempt)
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.execve("/bin/sleep", ["sleep", "120"], {processes.MARK: mark})
    wait_until(lambda: pid in [one.pid for one in processes.members(running.pid, mark)], 10, 0.001)
    return pid


def test_what_the_attempt_started_is_told_and_killed_with_it(worker: Worker, child: Child) -> None:
    running = child.runs(limit=60.0)
    started = started_by(worker, running)
    worker.at(61.0)
    assert child.slot.order_processes == 1
    assert was_told(started)
    worker.at(100.0)
    assert os.WTERMSIG(os.waitpid(started, 0)[1]) == signal.SIGKILL


def test_a_dead_child_is_not_written_before_what_it_started_is_gone(worker: Worker, child: Child) -> None:
    running = child.runs()
    started = started_by(worker, running)
    worker.supervisor.child_died(str(running.task_id), child.dies(), "exited")
    assert worker.at(0.0) == worker.at(KILL_GRACE - 1.0) == []
    assert was_told(started)
    assert len(worker.at(KILL_GRACE + 0.1)) == 1
    assert os.WTERMSIG(os.waitpid(started, 0)[1]) == signal.SIGKILL
