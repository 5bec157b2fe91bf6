"""Annotations: which can be stored, how their values are restored, and what they are called."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

from pydantic import BeforeValidator, TypeAdapter, WithJsonSchema, WrapValidator
from pydantic.errors import PydanticSchemaGenerationError

from simcelery.readable import short
from simcelery.workflows.atoms import is_atoms, rebuilt
from simcelery.workflows.encoding import build_method, dict_method

# numpy's classes that stand for several dtypes, or for one that cannot be stored.
_NOT_ONE_DTYPE = {
    *("generic", "number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating"),
    *("complexfloating", "flexible", "character", "longdouble", "clongdouble"),
}


# Annotations that say nothing of the type of a value, or of its items.
_OPEN = (Any, object, list, dict, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Mapping)


def restorable(annotation: Any) -> Any:
    """The annotation, with classes that JSON cannot rebuild wrapped so that their stored form is accepted."""
    origin, args = get_origin(annotation), get_args(annotation)
    target = origin or annotation
    if _is_array(target):
        return Annotated[target, BeforeValidator(_array_builder(args))]
    if target is collections.abc.Iterable:  # pydantic would hand on an iterator, which can be read only once
        return list[restorable(args[0])] if args else list  # type: ignore[misc]
    if origin:
        if origin is Annotated:
            return Annotated[(restorable(args[0]), *args[1:])]
        if origin in (typing.Literal, Callable) or not args:
            return annotation
        rebuilt = tuple(restorable(arg) for arg in args)
        if rebuilt == args:
            return annotation
        return typing.Union[rebuilt] if _is_union(origin) else origin[rebuilt]  # noqa: UP007
    if not isinstance(annotation, type) or hasattr(annotation, "model_fields"):
        return annotation
    if _is_numpy_scalar(annotation):
        return Annotated[annotation, BeforeValidator(_scalar_builder(annotation))]
    method = build_method(annotation)
    if dataclasses.is_dataclass(annotation) and not (method and dict_method(annotation)):
        late = [field.name for field in dataclasses.fields(annotation) if not field.init]
        return Annotated[annotation, WrapValidator(_dataclass_builder(late))] if late else annotation
    return Annotated[annotation, BeforeValidator(_builder(annotation, method))] if method else annotation


def _is_union(origin: Any) -> bool:
    return origin in (typing.Union, types.UnionType)


def _is_array(target: Any) -> bool:
    return getattr(target, "__module__", "") == "numpy" and getattr(target, "__name__", "") == "ndarray"


def _is_numpy_scalar(target: type) -> bool:
    return target.__module__ == "numpy" and any(base.__name__ == "generic" for base in target.__mro__)


def _builder(cls: type, method: str) -> Callable[[Any], Any]:
    def build(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        try:
            return rebuilt(cls, method, value) if is_atoms(cls) else getattr(cls, method)(value)
        except Exception as error:
            raise ValueError(f"{cls.__name__}.{method}() failed: {one_line(error)}") from error

    return build


def _scalar_builder(cls: type) -> Callable[[Any], Any]:
    def build(value: Any) -> Any:
        if not isinstance(value, bool | int | float | complex | str):
            return value
        made = cls(value)
        if isinstance(made.item(), int) and made != value and not isinstance(value, str):
            raise ValueError(f"{short(value)} is no {cls.__name__}")
        return made

    return build


def _array_builder(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Arrays from lists, with the dtype that ``NDArray[dtype]`` declares."""
    declared = get_args(args[1]) if len(args) == 2 else ()
    concrete = [d for d in declared if isinstance(d, type) and d.__name__ not in _NOT_ONE_DTYPE]

    def build(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        import numpy as np

        found = np.asarray(value, dtype=concrete[0] if concrete else None)
        if found.dtype.kind in "iub" and (np.asarray(value) != found).any():
            raise ValueError(f"{short(value)} holds what is no {found.dtype.name}")
        return found

    return build


def _dataclass_builder(late: list[str]) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Fields with ``init=False`` are stored too: they are set after the others have made the object."""

    def build(value: Any, handler: Callable[[Any], Any]) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if not isinstance(value, dict):
            return handler(value)
        made = handler({name: item for name, item in value.items() if name not in late})
        for name in late:
            if name in value:
                object.__setattr__(made, name, value[name])
        return made

    return build


def unstorable(annotation: Any, _seen: frozenset[type] = frozenset()) -> str | None:
    """The name of a type that can never be stored or restored, or None. Fields of classes count too."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        # A validator of the user's own may make such an object from what is stored.
        return None if any(map(_validates, args[1:])) else unstorable(args[0], _seen)
    target = origin or annotation
    if target is Callable or getattr(target, "__name__", "") == "Callable":
        return "function"
    if target is type:
        return "class"
    if target is typing.Literal or _is_array(target):
        return None
    for part in args:
        if name := unstorable(part, _seen):
            return name
    if not isinstance(target, type) or target in (object, type(None)) or _is_union(target):
        return None
    module = (
        target.__module__.removeprefix("_") if target.__module__ in ("_io", "_thread") else target.__module__
    )
    if not _storable_class(target):
        return f"{module}.{target.__qualname__}"
    if target in _seen:
        return None
    fields = (unstorable(part, _seen | {target}) for part in _annotations_of_fields(target))
    return next(filter(None, fields), None)


def is_open(annotation: Any, _seen: frozenset[type] = frozenset()) -> bool:
    """Whether it leaves open of what type a value is, or a part of it."""
    if any(annotation is one for one in _OPEN) or isinstance(annotation, typing.TypeVar):
        return True
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Literal:
        return False
    if origin is Annotated:
        args = args[:1]
    if isinstance(annotation, type) and annotation not in _seen:
        _seen |= {annotation}
        args = (*args, *_annotations_of_fields(annotation))
    return any(is_open(part, _seen) for part in args)


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


def _validates(metadata: Any) -> bool:
    return hasattr(metadata, "func") or hasattr(metadata, "__get_pydantic_core_schema__")


def _storable_class(cls: type) -> bool:
    if cls in (collections.abc.Iterator, collections.abc.Generator, collections.abc.AsyncIterator):
        return False
    if dict_method(cls) and build_method(cls):
        return True
    if _is_numpy_scalar(cls):
        return cls.__name__ not in _NOT_ONE_DTYPE
    if cls.__module__ == "numbers" or getattr(cls, "_is_protocol", False) or dataclasses.is_dataclass(cls):
        return True
    try:
        TypeAdapter(cls)
    except PydanticSchemaGenerationError:
        return False
    except Exception:
        return True  # something else is wrong with it, and is reported with its reason
    return True


def type_name(annotation: Any) -> str:
    """A type for people: ``float | None``, or what its JSON schema says of itself."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for metadata in args[1:]:
            schema = getattr(metadata, "json_schema", None) if isinstance(metadata, WithJsonSchema) else None
            if schema and (said := schema.get("description") or schema.get("title")):
                return str(said)
        return type_name(args[0])
    if annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    if origin is typing.Literal:
        return " | ".join(map(repr, args))
    if _is_union(origin):
        return " | ".join(type_name(arg) for arg in args)
    if origin and args:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(type_name(arg) for arg in args)}]"
    name = getattr(annotation, "__name__", None)
    return name if isinstance(name, str) else str(annotation).replace("typing.", "")


def one_line(error: BaseException) -> str:
    """An error as one line of a message."""
    return " ".join(f"{type(error).__name__}: {error}".split()) if str(error) else type(error).__name__
