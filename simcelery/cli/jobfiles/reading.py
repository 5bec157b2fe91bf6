"""A job file as plain values, in whichever of the three formats it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simcelery.errors import UsageError
from simcelery.readable import line
from simcelery.workflows.reading import Misread, is_word, number, strict

SUFFIXES = (".toml", ".yaml", ".yml", ".json")
_DEEPEST = 100
_LARGEST = 64 * 1024 * 1024  # bytes


def is_name(text: str) -> bool:
    """Whether a text may be the name of a job file."""
    return text.lower().endswith(SUFFIXES)


def read(path: str) -> dict[str, Any]:
    """What a job file says.

    Raises:
        UsageError: it cannot be read; one line says where and why.
    """
    text = _text(path)
    try:
        found = _parsed(path, text)
        if not isinstance(found, dict):
            raise Misread(f"it holds {_kind(found)} instead of keys and values")
        _check(found)
    except RecursionError:
        raise UsageError(f"{path}: it is nested too deeply") from None
    except ValueError as error:  # of all three formats, with the position
        raise UsageError(f"{path}: {line(error)}") from None
    return found


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_LARGEST + 1)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: it is not UTF-8 text") from None
    except (OSError, ValueError) as error:  # a name with NUL or a lone surrogate
        raise UsageError(f"{line(path)}: {getattr(error, 'strerror', None) or error}") from None
    if len(text) > _LARGEST:
        raise UsageError(f"{path}: it is larger than 64 MiB: put the parameters into a table for each")
    return text


def _parsed(path: str, text: str) -> Any:
    match Path(path).suffix.lower():
        case ".toml":
            return tomllib.loads(text, parse_float=_toml_number)
        case ".json":
            return strict(text)
    from simcelery.cli.jobfiles import yaml12

    return yaml12.read(text)


def _toml_number(text: str) -> float:
    return float(text) if is_word(text) else number(text.replace("_", ""))


def _check(value: Any, depth: int = 0) -> None:
    """Refuse what the board may not be given, wherever it stands."""
    if depth > _DEEPEST:
        raise Misread("it is nested too deeply")
    if isinstance(value, dict) and "$job" in value:
        raise Misread('the key "$job" cannot be given; the result of job 42 is written "@42"')
    for part in _parts(value):
        _check(part, depth + 1)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else "a single value"
