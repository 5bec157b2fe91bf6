"""What a pool child runs next without another message: claimed by the statement that finishes what it ran."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from simcelery.board import transitions
from simcelery.board.values import Claim, ClaimRequest, EndedAttempt, FinishedJob
from simcelery.errors import SchemaError, ServiceError
from simcelery.failpoints import failpoint
from simcelery.worker import slots
from simcelery.worker.waiting import wait_out

log = logging.getLogger(__name__)


class Following:
    """A claim that is made with a finish: one round trip, and one wait for the disk, for both.

    It is tried once. If anything goes wrong, the finish is made again by itself.

    Parameters:
        before: what this child has held; if that could not be finished, it is not to be run again.
    """

    def __init__(self, request: ClaimRequest, before: Sequence[Claim]) -> None:
        self._request = request
        self._before = {claim.claim_id for claim in before}
        self._tried = self._in_doubt = False
        self._claims: list[Claim] = []

    def finish(self, ended: Sequence[EndedAttempt]) -> list[FinishedJob]:
        """Finish attempts that ended alike, and claim.

        Raises:
            As `transitions.finish_at_once`.
        """
        if self._tried:
            return transitions.finish_at_once(ended)
        self._tried = True
        try:
            finished, self._claims = transitions.finish_and_claim(ended, self._request)
        except (ServiceError, SchemaError):
            self._in_doubt = True
            raise
        except Exception as error:  # nothing was written, and what came next may be to blame
            log.info("nothing is claimed together with a finish: %s", error)
            return transitions.finish_at_once(ended)
        failpoint("after_following")
        return finished

    def claims(self) -> list[Claim]:
        """What was claimed; most often, when a lane is at its end, nothing."""
        if self._in_doubt:  # the answer may be all that was lost
            self._in_doubt = False
            try:
                found = wait_out(
                    lambda: transitions.forgotten(self._request),
                    "what was claimed last is asked for",
                    give_up=slots.mine.is_closed,
                )
                self._claims = [claim for claim in found if claim.claim_id not in self._before]
            except ServiceError:
                log.warning("what was claimed last, if anything, is left to recovery")
        return self._claims
