"""Read a file of an attempt's folder, on whichever node it is, through the board."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from simcelery import broker
from simcelery.board import engine, files, reads
from simcelery.board.files import Answer
from simcelery.board.reads import workdirs
from simcelery.errors import BrokerUnreachableError, ServiceError, StateError, UsageError
from simcelery.pauses import growing

MOST = 256 * 1024  # bytes
_PART = 1024 * 1024  # of a file that is read as a whole
LONGEST_WAIT = 15.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


@dataclass(frozen=True)
class _Whom:
    """Who can read the file: one worker, or any on the host; and why nobody may answer, in words."""

    attempt: int
    worker_id: int | None
    host: str
    nodenames: list[str]
    silence: str


def whole(job_id: int, path: str, attempt: int, target: IO[bytes]) -> None:
    """Write the file into another one, part by part; raises as `read`."""
    written, size = 0, 1
    while written < size:
        found = read(job_id, path, attempt, start=written)
        if not found.content and written < found.size:
            raise UsageError(f"{path} of job {job_id} ended while it was read")
        target.write(found.content)
        written, size = written + len(found.content), found.size


def read(
    job_id: int,
    path: str,
    attempt: int | None = None,
    timeout: float = LONGEST_WAIT,
    start: int | None = None,
) -> Answer:
    """The end of the file, or a part of it.

    Parameters:
        path: from the attempt's folder on.
        attempt: its number; None: the last one.
        timeout: seconds.
        start: the first byte of that part.

    Raises:
        StateError: the attempt has left no folder, or there is no such attempt.
        UsageError: the folder has no such file.
        ServiceError: no worker that could read it answers.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError("the path is not UTF-8 text") from None
    if "\0" in path or not path:
        raise UsageError("--file takes the path of a file in the job's folder")
    with engine.begin() as connection:
        whom = _whom(connection, job_id, attempt)
        request = files.ask(
            connection,
            job_id=job_id,
            attempt=whom.attempt,
            worker_id=whom.worker_id,
            host=whom.host,
            path=path,
            most=MOST if start is None else _PART,
            start=start,
        )
    try:
        with suppress(BrokerUnreachableError):  # they learn of it when they renew their leases
            broker.tell_workers(whom.nodenames)
        found = _await(request, time.monotonic() + timeout)
    finally:
        with engine.begin() as connection:
            files.withdraw(connection, request)
    if found is None:
        raise ServiceError(f"nobody has read the file within {timeout:g} s: {whom.silence}")
    if found.error:
        raise UsageError(found.error)
    return found


def _await(request: int, until: float) -> Answer | None:
    for pause in growing(_FIRST_PAUSE, _LONGEST_PAUSE, until):
        with engine.begin() as connection:
            found = files.answer_to(connection, request)
        if found is not None:
            return found
        time.sleep(pause)
    return None


def _whom(connection: Any, job_id: int, attempt: int | None) -> _Whom:
    row = reads.job(connection, job_id)
    assert row is not None, "its id was resolved"
    number = attempt or row.attempt
    if not row.attempt:
        raise StateError(f"job {job_id} has not run yet: it has no folder")
    if row.state == "running" and number == row.attempt:
        return _its_worker(connection, job_id, number)
    ended = [one for one in reads.attempts(connection, job_id) if one["attempt"] == number]
    if not ended:
        raise StateError(f"job {job_id} has no attempt {number} that has ended or runs")
    host, folder = ended[0]["host"], ended[0]["workdir"]
    if not folder:
        raise StateError(f"attempt {number} of job {job_id} left no folder: it was empty, and was removed")
    match workdirs.now(ended[0], workdirs.became(connection, job_id)):
        case "removed":
            raise StateError(f"the workdir of attempt {number} of job {job_id} was removed, as its keep says")
        case "compressed":
            where = f"{host}:{folder}.tar.gz"
            raise StateError(f"the workdir of attempt {number} of job {job_id} is compressed now: {where}")
    live = [one["nodename"] for one in reads.workers(connection, live_only=True) if one["host"] == host]
    if not live:
        raise ServiceError(
            f"no live worker is on {host}, where attempt {number} of job {job_id} left {folder}"
        )
    return _Whom(number, None, host, live, f"no worker on {host} answers, or none of them has {folder}")


def _its_worker(connection: Any, job_id: int, number: int) -> _Whom:
    worker = reads.worker_of(connection, job_id)
    if worker is None or worker["state"] not in ("live", "quarantined"):
        name = worker["nodename"] if worker else "its worker"
        raise ServiceError(
            f"the lease of {name}, which runs job {job_id}, has expired: nobody can read the file"
        )
    name = worker["nodename"]
    return _Whom(
        number, worker["id"], worker["host"], [name], f"{name}, which runs job {job_id}, does not answer"
    )
