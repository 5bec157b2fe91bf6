"""What Prometheus is told is what was seen, or nothing; and queues are few, whoever makes them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application

from simcelery.board.states import State
from simcelery.errors import BoardUnreachableError
from simcelery.monitor import numbers, watch
from simcelery.monitor.gauges import Gauges
from simcelery.monitor.numbers import Numbers, OfQueue
from simcelery.monitor.pages.metrics import Metrics
from simcelery.monitor.watch import Watch
from tests.waiting import wait_until, within

Told = dict[tuple[str, ...], float]


def seen(**changes: object) -> Numbers:
    some = {"queues": {}, "attempts": {}, "workers": {}, "lost": 0, "overdue": {}, "broker_up": True}
    return Numbers(**some | changes)


def told(watched: Watch[Numbers]) -> Told:
    """What is told, by the name of the metric without its prefix, and its labels."""
    registry = CollectorRegistry()
    registry.register(Gauges(watched))
    return {
        (sample.name.removeprefix("simcelery_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_all_is_told_of_what_was_seen() -> None:
    gpu = OfQueue(Counter({State.PENDING: 3, State.FAILED: 1}), 7.5, 2, 1, workers=4, slots=8)
    watched = Watch(
        lambda: seen(
            queues={"gpu": gpu},
            attempts={"failed": 2},
            workers={"live": 3, "quarantined": 1},
            lost=1,
            overdue={"rescue": 9.0},
        )
    )
    watched.newest(within(10))
    found = told(watched)
    assert found.pop(("board_age_seconds",)) >= 0
    others = {("jobs", "gpu", state): 0 for state in State if state not in gpu.jobs}
    quiet = {("recent_attempts", outcome): 0 for outcome in ("succeeded", "cancelled", "lost", "released")}
    assert found == {
        ("board_up",): 1,
        ("broker_up",): 1,
        ("jobs", "gpu", "pending"): 3,
        ("jobs", "gpu", "failed"): 1,
        **others,
        ("oldest_pending_seconds", "gpu"): 7.5,
        ("published_jobs", "gpu"): 2,
        ("broker_messages", "gpu"): 1,
        ("serving_workers", "gpu"): 4,
        ("serving_slots", "gpu"): 8,
        ("recent_attempts", "failed"): 2,
        **quiet,
        ("workers", "live"): 3,
        ("workers", "quarantined"): 1,
        ("lost_workers",): 1,
        ("act_overdue_seconds", "rescue"): 9,
    }


def test_of_a_broker_that_is_away_no_messages_are_told() -> None:
    watched = Watch(lambda: seen(queues={"gpu": OfQueue()}, broker_up=False))
    watched.newest(within(10))
    found = told(watched)
    assert found[("broker_up",)] == 0
    assert not [key for key in found if key[0] == "broker_messages"]


def test_nothing_is_looked_at_before_somebody_asks_and_who_asks_first_may_wait() -> None:
    looked, go = [], threading.Event()

    def look() -> Numbers:
        looked.append(1)
        assert go.wait(within(10))
        return seen()

    watched = Watch(look)
    CollectorRegistry().register(Gauges(watched))
    assert not looked
    assert told(watched) == {("board_up",): 0}
    go.set()
    assert watched.newest(within(10))[0] == seen()
    assert len(looked) == 1


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look follows the other."""
    monkeypatch.setattr(watch, "EVERY", 0.01)


def turns(*looks: Callable[[], Numbers]) -> Watch[Numbers]:
    """Whose looks are these; the last of them again and again."""
    left = list(looks)
    return Watch(lambda: (left.pop(0) if len(left) > 1 else left[0])())


def away() -> Numbers:
    raise BoardUnreachableError("the board at nowhere cannot be reached")


def broken() -> Numbers:
    raise ValueError("a bug")


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("fails", [away, broken])
def test_a_board_that_goes_away_leaves_no_old_numbers_and_comes_back(fails: Callable[[], Numbers]) -> None:
    back = threading.Event()

    def then() -> Numbers:
        return seen(queues={"gpu": OfQueue()}) if back.is_set() else fails()

    watched = turns(lambda: seen(queues={"gpu": OfQueue()}), then)
    watched.newest(within(10))
    wait_until(lambda: told(watched)[("board_up",)] == 0)
    first = told(watched)
    assert set(first) == {("board_up",), ("board_age_seconds",)}
    wait_until(lambda: told(watched)[("board_age_seconds",)] > first[("board_age_seconds",)])
    back.set()
    wait_until(lambda: told(watched).get(("serving_slots", "gpu")) == 0)
    assert told(watched)[("board_up",)] == 1


@pytest.mark.usefixtures("fast")
def test_a_look_that_does_not_come_back_leaves_no_old_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_LATE", 0.5)
    never = threading.Event()

    def stuck() -> Numbers:
        never.wait()
        return seen()

    watched = turns(seen, stuck)
    assert watched.newest(within(10))[0] == seen()
    wait_until(lambda: told(watched)[("board_up",)] == 0)
    never.set()


def test_a_large_board_is_read_less_often_but_one_that_is_away_is_soon_asked_again() -> None:
    assert watch.interval(0.1, succeeded=True) == watch.EVERY
    assert watch.interval(10.0, succeeded=True) > 100
    assert watch.interval(10.0, succeeded=False) == watch.EVERY


def test_queues_are_few_and_none_is_forgotten() -> None:
    many = {
        f"q{n}": OfQueue(Counter({State.PENDING: n, State.SUCCEEDED: 1000 - n}), n, n, n, workers=1, slots=n)
        for n in range(1, numbers.MOST + 11)
    }
    found = numbers._busiest(many)
    assert len(found) == numbers.MOST + 1
    assert {f"q{n}" for n in range(1, 11)}.isdisjoint(found)
    rest = found[numbers.OTHERS]
    assert rest == OfQueue(Counter({State.PENDING: 55, State.SUCCEEDED: 9945}), 10, 55, 55, 10, 55)
    assert sum(one.jobs.total() for one in found.values()) == 1000 * len(many)


@pytest.mark.parametrize(
    ("listens", "status"),
    [
        ({"address": "127.0.0.1"}, 200),
        ({"address": "::1"}, 200),
        ({"address": "0.0.0.0", "unix_socket": "/run/monitor"}, 200),
        ({"address": "0.0.0.0"}, 403),
        ({"address": ""}, 403),
        ({"address": "192.0.2.1"}, 403),
    ],
)
def test_where_others_can_connect_a_token_is_needed(listens: dict[str, str], status: int) -> None:
    """As the options say where it listens; here it is reached by another way."""
    watched = Watch(seen)
    application = Application([(r"/metrics", Metrics, {"watch": watched})])
    options = SimpleNamespace(**{"unix_socket": "", "basic_auth": [], "auth": ""} | listens)
    vars(application).update(options=options, purge_offline_worker_metrics=lambda: None)

    async def ask() -> int:
        server = application.listen(0, "127.0.0.1")
        [place] = [one.getsockname()[1] for one in server._sockets.values()]
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{place}/metrics", raise_error=False)
        server.stop()
        return answer.code

    assert asyncio.run(ask()) == status
