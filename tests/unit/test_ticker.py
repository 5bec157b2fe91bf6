"""Threads that do something again and again: woken, resting, and never within it while a fork is made."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from simcelery.worker import ticker as module
from simcelery.worker.ticker import Ticker
from tests.waiting import wait_until, within

NEVER = 3600.0


class Rounds:
    """Counts them; what else a turn does is the test's."""

    def __init__(self) -> None:
        self.count = 0
        self.also: Callable[[], object] = lambda: None

    def __call__(self) -> None:
        self.count += 1
        self.also()

    def wait(self, number: int) -> None:
        wait_until(lambda: self.count >= number, 10, 0.001)


@pytest.fixture
def started() -> Iterator[Callable[..., Ticker]]:
    """Starts tickers, and stops them with the test."""
    made: list[Ticker] = []

    def start(
        action: Callable[[], object],
        every: float,
        name: str = "test",
        quiet: Callable[[], bool] | None = None,
    ) -> Ticker:
        made.append(Ticker(name, action, every, quiet))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()
        one.join(within(10))
        assert not one.is_alive()


def test_it_acts_again_as_soon_as_its_action_says(started: Callable[..., Ticker]) -> None:
    turns = Rounds()
    ticker = started(turns, NEVER)
    turns.also = lambda: turns.count < 3 and ticker.again_in(0.001)
    ticker.wake()
    turns.wait(3)
    wait_until(lambda: ticker._once is None)  # from now on it waits as long as ever


def test_it_takes_turns_until_it_is_stopped(started: Callable[..., Ticker]) -> None:
    turns = Rounds()
    ticker = started(turns, 0.001)
    turns.wait(5)
    ticker.stop()
    ticker.join(within(10))
    done = turns.count
    ticker.wake()
    assert not ticker.is_alive()
    assert turns.count == done


def test_it_can_be_woken_and_stopped_long_before_its_next_turn(started: Callable[..., Ticker]) -> None:
    turns = Rounds()
    ticker = started(turns, NEVER)
    for number in range(1, 4):
        ticker.wake()
        turns.wait(number)


def test_it_does_not_keep_its_process() -> None:
    assert Ticker("test", Rounds(), NEVER).daemon


def test_a_wake_is_worth_one_turn(started: Callable[..., Ticker]) -> None:
    turns, other = Rounds(), Rounds()
    ticker = started(turns, NEVER)
    ticker.wake()
    turns.wait(1)
    started(other, 0.001)
    other.wait(20)
    assert turns.count == 1


def test_it_does_not_begin_with_a_turn(started: Callable[..., Ticker]) -> None:
    first, other = Rounds(), Rounds()
    started(first, NEVER)
    started(other, 0.001)
    other.wait(5)
    assert first.count == 0


def test_an_error_is_logged_and_it_goes_on(
    started: Callable[..., Ticker], caplog: pytest.LogCaptureFixture
) -> None:
    turns = Rounds()

    def fail() -> None:
        raise ValueError("broken")

    turns.also = fail
    started(turns, 0.001, "lease")
    turns.wait(3)
    assert caplog.records[0].getMessage() == "lease failed; it continues"


def test_one_that_rests_takes_no_turns_until_it_is_stirred(started: Callable[..., Ticker]) -> None:
    turns, other = Rounds(), Rounds()
    ticker = started(turns, 0.001)
    turns.also = ticker.rest
    turns.wait(1)
    started(other, 0.001)
    other.wait(20)
    rested_at = turns.count
    other.wait(40)
    assert turns.count == rested_at
    turns.also = lambda: None
    ticker.stir()
    turns.wait(rested_at + 3)


def test_signals_are_left_to_the_main_thread(started: Callable[..., Ticker]) -> None:
    blocked: list[set[int]] = []
    turns = Rounds()
    turns.also = lambda: blocked.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    started(turns, 0.001)
    turns.wait(1)
    wait_until(lambda: blocked, 10, 0.001)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD} <= blocked[0]


# --- forks -----------------------------------------------------------------------------------------


