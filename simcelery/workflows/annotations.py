"""Annotations as trees: what each part is, a walk over all of them, and what they are called."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin


class Kind(enum.Enum):
    """What a part of an annotation is, by example."""

    ANNOTATED = "Annotated[int, …]"
    LITERAL = "Literal['a', 'b']"
    UNION = "int | None"
    FUNCTION = "Callable[[int], str]"
    ARRAY = "numpy.ndarray, NDArray[float64]"
    GENERIC = "list[int]"
    CLASS = "int"
    OTHER = "Any, a type variable, …"


@dataclass(frozen=True)
class Part:
    """One part of an annotation.

    Attributes:
        annotation: itself.
        kind: what it is.
        target: ``list`` of ``list[int]``; without brackets the annotation itself.
        inner: the annotations that it is made of.
        metadata: what ``Annotated`` adds.
    """

    annotation: Any
    kind: Kind
    target: Any
    inner: tuple[Any, ...] = ()
    metadata: tuple[Any, ...] = ()


def part(annotation: Any) -> Part:
    """What an annotation is, and what it is made of."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Part(annotation, Kind.ANNOTATED, origin, args[:1], args[1:])
    target = origin or annotation
    if target is typing.Literal:
        return Part(annotation, Kind.LITERAL, target)
    return Part(annotation, _kind(target, bracketed=origin is not None), target, args)


def _kind(target: Any, *, bracketed: bool) -> Kind:
    if target in (typing.Union, types.UnionType):
        return Kind.UNION
    if target is collections.abc.Callable:
        return Kind.FUNCTION
    if is_array(target):
        return Kind.ARRAY
    if bracketed:
        return Kind.GENERIC
    return Kind.CLASS if isinstance(target, type) else Kind.OTHER


def is_array(target: Any) -> bool:
    """Whether it is numpy's class of arrays, which is recognised without importing numpy."""
    return getattr(target, "__module__", "") == "numpy" and getattr(target, "__name__", "") == "ndarray"


def is_numpy_scalar(target: type) -> bool:
    """Whether it is one of numpy's classes of single values."""
    return target.__module__ == "numpy" and any(base.__name__ == "generic" for base in target.__mro__)


def walk(
    annotation: Any,
    within: Callable[[Part], Iterable[Any]],
    fields: Callable[[Part], Iterable[Any]],
    _seen: frozenset[Any] = frozenset(),
) -> Iterator[Part]:
    """An annotation, and all that it consists of.

    Parameters:
        within: the annotations inside a part that count.
        fields: those of the fields of a class, asked once on the way to it: a class may hold itself.
    """
    here = part(annotation)
    yield here
    for inner in within(here):
        yield from walk(inner, within, fields, _seen)
    if isinstance(here.target, type) and here.target not in _seen:
        for inner in fields(here):
            yield from walk(inner, within, fields, _seen | {here.target})


def type_name(annotation: Any) -> str:
    """A type for people: ``float | None``, or what its JSON schema says of itself."""
    if annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    here = part(annotation)
    inner = [type_name(each) for each in here.inner]
    match here.kind:
        case Kind.ANNOTATED:
            return _described(here.metadata) or inner[0]
        case Kind.LITERAL:
            return " | ".join(map(repr, get_args(annotation)))
        case Kind.UNION:
            return " | ".join(inner)
    name = getattr(here.target, "__name__", None)
    if inner:
        return f"{name or here.target}[{', '.join(inner)}]"
    return name if isinstance(name, str) else str(annotation).replace("typing.", "")


def _described(metadata: Iterable[Any]) -> str | None:
    """What a type says of itself where its JSON schema is written by hand."""
    from pydantic import WithJsonSchema  # takes long to import, and simple annotations need it not

    for each in metadata:
        schema = each.json_schema if isinstance(each, WithJsonSchema) else None
        if schema and (said := schema.get("description") or schema.get("title")):
            return str(said)
    return None


def one_line(error: BaseException) -> str:
    """An error as one line of a message."""
    return " ".join(f"{type(error).__name__}: {error}".split()) if str(error) else type(error).__name__
