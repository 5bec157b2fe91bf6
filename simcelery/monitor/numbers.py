"""What board and broker have to say to Prometheus, as plain numbers.

None is by tag, host, workflow or job, of which there may be any number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simcelery import broker
from simcelery.board import engine, feed, reads
from simcelery.board.reads import measures
from simcelery.board.states import ACTIVE, State
from simcelery.board.values import Lane
from simcelery.errors import BrokerUnreachableError
from simcelery.maintenance import acts
from simcelery.settings import get_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

RECENT = 300.0  # seconds
_LONGEST = 30.0  # seconds, of a statement
MOST = 100  # queues that are told apart: anybody may make more
OTHERS = "(others)"


@dataclass
class OfQueue:
    """How one queue stands.

    Attributes:
        oldest: seconds that its oldest pending job has been waiting.
        published: pending jobs whose messages were sent.
        messages: how many wait in Redis.
        workers, slots: the live workers that serve it, and how many jobs they run at once.
    """

    jobs: Counter[State] = field(default_factory=Counter)
    oldest: float = 0.0
    published: int = 0
    messages: int = 0
    workers: int = 0
    slots: int = 0

    def add(self, other: OfQueue) -> None:
        """Make this one stand for both."""
        self.jobs += other.jobs
        self.oldest = max(self.oldest, other.oldest)
        self.published += other.published
        self.messages += other.messages
        self.workers += other.workers
        self.slots += other.slots


@dataclass(frozen=True)
class Numbers:
    """How everything stands.

    Attributes:
        attempts: how many ended in the last `RECENT` seconds, by outcome.
        workers: how many are live, and how many alive but in quarantine.
        lost: workers that no longer renew their leases, and hold running jobs.
        overdue: seconds since an act of maintenance was due, by its name.
        broker_up: whether Redis has answered; otherwise nobody knows how many messages wait.
    """

    queues: Mapping[str, OfQueue]
    attempts: Mapping[str, int]
    workers: Mapping[str, int]
    lost: int
    overdue: Mapping[str, float]
    broker_up: bool


def look() -> Numbers:
    """How everything stands now.

    Raises:
        BoardUnreachableError, SchemaError: as `engine.begin`; also where an answer takes too long.
    """
    with engine.look(_LONGEST) as connection:
        lanes = feed.lanes(connection, get_settings().publish_window)
        queues = _queues(connection, lanes)
        due = {turn["name"]: max(0.0, turn["due"]) for turn in reads.due_acts(connection)}
        attempts = measures.recent_attempts(connection, RECENT)
        workers = measures.live_workers(connection)
        lost = measures.lost_workers(connection)
    return Numbers(
        broker_up=_count_messages(queues, [lane for lane, _, _ in lanes]),
        queues=_busiest(queues),
        attempts=attempts,
        workers=workers,
        lost=lost,
        overdue={act.name: due[act.name] for act in acts.ACTS if act.name in due},
    )


def _queues(connection: Connection, lanes: Iterable[tuple[Lane, int, int]]) -> dict[str, OfQueue]:
    found: dict[str, OfQueue] = defaultdict(OfQueue)
    for (_, queue), states in reads.counts_by_kind(connection).items():
        found[queue].jobs.update(states)
    for queue, seconds in measures.oldest_pending(connection).items():
        found[queue].oldest = seconds
    for queue, serving in measures.serving(connection).items():
        found[queue].workers, found[queue].slots = serving.workers, serving.slots
    for lane, _, published in lanes:
        found[lane.queue].published += published
    return found


def _count_messages(queues: Mapping[str, OfQueue], lanes: list[Lane]) -> bool:
    """Note how many messages wait, and return whether Redis has said so."""
    nobodys = Lane(get_settings().default_queue, "", 0)  # so that it is asked also where nothing waits
    try:
        lengths = broker.lengths([*lanes, nobodys])
    except BrokerUnreachableError:
        return False
    for lane, length in zip(lanes, lengths, strict=False):
        queues[lane.queue].messages += length or 0
    return True


def _busiest(queues: Mapping[str, OfQueue]) -> dict[str, OfQueue]:
    """Those with most unfinished jobs, and all others as one."""
    names = sorted(queues, key=lambda name: (-sum(queues[name].jobs[state] for state in ACTIVE), name))
    found = {name: queues[name] for name in names[:MOST]}
    for name in names[MOST:]:
        found.setdefault(OTHERS, OfQueue()).add(queues[name])
    return found
