"""``demo``: a real computation from start to finish, on servers and workers of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, console, note, say, show_json, show_table

if TYPE_CHECKING:
    from simcelery.demo.results import EquationOfState

_TIMEOUT = 600.0
_WORKERS = 2


@command("demo", "simcelery demo", "simcelery demo --keep --plot eos.png")
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("simcelery-demo.png"),
    show_default=True,
    help="File for the plot.",
)
@click.option(
    "--keep", is_flag=True, help="Keep its servers, board and workers running, and say how to look at them."
)
@output_option
def demo(picture: Path, keep: bool, output: Output) -> None:
    """Compute the equations of state of seven metals: 70 jobs on two workers, a table and a plot.

    Starts its own servers and two workers, submits the jobs, follows them, and compares lattice constants
    and bulk moduli with experiment. Takes about a minute. Its board is in a temporary folder: yours is not
    touched, and only the plot remains.
    """
    from simcelery.demo import place, script
    from simcelery.demo.plot import plot

    script.require_extras()
    started = time.monotonic()
    tell = note if output != "table" else say
    with place.of_its_own(_WORKERS, keep=keep) as own:
        tell(f"starting {_WORKERS} workers, with servers of their own in {own.home}")
        fits = script.submit()
        ids = script.all_ids(fits)
        tell(f"{len(ids)} jobs are on its board (ids {ids[0]} to {ids[-1]})")
        with _progress(len(ids)) as report:
            script.follow(ids, own, report, _TIMEOUT)
        found = script.collect(fits)
        plot(found, picture)
    _show(found, output, picture)
    tell(f"{len(ids)} jobs in {time.monotonic() - started:.0f} s; the plot is in {picture}")
    if keep:
        pids = " ".join(str(worker.pid) for worker in own.workers)
        note(f"servers, board and workers keep running; look at them with: {own.look} simcelery list")
        note(f"stop and remove them with: kill {pids}; {own.look} simcelery down; rm -r {own.home}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; elsewhere a line for every fifth of the jobs."""
    import sys

    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console(stderr=True)) as bar:
            task = bar.add_task("jobs", total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    said = [-1]

    def report(done: int) -> None:
        if done * 5 // total > said[0]:
            said[0] = done * 5 // total
            note(f"{done} of {total} jobs have finished")

    yield report


def _show(found: Mapping[str, EquationOfState], output: Output, picture: Path) -> None:
    from simcelery.demo.reference import SOURCE
    from simcelery.demo.table import COLUMNS, rows

    table = rows(found)
    if output == "json":
        show_json({"metals": [vars(row) for row in table], "source": SOURCE, "plot": str(picture)})
    elif output == "table":
        columns = [Column(name, right=name != COLUMNS[0]) for name in COLUMNS]
        show_table(columns, [row.cells() for row in table])
        say(f"measured values: {SOURCE}")