def test_a_fork_waits_for_the_turn_under_way(started: Callable[..., Ticker]) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    turns = Rounds()

    def turn() -> None:
        begun.set()
        go_on.wait(within(10))
        done.set()

    turns.also = turn
    ticker = started(turns, NEVER)
    ticker.wake()
    assert begun.wait(within(10))
    threading.Timer(0.05, go_on.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if done.is_set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_process_forks_again_though_its_tickers_are_gone(started: Callable[..., Ticker]) -> None:
    started(Rounds(), NEVER)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_after_a_fork_they_go_on(started: Callable[..., Ticker]) -> None:
    turns = Rounds()
    started(turns, 0.001)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    turns.wait(turns.count + 2)


def test_what_waits_for_others_is_held_first_and_lease_and_supervisor_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that nothing holds up the lease while a fork waits for a long act of recovery."""
    held: list[str] = []

    class Acting:
        def __init__(self, name: str) -> None:
            self._name = name

        def acquire(self) -> None:
            held.append(self._name)

    tickers = []
    for name in ("lease", "supervisor", "outbox", "recovery"):
        ticker = Ticker(name, Rounds(), NEVER)
        ticker._acting = Acting(name)  # type: ignore[assignment]
        tickers.append(ticker)
    monkeypatch.setattr(module, "_tickers", tickers)
    module._hold()
    assert held == ["recovery", "outbox", "supervisor", "lease"]


# --- dozing ----------------------------------------------------------------------------------------


def test_one_that_finds_nothing_dozes_until_it_is_roused(
    started: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOZE", NEVER)
    turns, other, busy = Rounds(), Rounds(), [True]
    ticker = started(turns, 0.001, quiet=lambda: not busy)
    turns.wait(5)
    busy.clear()
    wait_until(lambda: ticker._dozes and ticker._was_quiet, 10, 0.001)
    dozes_at = turns.count
    started(other, 0.001)
    other.wait(20)
    assert turns.count == dozes_at
    busy.append(True)
    module.rouse()
    turns.wait(dozes_at + 5)


def test_it_takes_a_turn_between_two_looks_that_find_nothing(
    started: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended between its last turn and its look is still dealt with at its usual pace."""
    monkeypatch.setattr(module, "DOZE", NEVER)
    turns = Rounds()
    found: list[int] = []

    def quiet() -> bool:
        found.append(turns.count)
        return True

    ticker = started(turns, 0.001, quiet=quiet)
    wait_until(lambda: len(found) == 2, 10, 0.001)
    assert found == [0, 1]
    assert ticker._dozes


def test_what_begins_while_it_looks_rouses_it(
    started: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOZE", NEVER)
    turns = Rounds()

    def quiet() -> bool:  # and at once no longer
        if turns.count < 5:
            module.rouse()
        return True

    started(turns, 0.001, quiet=quiet)
    turns.wait(5)


def test_it_also_looks_now_and_then_while_it_dozes(
    started: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOZE", 0.002)
    turns = Rounds()
    started(turns, 0.001, quiet=lambda: True)
    turns.wait(5)


def test_while_it_takes_a_turn_it_does_not_doze(
    started: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whatever begins would have it look once more."""
    monkeypatch.setattr(module, "DOZE", 0.001)
    turns = Rounds()
    dozed: list[bool] = []
    turns.also = lambda: dozed.append(ticker._dozes) if turns.count > 2 else None
    ticker = started(turns, 0.001, quiet=lambda: True)
    turns.wait(5)
    assert set(dozed) == {False}


def test_it_can_leave_a_longer_pause_once(started: Callable[..., Ticker]) -> None:
    turns, other = Rounds(), Rounds()
    ready = threading.Event()

    def turn() -> None:
        assert ready.wait(within(10))
        ticker.not_before(NEVER if turns.count == 3 else 0.0)

    turns.also = turn
    ticker = started(turns, 0.001)
    ready.set()
    turns.wait(3)
    started(other, 0.001)
    other.wait(20)
    assert turns.count == 3
    ticker.wake()
    turns.wait(6)


def test_one_that_cannot_tell_whether_it_is_quiet_goes_on(
    started: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot may be read while its child writes it."""
    monkeypatch.setattr(module, "DOZE", NEVER)
    turns = Rounds()

    def torn() -> bool:
        raise ValueError("badly formed hexadecimal UUID string")

    started(turns, 0.001, quiet=torn)
    turns.wait(5)
