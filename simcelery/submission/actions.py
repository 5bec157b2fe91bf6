"""Cancel and retry, for any number of jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from simcelery import broker
from simcelery.board import engine, fingerprints, reads, transitions
from simcelery.board.states import UNSUCCESSFUL, State
from simcelery.board.unreadable.mending import despite_bad_rows
from simcelery.board.values import Revision
from simcelery.errors import BrokerUnreachableError, JobNotFoundError, StateError
from simcelery.failpoints import failpoint
from simcelery.pauses import growing
from simcelery.submission import lineage
from simcelery.submission.presence import Handle, check_there
from simcelery.submission.publishing import publish

_MANY = 5000  # ids per statement
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds between two looks at what a slice holds
_SLICE_ENDS = 5.0  # seconds; twenty times what it takes where Postgres answers


def retry(
    ids: Sequence[int],
    *,
    with_parents: bool = False,
    strict: bool = False,
    handles: Sequence[Handle] = (),
    revisions: Sequence[Revision] | None = None,
    from_scratch: bool = False,
    dry: bool = False,
    by: str | None = None,
) -> list[int]:
    """Send unsuccessful jobs back, and publish those that can run.

    Parameters:
        revisions: what changes in their parameters; see `revising.plan`. Then no other job goes back, and
            these all or none.
        by: who wants it; None: who runs this process.
        from_scratch: forget their steps and checkpoints.
        dry: undo all of it again, and publish nothing: only to know whether it can be done.
        strict: a job in any other state is an error; otherwise it is left alone.
        handles: these must be on the board under their ids at the end of the transaction; otherwise all of
            it is undone.

    Returns:
        The ids that went back, descendants included.

    Raises:
        JobNotFoundError: `strict`, and an id is not on the board; or one of `handles` is not.
        StateError: `strict`, and a job cannot be retried; or a parent has not succeeded.
    """
    if any(one.key for one in revisions or ()):
        fingerprints.catch_up()
    try:
        revived = despite_bad_rows(
            lambda: _retry(
                ids, with_parents, strict, handles, revisions, from_scratch, dry, by or lineage.submitter()
            )
        )
    except _UndoneError as undone:
        return undone.revived
    failpoint("after_retry_commit")
    publish(revived)
    return revived


class _UndoneError(Exception):
    """It can be done, and only that was asked."""

    def __init__(self, revived: list[int]) -> None:
        super().__init__()
        self.revived = revived


def _retry(
    ids: Sequence[int],
    with_parents: bool,
    strict: bool,
    handles: Sequence[Handle],
    revisions: Sequence[Revision] | None,
    from_scratch: bool,
    dry: bool,
    by: str,
) -> list[int]:
    changes = {one.job_id: one for one in revisions or ()}
    with engine.begin() as connection:
        states = reads.states(connection, ids)
        if strict:
            _check_retryable(ids, states)
        wanted = sorted(number for number in ids if states.get(number) in UNSUCCESSFUL)
        if revisions is not None:
            wanted = [number for number in wanted if number in changes]
        revived: list[int] = []
        for start in range(0, len(wanted), _MANY):
            some = wanted[start : start + _MANY]
            revised = [changes[number] for number in some if number in changes]
            back = transitions.retry(
                connection,
                some,
                with_parents=with_parents,
                revisions=revised,
                by=by,
                from_scratch=from_scratch,
            )
            revived += [job.id for job in back]
        if strict and (missed := set(ids).difference(revived)):
            # Pruned, or moved by somebody else, since we looked: a new statement sees what it is now.
            _check_retryable(sorted(missed), reads.states(connection, missed))
            raise StateError(f"job {min(missed)} has only just ended: nothing was changed; repeat this")
        check_there(connection, handles)
        failpoint("before_retry_commit")
        if dry:
            raise _UndoneError(revived)
    return revived


def _check_retryable(ids: Sequence[int], states: dict[int, State]) -> None:
    for number in ids:
        if number not in states:
            raise JobNotFoundError(f"there is no job {number}")
        if states[number] not in UNSUCCESSFUL:
            raise StateError(
                f"job {number} is {states[number]}: "
                "only failed, cancelled and upstream_failed jobs are retried"
            )


def cancel(
    ids: Sequence[int], *, handles: Sequence[Handle] = (), by: str | None = None
) -> tuple[list[int], list[int]]:
    """Cancel jobs, a few thousand in a transaction; those that have ended are left alone.

    The workers that run some of them are told at once, where Redis can be reached; they end all processes
    of a job before it is cancelled.

    Parameters:
        handles, by: as for `retry`.

    Returns:
        The ids cancelled at once, and those that run and are asked to stop.
    """
    at_once: list[int] = []
    requested: list[int] = []
    by = by or lineage.submitter()
    for start in range(0, len(ids), _MANY):
        cancel_some = partial(_cancel, ids[start : start + _MANY], handles, by)
        cancelled, asked, workers = despite_bad_rows(cancel_some)
        at_once += cancelled
        requested += asked
        with suppress(BrokerUnreachableError):  # they learn of it when they renew their leases
            broker.tell_workers(workers)
    return at_once, requested


def _cancel(ids: Sequence[int], handles: Sequence[Handle], by: str) -> tuple[list[int], list[int], list[str]]:
    with engine.begin() as connection:
        cancelled, asked = transitions.cancel(connection, ids, by=by)
        workers = reads.nodenames(connection, asked)
        check_there(connection, handles)
    return cancelled, asked, workers


def cancel_unbegun(jobs: Sequence[Handle]) -> list[int]:
    """Cancel those that have not begun to run; the others, and what is no longer there, are left alone.

    A worker that holds some of them in a slice runs or puts them back within a moment; this waits for it.

    Returns:
        The ids cancelled.
    """
    cancelled: list[int] = []
    pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE, time.monotonic() + _SLICE_ENDS)
    while True:
        held: set[int] = set()
        for start in range(0, len(jobs), _MANY):
            gone, left = despite_bad_rows(partial(_cancel_unbegun, jobs[start : start + _MANY]))
            cancelled += gone
            held.update(left)
        if not held or (pause := next(pauses, None)) is None:
            return cancelled
        time.sleep(pause)
        jobs = [job for job in jobs if job.id in held]


def _cancel_unbegun(jobs: Sequence[Handle]) -> tuple[list[int], list[int]]:
    with engine.begin() as connection:
        there = reads.ids_by_task_id(connection, [job.task_id for job in jobs])
        ids = sorted(job.id for job in jobs if there.get(job.task_id) == job.id)
        cancelled, _ = transitions.cancel(connection, ids, by=lineage.submitter(), running=False)
        # The rows are locked: nothing is put back between these two statements.
        running = reads.running(connection, ids)
    return cancelled, [number for number, begun in running.items() if not begun]
