"""Numbers and times in words for people."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise

from simcelery.errors import ITS_OUTPUT
from simcelery.quantities import in_units, spans
from simcelery.readable import line

_AGO = ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d"))


def ago(moment: dt.datetime | None, now: dt.datetime | None = None) -> str:
    """``3 min ago``, ``in 2 h``; a date after a month; nothing for None."""
    if moment is None:
        return ""
    seconds = ((now or dt.datetime.now(dt.UTC)) - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    for limit, unit, name in _AGO:
        if abs(seconds) < limit:
            # Rounded down for the past, up for the future.
            whole = seconds // unit if seconds > 0 else -(seconds // unit)
            count = f"{whole:.0f} {name}"
            return f"{count} ago" if seconds > 0 else f"in {count}"
    return f"{moment.astimezone():%Y-%m-%d}"


def moment(value: dt.datetime | None) -> str:
    """A moment in local time, with how long ago that is."""
    return f"{value.astimezone():%Y-%m-%d %H:%M:%S %Z} ({ago(value)})" if value else ""


def duration(seconds: float | None) -> str:
    """``120ms``, ``4.5s``, ``45s``, ``3m20s``, ``1h30m``, ``2d4h``: what the command line also reads."""
    if seconds is None:
        return ""
    seconds = max(0.0, float(seconds))
    if seconds == math.inf:
        return "for ever"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit}{name}" + (f"{rest}{part_name}" if rest else "")
    return f"{whole}s"


def span(start: dt.datetime | None, end: dt.datetime | None, now: dt.datetime | None = None) -> str:
    """How long something took, or has taken so far."""
    if start is None:
        return ""
    return duration(((end or now or dt.datetime.now(dt.UTC)) - start).total_seconds())


def rate(per_second: float) -> str:
    """``12/s``, ``3.5/min``, ``2/h``; nothing for 0."""
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h"), (86_400, "d")):
        if round(per_second * seconds, 2) >= 1:
            return f"{per_second * seconds:,.3g}/{unit}" if per_second < 999.5 else f"{per_second:,.0f}/s"
    return f"{per_second * 86_400:.2g}/d" if per_second else ""


def size(count: float | None) -> str:
    """``512 B``, ``3.4 MiB``."""
    return "" if count is None else in_units(count)


def core_hours(number: float) -> str:
    """``0``, ``0.042``, ``2.5``, ``1,234``: with as many digits as matter."""
    if 0 < number < 0.001:
        return "<0.001"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def many(count: int, noun: str = "job") -> str:
    """``1 job``, ``10,000 jobs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def compact(ids: Iterable[int], most: int = 12) -> str:
    """Ids as a selector, ``1-5,8``; cut off after `most` parts."""
    # Usually sorted already, and a million ids should not be copied.
    ascending = isinstance(ids, Sequence) and all(a < b for a, b in pairwise(ids))
    parts = list(islice(spans(ids if ascending else sorted(set(ids))), most + 1))
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in parts[:most]]
    return ",".join(shown) + (",…" if len(parts) > most else "")


def spaced(ids: Iterable[int], most: int = 12) -> str:
    """Ids to read, ``1, 501, 1000``, which without the spaces look like one number; also a selector."""
    return compact(ids, most).replace(",", ", ")


def listed(ids: Iterable[int], most: int = 12) -> str:
    """Ids in a sentence, ``1, 501 and 1000``."""
    first, comma, last = spaced(ids, most).rpartition(", ")
    return f"{first} and {last}" if comma and last != "…" else f"{first}{comma}{last}"


def named(ids: Sequence[int], most: int = 12) -> str:
    """``job 42``, ``3 jobs (1-2, 8)``."""
    return f"job {ids[0]}" if len(ids) == 1 else f"{many(len(ids))} ({spaced(ids, most)})"


def told(error: str) -> str:
    """An error in one line; of a program that failed without the end of its output."""
    return one_line(error.split(ITS_OUTPUT)[0])


def one_line(text: object) -> str:
    """Text without line breaks and control characters, so that a job's error cannot steer the terminal."""
    return " ".join(line(text).split())


def shorten(text: object, most: int = 60) -> str:
    """One line of at most `most` characters."""
    line = one_line(text)
    return line if len(line) <= most else line[: most - 1] + "…"
