"""Run: one attempt of a claimed job, from its stored parameters to a report of how it ended."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from simcelery.board import engine, reads
from simcelery.board.states import Outcome
from simcelery.board.values import Claim, EndedAttempt
from simcelery.chunks import Output
from simcelery.errors import EncodingError, JobError, OutOfMemoryError, ParametersError, TimeLimitError
from simcelery.execution import clean, entropy, helpers, memory, places, processes, workdir
from simcelery.execution.capture import Captured, captured
from simcelery.execution.ending import end
from simcelery.execution.places import Unusable
from simcelery.execution.usage import Meter
from simcelery.execution.workdir import Folder
from simcelery.failpoints import failpoint
from simcelery.settings import get_settings
from simcelery.submission import lineage
from simcelery.submission.handle import restore
from simcelery.worker import context, folders, slots, stopping
from simcelery.worker.child import calling, connections, leaving, left, pace, returned, threads
from simcelery.worker.child.timer import soft_limit
from simcelery.worker.context import CurrentJob
from simcelery.worker.outcomes import failure, reports
from simcelery.worker.slots.layout import Order
from simcelery.worker.waiting import wait_within
from simcelery.workflows.annotations import one_line
from simcelery.workflows.definition import Definition
from simcelery.workflows.encoding import job_refs
from simcelery.workflows.outcomes import Fail

log = logging.getLogger(__name__)

_ABOUT_TO_END = 0.1  # seconds that processes get that are about to end


def run(definition: Definition, claim: Claim) -> EndedAttempt:
    """Execute the workflow. Whatever it raises, including `SystemExit` and `MemoryError`, is only reported.

    Raises:
        Unusable: no files can be written on this node; the workflow has not started.
        Elsewhere: a worker with other files has to run it; nothing has started.
    """
    folders.check()
    calling.check_source(claim)
    stopping.listen()
    meter = Meter()
    report = _Attempt(definition, claim).execute()
    failpoint("after_run")
    usage = meter.read()
    _, together = slots.mine.measured
    peak = max(usage.peak_memory, together)
    return report.but(cpu_seconds=usage.cpu_seconds, peak_memory=peak)


class _Attempt:
    """What an attempt has come to so far, whatever interrupts it."""

    def __init__(self, definition: Definition, claim: Claim) -> None:
        slots.mine.starting(claim.job_id, claim.attempt, claim.workflow)
        self._definition = definition
        self._claim = claim
        self._pid = os.getpid()
        self._unusable: BaseException | None = None
        try:
            self._definition, self._claim = calling.what_runs(definition, claim)
        except calling.Elsewhere:
            raise
        except BaseException as error:
            self._unusable = error
        self._state = clean.known(connections.is_ours)
        self._state.begin()
        self._folder = folders.of_attempt(claim.job_id, claim.attempt, claim.claim_id)
        self._kills = None if pace.is_short(claim.workflow) else memory.oom_kills()
        self._seed = entropy.fresh()
        self._returned: EndedAttempt | None = None  # once its function has
        self._job = CurrentJob(claim, self._folder)
        self._printed = Output()
        self._lasting: list[str] = []  # what it has changed for good, in words

    def execute(self) -> EndedAttempt:
        """Call the function and clean up after it; how the attempt ended."""
        claim = self._claim
        raised: EndedAttempt | None = None
        try:
            self._call_function()
        except Unusable:
            raise
        except BaseException as error:
            if self._returned is None:
                raised = _end_of(self._definition, claim, error, self._folder, self._kills)
            else:
                log.exception("job %s: its function had already returned, so its result counts", claim.job_id)
        if os.getpid() != self._pid:
            os._exit(0)  # the workflow forked, and let its copy of this process return as well
        report = self._returned or raised
        assert report is not None
        if raised is None:  # its work is done: nothing that it left is worth losing that
            slots.mine.finishing(succeeded=report.outcome is Outcome.SUCCEEDED, failed=False)
        kept = self._clean_up_for_certain(succeeded=raised is None)
        if raised is not None:
            slots.mine.finishing(succeeded=False, failed=report.outcome is Outcome.FAILED)
        return report.but(
            log=self._printed.chunks,
            log_kept=self._printed.kept,
            progress=self._job.reported,
            workdir=kept,
            code_version=self._definition.code_version,
            seed=self._seed,
        )

    def _call_function(self) -> None:
        claim, definition = self._claim, self._definition
        if self._unusable is not None:
            raise self._unusable
        results = wait_within(claim.job_id, "", lambda: _results_of(claim))
        failpoint("before_run")
        own = definition.cwd == "workdir" and slots.mine.alone
        inside = self._folder.entered() if own else nullcontext()
        with workdir.put_back():
            try:
                with _inside(self._job), threads.granted(claim), inside, captured() as output:
                    slots.mine.printing(output.number)
                    try:
                        value = _call(definition, claim, results, self._seed, self._state)
                        if os.getpid() == self._pid:
                            self._returned = returned.report(definition.parameters, value, self._folder)
                        del value
                    finally:
                        self._printed = _printed(output)
            finally:
                self._lasting = self._state.put_back()

    def _clean_up_for_certain(self, succeeded: bool) -> str | None:
        """As `_clean_up`. How the attempt has ended is known, and stays so if the cleaning up fails."""
        try:
            return self._clean_up(succeeded)
        except Exception as error:
            log.exception("job %s: cleaning up after it failed", self._claim.job_id)
            leaving.after(self._claim.job_id, [f"cleaning up after it failed: {one_line(error)}"])
            return self._folder.path if os.path.isdir(self._folder.path) else None

    def _clean_up(self, succeeded: bool) -> str | None:
        """End what it has started, and leave its folder, if there is anything in it; where that is."""
        if slots.mine.in_pool_child:
            self._lasting += _end_processes(self._claim, succeeded) + self._state.left()
            if self._lasting:
                leaving.after(self._claim.job_id, self._lasting)
        return self._folder.leave(alone=not self._lasting)


def _printed(output: Captured) -> Output:
    """What it has printed, without what the worker's parent process has brought to the board."""
    sent = slots.mine.sent
    printed = output.read(get_settings().max_log, sent or 0)
    # A single attempt's log is only cut down on the board if there is something to cut.
    return printed if sent is not None else replace(printed, kept=None)


