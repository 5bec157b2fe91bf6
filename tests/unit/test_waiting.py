"""How a service that is away is waited for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from simcelery.errors import BoardUnreachableError, ParametersError, SchemaError, ServiceError
from simcelery.worker import waiting
from simcelery.worker.waiting import wait_out


class Away:
    """A service that answers the try after so many failed ones, at a played time."""

    def __init__(self, tries: int, error: Callable[[], Exception]) -> None:
        self.now = 100.0
        self.tried_at: list[float] = []
        self._tries, self._error = tries, error

    def sleep(self, seconds: float) -> None:
        assert 0.0 < seconds <= 0.25  # nobody is deaf for longer
        self.now += seconds
        assert self.now < 1000.0  # else it waits for ever

    def __call__(self) -> str:
        self.tried_at.append(self.now)
        if len(self.tried_at) <= self._tries:
            raise self._error()
        return "an answer"

    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.tried_at, self.tried_at[1:], strict=False)]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Away]:
    def make(tries: int, error: Callable[[], Exception] = lambda: BoardUnreachableError("away")) -> Away:
        made = Away(tries, error)
        monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: made.now, sleep=made.sleep))
        return made

    return make


def test_an_answer_at_once_costs_no_pause(away: Callable[..., Away]) -> None:
    service = away(0)
    assert wait_out(service, "it waits") == "an answer"
    assert service.now == 100.0


def test_pauses_grow_to_five_seconds_and_no_further(away: Callable[..., Away]) -> None:
    service = away(30)
    assert wait_out(service, "it waits") == "an answer"
    pauses = service.pauses()
    assert 0.05 <= pauses[0] <= 0.2
    assert all(pause <= 6.0 for pause in pauses)
    assert sum(pauses[3:6]) > 2 * sum(pauses[:3])
    assert sum(pauses[10:]) > 4.0 * len(pauses[10:]) / 2


def test_a_schema_that_is_being_upgraded_passes_like_an_outage(
    away: Callable[..., Away], caplog: pytest.LogCaptureFixture
) -> None:
    assert wait_out(away(1, lambda: SchemaError("old")), "it waits") == "an answer"
    assert [record.getMessage() for record in caplog.records] == ["it waits: old"]


def test_other_errors_are_not_waited_out(away: Callable[..., Away]) -> None:
    service = away(3, lambda: ParametersError("wrong"))
    with pytest.raises(ParametersError):
        wait_out(service, "it waits")
    assert len(service.tried_at) == 1


@pytest.mark.parametrize("tries", [1, 3])
def test_after_so_many_tries_the_error_is_the_callers(away: Callable[..., Away], tries: int) -> None:
    service = away(100)
    with pytest.raises(BoardUnreachableError, match="away"):
        wait_out(service, "it waits", tries)
    assert len(service.tried_at) == tries


def test_who_gives_up_does_so_within_a_quarter_of_a_second(away: Callable[..., Away]) -> None:
    service = away(100)
    with pytest.raises(ServiceError):
        wait_out(service, "it waits", give_up=lambda: service.now > 110.0)
    assert 110.0 < service.now <= 110.3


def test_the_log_says_what_waits_for_what(
    away: Callable[..., Away], caplog: pytest.LogCaptureFixture
) -> None:
    wait_out(away(1), "job 42 waits")
    assert [record.getMessage() for record in caplog.records] == ["job 42 waits: away"]
