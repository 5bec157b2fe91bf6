"""What a function does, as a hash: of its own code, and of what it uses from its own module.

Comments, line numbers and the names of files do not count. What it uses from other modules does not either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any

from simcelery.errors import EncodingError
from simcelery.workflows.encoding import encode

_FIXED = (bool, int, float, complex, str, bytes, type(None))


def code_of(function: Callable[..., Any]) -> str:
    """The hash; of what is not written in Python only its name counts."""
    found = hashlib.sha256()
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        plain = _written_in_python(waiting.pop(0))
        if id(plain) in seen:
            continue
        seen.add(id(plain))
        if isinstance(plain, type):
            members = (getattr(one, "fget", one) for one in vars(plain).values())  # a property's function
            waiting += [one for one in members if callable(one)]
        if not isinstance(plain, FunctionType):
            found.update(_name(plain).encode())
            continue
        for part in _parts(plain.__code__):
            found.update(f"{part}\n".encode())
        found.update(repr([_fixed(value) for value in _defaults(plain)]).encode())
        around = closed_over(plain)
        for name in sorted(_names(plain.__code__) | around.keys()):
            used = around.get(name, plain.__globals__.get(name))
            if getattr(used, "__module__", None) == plain.__module__ and callable(used):
                waiting.append(used)
            elif name in around:
                found.update(f"{name}={_stored(used)}\n".encode())
            elif name.isupper():
                found.update(f"{name}={_fixed(used)}\n".encode())
    return found.hexdigest()[:32]


def closed_over(function: Any) -> dict[str, Any]:
    """The variables of the surrounding functions that it uses, as far as they have a value."""
    found = {}
    plain = _written_in_python(function)
    if isinstance(plain, FunctionType):
        for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=True):
            with suppress(ValueError):  # it has none yet
                found[name] = cell.cell_contents
    return found


def _written_in_python(function: Any) -> Any:
    """The function that a method, a decorator or a workflow stands for."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    return getattr(function, "__func__", function)


def _name(thing: Any) -> str:
    own = thing if isinstance(getattr(thing, "__qualname__", None), str) else type(thing)
    return f"{getattr(own, '__module__', '')}.{own.__qualname__}"


def _parts(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield " ".join([*code.co_names, "/", *code.co_varnames, "/", *code.co_freevars])
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
        elif isinstance(constant, frozenset):  # of {…} in a condition: in no certain order
            yield " ".join(sorted(map(repr, constant)))
        else:
            yield repr(constant)


def _names(code: CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _defaults(function: FunctionType) -> list[Any]:
    return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _stored(value: Any) -> str:
    """A value that the board can hold; of others only the class counts."""
    try:
        return json.dumps(encode(value, exact=True), sort_keys=True)
    except EncodingError:
        return _name(type(value))


def _fixed(value: Any) -> str:
    """A value that nothing changes while a program runs; of others only the class counts."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_fixed, value))})"
    return repr(value) if type(value) in _FIXED else _name(type(value))
