"""What is recorded of an attempt that was ended from outside, or by an error; and what the log says."""

from __future__ import annotations

import logging
import re
import subprocess
import uuid
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from simcelery import Fail, Retry, log_records
from simcelery.board.states import Cause, Outcome, State
from simcelery.board.values import Claim, EndedAttempt, FinishedJob
from simcelery.errors import SubmissionInterruptedError
from simcelery.execution import memory
from simcelery.worker import slots as module_of_slots
from simcelery.worker.outcomes import endings, failure, reports
from simcelery.worker.programs.verdict import CommandError, CommandMemoryError
from simcelery.worker.slots.child import Slot
from simcelery.worker.slots.layout import Order
from simcelery.worker.slots.parent import Slots
from simcelery.workflows.definition import Definition


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (subprocess.CalledProcessError(-9, ["vasp"]), True),
        (subprocess.CalledProcessError(1, ["vasp"]), False),
        (BrokenProcessPool("a child process terminated abruptly"), True),
        (RuntimeError("Calculator 'vasp' failed with command 'mpirun vasp': exit status 137"), True),
        (RuntimeError("converged to -9 after 137 steps, code 1370"), False),
    ],
)
def test_what_an_error_says_of_a_process_that_was_killed_is_found(error: Exception, lost: bool) -> None:
    outer = ValueError("the relaxation failed")
    outer.__cause__ = error
    assert [failure._lost_a_process(one) for one in (error, outer)] == [lost, lost]
    error.__cause__ = outer  # a circle
    assert failure._lost_a_process(outer) == lost


@pytest.mark.parametrize(("used", "seen"), [(0, ""), (2**30, " (its processes last used 1.0 GiB)")])
def test_what_the_kernel_killed_says_what_it_used_as_far_as_that_is_known(used: int, seen: str) -> None:
    report = reports.lost("signal 9", out_of_memory=True, used=used)
    assert report.error_message == (
        f"the kernel killed it because memory ran out{seen}: give its worker fewer slots or more memory"
    )
    assert reports.lost("signal 9", out_of_memory=True).error_message == (
        "the kernel killed it because memory ran out: give its worker fewer slots or more memory"
    )


KILLED = subprocess.CalledProcessError(-9, "scf.x")


@pytest.mark.parametrize(
    ("error", "before", "now", "starved"),
    [
        (KILLED, 1, 2, True),
        (KILLED, 1, 1, False),
        (KILLED, None, 2, False),
        (subprocess.CalledProcessError(137, "sh"), 1, 2, True),
        (subprocess.CalledProcessError(1, "sh"), 1, 2, False),
        (ValueError("it ended with exit code -9\nlast line"), 1, 2, True),
        (ValueError("it diverged"), 1, 2, False),
    ],
    ids=str,
)
def test_an_error_that_tells_of_a_kill_ran_out_of_memory_if_the_kernel_killed_for_that(
    error: Exception, before: int | None, now: int, starved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "oom_kills", lambda: now)
    report = failure.describe(Definition(simulate), claim(), error, before)
    first, *rest = str(error).split("\n")
    told = f"{first} (the kernel killed a process of it because memory ran out)" if starved else first
    assert report.error_message == "\n".join([told, *rest])
    assert report.cause is (Cause.OUT_OF_MEMORY if starved else Cause.ERROR)


def test_an_own_returncode_of_any_kind_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "oom_kills", lambda: 2)
    error = RuntimeError("the code stopped")
    error.returncode = -9  # type: ignore[attr-defined]
    report = failure.describe(Definition(simulate), claim(), error, 1)
    assert report.cause is Cause.OUT_OF_MEMORY


def test_what_python_itself_had_no_memory_for_says_so_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "oom_kills", lambda: 2)
    error = MemoryError("cannot allocate")
    error.__cause__ = KILLED
    report = failure.describe(Definition(simulate), claim(), error, 1)
    assert (report.error_message, report.cause) == ("cannot allocate", Cause.OUT_OF_MEMORY)


