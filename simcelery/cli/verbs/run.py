"""``run``: run a workflow in this process, without a queue."""

from __future__ import annotations

import contextlib
import gc
import shlex
import sys

import click

from simcelery.cli.completions import parameter_names, workflow_names
from simcelery.cli.options import Number, command
from simcelery.cli.output import note, say, show_json, unchanged_streams
from simcelery.cli.sources import pairs
from simcelery.describe.plain import plain
from simcelery.errors import JobFailedError


@command(
    "run",
    "simcelery run emt.energy structure=Cu",
    "simcelery run my_project.relax structure=NaCl.cif fmax=0.01",
    "simcelery run job.toml",
    "simcelery run job.toml --setup-only",
    "simcelery run my_project.sample steps=1000 --seed 5270148013629201",
)
@click.argument("workflow", shell_complete=workflow_names)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=parameter_names)
@click.option(
    "--seed",
    type=Number(0, 2**53 - 1),
    metavar="N",
    help="Seed for random numbers; 'simcelery show' prints that of an attempt.",
)
@click.option(
    "--setup-only",
    is_flag=True,
    help="Of a workflow that runs a program: only write its input into this folder, and print its command.",
)
@click.option(
    "--force", is_flag=True, help="Overwrite files in this folder with the input of the workflow's program."
)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    workflow: str,
    parameters: tuple[str, ...],
    seed: int | None,
    setup_only: bool,
    force: bool,
) -> None:
    """Run a workflow, or the job of a job file, right here, and print its result as JSON.

    Neither a queue nor a board is needed. Values are read as JSON if that fits the parameter, else as text.
    What the workflow prints goes to stderr. Without --seed, a new seed is chosen and printed on stderr.
    """
    from simcelery.cli import filed
    from simcelery.execution import entropy
    from simcelery.settings import get_settings
    from simcelery.worker import programs
    from simcelery.workflows import registry
    from simcelery.workflows.continuing import here
    from simcelery.workflows.encoding import encode

    registry.load(get_settings())
    if filed.is_file(workflow):
        workflow, values = filed.alone(ctx, workflow)
        definition = registry.get(workflow)
    else:
        definition = registry.get(workflow)
        values = definition.parameters.parse(pairs(parameters))
    valid = definition.parameters.validate(definition.parameters.bind((), values))
    used = entropy.fresh() if seed is None else seed
    gc.set_threshold(700, 10, 10)  # as in any program: what the workflow leaves may be large
    try:
        with unchanged_streams(), contextlib.redirect_stdout(sys.stderr):
            entropy.start(used)
            programs.running.setup_only, programs.running.overwrite = setup_only, force
            result = here(definition.function(**valid))
    except programs.SetupOnly as stopped:
        written = ", ".join(stopped.names) or "no file"
        note(f"simcelery: wrote {written}; the command would be:")
        say(shlex.join(stopped.argv))
        return
    except programs.WouldOverwriteError:
        raise
    except (Exception, SystemExit) as error:
        line = f"{workflow} failed: {type(error).__name__}: {error}"
        again = "run again with --debug for the traceback"
        raise JobFailedError(f"{line} ({again}, with --seed {used} for the same numbers)") from error
    finally:
        programs.running.setup_only, programs.running.overwrite = False, True
    if seed is None:
        note(f"simcelery: to repeat this run with the same random numbers, add --seed {used}")
    show_json(plain(encode(result, "result")))
