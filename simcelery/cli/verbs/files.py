"""``files``: list the files that a job has left, and get them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli import completions
from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, note, say, show_ids, show_json, show_table
from simcelery.cli.selectors import parse, the_only
from simcelery.describe.words import one_line, size
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.reads.artifacts import Artifact


@command(
    "files",
    "simcelery files 42",
    "simcelery files 42 get traj.nc -O results",
    "simcelery files last get                    # all of them, into this folder",
    "simcelery files 42 -o json | jq .files",
)
@click.argument("job", metavar="ID", shell_complete=completions.job_ids)
@click.argument("action", type=click.Choice(["ls", "get"]), default="ls")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completions.artifacts)
@click.option(
    "-O",
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="With get: the folder to write them into (default: this one).",
)
@click.option("--force", is_flag=True, help="With get: replace files that exist and are other ones.")
@output_option
def files(job: str, action: str, names: tuple[str, ...], into: Path, force: bool, output: Output) -> None:
    """List the files that a job has registered as artifacts, or get some of them, or all.

    ID is a job's id, or last for the newest job. A file comes from where it is stored (artifact_url); if it
    is stored nowhere, a live worker on the node where the job ran sends it, part by part. Its checksum is
    verified. If another file of its name is there, nothing is written, unless you say --force.
    """
    from simcelery.submission import artifacts

    selection = parse([job])
    assert selection is not None
    number = the_only(selection)
    found = [artifacts.named(number, name) for name in names] if names else artifacts.of(number)
    if action == "ls":
        _show(number, found, output)
        return
    if not found:
        raise UsageError(f"job {number} has no artifacts")
    targets = [(one, artifacts.target_of(one, into)) for one in found]
    wanted = [force or not artifacts.is_at(one, target) for one, target in targets]
    written = {}
    for (one, target), missing in zip(targets, wanted, strict=True):
        if missing:
            artifacts.get(one, target)
        written[one.name] = str(target)
        if output == "table":
            say(one_line(f"{target}  {size(one.size)}"))
    if output == "json":
        show_json({"id": number, "files": [{**_facts(one), "written": written[one.name]} for one in found]})
    elif output == "quiet":
        show_ids(written.values())


def _show(number: int, found: list[Artifact], output: Output) -> None:
    if output == "json":
        show_json({"id": number, "files": [_facts(one) for one in found]})
    elif output == "quiet":
        show_ids(one.name for one in found)
    elif not found:
        note(f"job {number} has no artifacts")
    else:
        columns = [Column("name", wrapped=True), Column("size", right=True), Column("sha256")]
        columns.append(Column("where", wrapped=True))
        rows = [
            (
                one_line(one.name),
                size(one.size),
                one.sha256[:12],
                one_line(one.url or f"{one.host}:{one.path}"),
            )
            for one in found
        ]
        show_table(columns, rows)


def _facts(one: Artifact) -> dict[str, Any]:
    from simcelery.describe.artifacts import as_json

    return as_json(one)
