"""One round of recovery by hand, or its rehearsal.

No turns are taken: a worker may do the same act at the same moment, and each job is still moved once.
The acts come in the order in which one makes work for the next.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from simcelery.board import fleet
from simcelery.board.mending import despite_bad_rows
from simcelery.maintenance import prune, republish, rescue, settle, stage
from simcelery.maintenance.means import BY_HAND, Means, rehearsal
from simcelery.settings import get_settings


@dataclass(frozen=True)
class Done:
    """What an act did.

    Attributes:
        counts: what → how many.
        started_at, until: rescue holds back until then, since Postgres has just started.
    """

    act: str
    counts: dict[str, int] = field(default_factory=dict)
    started_at: dt.datetime | None = None
    until: dt.datetime | None = None


def recover(dry_run: bool = False) -> Iterator[Done]:
    """Do each act once, now. A dry run does the same in a transaction that is rolled back, and sends nothing.

    Raises:
        BoardUnreachableError, BrokerUnreachableError: the acts before have been done.
    """
    how: AbstractContextManager[Means] = rehearsal() if dry_run else nullcontext(BY_HAND)
    with how as means:
        # A rehearsal is one transaction, which ends with the first row that is in the way.
        do: Callable[[Callable[[], Any]], Any] = (lambda act: act()) if dry_run else despite_bad_rows
        yield do(lambda: _rescue(means))
        yield Done("stage", {"staged": do(lambda: stage.tick(means))})
        yield Done("settle", {"failed_upstream": do(lambda: settle.tick(means))})
        yield Done("prune", {"pruned": do(lambda: prune.tick(means))})
        fed, resent = do(lambda: republish.tick(means))
        yield Done("republish", {"fed": fed, "sent_again": resent})


def _rescue(means: Means) -> Done:
    with means.begin() as connection:
        started_at, now = fleet.started(connection)
    until = started_at + dt.timedelta(seconds=get_settings().lease)
    counts = {"rescued": rescue.tick(means=means)}
    return Done("rescue", counts, started_at, until) if now <= until else Done("rescue", counts)
