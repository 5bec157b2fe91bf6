"""Random numbers: the generators that one attempt seeds are independent of each other."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from simcelery.execution import entropy


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1, 2**32, 5270148013629201, 2**53 - 1])
def test_no_two_shared_generators_draw_the_same_numbers(seed: int) -> None:
    entropy.start(seed)
    drawn = [
        [random.random() for _ in range(1000)],
        list(np.random.rand(1000)),
        list(np.random.default_rng(seed).random(1000)),
    ]
    for one, other in itertools.combinations(drawn, 2):
        assert not set(one) & set(other)
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.2  # independent ones reach 0.2 once in 10⁹ times
    entropy.start(seed)
    assert drawn[:2] == [[random.random() for _ in range(1000)], list(np.random.rand(1000))]
