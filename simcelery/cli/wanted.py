"""What is to be submitted: a workflow or a command, and the parameters of each of its jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcelery.cli import sources, targets
from simcelery.cli.templates import words
from simcelery.errors import UsageError
from simcelery.readable import short

if TYPE_CHECKING:
    from simcelery.cli.programs import Program
    from simcelery.cli.sources import Items
    from simcelery.cli.targets import Target


def wanted(
    argv: list[str] | None,
    program: Program,
    workflow: str | None,
    parameters: tuple[str, ...],
    each: str | None = None,
    grid: tuple[str, ...] = (),
) -> tuple[Target, Items]:
    """The workflow, and the parameters of each of its jobs.

    Parameters:
        argv: the command after ``--``, if there is one; then `workflow` is the first of its parameters.

    Raises:
        UsageError: it is neither a workflow nor a command.
    """
    if argv is not None:
        return _command(argv, program, [*filter(None, [workflow]), *parameters], each, grid)
    if not workflow:
        raise UsageError("which workflow? Give its name ('simcelery workflows' lists them), or '-- COMMAND'")
    if "=" in workflow:
        raise UsageError(
            f"{short(workflow)} is where the workflow's name should be: write WORKFLOW NAME=VALUE"
        )
    target = targets.find(workflow)
    return target, sources.items(target, parameters, each, grid)


def _command(
    argv: list[str], program: Program, parameters: list[str], each: str | None, grid: tuple[str, ...]
) -> tuple[Target, Items]:
    """A command; with parameters it is a template, and without any its braces are nothing special."""
    if not argv:
        raise UsageError("there is no command after '--'")
    argv = words(argv)
    shell = targets.find("command")
    filled = bool(parameters or each or grid or program.jinja)
    target = program.target(shell, argv, filled)
    return target, sources.items(target, parameters, each, grid) if filled else program.items(shell, argv)
