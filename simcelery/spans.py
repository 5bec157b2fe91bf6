"""Unbroken ranges of whole numbers, such as the ids of a submission."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def spans(ascending: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as pairs, the first and the last of each unbroken range."""
    numbers = iter(ascending)
    first = next(numbers, None)
    if first is None:
        return
    last = first
    for number in numbers:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last
