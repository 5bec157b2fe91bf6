"""Which annotations can be stored, and which leave open what a value is."""

from __future__ import annotations

import collections.abc
import dataclasses
import typing
from collections.abc import Iterable
from typing import Any

from simcelery.workflows.annotations import Kind, Part, is_numpy_scalar, walk
from simcelery.workflows.encoding import build_method, dict_method

# numpy's classes that stand for several dtypes, or for one that cannot be stored.
NOT_ONE_DTYPE = {
    *("generic", "number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating"),
    *("complexfloating", "flexible", "character", "longdouble", "clongdouble"),
}

# Annotations that say nothing of the type of a value, or of its items.
_CONTAINERS = (list, dict, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Mapping)
_OPEN = (Any, object, *_CONTAINERS)
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def unstorable(annotation: Any) -> str | None:
    """The name of a type that can never be stored or restored, or None. Fields of classes count too."""
    parts = walk(annotation, _stored_parts, lambda here: _annotations_of_fields(here.target))
    return next(filter(None, map(_refused, parts)), None)


def _stored_parts(here: Part) -> Iterable[Any]:
    # A validator of the user's own may make what cannot be stored from what is.
    if here.kind is Kind.ARRAY or any(map(_validates, here.metadata)):
        return ()
    return here.inner


def _validates(metadata: Any) -> bool:
    return hasattr(metadata, "func") or hasattr(metadata, "__get_pydantic_core_schema__")


def _refused(here: Part) -> str | None:
    """What a part is for people, where no value of it can be stored."""
    cls = here.target
    if here.kind is Kind.FUNCTION:
        return "function"
    if cls is type:
        return "class"
    if here.kind not in (Kind.CLASS, Kind.GENERIC) or not isinstance(cls, type) or _is_storable(cls):
        return None
    module = cls.__module__.removeprefix("_") if cls.__module__ in ("_io", "_thread") else cls.__module__
    return f"{module}.{cls.__qualname__}"


def _is_storable(cls: type) -> bool:
    if cls is object or cls in _PLAIN or cls in _CONTAINERS:
        return True
    if cls in (collections.abc.Iterator, collections.abc.Generator, collections.abc.AsyncIterator):
        return False
    if dict_method(cls) and build_method(cls):
        return True
    if is_numpy_scalar(cls):
        return cls.__name__ not in NOT_ONE_DTYPE
    if cls.__module__ == "numbers" or getattr(cls, "_is_protocol", False) or dataclasses.is_dataclass(cls):
        return True
    from pydantic import TypeAdapter  # takes long to import, and simple annotations need it not
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        TypeAdapter(cls)
    except PydanticSchemaGenerationError:
        return False
    except Exception:
        return True  # something else is wrong with it, and is reported with its reason
    return True


def is_plain_data(annotation: Any) -> bool:
    """Whether it is of containers and plain values only: no code of a class or validator has a say."""
    return all(map(_is_plain_part, walk(annotation, lambda here: here.inner, lambda here: ())))


def _is_plain_part(here: Part) -> bool:
    if here.kind in (Kind.CLASS, Kind.GENERIC):
        return here.target in _CONTAINERS or here.target in _PLAIN
    if here.kind is Kind.OTHER:
        return here.annotation is Any or here.annotation is ...
    return here.kind in (Kind.UNION, Kind.LITERAL) or not any(map(_validates, here.metadata))


def is_open(annotation: Any) -> bool:
    """Whether it leaves open of what type a value is, or a part of it."""
    parts = walk(annotation, lambda here: here.inner, _fields_of_a_class)
    return any(map(_says_nothing, parts))


def _says_nothing(here: Part) -> bool:
    return any(here.annotation is one for one in _OPEN) or isinstance(here.annotation, typing.TypeVar)


def _fields_of_a_class(here: Part) -> Iterable[Any]:
    return _annotations_of_fields(here.target) if here.kind is Kind.CLASS else ()


def _annotations_of_fields(cls: type) -> list[Any]:
    """Of a class that is stored and rebuilt field by field, without code of its own."""
    if dict_method(cls) and build_method(cls):
        return []
    if hasattr(cls, "model_fields") and hasattr(cls, "model_dump"):
        own = getattr(cls, "__pydantic_decorators__", None)
        plain = own is None or not (own.field_validators or own.field_serializers or own.model_validators)
        return (
            [field.annotation for field in cls.model_fields.values() if not field.metadata] if plain else []
        )
    if not dataclasses.is_dataclass(cls):
        return []
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:  # pydantic says what is wrong with them
        return []
    return [hints[field.name] for field in dataclasses.fields(cls) if field.name in hints]
