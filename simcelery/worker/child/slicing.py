"""What a pool child does with one message: claim, run and finish its job, possibly with a slice of others.

A message is a wake-up call. If the jobs of its workflow have been short, the child claims as many of them
as fill a quarter of a second, runs one after the other, and finishes them together: with one round trip
and one wait for the disk instead of one each. If time is left then, what comes next in the lane is claimed
together with that finish, and needs no message.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence

from simcelery import broker
from simcelery.board import transitions
from simcelery.board.states import Outcome
from simcelery.board.unreadable.mending import despite_bad_rows
from simcelery.board.values import Claim, EndedAttempt, FinishedJob, JobToPublish, Lane
from simcelery.errors import RefusedByBoardError, ServiceError
from simcelery.execution.places import Unusable
from simcelery.worker import slots
from simcelery.worker.child import attempt, calling, claiming, flusher, leaving, pace
from simcelery.worker.child.following import Following
from simcelery.worker.outcomes import finish
from simcelery.worker.slots.room import NoRoom
from simcelery.worker.waiting import wait_out
from simcelery.workflows.definition import Definition

log = logging.getLogger(__name__)


def run(
    definition: Definition, task_id: uuid.UUID, claim_id: uuid.UUID, lane: Lane
) -> tuple[Claim, EndedAttempt, FinishedJob | None] | None:
    """Claim, run and finish.

    Returns:
        The message's own job, how its attempt ended, and what the finish says of it (nothing if that is not
        on the board). None if other jobs ran, or none.

    Parameters:
        lane: the lane of the message.

    Raises:
        NoRoom: nothing can run here now, and the message is back in its lane.
    """
    slots.mine.holding()
    slots.mine.claiming(task_id, claim_id)
    try:
        claims = claiming.claim(task_id, claim_id, lane, _more(definition))
    except NoRoom as error:
        claiming.leave_to_others(task_id, lane, first=error.crowded)
        slots.mine.idle()
        raise
    own: tuple[Claim, EndedAttempt, Slice] | None = None
    until = time.monotonic() + pace.SLICE
    while claims:
        held = Slice(claims)
        flusher.watch(held)
        for claim in held:
            try:
                ended = _attempt(definition, claim, held)
            except Unusable as error:
                _withdraw(claim, held, str(error))
                break
            except calling.Elsewhere as error:
                _set_aside(claim, str(error))
                continue
            if claim.claim_id == claim_id:
                own = claim, ended, held
        following = _following(definition, lane, claims) if time.monotonic() < until else None
        unblocked = held.close(following)
        if slots.mine.crowded or any(claim.granted for claim in claims):
            slots.mine.freed()
        claims = following.claims() if following else []
        _publish(unblocked, claims)
    slots.mine.idle()
    if own is None:
        return None
    claim, ended, held = own
    return claim, ended, held.finished(claim)


def _following(definition: Definition, lane: Lane, before: Sequence[Claim]) -> Following | None:
    """What claims the next jobs of this lane, if this child may go on without a message."""
    if not pace.is_short(definition.name) or claiming.is_suspicious() or slots.mine.counts_jobs:
        return None
    if slots.mine.is_closed() or leaving.is_due():
        return None
    return Following(claiming.request(None, uuid.uuid4(), lane, _more(definition)), before)


def _publish(unblocked: Sequence[JobToPublish], claims: Sequence[Claim]) -> None:
    """Publish jobs that have been unblocked, but for those that this child goes on with."""
    mine = {claim.job_id for claim in claims}
    if others := [job for job in unblocked if job.id not in mine]:
        broker.publish_or_leave(others, _ARE_UNBLOCKED)


_ARE_UNBLOCKED = "jobs that waited for others which have succeeded"


def _more(definition: Definition) -> int:
    """How many other jobs to ask for."""
    counted = slots.mine.counts_jobs
    return 0 if counted or not definition.slices else pace.fill(definition.name) - 1


def _attempt(definition: Definition, claim: Claim, held: Slice) -> EndedAttempt:
    if not slots.mine.tells_of(claim.claim_id):
        slots.mine.claiming(claim.task_id, claim.claim_id)
    begun = time.monotonic()
    report = attempt.run(definition, claim)
    now = time.monotonic()
    size = pace.size_of(report)
    pace.note(definition.name, now - begun, size)
    ended = report.of(claim, waited=begun - held.begun, ended=now)
    if _may_wait(claim, ended):
        held.keep(ended, size)
    else:
        held.write(ended, and_others=claim.gate_id is not None)
    return ended


def _may_wait(claim: Claim, ended: EndedAttempt) -> bool:
    """Whether how it ended may be written with others, since nobody acts on it before they are over."""
    failed = ended.outcome is Outcome.FAILED and claim.gate_id is None  # else a fuse counts it
    return ended.then is None and (failed or ended.outcome is Outcome.SUCCEEDED)


def _withdraw(claim: Claim, held: Slice, reason: str) -> None:
    """No files can be written on this node: put back what this child holds as if never claimed."""
    log.error("job %s is put back on the board, since this node cannot run it: %s", claim.job_id, reason)
    held.take_back(claim)
    slots.mine.report_unusable()
    slots.mine.return_job()


def _set_aside(claim: Claim, why: str) -> None:
    """The files here are not those with which a call was submitted: leave it to other workers."""
    slots.mine.return_job()
    try:
        wait_out(
            lambda: despite_bad_rows(lambda: transitions.set_aside(claim, why)),
            f"job {claim.job_id} waits to be left to other workers",
            give_up=slots.mine.is_closed,
        )
    except (ServiceError, RefusedByBoardError) as error:
        log.warning("job %s had not started and is left to recovery: %s", claim.job_id, error)


class Slice:
    """Claims that this child holds: jobs not started yet, the running one, and outcomes to be written.

    The child's own thread goes through them. When the quarter of a second is over, `flush` may be called
    from another thread: outcomes are written, and jobs that have not started are put back on the board.
    """

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.begun = time.monotonic()
        self._waiting = deque(claims)
        self._any_begun = False
        self._bytes = 0  # of outcomes
        self._outcomes: list[EndedAttempt] = []
        self._finished: list[FinishedJob] = []
        self._taking = threading.Lock()
        self._writing = threading.Lock()

    def __iter__(self) -> Slice:
        return self

    def __next__(self) -> Claim:
        """The next job; none if it is over, worker or child is exiting, or the node seems to be at fault."""
        with self._taking:
            eats = self._any_begun and claiming.is_suspicious()
            if not self._waiting or self.is_over or slots.mine.is_closed() or eats or leaving.is_due():
                raise StopIteration
            self._any_begun = True
            return self._waiting.popleft()

    def take_back(self, claim: Claim) -> None:
        """Put a job back, since it was not started after all."""
        with self._taking:
            self._waiting.appendleft(claim)

    @property
    def is_over(self) -> bool:
        """Whether the quarter of a second has passed, or its outcomes fill the memory that they may."""
        return time.monotonic() - self.begun > pace.SLICE or self._bytes > pace.MOST_BYTES

    def keep(self, outcome: EndedAttempt, size: int = 0) -> None:
        """Keep an outcome of so many bytes, to be written with others."""
        with self._taking:
            self._outcomes.append(outcome)
            self._bytes += size

    def write(self, outcome: EndedAttempt, *, and_others: bool) -> None:
        """Write an outcome at once.

        Parameters:
            and_others: first those that are kept, and what has not started is put back: its fuse counts what
                succeeded before, and may hold what would come next.
        """
        if and_others:
            self.flush()
        self._finished += finish.finish([outcome])

    def finished(self, claim: Claim) -> FinishedJob | None:
        """What its finish said of this job; None: it is not on the board, or came too late."""
        return next((job for job in self._finished if job.id == claim.job_id), None)

    def flush(self) -> None:
        """Write what is ready, while the child's own thread runs a long job."""
        with self._writing:
            outcomes, unbegun = self._take()
            try:
                if unbegun:
                    _have_back(unbegun)
                    unbegun = []
                if outcomes:
                    self._finished += finish.write_all(outcomes)
                    outcomes = []
            except (ServiceError, RefusedByBoardError) as error:
                log.warning("the outcomes of a slice are waiting for the board: %s", error)
            finally:
                with self._taking:
                    self._outcomes += outcomes
                    self._waiting.extend(unbegun)

    def close(self, following: Following | None = None) -> list[JobToPublish]:
        """Write the rest, however long Postgres is unreachable.

        Parameters:
            following: what to claim together with that, unless some of the jobs go back.

        Returns:
            The jobs that these have unblocked. They are not published yet.
        """
        unblocked: list[JobToPublish] = []
        with self._writing:
            outcomes, unbegun = self._take()
            if outcomes:
                last = following.finish if following and not unbegun else None
                self._finished += finish.finish(
                    outcomes, publish=lambda job: unblocked.extend(job.unblocked), last=last
                )
            if unbegun:
                _put_back(unbegun)
        return unblocked

    def _take(self) -> tuple[list[EndedAttempt], list[Claim]]:
        with self._taking:
            taken = self._outcomes, list(self._waiting)
            self._outcomes = []
            self._waiting.clear()
        return taken


def _put_back(claims: Sequence[Claim]) -> None:
    try:
        wait_out(
            lambda: _have_back(claims),
            "jobs that had not started wait",
            give_up=slots.mine.is_closed,
        )
    except (ServiceError, RefusedByBoardError) as error:
        log.warning("%s jobs that had not started are left to recovery: %s", len(claims), error)


def _have_back(claims: Sequence[Claim]) -> None:
    despite_bad_rows(lambda: transitions.put_back(claims))
