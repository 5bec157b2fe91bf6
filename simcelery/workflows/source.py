"""Which source a workflow was made from, so that a worker with older files than others is found out.

A fingerprint covers the file of the workflow's module and what that imports from the same project: modules
beside it, or of its own package. Libraries do not count, and simcelery has a version of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

_TICK = 100_000_000  # nanoseconds
_MOST_FILES = 200  # of a project; what lies deeper is left out, here and everywhere
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;]*)|import[ \t]+([^\n#;]+))",
    re.MULTILINE,
)
LIBRARIES = {"site-packages", "dist-packages"}


class Module(NamedTuple):
    """A module by name, and the folder that its names are looked up in."""

    name: str
    root: Path


def fingerprint(function: Callable[..., object]) -> str:
    """``file:hash`` of the source as it is now on the disk; empty where there is none to compare."""
    module = _module(function.__module__)
    return "" if module is None or _is_simcelery(module) else _fingerprint(module)


def of_files(name: str, root: Path) -> str:
    """The same for the module that is called so in a folder, whether or not it is loaded."""
    return _fingerprint(Module(name, root))


def folder_of(function: Callable[..., object]) -> str:
    """The folder of the project that a function belongs to; empty if it is of an installed library."""
    module = _module(function.__module__)
    if module is None or LIBRARIES & set(module.root.parts):
        return ""
    return str(module.root.resolve())


def is_own(module: str) -> bool | None:
    """Whether a module is people's own: read from a file that is in no folder for installed libraries.

    None: it has no file, such as a notebook. Nothing depends on the current folder, which within an
    attempt is its workdir.
    """
    return _is_own(module.partition(".")[0])


@lru_cache(maxsize=1000)
def _is_own(top: str) -> bool | None:
    if top == __name__.partition(".")[0]:
        return False
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        with suppress(ImportError, ValueError):  # there is no such module, or it has no place
            spec = importlib.util.find_spec(top)
            file = spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
    if not file or not os.path.isabs(file):
        return None
    path = Path(file)
    return not LIBRARIES & set(path.parts) and not any(map(path.is_relative_to, standard_library()))


@cache
def standard_library() -> list[Path]:
    """The folders of Python's own modules."""
    paths = sysconfig.get_paths()
    return [Path(paths[name]).resolve() for name in ("stdlib", "platstdlib")]


def files_of(module: str) -> dict[str, str]:
    """What `fingerprint` covers for a function of a module that is loaded: a hash of each module's file."""
    start = _module(module)
    if start is None or _is_simcelery(start):
        return {}
    return {name: _read(file).digest for name, file in _reachable(start)}


def _is_simcelery(module: Module) -> bool:
    return module.name.partition(".")[0] == __name__.partition(".")[0]


def _fingerprint(module: Module) -> str:
    digest = hashlib.sha256()
    for name, file in _reachable(module):
        digest.update(f"{name} {_read(file).digest}\n".encode())
    own = _file(module)
    return f"{own.relative_to(module.root).as_posix()}:{digest.hexdigest()[:12]}" if own else ""


def _module(name: str) -> Module | None:
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if file is None or not file.endswith(".py"):
        return None  # a notebook, a prompt, something compiled
    spec = getattr(loaded, "__spec__", None)
    path = Path(file).absolute()
    name = spec.name if spec is not None else path.stem  # a script, as a worker imports it
    depth = name.count(".") + (path.name == "__init__.py")
    return Module(name, path.parents[depth])


def _reachable(start: Module) -> list[tuple[str, Path]]:
    """The module and all that it imports from its project, in the same order everywhere."""
    known = _walks.get(start)
    if known is None or known.seen != {path: _changed_at(path) for path in known.seen}:
        known = _walk(start)
        if known.may_be_kept:
            _walks[start] = known
    return known.found


class _Walk(NamedTuple):
    """What a walk through a project has found, and when all that it has read or looked into had changed."""

    found: list[tuple[str, Path]]
    seen: dict[str, int]
    began: int

    @property
    def may_be_kept(self) -> bool:
        """Whether another change would show: not one within the same tick of a file system's clock."""
        return max(self.seen.values(), default=0) < self.began - _TICK


# All workflows of a module ask the same, and most of what modules import are libraries, which are not there.
_walks: dict[Module, _Walk] = {}


def _walk(start: Module) -> _Walk:
    walk = _Walk([], {}, time.time_ns())
    alone = LIBRARIES & set(start.root.parts)  # its neighbours are others' libraries
    top = start.name.partition(".")[0]
    done: set[str] = set()
    waiting = [start.name]
    while waiting and len(done) < _MOST_FILES:
        name = waiting.pop(0)
        if name in done or (alone and name.partition(".")[0] != top):
            continue
        done.add(name)
        if file := _file(Module(name, start.root), walk.seen):
            walk.seen[str(file)] = _changed_at(str(file))
            walk.found.append((name, file))
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            waiting += [_absolute(imported, package) for imported in _read(file).imports]
    return walk


def _file(module: Module, seen: dict[str, int] | None = None) -> Path | None:
    """Its file, if it has one; `seen` notes the folders in which one would have to appear."""
    folder = str(module.root)
    *above, last = filter(None, module.name.split(".")) or [""]
    for part in above:
        _note(folder, seen)
        folder = f"{folder}/{part}"
        if not os.path.isdir(folder):
            return None
    _note(folder, seen)
    base = f"{folder}/{last}"
    if os.path.isdir(base):
        _note(base, seen)
        if os.path.isfile(f"{base}/__init__.py"):
            return Path(f"{base}/__init__.py")
    return Path(f"{base}.py") if os.path.isfile(f"{base}.py") else None


def _note(folder: str, seen: dict[str, int] | None) -> None:
    if seen is not None and folder not in seen:
        seen[folder] = _changed_at(folder)


def _changed_at(path: str) -> int:
    """In nanoseconds; -1: it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def _absolute(imported: str, package: str) -> str:
    dots = len(imported) - len(imported.lstrip("."))
    if not dots:
        return imported
    above = package.split(".")[: len(package.split(".")) - dots + 1]
    return ".".join([*above, imported[dots:]]).strip(".")


class _Source(NamedTuple):
    digest: str
    imports: tuple[str, ...]


def _read(file: Path) -> _Source:
    try:
        now = file.stat()
    except OSError:
        return _Source("", ())
    return _parsed(file, now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=1000)
def _parsed(file: Path, changed_at: int, size: int) -> _Source:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return _Source("", ())
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return _Source(digest, tuple(dict.fromkeys(_imports(text))))


def _imports(text: str) -> Iterator[str]:
    """All names that may be modules: each package on the way to one, and what is imported from it."""
    for base, names, plain in _IMPORT.findall(text):
        for listed in (plain or names).strip("()").split(","):
            name = re.split(r"\s", listed.strip() or " ", maxsplit=1)[0]
            if plain:
                yield from _with_packages(name)
            else:
                yield from _with_packages(base)
                if name.isidentifier():
                    yield f"{base}{name}" if base.endswith(".") else f"{base}.{name}"


def _with_packages(name: str) -> Iterator[str]:
    """``a``, ``a.b`` and ``a.b.c`` of ``a.b.c``: importing it runs them all."""
    dots = len(name) - len(name.lstrip("."))
    parts = name[dots:].split(".")
    for count in range(1, len(parts) + 1):
        yield name[:dots] + ".".join(parts[:count])
