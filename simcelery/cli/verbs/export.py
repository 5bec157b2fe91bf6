"""``export``: write jobs with all that is known of them into a folder, to keep or to publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simcelery.cli.counting import counting
from simcelery.cli.options import Filters, Output, command, filter_options, output_option
from simcelery.cli.output import say, show_ids, show_json
from simcelery.cli.selectors import Selection, ids_argument, which
from simcelery.describe.words import many
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.reads.artifacts import Artifact


@command(
    "export",
    "simcelery export -t oxides --crate oxides",
    "simcelery export -t oxides -s succeeded --crate oxides --title 'Relaxed oxides' --license CC-BY-4.0",
    "simcelery export 1-100,205 --crate first-try -o json",
)
@ids_argument()
@filter_options
@click.option(
    "--crate",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    required=True,
    help="Write an RO-Crate: a new folder with tables, logs, metadata and checksums.",
)
@click.option("--title", metavar="TEXT", help="What it is called (default: after its workflows and tags).")
@click.option(
    "--license",
    "licence",
    metavar="URL|NAME",
    help="Under which licence others may use it (default: none is given).",
)
@click.option("--no-artifacts", "without", is_flag=True, help="Leave out the artifacts of the jobs.")
@output_option
def export(
    selection: Selection | None,
    filters: Filters,
    crate: Path,
    title: str | None,
    licence: str | None,
    without: bool,
    output: Output,
) -> int:
    """Write jobs, their attempts, results and logs into an RO-Crate, to keep, to publish, or to give away.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin. Without IDS
    and filters, all jobs of the board.

    The folder has a table of the jobs of each workflow, and one of all attempts with what they ran with, both
    in Parquet; what each attempt printed, as text; the artifacts of the jobs, brought from where they are; a
    README; metadata in JSON-LD, as repositories read them; and the SHA-256 of every file. It appears when it
    is complete, and the jobs stay on the board.

    Hosts, folders and user names are a part of the record. Passwords in URLs are left out; look for other
    secrets in parameters and logs yourself before you publish it. Needs: pip install 'simcelery[crate]'.
    """
    from simcelery.crates import making

    made = making.make(
        crate,
        which(selection, filters),
        limit=filters.limit,
        title=title,
        license=licence,
        counting=counting,
        get=None if without else _get,
    )
    if output == "json":
        show_json({"crate": str(crate), **vars(made)})
    elif output == "quiet":
        show_ids([crate])
    else:
        counts = many(made.jobs), many(made.attempts, "attempt"), many(made.logs, "log")
        say(f"{', '.join(counts)} in {crate}: {many(made.files, 'file')}, {made.size / 1e6:,.1f} MB")
    return 0


def _get(one: Artifact, target: Path) -> None:
    from simcelery.submission import artifacts

    try:
        artifacts.get(one, target)
    except UsageError as error:
        raise UsageError(f"{error}; to leave out the artifacts of all jobs: --no-artifacts") from None
