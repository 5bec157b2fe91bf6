"""What a function does, as a hash: of its own code, and of all that it uses, as far as it can be compared.

Comments, line numbers and the names of files do not count. Of functions and classes of installed
libraries only the name counts.

A value is read part by part, as `pickle` would take it apart, so that equal values have equal hashes in
every process: sets and dictionaries in the order of the hashes of their parts, nothing by its address.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import importlib
import importlib.util
import marshal
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

from simcelery.workflows import bytecode, source
from simcelery.workflows.encoding import JobRef

_PLAIN = (bool, float, complex, str, bytes, type(None), type(...))
_LISTS = (tuple, list)
_NUMBERS = {bool, int, float}
_OURS = __name__.partition(".")[0]


class Variable(NamedTuple):
    """A variable of a module, or of a decorator in it: where it is kept, the module's name, and its own."""

    namespace: dict[str, Any] | CellType
    module: str
    name: str

    @property
    def key(self) -> tuple[int, str]:
        """The same for the same variable in this process."""
        return id(self.namespace), self.name

    @property
    def value(self) -> Any:
        """What it holds now; None if it is gone."""
        if isinstance(self.namespace, CellType):
            return _held([(self.name, self.namespace)]).get(self.name)
        return self.namespace.get(self.name)


class Code:
    """What a function does.

    Attributes:
        text: the hash of its code, and of what belongs to it: functions, classes, defaults, closures.
        variables: the variables of modules that it uses, by their `Variable.key`.
        uncounted: the names of what cannot be compared, such as open files and locks.
    """

    def __init__(
        self, function: Callable[..., Any], given: Iterable[Any], defaults: Mapping[str, Any]
    ) -> None:
        """Read a function.

        Parameters:
            given: the values of its arguments, whose classes count, and those of what they hold.
            defaults: those that are not among them; all others of its own do not count.
        """
        self._called = _undecorated(function)
        reader = _Reader(self._called)
        parts = [reader.of(function)]
        parts += reader.classes_of(given)
        parts += [reader.named(name, value) for name, value in defaults.items()]
        self.text = _hashed("code", parts).hex()
        self.variables = reader.all_variables()
        self.uncounted = reader.uncounted

    def now(self, variable: Variable) -> bytes:
        """The hash of the value that a variable has now."""
        return _Reader(self._called).named(variable.name, variable.value)


def closed_over(function: Any) -> dict[str, Any]:
    """The variables of the surrounding functions that it uses, as far as they have a value."""
    plain = _undecorated(function)
    return _held(_cells(plain)) if isinstance(plain, FunctionType) else {}