def test_an_error_of_a_handler_names_it_and_other_notes_stay_out() -> None:
    error = ValueError("no such key")
    assert failure.text(error) == "no such key"
    error.add_note("seen at step 3")
    error.add_note("raised by the handler Diverged.check")
    error.__notes__.append(7)  # type: ignore[arg-type]  # anybody may
    assert failure.text(error) == "no such key (raised by the handler Diverged.check)"


# --- orders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "ending", "cause"),
    [
        (Order.CANCEL, Outcome.CANCELLED, Cause.CANCELLED),
        (Order.TIME_LIMIT, Outcome.FAILED, Cause.TIME_LIMIT),  # counts as a failure
        (Order.WALLTIME, Outcome.LOST, Cause.WALLTIME),  # counts as a loss
        (Order.GIVEN_UP, Outcome.RELEASED, Cause.WORKER_LOST),  # counts as neither
        (Order.SHUTDOWN, Outcome.RELEASED, Cause.SHUTDOWN),
    ],
)
def test_each_order_ends_an_attempt_in_its_own_way(order: Order, ending: Outcome, cause: Cause) -> None:
    report = reports.ended_by(order, retry_in=5.0, processes=2)
    assert (report.outcome, report.cause) == (ending, cause)
    assert report.retry_in == (5.0 if order is Order.TIME_LIMIT else None)


@pytest.mark.parametrize(
    ("order", "kind", "said"),
    [
        (Order.CANCEL, None, "ended by the cancel"),
        (Order.TIME_LIMIT, "TimeLimitError", "it ran longer than its time limit and was killed"),
        (Order.WALLTIME, "LostWorkerError", "the allocation ended while it ran"),
        (Order.GIVEN_UP, None, "ended, because the job no longer belonged to this attempt"),
        (Order.SHUTDOWN, None, None),  # it is pending again, and nothing went wrong
    ],
)
def test_each_order_says_what_happened(order: Order, kind: str | None, said: str | None) -> None:
    report = reports.ended_by(order)
    assert (report.error_type, report.error_message) == (kind, said)


def test_a_time_limit_without_another_attempt_is_final() -> None:
    report = reports.ended_by(Order.TIME_LIMIT)
    assert (report.error_type, report.retry_in) == ("TimeLimitError", None)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "ended by the cancel"),
        (1, "ended by the cancel; 1 process that it had started"),
        (3, "ended by the cancel; 3 processes that it had started"),
    ],
)
def test_a_cancel_says_what_it_ended(number: int, said: str) -> None:
    assert reports.ended_by(Order.CANCEL, processes=number).error_message == said


def test_a_dead_child_is_a_loss() -> None:
    report = reports.lost("exited", out_of_memory=False)
    assert (report.outcome, report.cause, report.error_type) == (
        Outcome.LOST,
        Cause.WORKER_LOST,
        "LostWorkerError",
    )
    assert report.error_message == "exited"


def test_a_kill_for_want_of_memory_says_what_to_do() -> None:
    report = reports.lost("exited", out_of_memory=True)
    assert (report.outcome, report.cause) == (Outcome.LOST, Cause.OUT_OF_MEMORY)
    assert "more memory" in (report.error_message or "")


def test_an_error_on_a_node_that_takes_no_files_is_a_loss_and_keeps_what_it_was() -> None:
    failed = EndedAttempt(
        outcome=Outcome.FAILED,
        cause=Cause.ERROR,
        error_type="OSError",
        error_message="no space",
        traceback="where",
        retry_in=3.0,
    )
    report = reports.lost_to_node(failed, "/tmp is full")
    assert (report.outcome, report.cause, report.retry_in) == (Outcome.LOST, Cause.WORKER_LOST, None)
    assert (report.error_type, report.traceback) == ("LostWorkerError", "where")
    assert (
        report.error_message
        == "its node could not write files (/tmp is full), and it ended with OSError: no space"
    )


# --- errors ----------------------------------------------------------------------------------------


def simulate() -> None:
    """A workflow."""