def _call(
    definition: Definition, claim: Claim, results: Callable[[int], Any], seed: int, state: clean.State
) -> Any:
    values = _parameters(definition, claim, results)
    slots.mine.running(
        _hard_limit(claim),
        _retry_after(TimeLimitError(), definition, claim),
        seed,
        claim.memory,
        _retry_after(OutOfMemoryError(), definition, claim),
        left.bytes_now() if claim.memory else 0,
    )
    entropy.start(seed)
    made: list[Any] = []
    try:
        with stopping.interruptible(), soft_limit(claim.soft_time_limit or claim.time_limit):
            value = state.call(definition.function, values)
            context.current_job().keep_artifacts()
            made.append(value)
    except (SoftTimeLimitExceeded, stopping.JobStopped):
        if not made:  # else the limit, or an order, came when it had returned
            raise
    return made[0]


class UnreadableRowError(Fail):
    """The row of a job does not say what to run, or for how long: it was not written by simcelery."""


def _parameters(definition: Definition, claim: Claim, results: Callable[[int], Any]) -> dict[str, Any]:
    for limit in (claim.time_limit, claim.soft_time_limit):
        if limit is not None and not 0 < limit < math.inf:
            raise UnreadableRowError(f"its time limit on the board, {limit:g} s, is not valid")
    if claim.memory is not None and claim.memory < 1:
        raise UnreadableRowError(f"the memory that it asks for on the board, {claim.memory}, is not valid")
    if not isinstance(claim.parameters, dict):
        raise UnreadableRowError("its parameters on the board are not a JSON object")
    try:
        return definition.parameters.restore(claim.parameters, results)
    except EncodingError as error:
        raise UnreadableRowError(f"its parameters: {error}") from None


def _hard_limit(claim: Claim) -> float | None:
    """Seconds until the attempt is ended from outside; with only one limit set, a grace period after it."""
    if claim.time_limit is None or claim.soft_time_limit is not None:
        return claim.time_limit
    return claim.time_limit + get_settings().kill_grace


