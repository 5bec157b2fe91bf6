"""The commands that run a job again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from shlex import join
from typing import TYPE_CHECKING, Any

from simcelery.board.states import CALLS, UNSUCCESSFUL
from simcelery.readable import readable

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import JobRow

_COMMAND = "command"
_LONGEST = 4000  # characters


def commands(row: JobRow) -> list[str]:
    """``simcelery retry 42`` of what did not succeed, and what submits another job like it.

    Left out is what a command line cannot say, or would take for something else, such as the text "5".
    """
    found = [f"simcelery retry {row.id}"] if row.state in UNSUCCESSFUL else []
    try:
        line = f"simcelery submit {join(_submission(row))}"
    except _UnsaidError:
        return found
    return [*found, line] if len(line) <= _LONGEST and readable(line) == line else found


class _UnsaidError(Exception):
    """A command line cannot say it."""


def _submission(row: JobRow) -> Iterator[str]:
    given = {name: value for name, value in row.parameters.items() if value not in (None, False)}
    options = ["--queue", row.queue, "--priority", str(row.priority)]
    options += [part for tag in row.tags for part in ("--tag", tag)]
    if row.workflow == CALLS:
        raise _UnsaidError
    if row.workflow != _COMMAND:
        yield from (row.workflow, *(f"{name}={_text(value)}" for name, value in row.parameters.items()))
        yield from options
    elif given.keys() == {"argv"} and all(isinstance(word, str) for word in given["argv"]):
        yield from (*options, "--", *given["argv"])
    else:
        raise _UnsaidError


def _text(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"$job"}:
        return f"@{value['$job']}"
    if isinstance(value, str):
        if _means_more(value):
            raise _UnsaidError
        return value
    _check(value)
    return json.dumps(value, ensure_ascii=False)


def _means_more(text: str) -> bool:
    """Whether a text may be read as a number, another value of JSON, or a job."""
    try:
        json.loads(text)
    except ValueError:
        return text.startswith("@") or text.strip().lower().lstrip("+-") in ("nan", "inf", "infinity")
    return True


def _check(value: Any) -> None:
    """Whether it is what JSON says, and nothing else."""
    match value:
        case dict():
            plain = all(isinstance(name, str) and not name.startswith("$") for name in value)
        case str():
            plain = not value.startswith("@")
        case float():
            plain = math.isfinite(value)
        case _:
            plain = True
    if not plain:
        raise _UnsaidError
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check(item)