def claim(failures: int = 0, soft: float | None = None) -> Claim:
    return Claim(1, uuid.uuid4(), uuid.uuid4(), 1, "w", {}, "q", 4, [], failures, 9, 60.0, soft, None)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def describe(error: BaseException, claimed: Claim | None = None, **options: Any) -> EndedAttempt:
    definition = Definition(simulate, **{"max_attempts": 9, "retry_delay": 10.0, **options})
    return failure.describe(definition, claimed or claim(), raised(error))


def test_an_error_is_recorded_with_where_it_was_raised() -> None:
    report = describe(ValueError("diverged"))
    assert (report.outcome, report.cause) == (Outcome.FAILED, Cause.ERROR)
    assert (report.error_type, report.error_message) == ("ValueError", "diverged")
    assert "in raised" in (report.traceback or "")


@pytest.mark.parametrize(
    ("error", "options", "retried"),
    [
        (ValueError("x"), {}, True),
        (ValueError("x"), {"retry_on": KeyError}, False),
        (KeyError("x"), {"retry_on": KeyError}, True),
        (Fail("x"), {}, False),
        (Retry("x"), {"retry_on": KeyError}, True),
        (SoftTimeLimitExceeded(), {"retry_on": KeyError}, False),
        (SystemExit(3), {}, True),
    ],
)
def test_an_error_says_whether_another_attempt_is_worth_while(
    error: BaseException, options: dict[str, Any], retried: bool
) -> None:
    assert (describe(error, **options).retry_in is not None) is retried


def test_an_attempt_for_which_there_was_no_memory_says_so() -> None:
    assert describe(MemoryError("10 TB")).cause is Cause.OUT_OF_MEMORY
    assert describe(CommandMemoryError("exit code -9")).cause is Cause.OUT_OF_MEMORY
    assert describe(CommandError("exit code 1")).cause is Cause.ERROR


def test_each_failure_makes_the_pause_longer() -> None:
    pauses = [describe(ValueError("x"), claim(failures)).retry_in for failures in range(3)]
    assert [round(pause or 0.0, -1) for pause in pauses] == [10.0, 20.0, 40.0]


def test_a_retry_says_when() -> None:
    assert describe(Retry("not yet", delay=90.0)).retry_in == 90.0


@pytest.mark.parametrize(("soft", "said"), [(30.0, "30 s"), (None, "60 s")])
def test_a_time_limit_is_named(soft: float | None, said: str) -> None:
    report = describe(SoftTimeLimitExceeded(), claim(soft=soft))
    assert (report.cause, report.error_type) == (Cause.TIME_LIMIT, "TimeLimitError")
    assert report.error_message == f"it ran longer than its time limit of {said}"


def test_a_submission_that_a_time_limit_interrupted_is_a_time_limit() -> None:
    interrupted = SubmissionInterruptedError("1 of 2 is recorded")
    assert describe(interrupted).cause is Cause.ERROR
    interrupted.__cause__ = SoftTimeLimitExceeded()
    assert describe(interrupted).cause is Cause.TIME_LIMIT
    other = ValueError("x")
    other.__cause__ = SoftTimeLimitExceeded()
    assert describe(other).cause is Cause.ERROR


def test_a_traceback_begins_with_the_workflows_own_frame() -> None:
    ours: dict[str, Any] = {"__name__": "simcelery.worker.child.attempt", "function": raised_in_a_workflow}
    exec(compile("def call():\n    function()", "attempt.py", "exec"), ours)
    with pytest.raises(ValueError, match="diverged") as caught:
        ours["call"]()
    frames = caught.value.__traceback__
    assert frames is not None
    report = describe(caught.value.with_traceback(frames.tb_next))
    text = failure.traceback_of(caught.value.with_traceback(frames.tb_next))
    assert re.fullmatch(
        r"Traceback \(most recent call last\):\n"
        r'  File ".*test_reports.py", line \d+, in raised_in_a_workflow\n'
        r'    raise ValueError\("diverged"\)\n'
        r"ValueError: diverged\n",
        text,
    )
    assert report.error_message == "diverged"


