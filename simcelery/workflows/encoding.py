"""Python values to JSON for the board, and back. Never pickle.

JSON (and Postgres jsonb) cannot hold everything that simulations pass around. What it cannot hold
is written as an object with one key that starts with ``$``:

    {"$float": "nan"}           NaN, infinities, negative zero, and floats that jsonb would turn into integers
    {"$complex": [re, im]}      complex numbers
    {"$bytes": "…base64…"}      bytes
    {"$ndarray": […], "dtype": "float64"}    numpy arrays of numbers, booleans and strings
    {"$dict": [[key, value], …]}             dictionaries with keys that are not strings, or start with $
    {"$job": 42}                the result of job 42, filled in when the job is claimed

Everything else becomes plain JSON and is restored by the annotation it was declared with: tuples and
sets become lists; dataclasses, pydantic models and objects with ``as_dict()`` or ``todict()`` become
dictionaries; dates, paths, enums, decimals and UUIDs become strings (or the enum's value).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from simcelery.errors import EncodingError, PayloadTooLargeError

_EXACT_FLOAT_LIMIT = 1e16  # from here on repr() drops the decimal point and jsonb hands back an integer
_INT_DIGITS = 4000  # Python refuses to read longer integers back from text


class JobRef:
    """Something that stands for a job's result: the handle `Job` is one."""

    id: int


def encode(value: Any, path: str = "value", job: Callable[[JobRef], int] = lambda ref: ref.id) -> Any:
    """Plain JSON types for `value`.

    Parameters:
        value: what to encode.
        path: its name in error messages, such as ``structure``.
        job: called with each `JobRef` found; returns the id to store.

    Raises:
        EncodingError: a part of it cannot be stored; the message names the path to that part.
    """
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return encode(value.value, path, job)
        case str():
            return _text(str(value), path)
        case int():
            return _integer(int(value), path)
        case float():
            return _float(float(value))
        case list() | tuple():
            return [encode(item, f"{path}[{i}]", job) for i, item in enumerate(value)]
        case Mapping():
            return _mapping(value, path, job)
        case JobRef():
            return {"$job": job(value)}
        case set() | frozenset():
            items = [encode(item, f"{path}{{}}", job) for item in value]
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        case complex():
            return {"$complex": [_float(value.real), _float(value.imag)]}
        case bytes() | bytearray():
            return {"$bytes": base64.b64encode(value).decode()}
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case uuid.UUID() | decimal.Decimal():
            return str(value)
        case os.PathLike():
            return _text(os.fsdecode(value), path)
    return _object(value, path, job)


def _text(value: str, path: str) -> str:
    if "\0" in value:
        raise EncodingError(f"{path}: text with a NUL character cannot be stored; remove it or pass bytes")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise EncodingError(f"{path}: text is not valid Unicode (a lone surrogate); pass bytes") from None
    return value


def _integer(value: int, path: str) -> int:
    if value.bit_length() > _INT_DIGITS * 3.3:
        raise EncodingError(f"{path}: an integer of more than {_INT_DIGITS} digits cannot be stored")
    return value


def _float(value: float) -> Any:
    if not math.isfinite(value) or abs(value) >= _EXACT_FLOAT_LIMIT or (value == 0 and str(value)[0] == "-"):
        return {"$float": repr(value)}
    return value


def _mapping(value: Mapping[Any, Any], path: str, job: Callable[[JobRef], int]) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {
            _text(str(key), f"{path}.{key!r}"): encode(item, f"{path}.{key}", job)
            for key, item in value.items()
        }
    return {
        "$dict": [
            [encode(key, f"{path} (key {key!r})", job), encode(item, f"{path}[{key!r}]", job)]
            for key, item in value.items()
        ]
    }


def _object(value: Any, path: str, job: Callable[[JobRef], int]) -> Any:
    """Objects that say themselves what they consist of; numpy is recognised without importing it."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(value, "dtype"):
        return _numpy(value, path, job)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return encode(fields, path, job)
    for method in ("as_dict", "todict"):
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            return encode(getattr(value, method)(), path, job)
    if hasattr(kind, "model_fields") and hasattr(value, "model_dump"):
        return encode(value.model_dump(round_trip=True), path, job)
    what = "a function" if callable(value) else f"a {kind.__module__}.{kind.__qualname__}"
    raise EncodingError(
        f"{path}: {what} cannot be stored on the board; pass numbers, text, lists, dictionaries, numpy "
        "arrays, dataclasses, pydantic models or objects with as_dict() or todict()"
    )


def _numpy(value: Any, path: str, job: Callable[[JobRef], int]) -> Any:
    if value.dtype.kind not in "biufcUS":
        raise EncodingError(f"{path}: a numpy array of dtype {value.dtype} cannot be stored")
    plain = value.item() if value.ndim == 0 else value.tolist()
    if value.ndim == 0 and not type(value).__name__ == "ndarray":
        return encode(plain, path, job)
    return {"$ndarray": encode(plain, path, job), "dtype": value.dtype.str, "shape": list(value.shape)}


def decode(value: Any, job: Callable[[int], Any] | None = None) -> Any:
    """The Python value of what `encode` wrote, before any annotation restores its type.

    Parameters:
        value: plain JSON types.
        job: gives the value for a ``{"$job": id}``; without it such an object is returned as it is.
    """
    if isinstance(value, list):
        return [decode(item, job) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$float": text}:
            return float(text)
        case {"$complex": [real, imag]}:
            return complex(decode(real), decode(imag))
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$dict": pairs}:
            return {_hashable(decode(key, job)): decode(item, job) for key, item in pairs}
        case {"$job": int(number)}:
            return job(number) if job else value
        case {"$ndarray": items, "dtype": dtype, "shape": shape}:
            import numpy as np  # only whoever stored an array needs numpy

            return np.array(decode(items), dtype=np.dtype(dtype)).reshape(shape)
    return {key: decode(item, job) for key, item in value.items()}


def _hashable(key: Any) -> Any:
    return tuple(_hashable(item) for item in key) if isinstance(key, list) else key


def job_refs(encoded: Any) -> set[int]:
    """The ids of all jobs that an encoded value refers to."""
    if isinstance(encoded, list):
        return {number for item in encoded for number in job_refs(item)}
    if isinstance(encoded, dict):
        if isinstance(encoded.get("$job"), int):
            return {encoded["$job"]}
        return {number for item in encoded.values() for number in job_refs(item)}
    return set()


def contains_job(value: Any) -> bool:
    """Whether a Python value is or holds (in lists, tuples or dictionaries) a `JobRef`."""
    if isinstance(value, JobRef):
        return True
    if isinstance(value, Mapping):
        return any(contains_job(item) for item in value.values())
    return isinstance(value, list | tuple) and any(contains_job(item) for item in value)


def check_size(encoded: Any, path: str, limit: int) -> None:
    """Refuse a payload that is too large for a row.

    Parameters:
        encoded: what `encode` returned. A dictionary is searched for its largest entry.
        limit: bytes of JSON text, the setting ``max_payload``.

    Raises:
        PayloadTooLargeError: it is larger.
    """
    size = len(json.dumps(encoded))
    if size <= limit:
        return
    if isinstance(encoded, dict) and encoded and not any(key.startswith("$") for key in encoded):
        name = max(encoded, key=lambda key: len(json.dumps(encoded[key])))
        size, path = len(json.dumps(encoded[name])), f"{path}.{name}"
    raise PayloadTooLargeError(
        f"{path} is {size / 2**20:.1f} MiB and max_payload is {limit / 2**20:.1f} MiB: "
        "write it to a file that the workers can read and pass its path"
    )
