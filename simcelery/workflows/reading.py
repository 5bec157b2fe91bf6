"""JSON as people write it, read strictly: what would silently become something else is refused."""

from __future__ import annotations

import json
import math
from typing import Any

_MOST_DIGITS = 4000  # Python itself converts no more than 4,300
_DEEP = 100


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
        return json.loads(text, object_pairs_hook=_object, parse_float=number, parse_int=_int)
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


def number(text: str) -> float:
    """A decimal number as a float.

    Raises:
        Misread: it is too large or too small for one, or it is a word: ``nan`` or ``inf``.
        ValueError: it is none.
    """
    value = float(text)
    if is_word(text):
        raise Misread(f"this is the text {text!r}; pass float({text.strip()!r}) if you mean the number")
    if math.isinf(value):
        raise Misread(f"{_short(text)} is too large for a number of double precision")
    mantissa = text.lower().partition("e")[0]
    if value == 0.0 and mantissa.strip("-+0.") != "":
        raise Misread(f"{_short(text)} is too small for a number of double precision")
    return value


def is_word(text: str) -> bool:
    """Whether a text names a number that has no digits."""
    return text.strip().lower().lstrip("+-") in ("nan", "inf", "infinity")


def misread(given: Any, valid: Any, _depth: int = 0) -> str | None:
    """What is wrong with the first value in `given` that has become another number in `valid`, or None."""
    if _depth > _DEEP:  # it is refused when it is encoded
        return None
    if type(given) is bool and type(valid) in (int, float):
        return f"{str(given).lower()} is no number; write {valid}"
    if type(valid) is float:
        return _misread_number(given, valid)
    pairs: list[tuple[Any, Any]] = []
    if isinstance(given, dict) and isinstance(valid, dict) and len(given) == len(valid):
        pairs = [*zip(given, valid, strict=True), *zip(given.values(), valid.values(), strict=True)]
    elif isinstance(given, dict):  # of fields; properties run code, and are left alone
        fields = getattr(valid, "__dict__", {})
        pairs = [(item, fields.get(name)) for name, item in given.items()]
    elif isinstance(given, list | tuple) and isinstance(valid, list | tuple) and len(given) == len(valid):
        pairs = list(zip(given, valid, strict=True))
    return next(filter(None, (misread(one, other, _depth + 1) for one, other in pairs)), None)


def _misread_number(given: Any, valid: float) -> str | None:
    if type(given) is int and (not math.isfinite(valid) or int(valid) != given):
        return f"{_short(str(given))} is a whole number that a float cannot hold exactly"
    if isinstance(given, str):
        try:
            number(given)
        except Misread as error:
            return str(error)
        except ValueError:  # a validator of the user's own knew better
            return None
    return None


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