def raised_in_a_workflow() -> None:
    raise ValueError("diverged")


class Unreadable(Exception):
    """Its own code breaks."""

    def __str__(self) -> str:
        raise KeyError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a\0b"), "a\\0b"),
        (ValueError("\udc80"), "\\udc80"),
        (ValueError("x" * 5000), "x" * 4000),
        (Unreadable(), "(its message cannot be read: KeyError)"),
        (Retry(), "asked for another attempt"),
        (ValueError(), ""),
    ],
    ids=["NUL", "surrogate", "long", "unreadable", "retry", "nothing"],
)
def test_whatever_an_error_says_can_be_recorded(error: BaseException, said: str) -> None:
    report = describe(error)
    assert report.error_message == said
    assert "\0" not in (report.traceback or "")


def test_what_a_database_does_not_know_is_spelt_out() -> None:
    assert failure.as_ascii("4 Å\n") == {1: "4 \\xc5\n"}
    assert failure.ascii_only("\u2713") == "\\u2713"


def test_of_a_long_traceback_the_end_is_kept() -> None:
    report = describe(ValueError("x" * 50_000 + "the end"))
    assert report.traceback is not None
    assert len(report.traceback) == 40_000
    assert report.traceback.rstrip().endswith("the end")


# --- the log ---------------------------------------------------------------------------------------


