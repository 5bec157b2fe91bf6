"""When a job waited and ran, as its page draws it."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from simcelery.board.reads.expected import Learned
from simcelery.board.states import State
from simcelery.monitor import timeline

BEGIN = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    """So many seconds after the submission."""
    return BEGIN + dt.timedelta(seconds=seconds)


def row(state: State, **changes: Any) -> Any:
    """As much of a job as is asked for."""
    about: dict[str, Any] = dict.fromkeys(("started_at", "finished_at", "cancel_requested_at", "run_at"))
    about |= {"workflow": "w", "worker": "w@h", "attempt": 0, "submitted_at": BEGIN, "submitted_by": "ada"}
    return SimpleNamespace(**{**about, "state": state, **changes})


def ended(number: int, start: float, end: float, outcome: str = "failed") -> dict[str, Any]:
    """An attempt."""
    error = {"error_type": "ValueError", "error_message": "boom"} if outcome == "failed" else {}
    about = {"attempt": number, "outcome": outcome, "host": "h", "error_type": None, "error_message": None}
    return {**about, "started_at": at(start), "finished_at": at(end), **error}


def parts(found: timeline.Timeline) -> list[tuple[str, float, float]]:
    """Kinds, starts and widths, without what has no length."""
    return [(one.kind, one.start, one.width) for one in found.parts if one.width]


def test_a_job_waits_between_its_attempts() -> None:
    job = row(State.SUCCEEDED, attempt=2, started_at=at(60), finished_at=at(100))
    found = timeline.of(job, [ended(1, 10, 20), ended(2, 60, 100, "succeeded")])
    assert parts(found) == [
        ("waiting", 0, 10),
        ("failed", 10, 10),
        ("waiting", 20, 40),
        ("succeeded", 60, 40),
    ]
    assert [event.text for event in found.events] == [
        "submitted by ada",
        "attempt 1 began on h",
        "attempt 1: failed after 10s, ValueError: boom",
        "attempt 2 began on h",
        "attempt 2: succeeded after 40s",
    ]


def test_a_short_attempt_of_a_job_that_waited_long_can_be_seen() -> None:
    job = row(State.SUCCEEDED, attempt=2, started_at=at(9999), finished_at=at(10000))
    found = timeline.of(job, [ended(1, 5000, 5000.001), ended(2, 9999.999, 10000, "succeeded")])
    drawn = [(one.kind, one.start, one.width) for one in found.drawn() if one.width]
    assert drawn == [
        ("waiting", 0, 50),
        ("waiting", 50, 50),
        ("failed", 50, timeline.LEAST),
        ("succeeded", 100 - timeline.LEAST, timeline.LEAST),
    ]


def test_what_has_not_ended_goes_on_until_now() -> None:
    job = row(State.RUNNING, attempt=1, started_at=at(25))
    found = timeline.of(job, [], now=at(100))
    assert parts(found) == [("waiting", 0, 25), ("running", 25, 75)]
    assert found.events[-1].text == "attempt 1 began on w@h"
    job = row(State.SCHEDULED, attempt=1, run_at=at(200))
    found = timeline.of(job, [ended(1, 0, 50)], now=at(100))
    assert parts(found) == [("failed", 0, 50), ("waiting", 50, 50)]
    assert found.events[-1].text == "is due"
    assert parts(timeline.of(row(State.PENDING), [], now=BEGIN)) == []


def test_a_cancel_while_it_waits_is_its_end() -> None:
    job = row(State.CANCELLED, finished_at=at(10), cancel_requested_at=at(10))
    found = timeline.of(job, [], [{"at": at(10), "kind": "cancel", "by": "eve"}])
    assert parts(found) == [("waiting", 0, 100)]
    assert [event.text for event in found.events][1:] == ["cancel by eve", "cancelled"]


def test_what_people_did_stands_where_it_was_done() -> None:
    job = row(State.SUCCEEDED, attempt=2, started_at=at(60), finished_at=at(100))
    attempts = [ended(1, 10, 20), ended(2, 60, 100, "succeeded")]
    found = timeline.of(job, attempts, [{"at": at(50), "kind": "retry", "by": "eve"}])
    assert [event.text for event in found.events][2:4] == [
        "attempt 1: failed after 10s, ValueError: boom",
        "retry by eve",
    ]


def test_of_many_attempts_the_last_ones_are_drawn_whatever_the_clock_did() -> None:
    attempts = [ended(number, 10 * number, 10 * number + 5) for number in range(1, 51)]
    job = row(State.FAILED, attempt=50, started_at=at(500), finished_at=at(505))
    found = timeline.of(job, attempts)
    assert (parts(found)[0][:2], len(found.events)) == (("failed", 0.0), 41)
    back = timeline.of(row(State.FAILED, finished_at=at(-5)), [ended(1, -50, -5)])
    assert all(0 <= one.start <= 100 and 0 <= one.width <= 100 for one in back.parts)


@pytest.mark.parametrize(
    ("took", "place"),
    [
        (10, "no longer than half of them"),
        (15, "longer than half of them, but not than nine of ten"),
        (90, "longer than nine"),
    ],
)
def test_its_time_is_told_among_its_siblings(took: float, place: str) -> None:
    job = row(State.SUCCEEDED, started_at=at(0), finished_at=at(took))
    found = timeline.among(job, Learned(10, 20, 40, tagged=False))
    assert found is not None
    assert place in found.text
    assert "40 successes of w, half took up to 10s, and nine of ten up to 20s" in found.text
    assert max(found.median, found.p90, found.took) <= 100
    assert found.took / found.median == pytest.approx(took / 10, rel=0.01)


def test_where_nobody_knows_nothing_is_told() -> None:
    job = row(State.SUCCEEDED, started_at=at(0), finished_at=at(1))
    assert timeline.among(job, None) is None
    assert timeline.among(row(State.PENDING), Learned(10, 20, 40, tagged=False)) is None
