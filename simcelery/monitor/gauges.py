"""The gauges of board and broker, beside Flower's own metrics.

What is not known now is left out: no old number is shown as if it were new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from simcelery.board.states import Outcome, State
from simcelery.monitor.numbers import RECENT, Numbers
from simcelery.monitor.watch import Watch


class Gauges(Collector):
    """What a watch has seen."""

    def __init__(self, watch: Watch[Numbers]) -> None:
        self._watch = watch

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is looked at before somebody asks."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All that is known now; nobody waits for more, since Flower asks in its event loop."""
        numbers, age = self._watch.newest(patience=0)
        yield _one("board_up", "Whether the board has answered at the last look", numbers is not None)
        if age is not None:
            yield _one("board_age_seconds", "Seconds since the board was last read", age)
        if numbers is not None:
            yield from _of_all(numbers)
            yield from _of_queues(numbers)


def _of_all(numbers: Numbers) -> Iterator[GaugeMetricFamily]:
    yield _one("broker_up", "Whether Redis has answered at the last look", numbers.broker_up)
    yield _one("lost_workers", "Workers that hold running jobs and do not renew their leases", numbers.lost)
    yield _by("workers", "Workers whose leases hold, by whether they take jobs", "state", numbers.workers)
    attempts = {str(outcome): numbers.attempts.get(outcome, 0) for outcome in Outcome}
    yield _by("recent_attempts", f"Attempts that ended in the last {RECENT:g} seconds", "outcome", attempts)
    yield _by("act_overdue_seconds", "Seconds since an act of recovery was due", "act", numbers.overdue)


def _of_queues(numbers: Numbers) -> Iterator[GaugeMetricFamily]:
    queues = numbers.queues
    jobs = GaugeMetricFamily("simcelery_jobs", "Jobs on the board", labels=("queue", "state"))
    for queue, its in queues.items():
        for state in State:
            jobs.add_metric((queue, state), its.jobs[state])
    yield jobs
    oldest = {queue: its.oldest for queue, its in queues.items()}
    yield _by("oldest_pending_seconds", "How long the oldest pending job has been waiting", "queue", oldest)
    workers = {queue: its.workers for queue, its in queues.items()}
    yield _by("serving_workers", "Live workers that take jobs of the queue", "queue", workers)
    slots = {queue: its.slots for queue, its in queues.items()}
    yield _by("serving_slots", "Jobs that these workers run at once, of whatever queue", "queue", slots)
    published = {queue: its.published for queue, its in queues.items()}
    yield _by("published_jobs", "Pending jobs whose messages were sent", "queue", published)
    if numbers.broker_up:
        messages = {queue: its.messages for queue, its in queues.items()}
        yield _by("broker_messages", "Messages of pending jobs that wait in Redis", "queue", messages)


def _one(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"simcelery_{name}", about, value=value)


def _by(name: str, about: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"simcelery_{name}", about, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family
