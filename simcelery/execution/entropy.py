"""Random numbers: every attempt starts with its own seed, with which it can be repeated."""

from __future__ import annotations

import importlib.abc
import os
import random
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# What the attempt that runs in this process was seeded with.
current: int | None = None

# Generators that modules keep in their global names, each with a number made of its name. A fork copies them.
_kept: list[tuple[Any, int]] | None = None


def fresh() -> int:
    """A seed that nobody has used. Its 53 bits survive every reader of JSON."""
    return int.from_bytes(os.urandom(8), "little") >> 11


def start(seed: int | None) -> None:
    """Seed the generators that the process shares, and those that modules keep in their global names.

    A library that is imported later is seeded when it is. None: what is imported later is left alone.
    """
    global current
    current = seed
    if seed is None:
        return
    random.seed(seed)
    for name, sow in _SOWN.items():
        if (module := sys.modules.get(name)) is not None:
            sow(module, seed)
    for generator, number in kept():
        _sow(generator, seed, number)


def kept() -> list[tuple[Any, int]]:
    """The generators that the modules imported so far keep, found once: to be called before a pool forks."""
    global _kept
    if _kept is None:
        _kept = list(_find())
    return _kept


def _find() -> Iterator[tuple[Any, int]]:
    numpy = sys.modules.get("numpy.random")
    kinds = (random.Random, *((numpy.Generator, numpy.RandomState) if numpy else ()))
    seen = {id(numpy.mtrand._rand)} if numpy else set()
    wanted: dict[type, bool] = {}  # there are a hundred thousand values, of a few hundred types
    for module_name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or module_name.partition(".")[0] in sys.stdlib_module_names:
            continue
        for name, value in list(vars(module).items()):
            kind = type(value)
            if kind not in wanted:
                wanted[kind] = issubclass(kind, kinds) and not issubclass(kind, random.SystemRandom)
            if wanted[kind] and id(value) not in seen:
                seen.add(id(value))
                yield value, zlib.crc32(f"{module_name}.{name}".encode())


def _sow(generator: Any, seed: int, number: int) -> None:
    if isinstance(generator, random.Random):
        generator.seed(seed << 32 | number)
        return
    from numpy.random import SeedSequence

    bits = getattr(generator, "_bit_generator", None) or generator.bit_generator
    bits.state = type(bits)(SeedSequence(seed, spawn_key=(number,))).state


def _sow_numpy(module: Any, seed: int) -> None:
    if type(module.mtrand._rand._bit_generator) is not module.MT19937:
        module.set_bit_generator(module.MT19937())  # a job has put another in its place
    # With the seed alone it would draw the very numbers of `random`, which has the same algorithm.
    module.seed((seed & 0xFFFFFFFF, seed >> 32, zlib.crc32(b"numpy.random")))


def _sow_torch(module: Any, seed: int) -> None:
    module.manual_seed(seed)


_SOWN: dict[str, Callable[[Any, int], None]] = {"numpy.random": _sow_numpy, "torch": _sow_torch}


class _OnImport(importlib.abc.MetaPathFinder):
    """Seeds a library that is first imported inside a workflow."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the other finders do."""
        if name not in _SOWN:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                if current is not None:
                    _SOWN[name](module, current)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _OnImport())
