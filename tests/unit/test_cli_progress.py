"""Progress, rates and throughput in words, bars and tables."""

from __future__ import annotations

import json

import pytest

from simcelery.cli import output, progress
from simcelery.cli.progress import Part
from simcelery.cli.verbs import stats, watch
from simcelery.describe import error_groups, words


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        (0.0, ""),
        (12345.6, "12,346/s"),
        (999.4, "999/s"),
        (12.34, "12.3/s"),
        (1.0, "1/s"),
        (0.99, "59.4/min"),
        (0.5, "30/min"),
        (1 / 60, "1/min"),
        (1 / 3600, "1/h"),
        (2 / 86_400, "2/d"),
        (1 / 864_000, "0.1/d"),
    ],
)
def test_rates_in_words(per_second: float, expected: str) -> None:
    assert words.rate(per_second) == expected


@pytest.mark.parametrize(
    ("window", "number"),
    [(30, 1), (90, 2), (1800, 30), (3600, 12), (86_400, 24), (7 * 86_400, 28), (365 * 86_400, 30)],
)
def test_a_window_is_divided_into_a_few_intervals(window: float, number: int) -> None:
    assert stats.intervals_of(window) == number


def test_what_is_left_follows_from_the_rate() -> None:
    part = Part("w", {"succeeded": 60, "failed": 10, "running": 10, "blocked": 20}, 0.5)
    assert (part.total, part.finished, part.left) == (100, 70, 60.0)
    assert watch.pace(part) == "30/min, 1m left"
    assert Part("w", {"pending": 1}, 0.0).left is None
    assert watch.pace(Part("w", {"pending": 1}, 0.0)) == ""
    assert watch.pace(Part("w", {"succeeded": 1}, 2.0)) == "2/s"


@pytest.mark.parametrize(
    ("looks", "rate"),
    [
        ([(0, 0, 0, 9)], 0.0),
        ([(0, 0, 0, 9), (100, 0, 0, 9)], 0.0),
        ([(0, 0, 0, 9), (99, 0, 0, 9), (100, 0, 1, 8), (109, 5, 1, 3)], 0.5),  # nobody worked for 100 s
        ([(0, 0, 0, 9), (98, 0, 0, 9), (100, 5, 0, 4), (102, 6, 0, 3)], 1.5),  # too short to be seen running
        ([(0, 0, 2, 0), (10, 5, 0, 0), (500, 5, 0, 0)], 0.5),  # all that is left waits for a time
        ([(0, 0, 2, 4), (10, 5, 0, 1), (50, 5, 0, 1)], 0.1),  # one waits in vain
        ([(0, 4, 2, 0), (10, 2, 2, 2)], 0.0),  # two were sent back to work
    ],
)
def test_a_rate_is_over_the_time_with_work(looks: list[tuple[int, int, int, int]], rate: float) -> None:
    seen = [
        (float(at), Part("w", {"succeeded": done, "running": running, "pending": pending}, 0.0))
        for at, done, running, pending in looks
    ]
    assert progress._rate(seen) == pytest.approx(rate)


def test_a_bar_has_a_length_for_each_state_in_its_colour() -> None:
    drawn = watch.bar(Part("w", {"pending": 50, "succeeded": 50}, 0.0))
    assert drawn.plain == "━" * 15 + "─" * 15
    assert [(span.start, span.end, span.style) for span in drawn.spans] == [(0, 15, "green"), (15, 30, "dim")]
    rare = watch.bar(Part("w", {"succeeded": 100_000, "failed": 1, "pending": 100_000}, 0.0))
    assert [span.style for span in rare.spans] == ["green", "red", "dim"]
    assert len(watch.bar(Part("w", {"succeeded": 1, "cancelled": 1, "blocked": 10**9}, 0.0))) == 30


def test_states_stand_in_the_order_of_the_bar() -> None:
    states = {"blocked": 1, "pending": 2, "scheduled": 3, "succeeded": 4, "failed": 5, "running": 0}
    assert watch.in_order(Part("w", states, 0.0)) == [
        ("succeeded", 4),
        ("failed", 5),
        ("pending", 2),
        ("blocked", 1),
        ("scheduled", 3),
    ]


def test_a_few_names_and_how_many_more() -> None:
    assert error_groups.some(["a", "b", "c"]) == "a, b, c"
    assert error_groups.some(["a", "b", "c", "d", "e"]) == "a, b, c +2"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("values", [[], [{"a": [1, None], "text": "x\ny"}], [{"a": 1}, 2, "é"]])
def test_a_list_is_the_same_json_item_by_item(
    values: list[object], terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: terminal)
    output.show_json_list(iter(values))
    written = capsys.readouterr().out
    assert json.loads(written) == values
    if terminal:
        assert written == json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    else:
        assert written.count("\n") == (len(values) + 2 if values else 1)
