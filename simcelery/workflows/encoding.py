"""Python values to JSON for the board, and back. Never pickle.

JSON (and Postgres jsonb) cannot hold everything that simulations pass around. What it cannot hold
is written as an object with one key that starts with ``$``:

    {"$float": "nan"}           NaN, infinities, negative zero, and floats that jsonb would turn into integers
    {"$complex": [re, im]}      complex numbers
    {"$bytes": "…base64…"}      bytes
    {"$ndarray": […], "dtype": "float64"}    numpy arrays of numbers, booleans and strings
    {"$dict": [[key, value], …]}             dictionaries with keys that are not strings, or start with $
    {"$job": 42}                the result of job 42, filled in when the job is claimed

Everything else becomes plain JSON and is restored by the annotation it was declared with: tuples,
sets and other sequences become lists; dataclasses, pydantic models and objects with ``as_dict()`` or
``todict()`` become dictionaries; dates, paths (an absolute one, of what exists), enums, decimals and UUIDs
become strings (or the enum's value). What no annotation would restore is written as `tags` has it, when asked
to be `exact`. Dictionaries keep no order: jsonb has none, and equal parameters should look equal to
``dedupe``.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import itertools
import json
import math
import os
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from simcelery.errors import EncodingError, PayloadTooLargeError
from simcelery.workflows.atoms import is_atoms, results
from simcelery.workflows.paths import absolute
from simcelery.workflows.tags import TAGS, tagged, untagged

_EXACT_FLOAT_LIMIT = 1e16  # from here on repr() drops the decimal point and jsonb hands back an integer
_INT_DIGITS = 4000  # Python refuses to read longer integers back from text
_HASHABLE = {
    "$tuple",
    "$frozenset",
    "$date",
    "$datetime",
    "$time",
    "$timedelta",
    "$decimal",
    "$uuid",
    "$path",
}
_LEAST_ITEM = 3  # bytes of an array's item as JSON: a digit, a comma and a space
_TO_FILE = "write it to a file that the workers can read and pass its path"
_MAX_DEPTH = 100  # far below Python's recursion limit, also where the worker decodes it deep in its own calls


class JobRef:
    """Something that stands for a job's result: the handle `Job` is one."""

    id: int


@dataclasses.dataclass
class _Way:
    """How one value is encoded: `job` gives ids, and `room` is left for the items of arrays.

    Where it is `exact`, what JSON has no form for is written as `tags` has it.
    """

    job: Callable[[JobRef], int]
    room: float = math.inf
    exact: bool = False


# How the values of a class are written: from the value, its path, the way, and how deep it lies.
_Form = Callable[[Any, str, _Way, int], Any]


def encode(
    value: Any,
    path: str = "value",
    job: Callable[[JobRef], int] = lambda ref: ref.id,
    *,
    limit: float = math.inf,
    exact: bool = False,
) -> Any:
    """Plain JSON types for `value`.

    Parameters:
        value: what to encode.
        path: its name in error messages, such as ``structure``.
        job: called with each `JobRef` found; returns the id to store.
        limit: bytes of JSON text. Arrays that are certain to exceed it are not even encoded, which takes ten
            times the memory that they have; all else is left to `check_size`.
        exact: write what would come back as something else so that it does not, such as tuples and sets.

    Raises:
        EncodingError: a part of it cannot be stored; the message names the path to that part.
        PayloadTooLargeError: its arrays are too large.
    """
    return _encode(value, path, _Way(job, limit, exact), 0)


def _encode(value: Any, path: str, way: _Way, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise _too_deep(path)
    if way.exact and (tag := tagged(value, lambda part: _encode(part, path, way, depth + 1))) is not None:
        return tag
    return _form(value.__class__)(value, path, way, depth)


def _too_deep(path: str) -> EncodingError:
    start = path if len(path) <= 60 else path[:57] + "..."
    return EncodingError(
        f"{start}: nested more than {_MAX_DEPTH} deep, or contains itself; pass a flat list or dictionary"
    )


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
        raise EncodingError(
            f"{path}: an integer of more than {_INT_DIGITS} digits cannot be stored; pass it as bytes"
        )
    return value


def _float(value: float) -> Any:
    if not math.isfinite(value) or abs(value) >= _EXACT_FLOAT_LIMIT or (value == 0 and str(value)[0] == "-"):
        return {"$float": repr(value)}
    return value


def _mapping(value: Mapping[Any, Any], path: str, way: _Way, depth: int) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        found = {
            _text(_plain_key(key), _at(path, key)): _encode(item, _at(path, key), way, depth + 1)
            for key, item in value.items()
        }
        return _as_jsonb(found) if isinstance(value, OrderedDict) else found
    pairs = [
        [_key(key, path, way, depth), _encode(item, _at(path, key), way, depth + 1)]
        for key, item in value.items()
    ]
    pairs.sort(key=lambda pair: _key_order(pair[0]))
    for (one, _), (other, _) in itertools.pairwise(pairs):
        if _key_order(one) == _key_order(other):
            raise EncodingError(f"{path}: two different keys are both stored as {_short(one)}; rename one")
    return {"$dict": pairs}


def _as_jsonb(found: dict[str, Any]) -> dict[str, Any]:
    """In the order in which Postgres will give it back: whoever cares for the order sees what is lost."""
    return dict(sorted(found.items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode())))


