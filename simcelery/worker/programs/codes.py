"""``@simcelery.code``: a program with its input and its output as a workflow."""

from __future__ import annotations

import inspect
import os
import shlex
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

from simcelery.errors import DefinitionError, UsageError
from simcelery.readable import short
from simcelery.submission.workflow import Workflow, workflow
from simcelery.worker.context import current_job
from simcelery.worker.programs.handlers import NUMERICS, Changes
from simcelery.worker.programs.program import COMMON, Program
from simcelery.worker.programs.result import OWN, CommandResult
from simcelery.worker.programs.running import run
from simcelery.worker.programs.verdict import CommandError
from simcelery.workflows import jinja, places

Parse = Callable[[Path], Any]
_ALLOW = "allow"
_ANY_TIME = 1.0  # seconds


def code(
    *,
    command: str | Sequence[str],
    inputs: Mapping[str, str | Path] | None = None,
    outputs: Sequence[str] = (),
    parse: Parse | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Workflow]:
    """Make a program a workflow. The parameters are those of the function that is decorated.

    ::

        @simcelery.code(
            command="lmp -in in.melt -var seed {seed}",
            inputs={"in.melt": Path("in.melt.tmpl")},
            outputs=["log.lammps"],
            ok="Total wall time",
            parse=last_energy,
        )
        def melt(temperature: float, seed: int = 1) -> None: ...

    An attempt calls the function in its folder, where it may write files; writes the inputs; runs the
    command; checks how it ended; and calls `parse`. In the command and in the inputs, ``{seed}`` and
    ``{temperature:.1f}`` stand for parameters, or for what the function returns: a mapping of further values.

    Parameters:
        command: the program and its arguments. A text is split as a shell does, by blanks outside of quotes,
            before values are put into it; no shell is involved.
        inputs: each file to write, by its name in the folder: a text, or the path of a file that holds it,
            which is read when this module is imported, from the module's folder. One whose name ends in
            ``.j2`` is a template in Jinja2.
        outputs: names of files that it has to write: each with something in it, in this run of the program;
            they are registered as artifacts.
        parse: called with the folder at the end; a mapping or a dataclass that it returns becomes part of the
            result, and anything else is the result's ``value``.
        options: those of `workflow`, and of `run_command` these: ``stdin, ok, json, env, keep_urls, modules,
            handlers, max_corrections, restart, stop_file, stop_text``. With handlers the workflow has one
            parameter more, ``allow``: what corrections may change, ``["numerics"]`` or
            ``["numerics", "physics"]``. With ``restart``, the ``time_request`` is a second if none is given:
            a job that goes on where it was may begin in any allocation.

    Returns:
        A decorator that makes a workflow, whose result is a `CommandResult`.

    Raises:
        DefinitionError: an option cannot be used; one line says why.
    """
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError as error:
            raise DefinitionError(f"code: command {short(command)}: {error}") from None
    if not command:
        raise DefinitionError("code: command is empty; name the program and its arguments")
    common = {name: options.pop(name) for name in COMMON & options.keys()}
    try:
        program = Program(list(command), files=dict.fromkeys(inputs or {}, ""), expect=outputs, **common)
    except ValueError as error:
        raise DefinitionError(f"code: {error}") from None

    def decorate(function: Callable[..., Any]) -> Workflow:
        texts = {name: _text(function, text) for name, text in (inputs or {}).items()}
        templates = {name for name, given in (inputs or {}).items() if _is_template(given)}
        try:
            for name in templates:
                jinja.names(texts[name], name)
        except UsageError as error:
            raise DefinitionError(f"code: {function.__qualname__}: {error}") from None
        plain = [text for name, text in texts.items() if name not in templates]

        @wraps(function)
        def runs(**parameters: Any) -> CommandResult:
            allow = parameters.pop(_ALLOW, NUMERICS) if program.handlers else NUMERICS
            values = {**parameters, **_more(function, parameters)}
            fill = _filler(values, [*program.argv, *plain])
            argv = [fill(word) for word in program.argv]
            files = {
                name: jinja.rendered(text, values, name) if name in templates else fill(text)
                for name, text in texts.items()
            }
            result = run(replace(program, argv=argv, files=files, allow=allow))
            for name in program.expect:
                current_job().artifact(Path(result.workdir) / name, name)
            return result if parse is None else _with_values(result, parse(Path(result.workdir)))

        # What goes on where it was is of use for whatever time an allocation has left.
        takes = {"time_request": _ANY_TIME} if program.restart else {}
        return workflow(**{**takes, **options})(_as(function, runs, bool(program.handlers)))

    return decorate


def _filler(values: Mapping[str, Any], texts: Sequence[str]) -> Callable[[str], str]:
    used = places.names(texts)
    return places.filler({name: values[name] for name in used if name in values}, "the command")


def _more(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    found = function(**parameters)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise DefinitionError(
            f"{function.__qualname__}() must return nothing or a mapping of values for its templates, "
            f"not {short(found)}"
        )
    return found


def _with_values(result: CommandResult, parsed: Any) -> CommandResult:
    if is_dataclass(parsed) and not isinstance(parsed, type):
        parsed = {one.name: getattr(parsed, one.name) for one in fields(parsed)}
    found = dict(parsed) if isinstance(parsed, Mapping) else {"value": parsed}
    if taken := sorted((OWN | result.values.keys()) & found.keys()):
        raise CommandError(f"parse gives {taken[0]!r}, which the result has already: give it another name")
    return replace(result, values=result.values | found)


def _is_template(given: str | Path) -> bool:
    """Whether an input is in Jinja2: a file whose name says so."""
    return isinstance(given, os.PathLike) and jinja.is_template(given)


def _text(function: Callable[..., Any], given: str | Path) -> str:
    """The text of an input."""
    if not isinstance(given, os.PathLike):
        return given
    path = Path(inspect.getfile(function)).parent / given
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"code: {function.__qualname__}: cannot read {path}: {error}") from None


def _as(
    function: Callable[..., Any], runs: Callable[..., CommandResult], corrected: bool
) -> Callable[..., CommandResult]:
    """`runs` with the parameters of the function, and `allow` if it is corrected, and a result of its own."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # the workflow's definition says what is wrong with it
        hints = dict(function.__annotations__)
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if corrected:
        if _ALLOW in signature.parameters:
            raise DefinitionError(
                f"code: {function.__qualname__} has handlers, so its parameter 'allow' says what they may "
                "change: give yours another name"
            )
        hints[_ALLOW] = list[Changes]
        parameters.append(
            inspect.Parameter(
                _ALLOW, inspect.Parameter.KEYWORD_ONLY, default=list(NUMERICS), annotation=list[Changes]
            )
        )
    runs.__annotations__ = {**hints, "return": CommandResult}
    runs.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=CommandResult
    )
    return runs
