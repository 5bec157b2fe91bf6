"""Run recovery once by hand, or as a dry run.

No turns are taken: a worker may do the same act at the same time, and each job is still moved only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from simcelery.board.unreadable.mending import despite_bad_rows
from simcelery.maintenance import acts
from simcelery.maintenance.act import Act, Wait
from simcelery.maintenance.effects import BY_HAND, Effects, rehearsal


@dataclass(frozen=True)
class Done:
    """What an act did.

    Attributes:
        counts: how many, by what was counted.
        wait: set if the act must wait because Postgres has just started.
    """

    act: Act
    counts: dict[str, int]
    wait: Wait | None = None


def recover(*, dry_run: bool) -> Iterator[Done]:
    """Do each act once, now. A dry run does the same in a transaction that is rolled back, and sends nothing.

    Raises:
        BoardUnreachableError, BrokerUnreachableError: the acts before this one have been done.
    """
    how: AbstractContextManager[Effects] = rehearsal() if dry_run else nullcontext(BY_HAND)
    with how as effects:
        for act in acts.ACTS:
            # Nothing is put right in a rehearsal: what is in the way is known when its one transaction ends.
            yield despite_bad_rows(_once(act, effects))


def _once(act: Act, effects: Effects) -> Callable[[], Done]:
    def once() -> Done:
        wait = act.wait(effects) if act.wait else None
        return Done(act, act.do(effects), wait)

    return once
