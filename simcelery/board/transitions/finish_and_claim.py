"""running → where the outcome leads, and pending → running for what comes next, as one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from simcelery.board import engine
from simcelery.board.transitions.claim import claiming, in_order
from simcelery.board.transitions.finish import finished, finishing
from simcelery.board.values import Claim, ClaimRequest, EndedAttempt, FinishedJob
from simcelery.failpoints import failpoint


def finish_and_claim(
    ended: Sequence[EndedAttempt], request: ClaimRequest
) -> tuple[list[FinishedJob], list[Claim]]:
    """Finish attempts as `finish_at_once` does, and claim as `claim` does, in one round trip and one commit.

    The claim sees what the finish has written: the jobs that it unblocked, and what is free again.

    Raises:
        BoardUnreachableError: whether it was done is not known: see `finish_at_once` and `forgotten`.
    """
    asked = finishing(ended)
    failpoint("before_finish")
    written, claimed = engine.in_one_message(asked, claiming(request))
    return finished(written), in_order(claimed, request)