def _cells(function: FunctionType) -> list[tuple[str, CellType]]:
    return list(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def _held(cells: Iterable[tuple[str, CellType]]) -> dict[str, Any]:
    found = {}
    for name, cell in cells:
        with suppress(ValueError):  # it has none yet
            found[name] = cell.cell_contents
    return found


def is_plain(value: Any) -> bool:
    """Whether it is a number, a text or the like, which nothing can change."""
    return type(value) in _PLAIN or type(value) is int


def _undecorated(function: Any, until: Callable[[Any], bool] = lambda _: False) -> Any:
    """The function that a decorator or a workflow stands for; or the first on the way for which `until`."""
    while _wraps(function) and not until(function):
        function = function.__dict__["__wrapped__"]
    return function


def _wraps(value: Any) -> bool:
    return callable(value) and getattr(value, "__dict__", {}).get("__wrapped__") is not None


def _hashed(kind: str, parts: Iterable[bytes]) -> bytes:
    found = hashlib.sha256(kind.encode(errors="surrogatepass"))
    for part in parts:
        found.update(len(part).to_bytes(8) + part)
    return found.digest()


def _name(thing: Any) -> str:
    own = thing if isinstance(getattr(thing, "__qualname__", None), str) else type(thing)
    return f"{getattr(own, '__module__', '')}.{own.__qualname__}"


class _Asked(NamedTuple):
    """All names that code asks for, of whatever it may be; and the modules that were searched for them."""

    names: set[str]
    modules: set[str]


class _Reader:
    """Reads values; what it has read is kept, so that no address is used again.

    Attributes:
        called: the function whose module counts as the project's.
    """

    def __init__(self, called: Any) -> None:
        self.called = called
        self.variables: dict[tuple[int, str], Variable] = {}
        self.uncounted: set[str] = set()
        self._done: dict[int, tuple[Any, bytes]] = {}
        self._open: dict[int, int] = {}
        self._at = ""

    def all_variables(self) -> dict[tuple[int, str], Variable]:
        """The variables that were met, and those that functions in their values use."""
        read: set[tuple[int, str]] = set()
        while unread := self.variables.keys() - read:
            for key in unread:
                self.named(self.variables[key].name, self.variables[key].value)
            read |= unread
        return self.variables

    def named(self, name: str, value: Any) -> bytes:
        """The hash of a value that has a name, for messages."""
        before, self._at = self._at, name
        try:
            return self.of(value)
        finally:
            self._at = before

    def of(self, value: Any) -> bytes:
        """The hash of a value."""
        if type(value) is int:
            return f"int {value:x}".encode()
        if is_plain(value):
            return f"{type(value).__name__} {value!r}".encode(errors="surrogatepass")
        number = id(value)
        if number in self._done:
            return self._done[number][1]
        if number in self._open:  # it contains itself
            return f"up {len(self._open) - self._open[number]}".encode()
        self._open[number] = len(self._open)
        try:
            found = self._read(value)
        except Exception:  # it may be anything, and its own code fail in any way
            self.uncounted.add(self._at or _name(value))
            found = f"a {_name(type(value))}".encode()
        finally:
            del self._open[number]
        self._done[number] = value, found
        return found

    def _read(self, value: Any) -> bytes:
        plain = self._plain(value)
        if type(plain).__module__.startswith(f"{_OURS}."):
            return self._of_simcelery(plain)
        if self._dispatches(plain):
            return _hashed("dispatch", [self.of(plain.registry)])
        for kind, read in _READ:
            if isinstance(plain, kind):
                return read(self, plain)
        if type(plain).__module__.partition(".")[0] == "numpy" and hasattr(plain, "dtype"):
            return self._array(plain)
        return self._taken_apart(plain)

    # --- data --------------------------------------------------------------------------------------

    def _list(self, value: Iterable[Any]) -> bytes:
        return self._taken_apart(value) if type(value) not in _LISTS else self._items(value)

    def _items(self, value: Iterable[Any]) -> bytes:
        if set(map(type, value)) <= _NUMBERS:  # as one: it may be a table of a million
            return _hashed(f"{type(value).__name__} of numbers", [marshal.dumps(list(value), 2)])
        return _hashed(type(value).__name__, map(self.of, value))

    def _mapping(self, value: Mapping[Any, Any]) -> bytes:
        if type(value) not in (dict, MappingProxyType):
            return self._taken_apart(value)
        return _hashed("dict", sorted(self.of(key) + self.of(item) for key, item in value.items()))

    def _set(self, value: Iterable[Any]) -> bytes:
        if type(value) not in (set, frozenset):
            return self._taken_apart(value)
        return _hashed(type(value).__name__, sorted(map(self.of, value)))

    def _enum(self, value: Enum) -> bytes:
        return _hashed(f"enum {_name(type(value))}.{value.name}", [self.of(value.value)])

    def _array(self, value: Any) -> bytes:
        if not hasattr(value, "tobytes") or value.dtype.hasobject or hasattr(value, "mask"):
            return self._taken_apart(value)
        kind = repr(value.dtype) if value.dtype.names else value.dtype.str  # which says nothing of fields
        return _hashed(f"array {_name(type(value))} {kind} {value.shape}", [value.tobytes()])

    def _taken_apart(self, value: Any) -> bytes:
        """An object as `pickle` and `copy` take it apart."""
        if hasattr(type(value), "__next__") or _draws(value):
            raise TypeError("what it is changes whenever it is used")
        by_table = copyreg.dispatch_table.get(type(value))
        parts: Any = by_table(value) if by_table else value.__reduce_ex__(4)
        if isinstance(parts, str):
            return f"{_name(type(value))} {parts}".encode()
        made_by, made_with, state, items, pairs = (*parts, None, None, None)[:5]
        listed = [list(items or ()), list(pairs or ())]
        return _hashed("object", map(self.of, (type(value), made_by, made_with, state, *listed)))

    def _of_simcelery(self, value: Any) -> bytes:
        """The job that runs here is not what a step uses, but where it runs; another job is its id."""
        number = value.id if isinstance(value, JobRef) else None
        return f"{_name(type(value))} {number}".encode()

    def classes_of(self, values: Iterable[Any]) -> list[bytes]:
        """The hashes of the classes of values, and of those of people's own in what these hold."""
        waiting = list(values)
        found = [self.of(type(value)) for value in waiting]
        seen: dict[int, Any] = {}
        own: set[bytes] = set()
        while waiting:
            value = waiting.pop()
            if is_plain(value) or id(value) in seen:
                continue
            seen[id(value)] = value
            if isinstance(value, Mapping):
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, (*_LISTS, set, frozenset)):
                waiting += value if not set(map(type, value)) <= _NUMBERS else ()
            if self._is_ours(type(value)):
                own.add(self.of(type(value)))
                waiting += getattr(value, "__dict__", {}).values()
        return found + sorted(own)

    # --- code --------------------------------------------------------------------------------------

    def _is_ours(self, thing: Any) -> bool:
        return self._is_our_module(str(getattr(thing, "__module__", None)))

    def _is_our_module(self, module: str) -> bool:
        own = source.is_own(module)
        return module == getattr(self.called, "__module__", None) if own is None else own

    def _plain(self, value: Any) -> Any:
        """What a decorator of a library stands for; one of people's own counts with what it does."""
        return _undecorated(value, until=lambda one: self._is_our_decorator(one) or self._dispatches(one))

    def _dispatches(self, value: Any) -> bool:
        """Whether it is people's own by `functools.singledispatch`, which wraps one of its functions only."""
        registry = vars(value).get("registry") if isinstance(value, FunctionType) else None
        return isinstance(registry, MappingProxyType) and self._is_ours(value)

    def _is_our_decorator(self, value: Any) -> bool:
        if isinstance(value, FunctionType):  # it says of itself that it is of the module of what it wraps
            return self._is_our_module(str(value.__globals__.get("__name__")))
        return self._is_ours(type(value))

    def _function(self, function: FunctionType) -> bytes:
        ours = _wraps(function) or self._is_ours(function)
        if not ours and function is not self.called:
            return f"function {_name(function)}".encode()
        defaults = () if function is self.called else (function.__defaults__, function.__kwdefaults__)
        around = self._around(function)
        parts = [f"{part}\n".encode(errors="surrogatepass") for part in _parts(function.__code__)]
        parts += [self.of(each) for each in defaults]
        parts += [name.encode() + self.named(name, around[name]) for name in sorted(around)]
        used = {(name, id(value)): value for name, value in self._used_by(function)} if ours else {}
        in_order = sorted((name, _name(value), number) for (name, number), value in used.items())
        parts += [name.encode() + self.of(used[name, number]) for name, _, number in in_order]
        return _hashed("function", parts)

    def _around(self, function: FunctionType) -> dict[str, Any]:
        """What it closes over. What a decorator of a module's function keeps there, say a cache, is noted."""
        cells = _cells(function)
        if not _wraps(function) or "<locals>" in function.__qualname__:
            return _held(cells)
        found = {}
        for name, cell in cells:
            for value in _held([(name, cell)]).values():
                if is_plain(value) or self._is_code(value):
                    found[name] = value
                else:
                    variable = Variable(cell, str(function.__module__), f"{function.__qualname__}.{name}")
                    self.variables[variable.key] = variable
        return found

    def _is_code(self, value: Any) -> bool:
        return isinstance(self._plain(value), FunctionType | type)

    def _used_by(self, function: FunctionType) -> Iterator[tuple[str, Any]]:
        """The functions and classes that it uses; the variables are noted."""
        code = function.__code__
        asked = _Asked(set().union(*(each.co_names for each in bytecode.codes(code))), set())
        for name, attributes in bytecode.references(code):
            yield from self._found(function.__globals__, name, attributes, asked)
        for one in bytecode.imports(code):
            for module in _imported(one, function):
                yield from self._all_of(module, asked)

    def _all_of(self, module: ModuleType, asked: _Asked) -> Iterator[tuple[str, Any]]:
        """What a module of the project, and those that have a name there, have of what is asked for."""
        if module.__name__ not in asked.modules:
            asked.modules.add(module.__name__)
            for name in sorted(asked.names & vars(module).keys()):
                yield from self._found(vars(module), name, (), asked)

    def _found(
        self, namespace: dict[str, Any], name: str, attributes: tuple[str, ...], asked: _Asked
    ) -> Iterator[tuple[str, Any]]:
        if name not in namespace:
            return
        value = namespace[name]
        if isinstance(value, ModuleType):
            if not source.is_own(value.__name__):
                return
            if attributes:
                yield from self._found(vars(value), attributes[0], attributes[1:], asked)
            else:  # it may have another name from here on
                yield from self._all_of(value, asked)
        elif self._is_code(value):
            yield name, value
        else:
            variable = Variable(namespace, str(namespace.get("__name__")), name)
            self.variables[variable.key] = variable

    def _method(self, method: MethodType) -> bytes:
        return _hashed("method", [self.of(method.__func__), self.of(method.__self__)])

    def _partial(self, value: functools.partial[Any]) -> bytes:
        return _hashed("partial", map(self.of, (value.func, value.args, value.keywords)))

    def _builtin(self, value: BuiltinFunctionType) -> bytes:
        of = value.__self__
        whose = b"" if of is None or isinstance(of, ModuleType) else self.of(of)
        return _hashed(f"built in {_name(value)}", [whose])

    def _class(self, cls: type) -> bytes:
        if not self._is_ours(cls):
            return f"class {_name(cls)}".encode()
        parts = [self.of(base) for base in (type(cls), *cls.__bases__)]
        for name, member in sorted(_members(cls)):
            parts.append(name.encode() + self.named(f"{cls.__name__}.{name}", member))
        return _hashed(f"class {_name(cls)}", parts)


