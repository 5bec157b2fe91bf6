"""``demo``: the main job, end to end, on real input."""

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
    help="Where the plot goes.",
)
@click.option("--keep", is_flag=True, help="Leave its servers, its board and its workers; say how to look.")
@output_option
def demo(picture: Path, keep: bool, output: Output) -> None:
    """The equations of state of seven metals: 70 jobs on two workers, a table and a plot.

    Starts servers and two workers of its own, submits the jobs, follows them, and compares lattice
    constants and bulk moduli with experiment. Takes about a minute. Its board is in a temporary folder:
    yours is not touched, and nothing is left but the plot.
    """
    from simcelery.demo import place, script
    from simcelery.demo.plot import plot

    script.require_extras()
    started = time.monotonic()
    tell = note if output != "table" else say
    with place.of_its_own(_WORKERS, keep=keep) as own:
        tell(f"{_WORKERS} workers are starting, on servers of their own in {own.home}")
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
        note(f"servers, board and workers are kept; look with: {own.look} simcelery list")
        note(f"end them with: kill {pids}; {own.look} simcelery down; rm -r {own.home}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; one line for every fifth elsewhere."""
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
            note(f"{done} of {total} jobs are finished")

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
        say(f"measured: {SOURCE}")
