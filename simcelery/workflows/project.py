"""Whose functions a job may call: those of the project's own modules, and of those that the settings name.

No other module is even imported on the say of a job.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from simcelery.errors import DefinitionError
from simcelery.readable import short
from simcelery.settings import SETTINGS_FILE, find_settings_file, get_settings
from simcelery.workflows import registry, source
from simcelery.workflows.definition import Definition, default_name, is_ordinary

_HERE = "a worker imports it by its name: put it at the top of a module of the project"


def name_of(function: Callable[..., Any]) -> str:
    """``module:function``, by which a worker finds the function.

    Raises:
        DefinitionError: no worker can find it, or may call it; one line says what to do.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not callable(function) or not isinstance(module, str) or not isinstance(name, str):
        raise DefinitionError(f"{short(function)} is not a function that a worker can import")
    what = f"{module}.{name}"
    if isinstance(function, type):
        raise DefinitionError(f"{what} is a class: write a function that makes one, and pass that")
    if "<lambda>" in name:
        raise DefinitionError(f"a lambda has no name to find it by; {_HERE}")
    if "<locals>" in name:
        raise DefinitionError(f"{what} is defined inside another function; {_HERE}")
    if "." in name:
        raise DefinitionError(f"{what} is a method; write a function that takes what it needs, and pass that")
    if not is_ordinary(function):
        raise DefinitionError(f"{what} is a coroutine or a generator, and not an ordinary function")
    if getattr(sys.modules.get(module), name, None) is not function:
        raise DefinitionError(
            f"{what} is not found under this name in its module: it was replaced or wrapped"
        )
    if module == "__main__":
        return _of_script(function)
    check_allowed(module)
    return f"{module}:{name}"


def load(name: str) -> Callable[..., Any]:
    """The function of this name; its module is imported, if jobs may call it.

    Raises:
        DefinitionError: there is no such function, or jobs may not call it.
    """
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise DefinitionError(f"{short(name)} is not of the form module:function")
    check_allowed(module)
    found = vars(_imported(module)).get(attribute)
    if isinstance(found, Definition):
        found = found.function
    if not callable(found) or isinstance(found, type):
        raise DefinitionError(
            f"module {module} has no function {attribute!r}: is its file older or newer here?"
        )
    if getattr(found, "__module__", None) != module:
        raise DefinitionError(f"{name} is not a function of that module, but only imported there")
    called: Callable[..., Any] = found
    return called


def source_here(module: str) -> str:
    """The fingerprint of the source that a module has here, without importing it; empty if it has none."""
    for place in _places(module.partition(".")[0]):
        folder = place.parent.parent if place.name == "__init__.py" else place.parent
        if found := source.of_files(module, folder):
            return found
    return ""


def source_of_file(file: str) -> str:
    """The fingerprint of a file of the project as it is here, and of what it imports; empty without one.

    Parameters:
        file: as fingerprints name it, such as ``sims.py`` or ``sims/__init__.py``.
    """
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return next(filter(None, (source.of_files(name, folder) for folder in registry.project())), "")


def _imported(module: str) -> Any:
    registry.look_in_project()
    with registry.loading():
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
                raise
            raise DefinitionError(_missing(module)) from None


def check_allowed(module: str) -> None:
    """Whether jobs may call the functions of a module.

    Raises:
        DefinitionError: they may not.
    """
    settings = get_settings()
    named = (*settings.workflows, *settings.functions)
    if any(module == one or module.startswith(f"{one}.") for one in named):
        return
    top = module.partition(".")[0]
    places = _places(top)
    if not places:
        raise DefinitionError(_missing(top))
    if not all(any(_is_below(place, folder) for folder in registry.project()) for place in places):
        raise DefinitionError(
            f"jobs may not call functions of module {module}: it is neither below the project's folder "
            f'({registry.project()[0]}) nor named in the settings; to allow it: functions = ["{top}"]'
        )


def _missing(module: str) -> str:
    return f"there is no module {module!r} here; it must be importable from {registry.project()[0]}"


def _places(top: str) -> list[Path]:
    """Where a module that may not have been imported yet comes from."""
    registry.look_in_project()
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # it has none, such as __main__
        return []
    if spec is None:
        return []
    if spec.origin and spec.has_location:
        return [Path(spec.origin)]
    # A package without __init__.py may be in several places; what has none at all is Python's own.
    return [Path(one) for one in spec.submodule_search_locations or ["/"]]


def _is_below(place: Path, folder: Path) -> bool:
    """Whether it is a part of the project there, and not a library that is installed below it."""
    place, folder = place.resolve(), folder.resolve()
    if not place.is_relative_to(folder) or folder == folder.parent:
        return False
    if source.LIBRARIES & set(place.relative_to(folder).parts):
        return False
    return not any(place.is_relative_to(one) for one in source.standard_library())


# --- scripts ---------------------------------------------------------------------------------------


def _of_script(function: Callable[..., Any]) -> str:
    """The name by which a worker finds a function of the script that runs here."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None:
        raise DefinitionError(
            f"{function.__qualname__} is defined in a notebook or at a prompt, where no worker finds it: "
            "move it into a module of the project"
        )
    module, _, name = default_name(function).rpartition(".")
    folders = _importable_from()
    if getattr(main, "__spec__", None) is None and Path(file).resolve().parent not in folders:
        raise DefinitionError(
            f"{name} is defined in {file}, which workers cannot import, since they look in {folders[0]}: "
            "move it into a module there"
        )
    if not all(part.isidentifier() for part in module.split(".")):
        raise DefinitionError(f"{file}: no module can have this name: move {name} into one that can")
    _check_guarded(Path(file))
    check_allowed(module)
    return f"{module}:{name}"


def _importable_from() -> list[Path]:
    """Where workers look for a script: in the folder of the settings, where that is how they are found."""
    file = None if os.environ.get(SETTINGS_FILE) else find_settings_file()
    return [one.resolve() for one in ([file.parent] if file else registry.project())]


def _check_guarded(file: Path) -> None:
    """A worker imports the script, too, and must not submit what it submits."""
    frame = _running_line()
    if frame is None:
        return
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):  # it has changed since
        return
    for one in statements:
        if one.lineno <= frame.f_lineno <= (one.end_lineno or 0):
            names = {node.id for node in ast.walk(one) if isinstance(node, ast.Name)}
            if not isinstance(one, ast.If) or "__name__" not in names:
                raise DefinitionError(
                    f"{file}, line {frame.f_lineno}: a worker that imports the script would run this, too: "
                    "put it below if __name__ == '__main__':"
                )


def _running_line() -> FrameType | None:
    """Where the script is, as far as this thread knows."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__":
            return frame
        frame = frame.f_back
    return None
