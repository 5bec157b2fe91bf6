"""Bulk submission: chunk after chunk, the next one prepared while one is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.board.values import NewJob
from simcelery.errors import ParametersError, SubmissionInterruptedError
from simcelery.submission import collection
from simcelery.submission.handle import Jobs
from simcelery.submission.options import Options
from simcelery.submission.publishing import publish_recorded
from simcelery.submission.records import Records
from simcelery.submission.submit import preparation, record
from simcelery.submission.subscribing import Subscribing
from simcelery.submission.within import keyed
from simcelery.workflows.definition import Definition

if TYPE_CHECKING:
    from simcelery.submission.sweep import Sweep

# Up to so many jobs, or characters of parameters, are recorded in one transaction: all or none of them.
CHUNK, CHUNK_SIZE = 10_000, 16_000_000


def submit_many(
    definition: Definition,
    items: Iterable[Mapping[str, Any]],
    options: Options | None = None,
) -> Jobs:
    """Record many jobs of one workflow, in transactions of up to 10,000 or 16 MB, and publish them.

    Parameters:
        items: one mapping of parameters per job; read piece by piece, so it may be a generator of millions.

    Raises:
        SubmissionInterruptedError: it stopped after some chunks were recorded and `dedupe` is off; the error
            knows their ids. With `dedupe` the original error is raised: simply submit again.
        As `submit` otherwise; then nothing is recorded.
    """
    options = options or Options()
    if options.key is not None:
        raise ParametersError("key names one job: use dedupe=True instead, which makes a key for each")
    return submit_all(map(keyed, map(preparation(definition, options), items)), options)


def submit_all(
    new: Iterable[NewJob], options: Options, on_recorded: Callable[[Records], None] | None = None
) -> Jobs:
    """Record jobs of one workflow as they are prepared, in transactions as `submit_many`, and publish them.

    Parameters:
        on_recorded: called after each transaction with what is recorded so far, from another thread.

    Raises:
        SubmissionInterruptedError: as `submit_many`.
    """
    done = Records()
    subscribing = Subscribing(options)
    workflow = ""
    sweep = _sweep(options) if options.stops_itself else None

    def write(chunk: list[NewJob]) -> None:
        nonlocal workflow
        workflow = chunk[0].workflow
        recorded = record(chunk, options.on_failed, subscribing, sweep, more=is_full(chunk))
        done.extend(recorded)
        done.canaries = sweep.canaries if sweep else ()
        if on_recorded is not None:
            on_recorded(done)
        publish_recorded(chunk, recorded)

    try:
        with collection.rare():
            write_each(chunks(new), write)
        if subscribing.open:
            subscribing.close()
    except BaseException as error:
        if not done or options.dedupe or options.key:
            raise
        ids = list(done.ids)
        raise SubmissionInterruptedError(
            f"the submission stopped ({_in_words(error)}); {len(ids):,} jobs are recorded "
            f"(ids {ids[0]} to {ids[-1]}); submit again with dedupe, which finds them and continues where "
            "this stopped, or cancel them first",
            ids,
        ) from error
    return Jobs(done, workflow)


def _sweep(options: Options) -> Sweep:
    from simcelery.submission.sweep import Sweep  # SQLAlchemy loads when it is first needed

    return Sweep(options)


def chunks(new: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    """What is recorded together. Only the last one is not full."""
    chunk: list[NewJob] = []
    size = 0
    for job in new:
        chunk.append(job)
        size += job.size
        if len(chunk) >= CHUNK or size >= CHUNK_SIZE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def is_full(chunk: Sequence[NewJob]) -> bool:
    """Whether there may be another chunk after this one."""
    return len(chunk) >= CHUNK or sum(job.size for job in chunk) >= CHUNK_SIZE


def write_each(chunks: Iterator[list[NewJob]], write: Callable[[list[NewJob]], None]) -> None:
    """Write each chunk while the next one is prepared.

    In a thread of its own, also where there is only one: an interruption strikes the main thread only, so
    that it never leaves in doubt what is recorded.
    """
    writing: _Writing | None = None
    try:
        for chunk in chunks:
            if writing is not None:
                writing.end()
            writing = _Writing(chunk, write)
            writing.start()
        if writing is not None:
            writing.end()
    except BaseException as error:
        if writing is not None:
            writing.end_after(error)
        raise


class _Writing:
    """A chunk that a thread of its own writes."""

    def __init__(self, chunk: list[NewJob], write: Callable[[list[NewJob]], None]) -> None:
        self._chunk = chunk
        self._write = write
        self._begun = threading.Lock()  # taken by the thread, or by whoever keeps it from beginning
        self._ended = threading.Event()
        self._fault: BaseException | None = None

    def start(self) -> None:
        # A daemon: who interrupts twice does not want to wait for it.
        thread = threading.Thread(target=self._run, name="simcelery-submit", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # at the end of the interpreter no thread can be started
            self._run()

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._write(self._chunk)
        except BaseException as error:
            self._fault = error
        finally:
            self._ended.set()

    def end(self) -> None:
        """Wait until it is written; raises what the writing raised."""
        self._ended.wait()
        if self._fault is not None:
            raise self._fault

    def end_after(self, error: BaseException) -> None:
        """As `end`, since what is to be said after an error depends on what became of the chunk.

        Whoever interrupts this as well is told that nobody knows.
        """
        if self._begun.acquire(blocking=False):
            return
        try:
            self._ended.wait()
        except BaseException as impatient:
            impatient.add_note(f"it is not known whether the last {len(self._chunk):,} jobs were recorded")
            raise
        if self._fault is not None and self._fault is not error:
            raise self._fault from error


def _in_words(error: BaseException) -> str:
    return ": ".join(filter(None, (type(error).__name__, str(error), *getattr(error, "__notes__", ()))))
