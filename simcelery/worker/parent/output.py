"""What running attempts print and report, brought to the board once a second; and what dead ones left.

Each pool child keeps what its job prints in a file that outlives both it and this process. Whatever is
brought to the board twice is the same both times, and only an attempt that runs there takes it.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simcelery import chunks
from simcelery.board import engine, progress
from simcelery.board.values import EndedAttempt, RunningReport
from simcelery.errors import SchemaError, ServiceError
from simcelery.execution import capture
from simcelery.execution.command import OUTPUT
from simcelery.failpoints import failpoint
from simcelery.readable import line
from simcelery.settings import Settings, get_settings
from simcelery.worker import folders
from simcelery.worker.outcomes.failure import as_ascii
from simcelery.worker.parent import outbox
from simcelery.worker.slots.layout import OUTPUT_FILE, folder_of
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import Running

log = logging.getLogger(__name__)

EVERY = 0.25  # seconds between two looks at the size of the files
_QUICK = 1.0  # seconds: of an attempt that ends sooner, its end says all
_SEND_EVERY = 1.0  # seconds
_RATE = 64 * 1024  # bytes per second and attempt, in the long run
_ATTEMPT = "job-"  # how the names of outputs begin that say whose they are
_PART = 4 * 2**20  # characters of a statement
_SLACK = 2**20  # bytes that a file may hold besides what is kept


@dataclass
class _Told:
    """What the board knows of a running attempt, and what it is being told.

    Attributes:
        size: bytes of the output; what comes after its whole chunks is told again.
        progress: as JSON.
        name: of its file, for a worker that starts here after this one's death.
    """

    size: int = 0
    progress: bytes = b""
    next_at: float = 0.0
    new_size: int = 0
    new_progress: bytes = b""
    name: Path | None = None

    def accept(self, now: float) -> None:
        """The board has what it was told."""
        if self.new_size > self.size:
            self.next_at = now + (self.new_size - self.size) / _RATE
        self.size, self.progress = self.new_size, self.new_progress


class Outputs:
    """The output of all attempts that run here. All but `bound` belongs to the thread of the outbox."""

    def __init__(self, slots: Slots, settings: Settings) -> None:
        self._slots = slots
        self._folder = slots.memory.folder
        self._most = settings.max_log
        self._told: dict[uuid.UUID, _Told] = {}
        self._next_at = 0.0

    # --- running attempts ---

    def send(self) -> None:
        """Tell the board what is new.

        Raises:
            ServiceError: it is unreachable, and is told later.
        """
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + _SEND_EVERY
        running = {
            one.claim_id: one for one in self._slots.busy() if one.output and now - one.started >= _QUICK
        }
        self._drop_all_but(running)
        reports = [report for one in running.values() if (report := self._news_of(one, now)) is not None]
        for part in _parts(reports):
            failpoint("before_log_sent")
            known = _save(part)
            failpoint("after_log_sent")
            for claim_id in known:
                self._told[claim_id].accept(now)
                self._slots.sent(running[claim_id], chunks.whole(self._told[claim_id].size))

    def _drop_all_but(self, running: Mapping[uuid.UUID, Running]) -> None:
        for claim_id in self._told.keys() - running.keys():
            if not outbox.holds(claim_id):
                _remove_name(self._told.pop(claim_id))

    def _news_of(self, running: Running, now: float) -> RunningReport | None:
        told = self._told.setdefault(running.claim_id, _Told())
        told.new_size, told.new_progress = told.size, self._slots.progress(running) or told.progress
        output = self._new_output(running, told) if now >= told.next_at else None
        new_progress = told.new_progress != told.progress
        current = self._slots.of_claim(running.claim_id)
        if (output is None and not new_progress) or current is None or current.output != running.output:
            return None  # nothing new, or the file may be another job's by now
        self._slots.sent(running, chunks.whole(told.size))
        return RunningReport(
            running.job_id,
            running.claim_id,
            log=output.chunks if output else {},
            log_kept=output.kept if output else None,
            progress=json.loads(told.new_progress) if new_progress else None,
        )

    def _new_output(self, running: Running, told: _Told) -> chunks.Output | None:
        with suppress(OSError), capture.opened(self._path_of(running)) as descriptor:
            size = os.fstat(descriptor).st_size
            if size != told.size:
                self._keep_name(running, told)
                if size < told.size:  # its job has emptied it
                    told.size = 0
                output, told.new_size = chunks.read(
                    descriptor, self._most, chunks.whole(told.size), ended=False
                )
                return output
        return None

    def _path_of(self, running: Running) -> Path:
        if running.output == OUTPUT_FILE:
            folder = folders.of_attempt(running.job_id, running.attempt, running.claim_id)
            return Path(folder.path) / OUTPUT
        return capture.path_of(self._folder, running.pid, running.output)

    def _keep_name(self, running: Running, told: _Told) -> None:
        if told.name is None:
            told.name = self._folder / f"{_ATTEMPT}{running.job_id}.{running.claim_id.hex}"
            with suppress(OSError):
                os.link(self._path_of(running), told.name)

    # --- attempts whose child is dead ---

    def with_rest(self, report: EndedAttempt, running: Running) -> EndedAttempt:
        """The report with what the attempt has printed and the board does not have yet."""
        if not running.output:
            return report
        told = self._told.get(running.claim_id, _Told())
        with suppress(OSError), capture.opened(self._path_of(running)) as descriptor:
            after = chunks.whole(told.size)
            if os.fstat(descriptor).st_size < told.size:
                after = 0
            output, _ = chunks.read(descriptor, self._most, after, ended=True)
            return replace(report, log=output.chunks, log_kept=output.kept)
        return report

    def forget(self, running: Running) -> None:
        """The end of this attempt is on the board, and its child is dead."""
        if running.output:
            for path in self._folder.glob(f"{running.pid}.*"):
                path.unlink(missing_ok=True)
        if told := self._told.pop(running.claim_id, None):
            _remove_name(told)

    def remove(self) -> None:
        """The ends of all attempts are on the board: nobody needs the files any more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the node ---

    def bound(self) -> None:
        """Give back the space of what is not kept: a job may print more than its node has room for."""
        for running in self._slots.busy():
            if running.output > 0:
                with suppress(OSError):
                    _bound(self._path_of(running), self._most)


