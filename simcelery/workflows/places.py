"""Places for values in a text: ``{T}``, or ``{T:8.3f}`` with one of Python's format specifications.

``{{T}}`` stands for the text ``{T}``; other braces, as in ``${HOME}``, ``awk '{print $1}'`` and JSON, for
themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from simcelery.errors import ParametersError
from simcelery.readable import line, short

_NAME = r"[A-Za-z_]\w*"
_FORM = r"[<>^=+ -]*0?\d*(?:\.\d+)?[deEfFgGsxX%]"
_PLACE = re.compile(rf"\{{\{{({_NAME}(?::{_FORM})?)\}}\}}|(?<!\$)\{{({_NAME})(?::({_FORM}))?\}}", re.ASCII)


def names(texts: Iterable[str]) -> list[str]:
    """The names of the places, in the order of their first appearance."""
    found = (match[2] for text in texts for match in _PLACE.finditer(text))
    return list(dict.fromkeys(filter(None, found)))


def filler(values: Mapping[str, Any], where: str) -> Callable[[str], str]:
    """A function that puts the values where they belong.

    Parameters:
        where: what has the places, for messages: ``the command``.

    Raises:
        ParametersError: also when that is called: a value is missing, or cannot be written as text.
    """
    texts = {name: _text(name, value, where) for name, value in values.items()}

    def fill(match: re.Match[str]) -> str:
        literal, name, form = match.groups()
        if literal is not None:
            return f"{{{literal}}}"
        if name not in values:
            known = line(", ".join(values)) or "none"
            raise ParametersError(
                f"{where} has {{{name}}}, but there is no value of that name (only: {known}); "
                f"for these characters themselves write {{{{{name}}}}}"
            )
        return texts[name] if not form else _formatted(name, values[name], form)

    return lambda text: _PLACE.sub(fill, text)


def check_used(given: Iterable[str], taken: Iterable[str], where: str) -> None:
    """A value that goes nowhere would make jobs that look different and are not.

    Raises:
        ParametersError: there is one.
    """
    for name in given:
        if name not in taken:
            raise ParametersError(
                f"nothing in {where} takes {short(name)}: write this name in braces where the value belongs, "
                "or leave the value out"
            )


def _text(name: str, value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)  # a number as the file has it, and true or false
    what = "empty" if value is None else "neither text nor a number"
    raise ParametersError(f"{name}: its value is {what}, which cannot be part of {where}")


def _formatted(name: str, value: Any, form: str) -> str:
    number = value
    if isinstance(value, str):  # as a table has it
        for kind in (int, float):
            try:
                number = kind(value)
                break
            except ValueError:
                continue
    try:
        return format(number, form)
    except (ValueError, TypeError):
        raise ParametersError(
            f"{name}: {short(value)} cannot be written in the form {{{name}:{form}}}"
        ) from None
