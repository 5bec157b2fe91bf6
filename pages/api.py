"""The reference of the Python API: signatures and docstrings of everything that is public."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import simcelery
from simcelery import errors, testing
from simcelery.workflows.definition import Definition

_WIDTH = 100
_SECTION = re.compile(r"(Parameters|Returns|Yields|Raises|Attributes):$")
_ENTRY = re.compile(r"([A-Za-z_][\w, ]*):\s?(.*)")


# What a fixture needs of these, and no test.
_HIDDEN = {"Board.empty", "CrashAfter.end", "RealWorker.await_ready"}
_HIDDEN |= {"Worker.crashes", "Worker.crashes_left", "Worker.end", "Worker.live"}


def page() -> str:
    """The page, as Markdown."""
    parts = ["# Python API", "This page is made from the docstrings of the code.", "## simcelery"]
    for name in simcelery.__all__:
        if name == "app":  # to make it takes the addresses of servers
            parts += ["### app", "The Celery application, for `celery -A simcelery`."]
        else:
            parts += _described(name, getattr(simcelery, name))
    parts += ["### Options of @workflow", _text(_doc(Definition))]
    parts += ["## simcelery.testing", _text(_doc(testing))]
    for name in testing.__all__:
        parts += _described(name, getattr(testing, name))
    parts += ["## simcelery.errors", _text(_doc(errors))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _described(name: str, thing: Any) -> Iterator[str]:
    yield f"### {name}"
    # Where a constructor is nobody's to call, its parameters are not documented.
    if inspect.isfunction(thing) or "Parameters:" in _doc(thing):
        yield _code(_signature(name, thing))
    yield _text(_doc(thing))
    kind = thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)
    if inspect.isclass(kind) and not issubclass(kind, BaseException):
        for member, found in _members(kind):
            yield f"#### {name}.{member}" if member != "__call__" else f"#### {name}(…)"
            if inspect.isfunction(found):
                yield _code(_signature(name if member == "__call__" else member, found))
            yield _text(_doc(found))


def _doc(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _members(thing: type) -> Iterator[tuple[str, Any]]:
    """What is public of a class and of those of ours that it is made of; the nearest definition counts."""
    found: dict[str, Any] = {}
    for owner in reversed(thing.__mro__):
        if owner.__module__.startswith("simcelery."):
            found |= vars(owner)
    for name, value in found.items():
        public = name == "__call__" or not name.startswith("_")
        said = isinstance(value, property) or inspect.isfunction(value)
        if public and said and f"{thing.__name__}.{name}" not in _HIDDEN:
            yield name, value


def _signature(name: str, thing: Callable[..., Any]) -> str:
    signature = inspect.signature(thing)
    shown = list(_parameters(signature))
    returned = signature.return_annotation
    arrow = "" if returned is inspect.Signature.empty or inspect.isclass(thing) else f" -> {returned}"
    line = f"{name}({', '.join(shown)}){arrow}"
    return (
        line
        if len(line) <= _WIDTH
        else "\n    ".join([f"{name}(", *(f"{one}," for one in shown)]) + f"\n){arrow}"
    )


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        if one.name != "self":
            yield re.sub(r": '([^']*)'", r": \1", str(one))


def _text(doc: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    return "\n".join(_lines(doc.splitlines())).strip()


def _lines(lines: Iterable[str]) -> Iterator[str]:
    inside = ""
    for line in lines:
        if found := _SECTION.match(line):
            inside = found[1]
            yield f"**{inside}**"
            yield ""
        elif inside and line.startswith("    "):
            yield _item(line[4:], inside)
        else:
            inside = inside if not line else ""
            yield line.removesuffix(":") if line.endswith("::") and line != "::" else line.removesuffix("::")


def _item(line: str, section: str) -> str:
    if section in ("Returns", "Yields"):
        return line.strip()
    if line.startswith(" "):
        return f"  {line.strip()}"
    entry = _ENTRY.match(line)
    return f"- `{entry[1]}`: {entry[2]}" if entry else f"- {line}"
