"""How many jobs a slice holds: what has proved short travels with others, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from simcelery.board.states import Outcome
from simcelery.board.values import EndedAttempt
from simcelery.worker.child import pace


@pytest.fixture(autouse=True)
def _nothing_measured() -> Iterator[None]:
    pace._measured.clear()
    yield
    pace._measured.clear()


def measured(*seconds: float, workflow: str = "w") -> None:
    for one in seconds:
        pace.note(workflow, one)


def test_what_was_never_measured_travels_alone() -> None:
    assert (pace.fill("w"), pace.is_short("w")) == (1, False)


@pytest.mark.parametrize(("seconds", "short"), [(0.049, True), (0.05, False), (0.051, False), (10.0, False)])
def test_short_is_below_50_milliseconds(seconds: float, short: bool) -> None:
    measured(*[seconds] * 1000)
    assert pace.is_short("w") is short
    assert (pace.fill("w") > 1) is short


@pytest.mark.parametrize(("seconds", "jobs"), [(0.04, 6), (0.025, 10), (0.01, 25), (0.001, 250), (0.0, 1000)])
def test_a_slice_fills_a_quarter_of_a_second_and_holds_a_thousand_jobs_at_most(
    seconds: float, jobs: int
) -> None:
    measured(*[seconds] * 1000)
    assert abs(pace.fill("w") - jobs) <= 1


def test_a_slice_grows_with_what_was_measured() -> None:
    """One short job proves little: a thousand of them may hide a long one."""
    sizes = []
    for _ in range(4):
        measured(0.0001)
        sizes.append(pace.fill("w"))
    assert sizes == [4, 8, 12, 16]


def test_a_long_job_counts_at_once_and_short_ones_only_by_and_by() -> None:
    measured(*[0.001] * 100)
    measured(0.3)
    assert not pace.is_short("w")
    measured(0.001)
    assert not pace.is_short("w")
    measured(*[0.001] * 20)
    assert pace.is_short("w")


def test_a_job_that_takes_a_little_longer_changes_the_mean_a_little() -> None:
    measured(*[0.01] * 100)
    measured(0.11)  # a fifth of the way: 0.03
    assert pace.fill("w") == 8


def test_each_workflow_has_a_pace_of_its_own() -> None:
    measured(*[0.001] * 100)
    measured(10.0, workflow="slow")
    assert (pace.is_short("w"), pace.is_short("slow")) == (True, False)
    assert pace.fill("slow") == 1


@pytest.mark.parametrize(("size", "jobs"), [(0, 1000), (5000, 838), (1 << 20, 4), (3 << 20, 1), (9 << 20, 1)])
def test_a_slice_is_no_larger_than_its_outcomes_fit_into_memory(size: int, jobs: int) -> None:
    for _ in range(1000):
        pace.note("w", 0.0001, size)
    assert pace.fill("w") == jobs


def test_a_large_outcome_counts_at_once_and_small_ones_only_by_and_by() -> None:
    measured(*[0.0001] * 1000)
    pace.note("w", 0.0001, 1 << 20)
    assert pace.fill("w") == 4
    measured(0.0001)
    assert pace.fill("w") == 5


@pytest.mark.parametrize(
    ("ended", "size"),
    [
        ({}, 0),
        ({"result": 10**300}, 0),
        ({"result": True, "log": "printed"}, 7),
        ({"result": "text"}, 4),
        ({"result": {"energies": [1.5, None]}, "log": {1: "ab", 3: "c"}}, 26),
    ],
)
def test_an_outcome_is_as_large_as_what_was_returned_and_printed(ended: dict[str, Any], size: int) -> None:
    assert pace.size_of(EndedAttempt(outcome=Outcome.SUCCEEDED, **ended)) == size
