"""Batches: until there is nothing more to do, or the time is over."""

from __future__ import annotations

import time

import pytest

from simcelery.board.batches import batches


@pytest.mark.parametrize(
    ("there", "expected"), [(0, [0]), (3, [3]), (10, [10, 0]), (25, [10, 10, 5]), (20, [10, 10, 0])]
)
def test_a_step_that_finds_fewer_than_it_may_is_the_last(there: int, expected: list[int]) -> None:
    left = [there]

    def step(rows: int) -> int:
        done = min(rows, left[0])
        left[0] -= done
        return done

    assert list(batches(step, rows=10)) == expected


def test_a_step_may_say_itself_whether_there_is_more() -> None:
    words = iter(["more", "more", "over", "more"])
    assert list(batches(lambda _: next(words), more=lambda word: word == "more")) == ["more", "more", "over"]


def test_no_step_begins_when_the_time_is_over() -> None:
    ends: list[float] = []

    def step(rows: int) -> int:
        time.sleep(0.02)
        ends.append(time.monotonic())
        return rows

    began = time.monotonic()
    assert 0 < len(list(batches(step, longest=0.1))) <= 5
    assert ends[-1] - began >= 0.1
    assert all(end - began < 0.1 for end in ends[:-1])


def test_no_step_is_taken_before_the_one_before_was_looked_at() -> None:
    taken: list[int] = []
    steps = batches(lambda rows: taken.append(rows) or rows)  # type: ignore[func-returns-value]
    next(steps)
    assert len(taken) == 1