def _plain_key(key: str) -> str:
    return str(key.value) if isinstance(key, enum.Enum) else str.__str__(key)


def _key(key: Any, path: str, way: _Way, depth: int) -> Any:
    where = f"{path} (key {_short(key)})"
    encoded = _encode(key, where, way, depth + 1)
    if not _can_be_key(encoded):
        raise EncodingError(
            f"{where}: a {type(key).__qualname__} cannot be stored as a key; use text, numbers or tuples"
        )
    return encoded


def _can_be_key(encoded: Any) -> bool:
    if isinstance(encoded, list):
        return all(map(_can_be_key, encoded))
    if not isinstance(encoded, dict):
        return True
    return encoded.keys() <= {"$float", "$complex", "$bytes"} or bool(_HASHABLE & encoded.keys())


def _key_order(encoded: Any) -> tuple[bool, float, str]:
    number = isinstance(encoded, int | float) and not isinstance(encoded, bool)
    return not number, encoded if number else 0, json.dumps(encoded, sort_keys=True)


def _at(path: str, key: Any) -> str:
    return f"{path}.{key}" if type(key) is str and key.isidentifier() else f"{path}[{_short(key)}]"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else text[:37] + "..."


def _object(value: Any, path: str, way: _Way, depth: int) -> Any:
    """Objects that say themselves what they consist of; numpy is recognised without importing it."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(value, "dtype"):
        return _numpy(value, path, way, depth)
    if hasattr(kind, "model_fields") and hasattr(kind, "model_dump"):
        if way.exact:  # a dump makes plain dictionaries of others
            return _mapping({**value.__dict__, **(value.__pydantic_extra__ or {})}, path, way, depth + 1)
        return _encode(_asked(value, "model_dump", path, round_trip=True), path, way, depth + 1)
    method = dict_method(kind)
    if dataclasses.is_dataclass(kind) and not (method and build_method(kind)):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
        return _mapping(fields, path, way, depth + 1)
    if method:
        described = _asked(value, method, path)
        if is_atoms(kind):
            described |= results(value)
        return _encode(described, path, way, depth + 1)
    if isinstance(value, Mapping):
        return _mapping(value, path, way, depth)
    if isinstance(value, Sequence):
        return _encode(list(value), path, way, depth + 1)
    what = f"a {kind.__module__}.{kind.__qualname__}"
    if callable(value):
        what = "a class" if isinstance(value, type) else "a function"
    raise EncodingError(
        f"{path}: {what} cannot be stored on the board; pass numbers, text, lists, dictionaries, numpy "
        "arrays, dataclasses, pydantic models or objects with as_dict() or todict()"
    )


def dict_method(kind: type) -> str | None:
    """The name of the method with which objects of this class say what they consist of."""
    return next((name for name in ("as_dict", "todict") if callable(getattr(kind, name, None))), None)


def build_method(kind: type) -> str | None:
    """The name of the class method that builds such an object again."""
    return next((name for name in ("from_dict", "fromdict") if callable(getattr(kind, name, None))), None)


def _asked(value: Any, method: str, path: str, **options: Any) -> Any:
    try:
        return getattr(value, method)(**options)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise EncodingError(f"{path}: {type(value).__qualname__}.{method}() failed: {reason}") from error


def _numpy(value: Any, path: str, way: _Way, depth: int) -> Any:
    import numpy as np  # whoever has such a value has imported it already

    if isinstance(value, np.ma.MaskedArray):
        raise EncodingError(f"{path}: a masked array cannot be stored; pass its data and mask, or filled()")
    if value.dtype.kind not in "biufcUS" or value.dtype.char in "gG":
        raise EncodingError(
            f"{path}: numpy's dtype {value.dtype} cannot be stored; convert it, such as with astype(float) "
            "or astype(str)"
        )
    if isinstance(value, np.generic):
        return _encode(value.tolist(), path, way, depth + 1)
    way.room -= _LEAST_ITEM * value.size
    if way.room < 0:
        raise PayloadTooLargeError(
            f"{path} is an array of {value.size:,} values, which max_payload does not allow: {_TO_FILE}"
        )
    plain = value.tolist()
    items = _encode(plain, path, way, depth + 1)
    return {"$ndarray": items, "dtype": value.dtype.str, "shape": list(value.shape)}


def _items(value: Sequence[Any], path: str, way: _Way, depth: int) -> Any:
    return [_encode(item, f"{path}[{i}]", way, depth + 1) for i, item in enumerate(value)]


def _set(value: Collection[Any], path: str, way: _Way, depth: int) -> Any:
    items = [_encode(item, f"{path}{{}}", way, depth + 1) for item in value]
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


# A class is written in the first form that fits it: a bool is an int too, and an enum may be text.
_FORMS: tuple[tuple[type | tuple[type, ...], _Form], ...] = (
    ((type(None), bool), lambda value, *_: value),
    (enum.Enum, lambda value, path, way, depth: _encode(value.value, path, way, depth + 1)),
    (str, lambda value, path, *_: _text(str.__str__(value), path)),
    (int, lambda value, path, *_: _integer(int(value), path)),
    (float, lambda value, *_: _float(float(value))),
    ((list, tuple), _items),
    (dict, _mapping),
    (JobRef, lambda value, path, way, depth: {"$job": way.job(value)}),
    ((set, frozenset), _set),
    (complex, lambda value, *_: {"$complex": [_float(value.real), _float(value.imag)]}),
    ((bytes, bytearray, memoryview), lambda value, *_: {"$bytes": base64.b64encode(value).decode()}),
    ((dt.datetime, dt.date, dt.time), lambda value, *_: value.isoformat()),
    (dt.timedelta, lambda value, *_: value.total_seconds()),
    ((uuid.UUID, decimal.Decimal), lambda value, *_: str(value)),
    (os.PathLike, lambda value, path, *_: _text(absolute(os.fsdecode(value)), path)),
    (object, _object),
)


@lru_cache(maxsize=1000)
def _form(cls: type) -> _Form:
    return next(form for classes, form in _FORMS if issubclass(cls, classes))


def decode(value: Any, job: Callable[[int], Any] | None = None) -> Any:
    """The Python value of what `encode` wrote, before any annotation restores its type.

    Parameters:
        value: plain JSON types.
        job: gives the value for a ``{"$job": id}``; without it such an object is returned as it is.

    Raises:
        EncodingError: `encode` did not write it, or the board could not hand it out.
    """
    if isinstance(value, list):
        return [decode(item, job) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$job": int(number)}:
            return job(number) if job else value
        case {"$dict": [*pairs]} if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            decoded = [(decode(key, job), decode(item, job)) for key, item in pairs]
            return _well_formed(value, lambda: {_hashable(key): item for key, item in decoded})
        case {"$float": _} | {"$complex": _} | {"$bytes": _} | {"$dict": _} | {"$ndarray": _}:
            return _well_formed(value, lambda: _tagged(value))
        case {"$unreadable": reason}:
            raise EncodingError(f"what is stored cannot be read: {reason}")
    if TAGS & value.keys():
        return _well_formed(value, lambda: untagged(value, lambda part: decode(part, job)))
    return {key: decode(item, job) for key, item in value.items()}


def _well_formed(value: Any, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (TypeError, ValueError, ArithmeticError, MemoryError, KeyError, AttributeError) as error:
        raise EncodingError(
            f"what is stored cannot be read: {_short(value)} ({_short(str(error))})"
        ) from None


def _tagged(value: dict[str, Any]) -> Any:
    match value:
        case {"$float": text}:
            return float(text)
        case {"$complex": [real, imag]}:
            return complex(decode(real), decode(imag))
        case {"$bytes": str(text)}:
            return base64.b64decode(text)
        case {"$ndarray": items, "dtype": str(dtype), "shape": shape}:
            import numpy as np  # only whoever stored an array needs numpy

            return np.array(decode(items), dtype=np.dtype(dtype)).reshape(shape)
    raise ValueError("incomplete")


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


def with_jobs(encoded: Any, job: Callable[[int], Any]) -> Any:
    """An encoded value with something else for each job that it refers to.

    Parameters:
        job: gives what takes the place of ``{"$job": id}``.
    """
    if isinstance(encoded, list):
        return [with_jobs(item, job) for item in encoded]
    if isinstance(encoded, dict):
        if isinstance(number := encoded.get("$job"), int):
            return job(number)
        return {key: with_jobs(item, job) for key, item in encoded.items()}
    return encoded


def contains_job(value: Any, _depth: int = 0) -> bool:
    """Whether a Python value is or holds (in sequences, sets or dictionaries) a `JobRef`.

    Raises:
        EncodingError: it is nested too deeply to be stored, or contains itself.
    """
    if value is None or isinstance(value, _SINGLE):
        return False
    if isinstance(value, JobRef):
        return True
    if _depth > _MAX_DEPTH:
        raise _too_deep("value")
    if isinstance(value, Mapping):
        return any(contains_job(item, _depth + 1) for item in value.values())
    if isinstance(value, _MANY):
        return any(contains_job(item, _depth + 1) for item in value)
    return False


# Every single job asks: a union would be put together at each question.
_SINGLE, _MANY = (str, bytes, int, float), (Sequence, set, frozenset)


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
    what = f"{path} is {_bytes(size)}"
    if isinstance(encoded, dict) and encoded and not any(key.startswith("$") for key in encoded):
        sizes = {name: len(json.dumps(item)) for name, item in encoded.items()}
        name = max(sizes, key=lambda name: sizes[name])
        if sizes[name] > limit:
            what = f"{_at(path, name)} is {_bytes(sizes[name])}"
        else:
            what = f"{_at(path, name)} is the largest part ({_bytes(sizes[name])}) of {_bytes(size)}"
    raise PayloadTooLargeError(f"{what} and max_payload is {_bytes(limit)}: {_TO_FILE}")


def _bytes(size: int) -> str:
    for factor, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
