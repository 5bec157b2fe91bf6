"""`Executor`: Python's own interface to functions that run elsewhere, for scripts that may end sooner."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from simcelery.board import engine, reads
from simcelery.board.sources import file_of
from simcelery.board.transitions.record import OnFailed
from simcelery.board.values import NewJob, Recorded
from simcelery.errors import ParametersError, SchemaError, ServiceError, SettingsError, SimceleryError
from simcelery.readable import line, short
from simcelery.submission import actions
from simcelery.submission import options as submit_options
from simcelery.submission.bulk import CHUNK
from simcelery.submission.calls import Callee, Sameness, callee
from simcelery.submission.futures import JobFuture, Watcher
from simcelery.submission.handle import Job
from simcelery.submission.publishing import publish_recorded
from simcelery.submission.recorder import Recorder
from simcelery.submission.submit import record
from simcelery.submission.subscribing import Subscribing
from simcelery.workflows import functions, registry

_OPTIONS = {
    *("queue", "priority", "tags", "max_attempts", "max_losses", "time_limit", "keep"),
    *("time_request", "cores", "memory", "gpus", "on"),
    *("notify", "notify_on"),
}


class _Call(NamedTuple):
    """A call that is to be recorded."""

    new: NewJob
    future: JobFuture


class Executor(futures.Executor):
    """Have functions called by workers, now or after this script has ended.

    ::

        with simcelery.Executor(tag="scan") as executor:
            futures = [executor.submit(simulate, t, pressure=1.0) for t in range(300, 400)]
            for future in concurrent.futures.as_completed(futures):
                print(future.result())

    Each call becomes a job. If the script is interrupted, its jobs go on; if it runs again, the same calls
    (function, arguments, tag and version) find their jobs again, and only what is new, failed or was
    cancelled runs. A function must be at the top of a module of the project, or of the script itself; it is
    stored by name, and its arguments as the parameters of workflows are. A workflow is submitted as itself.

    Parameters:
        tag: a word for all jobs, to find them by, and part of what makes two calls the same.
        dedupe: whether calls find the jobs of the same calls made before; else each makes a job.
        version: change it to have everything computed anew, for example because the code has changed.
        on_failed: what becomes of the same call that failed before: ``retry``, ``keep`` or ``error``.
        chosen: options for all jobs: ``queue, priority, tags, max_attempts, max_losses, time_limit,
            time_request, cores, memory, gpus, on, keep``; and ``notify`` and ``notify_on``, who is told of
            which events of all of them together. They are ``done`` when all have ended, and either no more
            calls are taken or none has come for 5 minutes.

    Raises:
        ParametersError: an option is malformed.
    """

    def __init__(
        self,
        tag: str | None = None,
        *,
        dedupe: bool = True,
        version: str = "1",
        on_failed: OnFailed = "retry",
        **chosen: Any,
    ) -> None:
        if tag is not None and not isinstance(tag, str):
            raise ParametersError(
                f"tag must be text, not {short(tag)}; how many calls run at a time is up to the workers"
            )
        if unfit := chosen.keys() - _OPTIONS:
            raise ParametersError(f"an executor has no option {short(min(unfit))}")
        tags = submit_options.words(chosen.pop("tags", ()))
        self._tag = tag
        self._sameness = Sameness(tag, str(version), dedupe)
        self._options = submit_options.of(
            {**chosen, "tags": (*([tag] if tag else []), *tags), "on_failed": on_failed}
        )
        self._subscribing = Subscribing(self._options)
        self._callees: dict[Any, Callee] = {}
        self._lock = threading.Lock()
        self._recording = threading.Lock()
        self._shut_down = False
        self._works = False  # whether the board has taken a call
        self._count = 0
        self._told: set[str] = set()
        self._put_back: set[int] = set()
        self._watcher = Watcher(self._say_put_back)
        self._recorder: Recorder[_Call] = Recorder(self._record, CHUNK)
        self._pid = os.getpid()
        _living.add(self)
        _notice_interrupts()

    # --- what Python's executors do -------------------------------------------------------------------

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> JobFuture:
        """Have ``fn(*args, **kwargs)`` called by a worker.

        Returns:
            A future. The call is recorded within moments, even if the script is interrupted meanwhile.

        Raises:
            DefinitionError: no worker can import the function, or may call it.
            ParametersError, EncodingError: the arguments do not fit the function, or cannot be stored.
            BoardUnreachableError: at the first call; later ones wait for the board.
            RuntimeError: the executor was shut down.
        """
        registry.refuse_while_loading()
        function: Any = fn
        while isinstance(function, functools.partial):
            args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
            function = function.func
        called = self._callee(function)
        call = _Call(called.prepare(args, kwargs), JobFuture(called.restore, self._cancel))
        with self._lock:
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._count += 1
            first, self._works = not self._works, True
            if not first:
                self._recorder.put(call)
        if first:
            self._submit_first(call)
        return call.future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """The results of all calls, in their order.

        Parameters:
            timeout: seconds for all of them together; None waits forever.
            chunksize: has no effect; jobs are recorded, claimed and finished many at a time anyway.

        Raises:
            TimeoutError: a result is not there in time. Like any other end before the last result, this
                cancels the calls that have not begun; only an interruption by Ctrl-C leaves them.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        until = None if timeout is None else time.monotonic() + timeout
        return self._results([self.submit(fn, *args) for args in zip(*iterables, strict=False)], until)

    def _results(self, left: list[JobFuture], until: float | None) -> Iterator[Any]:
        left.reverse()
        given_at = time.monotonic()
        try:
            while left:
                left[-1].result(None if until is None else until - time.monotonic())
                given_at = time.monotonic()
                yield left.pop().result()  # of which nothing is kept here
        except (Exception, GeneratorExit):
            if _interrupted_at < given_at:
                self._cancel([one for one in left if not one.done()])
            raise

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no further calls.

        Parameters:
            wait: until all jobs have ended. Otherwise they go on, whether or not this script does.
            cancel_futures: cancel the jobs that have not begun to run.

        Raises:
            BoardUnreachableError: some calls could not be recorded.
        """
        with self._lock:
            self._shut_down = True
        if cancel_futures:
            self._cancel(self._undone())
        self._recorder.flush()
        self._end_subscription()
        if wait:
            futures.wait(self._watcher.undone())
        self._recorder.close()
        self._watcher.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for all jobs, except after Ctrl-C or the like: then they go on without this script."""
        leaving = kind is not None and not issubclass(kind, Exception)
        try:
            self.shutdown(wait=not leaving)
        except KeyboardInterrupt:
            leaving = True
            raise
        finally:
            if leaving:
                self._say_goodbye()

    # --- how ------------------------------------------------------------------------------------------

    def _callee(self, fn: Any) -> Callee:
        found = self._callees.get(fn) if callable(fn) and isinstance(fn, Hashable) else None
        if found is None:
            found = self._callees[fn] = callee(fn, self._options, self._sameness)
        return found

    def _submit_first(self, call: _Call) -> None:
        """Record the first call at once: if the board cannot be reached, it is better to know now."""
        try:
            self._record([call])
            if call.future.done() and isinstance(
                fault := call.future.exception(), SchemaError | SettingsError
            ):
                raise fault
        except BaseException:
            with self._lock:
                self._works = False
                self._count -= 1
            raise

    def _record(self, calls: Sequence[_Call]) -> None:
        new = [call.new for call in calls]
        try:
            recorded = self._recorded(new)
        except ServiceError:
            raise
        except (SchemaError, SettingsError) as error:  # the fault of no call, and so of all
            for call in calls:
                call.future.ends(error=error)
            return
        except Exception as error:
            if len(calls) > 1:
                for call in calls:
                    self._record([call])
            else:
                calls[0].future.ends(error=error)
            return
        for call, found in zip(calls, recorded, strict=True):
            call.future.is_job(Job(found.id, found.task_id, call.new.workflow, found.how))
        self._watcher.add([call.future for call in calls])
        self._say_changed([call for call, one in zip(calls, recorded, strict=True) if one.how == "existing"])
        with suppress(ServiceError):  # workers find on the board what was not sent
            publish_recorded(new, recorded)

    def _recorded(self, new: Sequence[NewJob]) -> list[Recorded]:
        """Record jobs; those who are to be told are told of all that one after the other records."""
        with self._recording:
            before = list(self._subscribing.ids)
            try:
                return record(new, self._options.on_failed, self._subscribing, more=True)
            except BaseException:
                self._subscribing.ids = before  # what was rolled back cannot be added to
                raise

    def _end_subscription(self) -> None:
        """No more jobs follow. If the board does not hear of it, it will think so in a while."""
        with self._recording, suppress(ServiceError):
            if self._subscribing.open:
                self._subscribing.close()

    def _say_changed(self, existing: Sequence[_Call]) -> None:
        """If results of a function are used that is not the same any more, say so, once."""
        named = [call for call in existing if call.new.workflow == functions.WORKFLOW]
        if not named:
            return
        with suppress(ServiceError), engine.begin() as connection:
            before = reads.parameter(connection, [call.future.job.id for call in named], "source")
            changed = {
                str(call.new.parameters["function"])
                for call in named
                if before.get(call.future.job.id) not in (None, call.new.parameters["source"])
            }
            for name in sorted(changed - self._told):
                _say(
                    f"the source of {name} has changed since some of these calls were first made, and their "
                    f"jobs are used all the same; to compute anew, give another version: Executor(version=…)"
                )
            self._told |= changed

    def _say_put_back(self, waiting: list[int]) -> None:
        """If calls have waited for a worker with the right files at two looks, say so, once for each file."""
        if not waiting:
            return
        with engine.begin() as connection:
            found = reads.put_back(connection, waiting, "source")
        still, self._put_back = self._put_back & found.keys(), set(found)
        by_source: dict[str, list[str]] = {}
        for number in sorted(still):
            wanted, why = found[number]
            by_source.setdefault(wanted, []).append(why)
        for wanted in by_source.keys() - self._told:
            self._told.add(wanted)
            count = len(by_source[wanted])
            _say(
                f"{count:,} call{' waits' if count == 1 else 's wait'} for a worker that has "
                f"{file_of(wanted)} as it is here: {by_source[wanted][-1]}; start a worker in this "
                "project, or restart it"
            )

    def _undone(self) -> list[JobFuture]:
        """Each once: what was being recorded a moment ago may be watched by now."""
        waiting = [call.future for call in self._recorder.waiting()]
        return [one for one in dict.fromkeys([*waiting, *self._watcher.undone()]) if not one.done()]

    def _cancel(self, given: list[JobFuture]) -> None:
        """Cancel those that have not begun to run."""
        wanted = set(given)
        for call in self._recorder.take_back(lambda call: call.future in wanted):
            call.future.ends_cancelled()
        left = [one for one in given if one.is_recorded and not (one.done() or one.running())]
        for shared in self._watcher.others(left):
            shared.ends_cancelled()
        left = [one for one in left if not one.done()]
        for one in left:
            one.given_up = True
        try:
            gone = set(actions.cancel_unbegun(list({one.job: None for one in left})))
        except BaseException:
            gone = set()
            raise
        finally:
            for one in left:
                if one.job.id in gone:
                    one.ends_cancelled()
                else:
                    one.given_up = False

    def _say_goodbye(self) -> None:
        """If jobs go on without this script, say how to come back to them."""
        waiting, undone = len(self._recorder), self._watcher.undone()
        if self._pid != os.getpid() or not (undone or waiting):
            return
        which = f"-t {self._tag}" if self._tag else f"{undone[0].job.id}" if undone else ""
        again = "run it again to get their results"
        if not self._sameness.again:
            again = "without dedupe, running it again submits them anew"
        said = f"{len(undone):,} of {self._count:,} jobs have not ended and go on without this script"
        _say(f"{said}; {again}; 'simcelery watch {which}' shows them")

    @property
    def goes_on(self) -> bool:
        """Whether jobs of it have not ended."""
        return bool(self._undone())

    def after_fork(self) -> None:
        """In a child process: its calls are its own; the futures of those before end in the parent."""
        self._lock = threading.Lock()
        self._recording = threading.Lock()
        self._recorder.after_fork()
        self._watcher.after_fork()

    def before_exit(self) -> None:
        """The interpreter is about to end: what was called is recorded."""
        if self._pid != os.getpid():
            return
        try:
            self._recorder.flush()
        except SimceleryError as error:
            _say(f"{len(self._recorder):,} calls are not recorded: {error}")
        self._end_subscription()
        if not self._shut_down:
            self._say_goodbye()


def _say(what: str) -> None:
    print(line(f"simcelery: {what}"), file=sys.stderr)


_living: weakref.WeakSet[Executor] = weakref.WeakSet()
_interrupted_at = float("-inf")


def _note_interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted_at
    _interrupted_at = time.monotonic()
    signal.default_int_handler(number, frame)


def _notice_interrupts() -> None:
    """Know of Ctrl-C where results are abandoned: that does not cancel what is left.

    Python cannot tell otherwise whether a loop over `Executor.map` was left by ``break``.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note_interrupt)
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _without_traceback


def _without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """After Ctrl-C, the line that says which jobs go on tells more than a traceback."""
    if not issubclass(kind, KeyboardInterrupt) or not any(one.goes_on for one in list(_living)):
        sys.__excepthook__(kind, error, trace)


@atexit.register
def _before_exit() -> None:
    for executor in list(_living):
        executor.before_exit()


def _after_fork() -> None:
    for executor in list(_living):
        executor.after_fork()


os.register_at_fork(after_in_child=_after_fork)