_READ: tuple[tuple[Any, Callable[[_Reader, Any], bytes]], ...] = (
    (Enum, _Reader._enum),
    (_LISTS, _Reader._list),
    ((dict, MappingProxyType), _Reader._mapping),
    ((set, frozenset), _Reader._set),
    (FunctionType, _Reader._function),
    (type, _Reader._class),
    (MethodType, _Reader._method),
    (functools.partial, _Reader._partial),
    (BuiltinFunctionType, _Reader._builtin),
    (ModuleType, lambda _, module: f"module {module.__name__}".encode()),
)


def _draws(value: Any) -> bool:
    """Whether it is a generator of random numbers."""
    return isinstance(value, random.Random) or type(value).__module__.startswith("numpy.random")


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    if issubclass(cls, Enum):
        yield from ((name, member.value) for name, member in cls.__members__.items())
    for name, member in vars(cls).items():
        own = _function_of(member)
        special = (name.startswith("__") and name.endswith("__")) or name == "_abc_impl"
        slot = isinstance(member, MemberDescriptorType | GetSetDescriptorType)
        if (
            isinstance(own, FunctionType)
            or isinstance(member, property)
            or not (special or slot or issubclass(cls, Enum))
        ):
            yield name, own


def _function_of(member: Any) -> Any:
    match member:
        case property():
            return member.fget, member.fset, member.fdel
        case staticmethod() | classmethod():
            return member.__func__
        case functools.cached_property():
            return member.func
    return member


