"""A submission from the command line, as a job file in TOML."""

from __future__ import annotations

import datetime as dt
import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli import programs, references, selectors
from simcelery.cli.jobfiles.entries import key_of
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.cli.targets import Target


def written(
    target: Target,
    argv: Sequence[str] | None,
    texts: Iterable[tuple[str, str]],
    each: str | None,
    grid: Iterable[tuple[str, str]],
    options: Mapping[str, Any],
) -> str:
    """The file.

    Parameters:
        argv: the command, where it is one.
        texts: names and values as on the command line.
        options: by their keys, without those that have their defaults.

    Raises:
        UsageError: it cannot be written into a file.
    """
    if each == "-":
        raise UsageError("--echo cannot write what comes from stdin: save it to a file, and name that")
    import tomli_w  # only for this

    parameters, left = _parameters(target, texts)
    said: dict[str, Any] = {"command": list(argv)} if argv is not None else {"workflow": target.name}
    said |= dict(options)
    said |= {"each": _absolute(each)} if each is not None else {}
    tables = {"parameters": parameters, "texts": left, "grid": dict(grid)}
    return tomli_w.dumps(said | {name: table for name, table in tables.items() if table})


def given(options: Iterable[click.Parameter], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The options that differ from their defaults, by their keys in a file."""
    found = {}
    for option in options:
        if not isinstance(option, click.Option) or option.name not in chosen:
            continue
        value = chosen[option.name]
        if value in (None, (), False) or value == option.default:
            continue
        found[key_of(option)] = _option(str(option.name), value)
    return found


def _option(name: str, value: Any) -> Any:
    if name in ("after", "after_any"):
        selection = selectors.parse(value)
        return list(selectors.resolve(selection)) if selection else []
    if name == "run_at" and not value.startswith("+"):
        return dt.datetime.fromisoformat(value).astimezone().isoformat()
    if name == "files":
        return programs.absolute(value)
    return list(value) if isinstance(value, tuple) else value


def _parameters(target: Target, texts: Iterable[tuple[str, str]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values that TOML has a form for, and the texts of the others."""
    parameters: dict[str, Any] = {}
    left: dict[str, str] = {}
    for name, said in texts:
        text = references.by_id(said)
        if references.is_reference(text):
            value = text
        elif (value := references.structure(text)) is None:
            value = references.escaped(target.parse([(name, references.unescaped(text))])[name])
        if _has_form(value):
            parameters[name] = value
        else:
            left[name] = text
    return parameters, left


def _has_form(value: Any, depth: int = 0) -> bool:
    """Whether TOML can hold it: not null, nor text that is no Unicode, nor what is nested too deeply."""
    if isinstance(value, str):
        return _is_unicode(value)
    if depth > references.DEEP:
        return False
    if isinstance(value, dict) and not all(map(_is_unicode, value)):
        return False
    if isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        return all(_has_form(item, depth + 1) for item in items)
    return isinstance(value, bool | int | float)


def _is_unicode(text: Any) -> bool:
    try:
        return (isinstance(text, str) and bool(text.encode())) or text == ""
    except UnicodeEncodeError:
        return False


def _absolute(each: str) -> str:
    """The same files from whichever folder the file is submitted."""
    here = os.getcwd()
    if glob.has_magic(here):
        return each
    name, equals, pattern = each.partition("=")
    if equals and name.isidentifier():
        return f"{name}={os.path.join(here, pattern)}"
    return os.path.join(here, each)
