"""JSON as people write it, read strictly: what would silently become something else is refused."""

from __future__ import annotations

import json
import math
from typing import Any

_MOST_DIGITS = 4000  # Python itself converts no more than 4,300


class Misread(ValueError):
    """It is JSON, but not what was meant can be told from it, or kept."""


def strict(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        Misread: a key stands twice, a number is too large or too small for a float, or an object is one that
            only the board may write.
        ValueError: it is not JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=_float, parse_int=_int)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Misread(f"the key {key!r} is given twice")
        found[key] = value
    if "$job" in found:
        raise Misread(
            'an object with the key "$job" cannot be given as a value; to use the result of a job, submit '
            "from Python with the Job itself as the parameter"
        )
    return found


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise Misread(f"{_short(text)} has more than {_MOST_DIGITS:,} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Misread(f"{_short(text)} is too large for a number of double precision")
    mantissa = text.lower().partition("e")[0]
    if value == 0.0 and mantissa.strip("-+0.") != "":
        raise Misread(f"{_short(text)} is too small for a number of double precision")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