def deliver(token: str) -> None:
    """Bring to the board what the attempts of a dead worker printed last.

    Raises:
        ServiceError: the board is unreachable.
    """
    folder, most = folder_of(token), get_settings().max_log
    reports: list[RunningReport] = []
    try:
        if not capture.is_ours(folder):
            return
    except OSError:
        return  # there is none
    for path in folder.glob(f"{_ATTEMPT}*.*"):
        job_id, claim_id = path.name.removeprefix(_ATTEMPT).split(".")
        with suppress(OSError), capture.opened(path) as descriptor:
            output, _ = chunks.read(descriptor, most, ended=True)
            reports.append(RunningReport(int(job_id), uuid.UUID(claim_id), output.chunks, output.kept))
    for part in _parts(reports):
        _save(part)
    shutil.rmtree(folder, ignore_errors=True)


def _parts(reports: Sequence[RunningReport]) -> Iterator[list[RunningReport]]:
    """The reports in parts that a statement takes, however many attempts run here."""
    part: list[RunningReport] = []
    size = 0
    for one in reports:
        part.append(one)
        size += sum(map(len, one.log.values()))
        if size > _PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def _save(reports: Sequence[RunningReport]) -> set[uuid.UUID]:
    """Those of attempts that run, as far as the board knows."""
    try:
        return _save_all(reports)
    except (ServiceError, SchemaError):
        raise
    except Exception as error:  # a database of an old encoding refuses what is not ASCII
        log.warning("what running jobs print is written as ASCII: %s", line(error))
        return _save_all([replace(one, log=as_ascii(one.log)) for one in reports])


def _save_all(reports: Sequence[RunningReport]) -> set[uuid.UUID]:
    with engine.begin() as connection:
        return progress.save(connection, reports)


def _remove_name(told: _Told) -> None:
    if told.name is not None:
        with suppress(OSError):
            told.name.unlink()


def _bound(path: Path, most: int) -> None:
    found = os.stat(path)
    if found.st_blocks * 512 <= most + _SLACK or _fallocate is None:
        return
    keep = chunks.kept(found.st_size, most)
    begin, end = keep.first * chunks.SIZE, (keep.start - 1) * chunks.SIZE
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _fallocate(descriptor, _PUNCH_HOLE, ctypes.c_int64(begin), ctypes.c_int64(end - begin))
    finally:
        os.close(descriptor)


_PUNCH_HOLE = 0x02 | 0x01  # and keep the size
_fallocate: Any = getattr(ctypes.CDLL(None), "fallocate", None)
