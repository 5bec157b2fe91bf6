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
    """The function, made of the source that the job was submitted with, if that can be had here."""
    found = functions.defined(project.load(name), name, given)
    if not wanted or found.source == wanted:
        return found
    if found.source_now() == wanted and _forget(found):
        return functions.defined(project.load(name), name, given)
    log.warning(
        "%s was submitted with %s, but this worker has %s: restart it, or bring its files up to date",
        *(name, wanted, found.source or "no source"),
    )
    return found


def _forget(found: Definition) -> bool:
    """Let the function's module be imported anew, with what it imports from its project.

    Returns:
        False: that holds workflows, which stay as the worker has them.
    """
    modules = source.modules_of(found.function) & sys.modules.keys()
    if modules & {known.function.__module__ for known in registry.definitions()}:
        return False
    for module in modules:
        del sys.modules[module]
    return True
