"""Lists of hosts as Slurm shortens them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

_ONE = re.compile(r"[^,\[\]]*(?:\[[^\]]*\][^,\[\]]*)+|[^,\[\]]+")
_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_MOST = 10_000  # hosts: more is no answer of a scheduler


def expanded(text: str) -> tuple[str, ...]:
    """``n[1-2,07],gpu3`` is n1, n2, n07 and gpu3; what has no such form stays as it is."""
    found: list[str] = []
    for one in _ONE.findall(text):
        pieces = re.split(r"\[([^\]]*)\]", one)  # by turns a text and the inside of brackets
        choices = [[piece] if at % 2 == 0 else list(_numbers(piece)) for at, piece in enumerate(pieces)]
        for chosen in product(*choices):
            found.append("".join(chosen))
            if len(found) == _MOST:
                return tuple(found)
    return tuple(found)


def _numbers(inside: str) -> Iterator[str]:
    for part in inside.split(","):
        span = _RANGE.fullmatch(part)
        if span is None:
            yield part
            continue
        first, last = int(span[1]), int(span[2])
        for number in range(first, min(last, first + _MOST) + 1):
            yield str(number).zfill(len(span[1]))