class Log:
    """What a worker's log says at a played time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self.now, self._caplog = 100.0, caplog
        caplog.set_level(logging.INFO, logger=endings.__name__)
        monkeypatch.setattr(endings, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(endings, "_told", endings._Told())

    def lines(self) -> list[str]:
        found = [record.getMessage() for record in self._caplog.records]
        self._caplog.clear()
        return found


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Log:
    return Log(monkeypatch, caplog)


def success(job_id: int = 7, took: float = 0.5) -> None:
    """A job has succeeded."""
    job = FinishedJob(job_id, uuid.uuid4(), State.SUCCEEDED, 1, "w", took)
    endings.ended(job, EndedAttempt(outcome=Outcome.SUCCEEDED))


@pytest.mark.parametrize(
    ("took", "said"),
    [(0.0123, "0.012 s"), (-1.0, "0.000 s"), (1.0, "1.0 s"), (599.0, "599.0 s"), (600.0, "0.17 h")],
)
def test_a_success_is_one_line(log: Log, took: float, said: str) -> None:
    success(took=took)
    assert log.lines() == [f"job 7 w succeeded in {said}"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.SUCCEEDED, "job 7 w succeeded in 2.0 s"),
        (State.FAILED, "job 7 w failed after 2.0 s: ValueError: boom"),
        (State.CANCELLED, "job 7 w was cancelled after 2.0 s: ValueError: boom"),
        (State.SCHEDULED, "job 7 w failed after 2.0 s and is scheduled again: ValueError: boom"),
        (State.PENDING, "job 7 w was interrupted after 2.0 s and is pending again: ValueError: boom"),
    ],
)
def test_each_end_says_what_becomes_of_the_job(log: Log, state: State, said: str) -> None:
    report = EndedAttempt(outcome=Outcome.FAILED, error_type="ValueError", error_message="boom")
    endings.ended(FinishedJob(7, uuid.uuid4(), state, 1, "w", 2.0), report)
    assert log.lines() == [said]


def test_a_reason_is_short_and_one_line(log: Log) -> None:
    report = EndedAttempt(outcome=Outcome.FAILED, error_message="first\nsecond " + "x" * 500)
    endings.ended(FinishedJob(7, uuid.uuid4(), State.FAILED, 1, "w", 2.0), report)
    [line] = log.lines()
    assert "\n" not in line
    assert line.endswith("x…")
    assert len(line) < 250
    report = EndedAttempt(outcome=Outcome.FAILED, error_message="x" * 200)
    endings.ended(FinishedJob(7, uuid.uuid4(), State.FAILED, 1, "w", 2.0), report)
    assert log.lines()[0].endswith(": " + "x" * 200)


def test_where_no_words_are_the_cause_is_said(log: Log) -> None:
    report = EndedAttempt(outcome=Outcome.RELEASED, cause=Cause.WORKER_LOST)
    endings.ended(FinishedJob(7, uuid.uuid4(), State.PENDING, 1, "w", 2.0), report)
    assert log.lines()[0].endswith(": worker lost")


def test_where_nothing_is_known_nothing_is_said_of_it(log: Log) -> None:
    endings.ended(
        FinishedJob(7, uuid.uuid4(), State.PENDING, 1, "w", 2.0), EndedAttempt(outcome=Outcome.RELEASED)
    )
    assert log.lines() == ["job 7 w was interrupted after 2.0 s and is pending again"]


def test_a_line_tells_of_its_attempt_whatever_this_process_runs(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    log_records.install()
    job, claim_id = FinishedJob(7, uuid.uuid4(), State.SUCCEEDED, 2, "w", 0.5), uuid.uuid4()
    endings.ended(job, EndedAttempt(outcome=Outcome.SUCCEEDED), claim_id)
    [record] = caplog.records
    assert [getattr(record, name) for name in ("job", "attempt", "claim")] == [7, 2, str(claim_id)]


def test_many_ends_within_a_second_are_counted(log: Log) -> None:
    for number in range(1500):
        success(number)
    assert len(log.lines()) == 20
    endings.flush()
    assert log.lines() == []  # the second is not over
    log.now += 1.5
    endings.flush()
    assert log.lines() == ["1,480 w jobs succeeded in 1.5 s"]


def test_each_kind_of_end_and_each_workflow_is_counted_for_itself(log: Log) -> None:
    report = EndedAttempt(outcome=Outcome.FAILED, error_message="boom")
    for number in range(30):
        success(number)
        for workflow, state in (("w", State.SUCCEEDED), ("w", State.FAILED), ("v", State.FAILED)):
            endings.ended(FinishedJob(number, uuid.uuid4(), state, 1, workflow, 2.0), report)
    log.lines()
    endings.flush(last=True)
    assert log.lines() == [
        "50 w jobs succeeded in 0.0 s",
        "25 w jobs failed in 0.0 s",
        "25 v jobs failed in 0.0 s",
    ]


def test_after_a_crowded_second_the_next_is_counted_from_its_first_job(log: Log) -> None:
    for number in range(30):
        success(number)
    log.now += 1.0
    success(99)
    assert log.lines()[20:] == ["10 w jobs succeeded in 1.0 s"]
    log.now += 1.0
    endings.flush()
    assert log.lines() == ["job 99 w succeeded in 0.500 s"]  # one alone is named
    log.now += 1.0
    endings.flush()
    success(100)
    log.now += 1.0
    success(101)
    assert [line.split()[1] for line in log.lines()] == ["100", "101"]


def test_a_crowded_second_after_quiet_ones_is_counted_too(log: Log) -> None:
    for number in range(3):
        success(number)
        log.now += 5.0
    for number in range(30):
        success(number)
    assert len(log.lines()) == 3 + 20


def test_the_last_flush_says_what_was_counted_at_once(log: Log) -> None:
    for number in range(25):
        success(number)
    log.lines()
    endings.flush(last=True)
    assert log.lines() == ["5 w jobs succeeded in 0.0 s"]


def test_beside_a_job_that_runs_nothing_is_said_into_its_output(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot.taken(Slots().memory, 0)
    monkeypatch.setattr(module_of_slots, "mine", slot)
    slot.claiming(uuid.uuid4(), uuid.uuid4())
    slot.starting(1, 1, "w")
    success(7)
    assert log.lines() == []
    slot.idle()
    endings.flush(last=True)
    assert log.lines() == ["job 7 w succeeded in 0.500 s"]


def test_a_pool_child_counts_its_own_ends_from_the_start(log: Log) -> None:
    for number in range(30):
        success(number)
    log.lines()
    endings._forget()  # registered to be called in whatever is forked
    success(99)
    assert log.lines() == ["job 99 w succeeded in 0.500 s"]