def _retry_after(limit: JobError, definition: Definition, claim: Claim) -> float | None:
    """Seconds until the next attempt, if this one reaches a limit."""
    return definition.backoff(claim.failures + 1) if definition.retries(limit) else None


@contextmanager
def _inside(job: CurrentJob) -> Iterator[None]:
    """Mark everything that the job starts, so that it can be found."""
    context.enter(job)
    lineage.enter(job.id, partial(wait_within, job.id or 0, "to submit jobs"))
    os.environ[processes.MARK] = slots.mine.mark(job.id or 0, job.attempt)
    try:
        yield
    finally:
        os.environ.pop(processes.MARK, None)
        lineage.enter(None)
        context.enter(None)
        entropy.current = None


def _end_of(
    definition: Definition, claim: Claim, error: BaseException, folder: Folder, kills: int | None
) -> EndedAttempt:
    order = slots.mine.order
    if order is Order.OUT_OF_MEMORY:
        used, _ = slots.mine.measured
        retry_in = _retry_after(OutOfMemoryError(), definition, claim)
        return reports.out_of_memory(used, claim.memory or 0, retry_in=retry_in)
    if order.ends:
        retry_in = _retry_after(TimeLimitError(), definition, claim)
        return reports.ended_by(order, retry_in=retry_in, processes=slots.mine.order_processes)
    if slots.mine.should_stop() and not failure.is_meant(error):
        # Told that the worker will end, it saved what it could and left: that is no fault.
        return reports.ended_by(Order.SHUTDOWN)
    may_be_the_node = not failure.is_meant(error) and slots.mine.in_pool_child
    if may_be_the_node and (lacks := folders.trouble(get_settings())):
        slots.mine.report_unusable()
        own = places.filled_by(folder.path)
        if own is None:
            return reports.lost_to_node(failure.describe(definition, claim, error), lacks)
        return _saying(failure.describe(definition, claim, error), f"{lacks}; {own}")
    report = failure.describe(definition, claim, error, kills)
    room = places.ran_out(error, report.error_message or "", folder.path)
    return report if room is None else _saying(report, room)


def _saying(report: EndedAttempt, room: str) -> EndedAttempt:
    """The same; its first line says where a file could not grow, and how much room there is."""
    said = failure.with_reason(report.error_message or "", room)
    return replace(report, error_message=failure.printable(said))


def _end_processes(claim: Claim, succeeded: bool) -> list[str]:
    """When an attempt is reported to have ended, none of its processes may be left.

    All of them descend from this process, so if it has no child process nothing is searched for.

    Returns:
        What it left, in words: modules in this process may rely on processes that are now gone.
    """
    if processes.childless() and (succeeded or processes.is_subreaper()):
        return []
    helpers.close_executors()
    left = _end_all(claim)
    helpers.stop()
    left = _end_all(claim) or left  # a fork server's children are ours only when it has ended
    processes.reap_adopted(helpers.of_the_worker())
    return ["processes"] if left else []


def _end_all(claim: Claim) -> bool:
    """End all processes of the attempt; return whether there was any."""
    known = helpers.of_the_worker() | helpers.of_libraries()
    left = processes.living(processes.children() - known)
    until = time.monotonic() + _ABOUT_TO_END
    while left and time.monotonic() < until:
        time.sleep(0.002)
        left = processes.living(processes.children() - known)
    if left or not processes.is_subreaper():
        mark = slots.mine.mark(claim.job_id, claim.attempt)
        ended = end(
            lambda: [one for one in processes.members(os.getpid(), mark) if one.pid not in known],
            get_settings().kill_grace,
        )
        if ended.processes:
            log.info("job %s: %s", claim.job_id, ended)
    return bool(left)


def _results_of(claim: Claim) -> Callable[[int], Any]:
    """Returns the results of the jobs that parameters refer to; they are never copied to the row."""
    wanted = job_refs(claim.parameters)
    found = {}
    if wanted:
        with engine.begin() as connection:
            found = reads.results(connection, wanted)

    def result(number: int) -> Any:
        if number not in found:
            raise ParametersError(f"{claim.workflow}: the result of job {number} is no longer on the board")
        return restore(*found[number])

    return result