def _parts(code: Any) -> Iterator[str]:
    for each in bytecode.codes(code):
        # Where exceptions are caught, and how arguments are taken, stands beside the instructions.
        taken = each.co_argcount, each.co_posonlyargcount, each.co_kwonlyargcount, each.co_flags
        yield f"{each.co_code.hex()} {each.co_exceptiontable.hex()} {taken}"
        yield " ".join([*each.co_names, "/", *each.co_varnames, "/", *each.co_freevars])
        for constant in each.co_consts:
            if isinstance(constant, frozenset):  # of {…} in a condition: in no certain order
                yield " ".join(sorted(map(repr, constant)))
            elif not hasattr(constant, "co_code"):
                yield repr(constant)


def _imported(one: bytecode.Import, function: FunctionType) -> list[ModuleType]:
    """The modules of the project that a function imports when it runs."""
    try:
        package = str(function.__globals__.get("__package__") or "")
        name = importlib.util.resolve_name("." * one.level + one.module, package)
        if not source.is_own(name):
            return []
        module = importlib.import_module(name)
    except Exception:  # the function will fail with it too, if it is called
        return []
    for each in one.taken:
        if not hasattr(module, each):
            with suppress(Exception):  # as above
                importlib.import_module(f"{name}.{each}")
    return [module] if one.taken else [module, sys.modules[name.partition(".")[0]]]
