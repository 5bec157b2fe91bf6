"""Calls of an executor as jobs: of a workflow as itself, of any other function by its name."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcelery.board import engine
from simcelery.board.values import NewJob
from simcelery.submission.options import Options
from simcelery.submission.submit import preparation
from simcelery.workflows import functions, project, registry, source
from simcelery.workflows.definition import Definition, idempotency_key


@dataclass(frozen=True)
class Sameness:
    """What makes two calls the same.

    Parameters:
        again: whether the same call made again is the same job.
    """

    tag: str | None
    version: str
    again: bool

    def key(self, name: str, version: str, encoded: Mapping[str, Any], folder: str = "") -> str:
        """By which the job of a call is found.

        Parameters:
            folder: where the module is: a function of the same name in another project is another one.
        """
        if not self.again:
            return (
                f"executor {uuid.uuid4().hex}"  # it is still recorded only once if it has to be tried again
            )
        same: dict[str, Any] = {"tag": self.tag, "version": self.version, "arguments": encoded}
        if folder:
            same["folder"] = folder
        return idempotency_key(f"executor {name}", version, same)


class Callee:
    """What is called.

    Attributes:
        prepare: makes a job of positional and named arguments; it records nothing.
        restore: gives what was returned, from what is stored.
    """

    prepare: Callable[[Sequence[Any], Mapping[str, Any]], NewJob]
    restore: Callable[[Any], Any]


class OfWorkflow(Callee):
    """Of a declared workflow."""

    def __init__(self, definition: Definition, options: Options, sameness: Sameness) -> None:
        prepared = preparation(definition, options)

        def prepare(args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
            job = prepared(definition.parameters.bind(args, kwargs))
            return job.alike(
                idempotency_key=sameness.key(definition.name, definition.version, job.parameters)
            )

        self.prepare = prepare
        self.restore = definition.parameters.restore_result


class OfFunction(Callee):
    """Of a function that only has a name."""

    def __init__(self, function: Callable[..., Any], options: Options, sameness: Sameness) -> None:
        name = project.name_of(function)
        folder = source.folder_of(function)
        awkward = functions.unstorable_defaults(function)
        plain = functions.defined(function, name, frozenset())

        @functools.cache
        def prepared(given: frozenset[str]) -> Callable[[Mapping[str, Any]], NewJob]:
            return preparation(functions.defined(function, name, given), options)

        # What comes before and after the arguments in the stored parameters.
        head = f'{{"function":{engine.as_json(name)},"source":{engine.as_json(plain.source)},"arguments":'

        def prepare(args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
            given = functions.bind(function, args, kwargs)
            job = prepared(awkward.intersection(given))(given)
            return job.alike(
                workflow=functions.WORKFLOW,
                parameters={"function": name, "source": plain.source, "arguments": job.parameters},
                parameters_json=f"{head}{job.parameters_json}}}",
                idempotency_key=sameness.key(name, "1", job.parameters, folder),
                renews="source",
            )

        self.prepare = prepare
        self.restore = plain.parameters.restore_result


def callee(function: Any, options: Options, sameness: Sameness) -> Callee:
    """What a function that was given to an executor is.

    Raises:
        DefinitionError: no worker can import it, or may call it.
    """
    if isinstance(function, Definition):
        return OfWorkflow(function, options, sameness)
    for known in registry.definitions():
        if known.function is function:
            return OfWorkflow(known, options, sameness)
    return OfFunction(function, options, sameness)
