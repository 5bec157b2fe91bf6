"""What a setting may be: a function for each kind makes its value of what a file, a variable or a flag says.

All of them raise a ValueError that says what is wrong, and never quotes what may be secret. Not pydantic:
every command reads the settings, and its import would take a third of a short command's time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simcelery.quantities import parse_duration, parse_size

Kind = Callable[[Any], Any]
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})


class Secret:
    """A text that is never shown, such as a URL with a password."""

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The text."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({'**********' if self else ''!r})"


def text(value: Any) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be Unicode text") from None
    return value


def one_of(*words: str) -> Kind:
    """One of these words."""

    def kind(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            *some, last = map(repr, words)
            raise ValueError(f"must be {', '.join(some)} or {last}")
        return value

    return kind


def matching(pattern: str, what: str) -> Kind:
    """A text that matches a regular expression; `what` says what it must be."""

    def kind(value: Any) -> str:
        if not re.fullmatch(pattern, text(value)):
            raise ValueError(f"must {what}")
        return str(value)

    return kind


def checked(check: Callable[[str], None]) -> Kind:
    """A text that passes a check."""

    def kind(value: Any) -> str:
        check(text(value))
        return str(value)

    return kind


def secret(check: Callable[[str], None]) -> Kind:
    """A `Secret` that passes a check."""

    def kind(value: Any) -> Secret:
        plain = text(value.get_secret_value() if hasattr(value, "get_secret_value") else value)
        if plain:
            check(plain)
        return Secret(plain)

    return kind


def boolean(value: Any) -> bool:
    """True or false, also as a word or a number."""
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError("must be a boolean")
    return word in _TRUE


def integer(least: int, most: int | None = None) -> Kind:
    """A whole number within bounds."""

    def kind(value: Any) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("must be an integer") from None
        if isinstance(value, bool) or (isinstance(value, float) and number != value):
            raise ValueError("must be an integer")
        return _within(number, least, most)

    return kind


def _within(number: int, least: int, most: int | None) -> int:
    if number < least:
        raise ValueError(f"must be at least {least}")
    if most is not None and number > most:
        raise ValueError(f"must be at most {most}")
    return number


def duration(value: Any) -> float:
    """Seconds, more than 0."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be greater than 0")
    return seconds


def size(least: int = 0) -> Kind:
    """Bytes, more than 0."""

    def kind(value: Any) -> int:
        number = parse_size(value)
        if number <= 0:
            raise ValueError("must be greater than 0")
        return _within(number, least, None)

    return kind


def texts(value: Any) -> list[str]:
    """A list of texts, or one text with commas or spaces between them."""
    if isinstance(value, str):
        value = _words(value)
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list")
    return [text(one) for one in value]


def _words(value: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", value) if part]


def counts(value: Any) -> dict[str, int]:
    """A table of whole numbers, or a text of ``NAME=NUMBER`` with commas or spaces between them."""
    if isinstance(value, str):
        pairs = [part.rpartition("=") for part in _words(value)]
        value = {name: int(most) if most.isdecimal() else most for name, _, most in pairs}
    if not isinstance(value, dict):
        raise ValueError("must be a dictionary")
    for most in value.values():
        if not isinstance(most, int) or isinstance(most, bool):
            raise ValueError("must be an integer")
    return {text(name): _within(most, 0, None) for name, most in value.items()}


def tables(value: Any) -> dict[str, dict[str, Any]]:
    """A table of tables, or the same as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be JSON") from None
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise ValueError("must be a table of tables")
    return {text(name): one for name, one in value.items()}


def choices(*words: str) -> Kind:
    """A table of these words, or a text of ``NAME=WORD`` with commas or spaces between them."""

    def kind(value: Any) -> dict[str, str]:
        if isinstance(value, str):
            value = {name: word for name, _, word in (part.rpartition("=") for part in _words(value))}
        if not isinstance(value, dict):
            raise ValueError("must be a table")
        return {text(name): one_of(*words)(word) for name, word in value.items()}

    return kind


def folder(value: Any) -> Path:
    """An absolute path: workers and servers change their working directory."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError("must be a path")
    path = Path(value)
    if not str(path).isprintable():
        raise ValueError("must be a folder's path in UTF-8, without line breaks")
    return expanded(path).absolute()


def expanded(path: Path) -> Path:
    """A path without ``~``."""
    try:
        return path.expanduser()
    except RuntimeError:  # ~name of an unknown user
        return path


def or_none(kind: Kind) -> Kind:
    """Of a kind, or nothing."""
    return lambda value: None if value is None else kind(value)
