"""Annotations whose values come back from JSON as what they were."""

from __future__ import annotations

import collections.abc
import dataclasses
import typing
from collections.abc import Callable
from typing import Annotated, Any, get_args

from simcelery.readable import short
from simcelery.workflows.annotations import Kind, Part, is_numpy_scalar, one_line, part
from simcelery.workflows.atoms import is_atoms, rebuilt
from simcelery.workflows.encoding import build_method, dict_method
from simcelery.workflows.storable import NOT_ONE_DTYPE


def restorable(annotation: Any) -> Any:
    """The annotation, with classes that JSON cannot rebuild wrapped so that their stored form is accepted."""
    here = part(annotation)
    if here.target is collections.abc.Iterable:  # pydantic would hand on an iterator, which is read only once
        return list[restorable(here.inner[0])] if here.inner else list  # type: ignore[misc]
    match here.kind:
        case Kind.ARRAY:
            from pydantic import BeforeValidator  # takes long to import, and simple annotations need it not

            return Annotated[here.target, BeforeValidator(_array_builder(here.inner))]
        case Kind.ANNOTATED:
            return Annotated[(restorable(here.inner[0]), *here.metadata)]
        case Kind.UNION | Kind.GENERIC:
            return _with_restorable_parts(here)
        case Kind.CLASS:
            return _restorable_class(annotation)
    return annotation


def _with_restorable_parts(here: Part) -> Any:
    parts = tuple(map(restorable, here.inner))
    if parts == here.inner:
        return here.annotation
    return typing.Union[parts] if here.kind is Kind.UNION else here.target[parts]  # noqa: UP007


def _restorable_class(cls: type) -> Any:
    from pydantic import BeforeValidator, WrapValidator  # as above

    if hasattr(cls, "model_fields"):
        return cls
    if is_numpy_scalar(cls):
        return Annotated[cls, BeforeValidator(_scalar_builder(cls))]
    method = build_method(cls)
    if dataclasses.is_dataclass(cls) and not (method and dict_method(cls)):
        late = [field.name for field in dataclasses.fields(cls) if not field.init]
        return Annotated[cls, WrapValidator(_dataclass_builder(late))] if late else cls
    return Annotated[cls, BeforeValidator(_builder(cls, method))] if method else cls


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
            raise ValueError(f"{short(value)} is not a value of {cls.__name__}")
        return made

    return build


def _array_builder(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Arrays from lists, with the dtype that ``NDArray[dtype]`` declares."""
    declared = get_args(args[1]) if len(args) == 2 else ()
    concrete = [d for d in declared if isinstance(d, type) and d.__name__ not in NOT_ONE_DTYPE]

    def build(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        import numpy as np

        found = np.asarray(value, dtype=concrete[0] if concrete else None)
        if found.dtype.kind in "iub" and (np.asarray(value) != found).any():
            raise ValueError(f"{short(value)} holds values that {found.dtype.name} cannot represent")
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
