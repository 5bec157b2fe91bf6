"""Whether a value comes back from the board as what it was: equal and of the same type, in all its parts."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from simcelery.readable import short
from simcelery.workflows.encoding import decode, dict_method, encode
from simcelery.workflows.paths import absolute

_PLAIN = (dict, list, str, int, float, bool)
_SCALARS = (str, int, float, complex, bytes, dt.date, dt.time, dt.timedelta, decimal.Decimal)


def difference(one: Any, other: Any, path: str, *, open: bool, consists: bool = False) -> str | None:
    """One line about the first part of `one` that is something else in `other`, or None.

    Parameters:
        path: the name of `one` in messages.
        open: whether nothing declares of what type it is. Otherwise a subclass of a plain type may come back
            as that: text is text.
        consists: whether a value of a class may come back as the plain data that it consists of.
    """
    if isinstance(one, list | tuple) and type(other) is type(one) and len(one) == len(other):
        items = enumerate(zip(one, other, strict=True))
        parts = ((a, b, f"{path}[{i}]") for i, (a, b) in items if not _certainly_same(a, b))
    elif isinstance(one, dict) and type(other) is type(one):
        if said := _difference_of_dictionaries(one, other, path):
            return said
        named = ((item, other[key], key) for key, item in one.items())
        parts = ((a, b, f"{path}[{short(key, 40)}]") for a, b, key in named if not _certainly_same(a, b))
    elif type(one) is type(other) and (fields := _fields(one)) is not None:
        if fields.keys() != (found := _fields(other) or {}).keys():
            return _changed(one, other, path)
        parts = ((item, found[name], f"{path}.{name}") for name, item in fields.items())
    else:
        if consists and type(other) in _PLAIN and type(one) is not type(other):
            return difference(decode(encode(one)), other, path, open=True)
        return None if _same(one, other, open) else _changed(one, other, path)
    return next(filter(None, (difference(*part, open=open, consists=consists) for part in parts)), None)


def _certainly_same(one: Any, other: Any) -> bool:
    """At the first look; zeros have signs, and are looked at again."""
    return type(one) is type(other) and type(one) in (float, int, str) and bool(one) and bool(one == other)


def _changed(one: Any, other: Any, path: str) -> str:
    was = f"{short(one)} ({type(one).__qualname__})"
    return f"{path} is {was} and would come back as {short(other)} ({type(other).__qualname__})"


def _fields(value: Any) -> dict[str, Any] | None:
    kind = type(value)
    if hasattr(kind, "model_fields") and hasattr(kind, "model_dump"):
        return {**value.__dict__, **(value.__pydantic_extra__ or {})}
    if dataclasses.is_dataclass(kind) and not dict_method(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    return None


def _difference_of_dictionaries(one: dict[Any, Any], other: dict[Any, Any], path: str) -> str | None:
    kinds = {key: type(key) for key in other}
    ordered = isinstance(one, collections.OrderedDict)
    if (
        len(one) != len(other)
        or any(kinds.get(key) is not type(key) for key in one)
        or (ordered and list(one) != list(other))
        or getattr(one, "default_factory", None) is not getattr(other, "default_factory", None)
    ):
        return _changed(one, other, path)
    return None


def _same(one: Any, other: Any, open: bool) -> bool:
    if _is_numpy(one) and not _is_numpy(other) and one.ndim == 0:
        one = one.item()  # numpy's numbers are numbers
    if isinstance(one, PurePath) and isinstance(other, PurePath):
        alike = type(one) is type(other) or (not open and isinstance(one, type(other)))
        return alike and absolute(str(one)) == absolute(str(other))
    if type(one) is not type(other):
        plain = not open and isinstance(other, _SCALARS) and isinstance(one, type(other))
        return plain and not isinstance(one, bool) and bool(one == other)
    if _is_numpy(one):
        return _same_arrays(one, other)
    return next(same(one, other, open) for classes, same in _COMPARED if isinstance(one, classes))


def _same_sets(one: Any, other: Any, open: bool) -> bool:
    kinds = {item: type(item) for item in other}
    return len(one) == len(other) and all(kinds.get(item) is type(item) for item in one)


def _same_moment(one: Any, other: Any, open: bool) -> bool:
    return bool(one.replace(tzinfo=None) == other.replace(tzinfo=None)) and _same_place(one, other)


def _same_deques(one: Any, other: Any, open: bool) -> bool:
    return one.maxlen == other.maxlen and difference(list(one), list(other), "", open=open) is None


def _equal(one: Any, other: Any, open: bool) -> bool:
    if dict_method(type(one)) and not isinstance(one, Mapping):
        return bool(encode(one) == encode(other))
    try:
        return bool(one == other)
    except Exception:  # its own code
        return False


# How two values of one class are compared: as the first that fits says.
_COMPARED: tuple[tuple[type | tuple[type, ...], Callable[[Any, Any, bool], bool]], ...] = (
    (float, lambda one, other, open: one.hex() == other.hex()),
    (
        complex,
        lambda one, other, open: _same(one.real, other.real, open) and _same(one.imag, other.imag, open),
    ),
    (decimal.Decimal, lambda one, other, open: str(one) == str(other)),
    ((dt.datetime, dt.time), _same_moment),
    ((set, frozenset), _same_sets),
    (collections.deque, _same_deques),
    (object, _equal),
)


def _same_place(one: Any, other: Any) -> bool:
    if one.fold != other.fold or one.utcoffset() != other.utcoffset():
        return False
    zones = [getattr(zone, "key", None) for zone in (one.tzinfo, other.tzinfo)]
    return zones[0] == zones[1] and (zones[0] is not None or _is_fixed(one.tzinfo))


def _is_fixed(zone: dt.tzinfo | None) -> bool:
    """Whether it is an offset and nothing more."""
    return zone is None or isinstance(zone, dt.timezone) or type(zone).__module__.startswith("pydantic_core")


def _is_numpy(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "dtype")


def _same_arrays(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind not in "fc":
        return bool((one == other).all())
    pairs = [(one.real, other.real), (one.imag, other.imag)] if one.dtype.kind == "c" else [(one, other)]
    return all(map(_same_floats, *zip(*pairs, strict=True)))


def _same_floats(one: Any, other: Any) -> bool:
    nan = one != one
    equal = (one == other) & ((one != 0) | (_sign(one) == _sign(other)))
    return bool((equal | (nan & (other != other))).all())


def _sign(array: Any) -> Any:
    import numpy as np  # whoever has such a value has imported it already

    return np.signbit(array)
