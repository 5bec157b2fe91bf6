"""Jobs that call a function which is not declared as a workflow, as `simcelery.Executor` submits them."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import Any

from simcelery.board.values import Claim
from simcelery.errors import DefinitionError
from simcelery.execution import clean
from simcelery.readable import short
from simcelery.workflows import functions, project, registry, source
from simcelery.workflows.definition import Definition
from simcelery.workflows.outcomes import Fail

log = logging.getLogger(__name__)


_hashes: dict[str, str] = {}  # of the files of loaded modules
_told: set[tuple[str, str, str]] = set()


class UnusableFunctionError(Fail):
    """The function that a job names cannot be called here, however often it is tried."""


def what_runs(definition: Definition, claim: Claim) -> tuple[Definition, Claim]:
    """The function that the job calls, and the claim with its arguments for parameters; or both as they are.

    What has to be imported for it belongs to the state in which each job starts here.

    Raises:
        UnusableFunctionError: there is no such function, or jobs may not call it.
        Exception: of any kind: its module cannot be imported.
    """
    if claim.workflow != functions.WORKFLOW:
        return definition, claim
    stored = claim.parameters if isinstance(claim.parameters, dict) else {}
    name, arguments, wanted = (stored.get(one) for one in ("function", "arguments", "source"))
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise UnusableFunctionError(f"its parameters on the board name no function: {short(stored)}")
    before = len(sys.modules)
    try:
        found = _found(name, wanted, frozenset(arguments))
    except DefinitionError as error:
        raise UnusableFunctionError(str(error)) from None
    finally:
        if len(sys.modules) != before:
            clean.forget()
    return found, replace(claim, parameters=arguments)


def _found(name: str, wanted: Any, given: frozenset[str]) -> Definition:
    """The function as its file is now: scripts are edited and run again while workers live on."""
    module = name.partition(":")[0]
    if any(_hashes.get(one, now) != now for one, now in source.files_of(module).items()):
        _forget(module)
    found = functions.defined(project.load(name), name, given)
    note_loaded(module)
    if wanted and wanted != found.source and (name, wanted, found.source) not in _told:
        _told.add((name, wanted, found.source))
        log.warning("%s was submitted with %s, and runs here with %s", name, wanted, found.source or "none")
    return found


def note_loaded(*modules: str) -> None:
    """Remember what the files of these modules, which were just imported, and of what they import hold."""
    for module in modules:
        for name, now in source.files_of(module).items():
            if name in sys.modules:
                _hashes.setdefault(name, now)


def _forget(module: str) -> None:
    """Let a module be imported anew, with what it imports from its project, unless that holds workflows.

    Those stay as the worker has them, and its log says that it must be restarted.
    """
    modules = source.files_of(module).keys() & sys.modules.keys()
    if modules & {known.function.__module__ for known in registry.definitions()}:
        return
    for name in modules:
        del sys.modules[name]
        _hashes.pop(name, None)
