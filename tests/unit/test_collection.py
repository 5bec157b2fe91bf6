"""Rare garbage collections while much is submitted, and the usual ones afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from simcelery.submission import collection


@pytest.fixture(autouse=True)
def _usual() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_collections_are_rare_within_and_as_usual_after_the_last_block() -> None:
    gc.set_threshold(500, 5, 7)
    with collection.rare():
        with pytest.raises(RuntimeError), collection.rare():
            raise RuntimeError
        first, *others = gc.get_threshold()
        assert first > 10_000
        assert others[0] == 5
    assert gc.get_threshold()[:2] == (500, 5)


@pytest.mark.parametrize("usual", [0, 1_000_000])
def test_who_has_fewer_keeps_them(usual: int) -> None:
    gc.set_threshold(usual, 5, 7)
    with collection.rare():
        assert gc.get_threshold()[0] == usual
    assert gc.get_threshold()[0] == usual
