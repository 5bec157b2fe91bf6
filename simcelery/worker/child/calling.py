"""Jobs that call a function which is not declared as a workflow, as `simcelery.Executor` submits them."""

from __future__ import annotations

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

_hashes: dict[str, str] = {}  # of the files of modules when these were loaded, or could be


class Elsewhere(Exception):
    """A worker with other files has to run the job; says what is wrong with those here."""


class UnusableFunctionError(Fail):
    """The function that a job names cannot be called here, however often it is tried."""


def what_runs(definition: Definition, claim: Claim) -> tuple[Definition, Claim]:
    """The function that the job calls, and the claim with its arguments for parameters; or both as they are.

    What has to be imported for it belongs to the state in which each job starts here.

    Raises:
        Elsewhere: its source here is not that with which it was submitted.
        UnusableFunctionError: there is no such function, or jobs may not call it.
        Exception: of any kind: its module cannot be imported.
    """
    if claim.workflow != functions.WORKFLOW:
        return definition, claim
    stored = _stored(claim)
    name, arguments = stored.get("function"), stored.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise UnusableFunctionError(f"its parameters on the board name no function: {short(stored)}")
    before = len(sys.modules)
    try:
        found = _found(name, _wanted(stored), frozenset(arguments))
    except DefinitionError as error:
        raise UnusableFunctionError(str(error)) from None
    finally:
        if len(sys.modules) != before:
            clean.forget()
    return found, replace(claim, parameters=arguments)


def _found(name: str, wanted: str, given: frozenset[str]) -> Definition:
    """The function as its file is now: scripts are edited and run again while workers live on."""
    module = name.partition(":")[0]
    if _is_older(module):
        _forget(module)
    is_known = module in _hashes
    found = functions.defined(project.load(name), name, given)
    for one, now in source.files_of(module).items():
        _hashes.setdefault(one, now)  # of what it imports only later, too
    if wanted and not is_known:
        _check_unchanged(module, wanted)
    return found


def check_source(claim: Claim) -> None:
    """Whether this process can call the function with the source with which the call was submitted.

    Nothing is imported: a module of the same name may belong to another project.

    Raises:
        Elsewhere: it cannot.
    """
    stored = _stored(claim)
    wanted = _wanted(stored)
    if claim.workflow != functions.WORKFLOW or not wanted:
        return
    module = str(stored.get("function")).partition(":")[0]
    _check_files(module, wanted)
    if _is_older(module) and not _may_forget(module):
        raise Elsewhere("has loaded an earlier version, which defines workflows, too")


def _stored(claim: Claim) -> dict[str, Any]:
    return claim.parameters if isinstance(claim.parameters, dict) else {}


def _wanted(stored: dict[str, Any]) -> str:
    """The fingerprint with which a call was submitted; empty: with any."""
    wanted = stored.get("source")
    return wanted if isinstance(wanted, str) else ""


def _check_files(module: str, wanted: str) -> None:
    here = project.source_here(module)
    if here != wanted:
        raise Elsewhere(f"has another version, {here}" if here else f"has no module {module!r}")


def _check_unchanged(module: str, wanted: str) -> None:
    """Files may have changed while they were imported: which of the two was loaded is not known."""
    try:
        _check_files(module, wanted)
    except Elsewhere:
        _hashes[module] = ""
        _forget(module)
        raise


def _is_older(module: str) -> bool:
    """Whether what is loaded of a module, or of what it imports, is not what the files are now."""
    return any(_hashes.get(one, now) != now for one, now in source.files_of(module).items())


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
    if _may_forget(module):
        for name in source.files_of(module):
            sys.modules.pop(name, None)
            _hashes.pop(name, None)


def _may_forget(module: str) -> bool:
    loaded = source.files_of(module).keys() & sys.modules.keys()
    return not loaded & {known.function.__module__ for known in registry.definitions()}
