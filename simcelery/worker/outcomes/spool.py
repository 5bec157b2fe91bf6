"""Outcomes that could not reach Postgres, kept as files in the home folder until they can be delivered.

A file is written as soon as an outcome cannot be recorded at once, so that it survives the death or
shutdown of the worker. It is delivered by the child that wrote it, by any worker with the same home, or by
``simcelery spool push``. The claim fences it, so delivering it twice or too late does no harm.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from simcelery import broker
from simcelery.board import engine, faults, reads, transitions
from simcelery.board.states import Cause, Outcome
from simcelery.board.values import EndedAttempt, NewJob
from simcelery.chunks import Kept
from simcelery.errors import SchemaError, ServiceError
from simcelery.execution import durable
from simcelery.failpoints import failpoint
from simcelery.log_records import about
from simcelery.settings import Settings
from simcelery.worker.outcomes import gone_on

log = logging.getLogger(__name__)

_SUFFIX, _UNFINISHED = ".json", ".part"


@dataclass(frozen=True)
class Spooled:
    """One outcome in the spool.

    Attributes:
        board: the address of its board as its worker knew it, only for display.
        saved_at: Unix time, seconds, by the clock of the node that wrote it.
    """

    path: Path
    board: str
    host: str
    saved_at: float
    task_id: uuid.UUID
    claim_id: uuid.UUID
    report: EndedAttempt


@dataclass(frozen=True)
class Pushed:
    """What a delivery did: recorded; too late, and kept with the attempt; not a job of this board."""

    recorded: int = 0
    late: int = 0
    left: int = 0


def save(settings: Settings, task_id: uuid.UUID, claim_id: uuid.UUID, report: EndedAttempt) -> Path:
    """Write an outcome to the spool, durably; saving it again writes the same file.

    Raises:
        OSError: the home folder cannot be written to.
    """
    path = _path(settings, task_id, claim_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = {
        "board": faults.address(settings.board_url()),
        "host": socket.gethostname(),
        "saved_at": time.time(),
        "task_id": str(task_id),
        "claim_id": str(claim_id),
        "report": _written(report),
    }
    unfinished = path.with_suffix(f".{os.getpid()}{_UNFINISHED}")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    failpoint("before_spool_rename")
    durable.rename(unfinished, path)
    return path


def waiting(settings: Settings) -> list[Spooled]:
    """The outcomes in the spool, oldest first. An unreadable file is named in the log and left there."""
    found = []
    for path in settings.spool.glob(f"*{_SUFFIX}"):
        try:
            found.append(_read(path))
        except FileNotFoundError:
            continue  # delivered meanwhile
        except (OSError, ValueError) as error:
            log.error("%s cannot be read and is left there: %s", path, error)
    return sorted(found, key=lambda one: one.saved_at)


def deliver(settings: Settings) -> Pushed:
    """Record all outcomes for this board. Those that it refuses are named in the log and left there.

    Raises:
        BoardUnreachableError: the rest keeps waiting.
    """
    outcomes = [_deliver_or_leave(one) for one in waiting(settings)]
    return Pushed(outcomes.count(True), outcomes.count(False), outcomes.count(None))


def deliver_claim(settings: Settings, task_id: uuid.UUID, claim_id: uuid.UUID) -> bool:
    """Record the outcome of one claim whose child is dead, if it is here and the board can be reached.

    Returns:
        Whether it is here. False: the caller must say how the attempt ended.
    """
    path = _path(settings, task_id, claim_id)
    try:
        return _deliver_or_leave(_read(path)) is not None
    except FileNotFoundError:
        for unfinished in path.parent.glob(f"{path.stem}.*{_UNFINISHED}"):
            unfinished.unlink(missing_ok=True)
        return False
    except ValueError as error:
        log.error("%s cannot be read and is left there: %s", path, error)
        return False
    except (OSError, ServiceError) as error:
        log.warning("the spooled outcome of job %s is waiting: %s", task_id, error)
        return True


def forget(settings: Settings, task_id: uuid.UUID, claim_id: uuid.UUID) -> None:
    """Remove an outcome that is on the board."""
    _remove(_path(settings, task_id, claim_id))


def _deliver_or_leave(one: Spooled) -> bool | None:
    try:
        return _deliver(one)
    except (ServiceError, SchemaError):
        raise
    except Exception as error:
        # One bad file in a shared home must not keep the others from being delivered.
        log.error("%s cannot be recorded and is left there: %s", one.path, error)
        return None


def _deliver(one: Spooled) -> bool | None:
    with engine.begin() as connection:
        if reads.job_by_task_id(connection, one.task_id) is None:
            return None
        guard = transitions.by_claim(one.task_id, one.claim_id)
        waited = max(0.0, time.time() - one.saved_at)
        report = replace(one.report, ago=one.report.ago + waited)
        finished = transitions.finish(connection, guard, report)
        if finished is None:
            transitions.note_late(connection, one.task_id, one.claim_id, one.report)
    failpoint("after_spool_delivery")
    _remove(one.path)
    if finished is None:
        with about(claim=one.claim_id):
            log.info("the spooled outcome of job %s is too late", one.task_id)
        return False
    with about(finished.id, finished.attempt, one.claim_id):
        log.info("the spooled outcome of job %s is recorded", one.task_id)
        unblocked = gone_on.settle(finished).unblocked
        broker.publish_or_leave(unblocked, f"the jobs that waited for job {finished.id}")
    return True


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.error("%s is delivered, but cannot be removed: %s", path, error)


def _path(settings: Settings, task_id: uuid.UUID, claim_id: uuid.UUID) -> Path:
    return settings.spool / f"{task_id}.{claim_id.hex}{_SUFFIX}"


# What a file says of an attempt beside its outcome, under the name `ending`, and its cause.
_KEPT = (
    "result", "error_type", "error_message", "traceback", "retry_in", "waited", "ago", "cpu_seconds",
    "peak_memory", "workdir", "code_version", "seed", "log", "log_kept", "progress",
)  # fmt: skip


def _written(report: EndedAttempt) -> dict[str, Any]:
    kept = {name: getattr(report, name) for name in _KEPT}
    then = {"then": _new_jobs().dump_python(report.then, mode="json")} if report.then else {}
    return {"ending": report.outcome, "cause": report.cause, **kept, **then}


@cache
def _new_jobs() -> TypeAdapter[NewJob]:
    return TypeAdapter(NewJob)


def _read(path: Path) -> Spooled:
    """The outcome in a file.

    Raises:
        OSError: the file is gone, or cannot be read.
        ValueError: it is not what `save` writes.
    """
    try:
        return _parse(path, json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _parse(path: Path, content: dict[str, Any]) -> Spooled:
    report = content["report"]
    if isinstance(chunks := report["log"], dict):  # as a text it is from an earlier version
        report["log"] = {int(number): text for number, text in chunks.items()}
    if kept := report.pop("log_kept", None):
        report["log_kept"] = Kept(*kept)
    if then := report.pop("then", None):
        report["then"] = _new_jobs().validate_python(then)
    return Spooled(
        path=path,
        board=content["board"],
        host=content["host"],
        saved_at=float(content["saved_at"]),
        task_id=uuid.UUID(content["task_id"]),
        claim_id=uuid.UUID(content["claim_id"]),
        report=EndedAttempt(
            outcome=Outcome(report.pop("ending")),
            cause=(cause := report.pop("cause")) and Cause(cause),
            **report,
        ),
    )
