"""``submit FILE``: what its job file asks for, validated as a whole before anything is recorded."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli import targets
from simcelery.cli.jobfiles import entries, reading
from simcelery.cli.jobfiles.entries import Entry
from simcelery.cli.output import note
from simcelery.cli.recording import prepared
from simcelery.cli.templates import Template
from simcelery.errors import UnknownWorkflowError, UsageError
from simcelery.readable import short
from simcelery.settings import get_settings
from simcelery.workflows import registry
from simcelery.workflows.encoding import contains_job

if TYPE_CHECKING:
    from simcelery.submission.handle import Job
    from simcelery.submission.options import Options
    from simcelery.submission.together import Part

# What may be said besides a file: not what its jobs are, but what becomes of them.
_BESIDE = {"workflow", "wait", "timeout", "dry_run", "output"}
_MOST = 10_001  # jobs of a part: one more than are recorded together


def is_file(name: str | None) -> bool:
    """Whether the first argument names a job file: a workflow that is called so comes first."""
    if name is None or not reading.is_name(name) or name.partition("=")[0].isidentifier():
        return False
    if "/" in name:
        return True
    registry.load(get_settings())
    if registry.find(name) is None:
        if os.path.exists(name):
            return True
        try:
            targets.find(name)  # on the board
        except UnknownWorkflowError:
            return True
    note(f"simcelery: {short(name)} is a workflow; a file of this name would be ./{name}")
    return False


def check_alone(ctx: click.Context) -> None:
    """Whether nothing is said besides the file that belongs into it.

    Raises:
        UsageError: there is.
    """
    said = [
        one
        for one in ctx.command.params
        if ctx.get_parameter_source(str(one.name)) is click.core.ParameterSource.COMMANDLINE
        and one.name not in _BESIDE
    ]
    if said or "argv" in ctx.meta:
        what = f"--{entries.key_of(said[0])}" if said and isinstance(said[0], click.Option) else "the rest"
        raise UsageError(
            f"{what} belongs into the file {short(ctx.params['workflow'])}; besides a file only --dry-run, "
            "--wait, --timeout and -o may be given"
        )


def asked(ctx: click.Context, path: str) -> tuple[list[Entry], bool]:
    """The submissions of a file, and whether they are a list of jobs there.

    Raises:
        UsageError: it cannot be read, or says what cannot be.
    """
    return entries.entries(path, reading.read(path), ctx.command.params)


def alone(ctx: click.Context, path: str) -> tuple[str, dict[str, Any]]:
    """The workflow and the parameters of the only job of a file, to run it here.

    Raises:
        UsageError: it holds several, or needs the board.
    """
    if ctx.params["parameters"]:
        raise UsageError(f"parameters belong into the file {short(path)}")
    root = ctx.find_root()
    submit = root.command.get_command(root, "submit") if isinstance(root.command, click.Group) else None
    [entry, *more], _ = entries.entries(path, reading.read(path), submit.params if submit else [])
    with entry.named():
        target, found = entry.resolved(targets.here)
        items = list(itertools.islice(found, 2))
        if more or len(items) > 1:
            raise UsageError("it holds several jobs, and only one is run here: submit them")
        values = target.filled(items[0].values) if isinstance(target, Template) else items[0].values
        if any(map(contains_job, values.values())):
            raise UsageError("it takes the results of other jobs, which only a job is given: submit it")
    return target.name, values


def parts(asked_for: Sequence[Entry], options_of: Callable[[dict[str, Any]], Options]) -> list[Part]:
    """All jobs of a file with a list of them, validated.

    Raises:
        UsageError: something is invalid; one line says where.
    """
    from simcelery.submission.together import Part, awaited, check

    made: dict[str, Part] = {}
    named: dict[str, Job | list[Job]] = {}
    found: list[Part] = []
    total = 0
    for entry in asked_for:
        with entry.named():
            target, items = entry.resolved(targets.find, named.__getitem__)
            if entry.chosen["key"] and entry.several:
                raise UsageError("key is for one job; with each and grid use dedupe")
            options = options_of(entry.options())
            if options.notify or options.stops_itself:
                raise UsageError("notify, canary and max-fails are for a file without a list of jobs")
            new = list(itertools.islice(prepared(target, items, options), _MOST))
        waits_for, any_end = ([made[name] for name in n] for n in (entry.waits_for, entry.waits_for_any))
        part = Part(new, options, waits_for, any_end, entry.name)
        found.append(part)
        if entry.name is not None:
            jobs = awaited(new, total)
            made[entry.name], named[entry.name] = part, jobs if entry.several else jobs[0]
        total += len(new)
    check(found)
    return found
