"""What compiled code refers to, by name."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}


class Reference(NamedTuple):
    """A variable of a module, and what is asked of it: ``consts.cell.A`` is ``consts`` and ``(cell, A)``."""

    name: str
    attributes: tuple[str, ...]


class Import(NamedTuple):
    """An import within a function: as in ``from ..b import c``, of `level` 2, `module` b and `taken` (c,)."""

    module: str
    level: int
    taken: tuple[str, ...]


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code, and that of the functions, classes and comprehensions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def references(code: CodeType) -> Iterator[Reference]:
    """The variables of modules that it uses. Who asks for ``globals()`` may use each that a text names."""
    for each in codes(code):
        found = _references(each)
        yield from found
        if any(one.name == "globals" for one in found):
            yield from (Reference(text, ()) for text in each.co_consts if isinstance(text, str))


def _references(code: CodeType) -> list[Reference]:
    found: list[Reference] = []
    follows = False
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL:
            found.append(Reference(instruction.argval, ()))
            follows = True
        elif instruction.opname in _ATTRIBUTE and follows:
            found[-1] = Reference(found[-1].name, (*found[-1].attributes, instruction.argval))
        elif instruction.opname != "EXTENDED_ARG":
            follows = False
    return found


def imports(code: CodeType) -> Iterator[Import]:
    """What it imports when it runs."""
    for each in codes(code):
        level, taken = 0, None
        for instruction in dis.get_instructions(each):
            if instruction.opname == "IMPORT_NAME":
                yield Import(instruction.argval, level, taken or ())
            elif instruction.opname.startswith("LOAD_"):
                if isinstance(instruction.argval, int):
                    level = instruction.argval
                elif isinstance(instruction.argval, tuple | None):
                    taken = instruction.argval
