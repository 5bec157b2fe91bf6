"""Pauses grow, end in time, and differ between those who wait for the same thing."""

from __future__ import annotations

import multiprocessing
import random
import time
from itertools import islice

from simcelery.pauses import growing


def test_they_grow_up_to_the_longest_more_or_less() -> None:
    expected = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    found = list(islice(growing(0.1, 1.0, factor=2), len(expected)))
    for pause, middle in zip(found, expected, strict=True):
        assert 0.85 * middle <= pause <= 1.15 * middle


def test_the_last_one_ends_with_the_time() -> None:
    assert list(growing(1.0, 1.0, until=time.monotonic())) == []
    pauses = growing(1.0, 1.0, until=time.monotonic() + 0.05)
    assert next(pauses) <= 0.05
    time.sleep(0.05)
    assert next(pauses, None) is None


def test_a_fleet_that_waited_together_does_not_come_back_together() -> None:
    fleet = sorted(sum(islice(growing(0.1, 5.0, factor=2), 8)) for _ in range(100))
    assert fleet[75] - fleet[25] > 0.4  # 0.93 s is to be expected, give or take 0.1


def test_forks_of_one_process_do_not_keep_in_step() -> None:
    with multiprocessing.get_context("fork").Pool(4, initializer=random.seed, initargs=(1,)) as pool:
        found = [pool.apply_async(_first) for _ in range(8)]
        assert len({one.get(30) for one in found}) == 8


def _first() -> float:
    random.seed(1)
    return next(growing(1.0, 1.0))


def test_the_random_numbers_of_a_simulation_stay_its_own() -> None:
    random.seed(7)
    expected = [random.random(), random.random()]
    random.seed(7)
    first = random.random()
    next(growing(1.0, 1.0))
    assert [first, random.random()] == expected
