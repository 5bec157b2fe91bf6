"""Durations and sizes as people write them, and ranges of numbers.

Parsing any text takes time proportional to its length, and yields either a number that Postgres and Python
can calculate with, or a one-line `ValueError`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

from simcelery.readable import short

LONGEST = 100 * 365 * 86400.0  # a hundred years: Postgres and Python can add it to today
LARGEST = 2**63 - 1
_MANY = 2 * int(LONGEST)

_DURATION_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_PLAIN = re.compile(_NUMBER)
_PIECE = re.compile(rf"({_NUMBER})(ms|d|h|m|s)")
_CLOCK = re.compile(r"(?:([0-9]{1,15})-)?([0-9]{1,15}):([0-9]{1,2}):([0-9]{1,2})")
_SIZE = re.compile(r"([0-9]{1,19})(\.[0-9]{1,15})?\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)


def parse_duration(value: str | float | timedelta) -> float:
    """Seconds from ``90``, ``1h30m``, ``2d``, ``500ms``, ``HH:MM:SS`` or a timedelta.

    Raises:
        ValueError: it is none of these, or longer than a hundred years.
    """
    seconds = _seconds(value)
    if seconds is None:
        how = "90, 1h30m or HH:MM:SS" if isinstance(value, str) else "90, '1h30m' or 'HH:MM:SS'"
        raise ValueError(f"{short(value)} is not a duration: write {how}")
    if abs(seconds) > LONGEST:
        raise ValueError(f"{short(value)} is longer than a hundred years")
    return seconds


def _seconds(value: object) -> float | None:
    match value:
        case timedelta():
            return value.total_seconds()
        case bool():
            return None
        case int():
            return float(min(max(value, -_MANY), _MANY))
        case float():
            return value if math.isfinite(value) else None
        case str():
            return _seconds_of(value.strip())
    return None


def _seconds_of(text: str) -> float | None:
    if _PLAIN.fullmatch(text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return days * 86400.0 + hours * 3600.0 + minutes * 60.0 + seconds
    total, at = 0.0, 0
    while piece := _PIECE.match(text, at):
        total += float(piece[1]) * _DURATION_UNITS[piece[2]]
        at = piece.end()
    return total if text and at == len(text) else None


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


def parse_size(value: str | int) -> int:
    """Bytes from ``1048576``, ``8G``, ``512M`` or ``64KiB`` (powers of 1024).

    Raises:
        ValueError: it is none of these, or more than a signed number of 64 bits can count.
    """
    count = _bytes(value)
    if count is None:
        how = "8G, 512M or a" if isinstance(value, str) else "'8G', '512M' or a whole"
        raise ValueError(f"{short(value)} is not a size: write {how} number of bytes")
    if count > LARGEST:
        raise ValueError(f"{short(value)} is too large: no computer has as many bytes")
    return count


def _bytes(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(value.strip())
    if not found:
        return None
    unit = _SIZE_UNITS[found[3].upper()]
    return int(found[1]) * unit + int(float(found[2] or 0) * unit)


def in_units(count: float) -> str:
    """Bytes for people: ``512 B``, ``3.4 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
