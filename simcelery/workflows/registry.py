"""All workflows of this process, by name, and how their modules are found."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import multiprocessing
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeVar

from simcelery.errors import DefinitionError, SimceleryError, UnknownWorkflowError
from simcelery.settings import Settings, find_settings_file
from simcelery.workflows.definition import Definition, default_name

ENTRY_POINTS = "simcelery.workflows"
D = TypeVar("D", bound=Definition)

_definitions: dict[str, Definition] = {}
_listeners: list[Callable[[Definition], None]] = []
_failures: dict[str, DefinitionError] = {}
_loaded = False
_loading = threading.local()


def register(definition: D) -> D:
    """Add a workflow. The same function defined again (a reload, a notebook cell) replaces itself.

    Raises:
        DefinitionError: another function already has this name.
    """
    known = _definitions.get(definition.name)
    if known is not None and _origin(known) != _origin(definition):
        raise DefinitionError(
            f"two workflows are called {definition.name!r}: {_origin(known)} and {_origin(definition)}; "
            "give one of them another name with @workflow(name=…)"
        )
    _definitions[definition.name] = definition
    for listener in _listeners:
        listener(definition)
    return definition


def _origin(definition: Definition) -> str:
    # A script that runs and the module that it is when it is imported are the same.
    return default_name(definition.function)


def subscribe(listener: Callable[[Definition], None]) -> None:
    """Call `listener` with every workflow: those that are registered now, and each later one."""
    _listeners.append(listener)
    for definition in list(_definitions.values()):
        listener(definition)


def get(name: str) -> Definition:
    """The workflow of this name.

    Raises:
        UnknownWorkflowError: there is none; names what was probably meant, or which module failed to import.
    """
    try:
        return _definitions[name]
    except KeyError:
        raise UnknownWorkflowError(unknown(name)) from None


def find(name: str) -> Definition | None:
    """The workflow of this name, or None."""
    return _definitions.get(name)


def unknown(name: str) -> str:
    """One line for a name that no workflow has: what was probably meant, or what to do."""
    for module, failure in _failures.items():
        if name.startswith(f"{module}."):
            return f"no workflow is called {name!r}; {failure}"
    # Whoever says only the last part may mean any of those.
    close = [one for one in _definitions if one.rpartition(".")[2] == name]
    if close := sorted(close) or difflib.get_close_matches(name, _definitions, n=1):
        also = "".join(f" ({failure})" for failure in list(_failures.values())[:1])
        return f"no workflow is called {name!r}; did you mean {' or '.join(map(repr, close[:3]))}?{also}"
    if _failures:
        return f"no workflow is called {name!r}; {next(iter(_failures.values()))}"
    return (
        f"no workflow is called {name!r}; 'simcelery workflows' lists them; name your modules in "
        'simcelery.toml (workflows = ["my_project.relax"]) or SIMCELERY_WORKFLOWS'
    )


def forget(kind: type[Definition]) -> None:
    """Forget the workflows of this kind, so that `load` finds them."""
    global _loaded
    _loaded = False
    for name in [name for name, known in _definitions.items() if isinstance(known, kind)]:
        del _definitions[name]


def definitions() -> Iterator[Definition]:
    """All workflows, by name."""
    yield from (_definitions[name] for name in sorted(_definitions))


def keep_code_versions() -> None:
    """Let attempts be recorded with the code that is loaded now, whatever becomes of its file."""
    for definition in _definitions.values():
        definition.keep_code()


def refuse_while_loading() -> None:
    """Refuse to record a job from the top of a module: each import would record another one.

    Raises:
        DefinitionError: workflows are being loaded, or a child of multiprocessing is importing the main
            module; it names the line.
    """
    inheriting = getattr(multiprocessing.current_process(), "_inheriting", False)
    if not (inheriting or getattr(_loading, "now", False)):
        return
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    where = f"{frame.f_code.co_filename}, line {frame.f_lineno}" if frame else "a module"
    raise DefinitionError(
        f"{where} submits a job while it is imported, and every worker and client would submit it again: "
        "put it into a function, or below if __name__ == '__main__':"
    )


def load(settings: Settings) -> dict[str, DefinitionError]:
    """Import the modules of entry points and settings, once per process.

    Returns:
        The modules that did not import, each with its one-line error. Others are loaded all the same.
    """
    global _loaded
    if not _loaded:
        _loaded = True
        look_in_project()
        modules = [point.module for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
        with loading():
            for module in dict.fromkeys([*modules, *settings.workflows]):
                _import(module)
    return dict(_failures)


def project() -> list[Path]:
    """The folders that modules are looked for in: that of the settings file, and the current one."""
    file = find_settings_file()
    found = [file.parent] if file else []
    with suppress(FileNotFoundError):  # it was deleted
        found.append(Path.cwd())
    return list(dict.fromkeys(found)) or [Path("/")]


def look_in_project() -> None:
    """Let modules of the project be imported."""
    for folder in map(str, project()):
        if folder not in sys.path:
            sys.path.insert(0, folder)


@contextmanager
def loading() -> Iterator[None]:
    """Within the block this thread imports modules; see `refuse_while_loading`."""
    before = getattr(_loading, "now", False)
    _loading.now = True
    try:
        yield
    finally:
        _loading.now = before


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            _failures[module] = DefinitionError(
                f"workflows: there is no module {module!r} (from simcelery.toml, SIMCELERY_WORKFLOWS or an "
                f"entry point); it must be importable from {Path.cwd()}"
            )
        else:
            _failures[module] = _broken(module, error)
    except SimceleryError as error:
        _failures[module] = DefinitionError(f"workflows: module {module!r}: {error}")
    except (Exception, SystemExit) as error:
        _failures[module] = _broken(module, error)


def _broken(module: str, error: BaseException) -> DefinitionError:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where, reason = f"{last.filename}, line {last.lineno}", str(error)
    if isinstance(error, SyntaxError) and error.filename:
        where, reason = f"{error.filename}, line {error.lineno}", error.msg
    reason = " ".join(f"{type(error).__name__}: {reason}".split()).removesuffix(":")
    return DefinitionError(f"workflows: module {module!r} does not import: {reason} ({where})")
