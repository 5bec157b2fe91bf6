"""YAML by the rules of its version 1.2, without what makes a file mean something else than it says.

``no`` and ``on`` are text, and so is a date. Anchors, tags, merge keys and numbers with leading zeros are
refused: they are read in different ways, or grow without end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from simcelery.workflows.reading import Misread, number

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_MOST_DIGITS = 4000
_DEEPEST = 200


def read(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: it is not YAML, or something in it is refused; the message says in which line.
    """
    try:
        events = _checked(yaml.parse(text, _Loader))
        next(events)  # the beginning of the stream
        begin = next(events)
        if isinstance(begin, yaml.StreamEndEvent):
            return None
        value = _value(next(events), events, 0)
        next(events)
        if not isinstance(end := next(events), yaml.StreamEndEvent):
            raise _refused(end, "a second document: write the jobs as a list with the key job")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (at line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise Misread(f"not YAML: {error.problem or error.context}{where}") from None
    except yaml.YAMLError as error:
        raise Misread(f"not YAML: {' '.join(str(error).split())}") from None
    return value


def _refused(event: Any, why: str) -> Misread:
    return Misread(f"line {event.start_mark.line + 1}: {why}")


def _checked(events: Iterator[Any]) -> Iterator[Any]:
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused(event, "anchors and aliases (&, *) are not read: write the value out, or quote it")
        if getattr(event, "tag", None):
            raise _refused(event, "tags (!) are not read: write plain values, or quote the text")
        if isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
            raise _refused(event, "directives (%) are not read: leave them out")
        yield event


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    if depth > _DEEPEST:
        raise _refused(event, "it is nested too deeply")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(event, events, depth + 1))
        return items
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _value(event, events, depth + 1)
        if not isinstance(key, str):
            raise _refused(event, "a key must be text: put it in quotes")
        if key == "<<" and not event.style:
            raise _refused(event, "merge keys (<<) are not read: write the keys out")
        if key in found:
            raise _refused(event, f"the key {key!r} is given twice")
        found[key] = _value(next(events), events, depth + 1)
    return found


def _scalar(event: Any) -> Any:
    text = event.value
    if event.style:  # quoted, or a block of text
        return text
    try:
        return _plain(text)
    except Misread as error:
        raise _refused(event, str(error)) from None


def _plain(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    if _LEADING_ZERO.fullmatch(text):
        raise Misread(f"{text[:40]} begins with a zero: is it a number, octal (0o17), or text ('017')?")
    if len(text) > _MOST_DIGITS and _INT.fullmatch(text):
        raise Misread(f"a number of more than {_MOST_DIGITS:,} digits")
    if _INT.fullmatch(text):
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return number(text)
    if word := _WORD.fullmatch(text):
        return float(f"{word[1] or ''}inf" if word[2] else "nan")
    return text
