"""``prune``: delete old jobs by hand, and archive them first if asked to."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from simcelery.cli.asking import agreed
from simcelery.cli.options import Output, command, duration, output_option, yes_option
from simcelery.cli.output import console, note, say, show_ids, show_json
from simcelery.describe.words import duration as in_words
from simcelery.describe.words import many
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.maintenance.archive import Pruned

EXIT_INTERRUPTED = 130


@command(
    "prune",
    "simcelery prune --older-than 30d --dry-run",
    "simcelery prune --older-than 30d --archive /data/jobs",
    "simcelery prune --older-than 1d -y",
)
@click.option(
    "--older-than",
    metavar="DURATION",
    help="Delete jobs that finished longer ago than this (default: the setting retention).",
)
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the jobs to files in this folder first.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "parquet"]),
    default="jsonl",
    help="Format of those files: gzipped JSON lines (default), or Parquet, which needs pyarrow.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many jobs would be deleted.")
@yes_option
@output_option
def prune(
    older_than: str | None,
    archive: Path | None,
    format_: Literal["jsonl", "parquet"],
    dry_run: bool,
    yes: bool,
    output: Output,
) -> int:
    """Delete jobs that finished long ago, with their attempts and logs, and the records of workers that
    ended as long ago.

    A job is kept while a job that depends on it is unfinished, or finished too recently. With --archive a
    job is deleted only once a file that holds it is safely on disk. If interrupted, simply run it again.
    With -o quiet, prints the names of the files.
    """
    from simcelery.maintenance import archive as archives
    from simcelery.maintenance import discard

    seconds = _seconds(older_than)
    count = _count(seconds)
    files: list[Path] = []
    pruned = 0
    try:
        if not dry_run:
            where = f"after archiving them in {archive}" if archive else "without archiving them"
            about = f"delete {many(count)} that finished more than {in_words(seconds)} ago, {where}"
            if count and not agreed(about, yes):
                return 0
            with _counting(archives.archive_and_delete(seconds, archive, format_), count) as steps:
                for step in steps:
                    pruned += step.jobs
                    files += [step.file] if step.file else []
    except KeyboardInterrupt:
        note(f"simcelery: interrupted: {many(pruned)} deleted; the rest are still on the board")
        return EXIT_INTERRUPTED
    if pruned:
        discard.run()
    _show(dry_run, count if dry_run else pruned, seconds, files, output)
    return 0


def _show(dry_run: bool, count: int, seconds: float, files: list[Path], output: Output) -> None:
    if output == "json":
        show_json({"dry_run": dry_run, "pruned": count, "files": [str(path) for path in files]})
    elif output == "quiet":
        show_ids(files)
    else:
        ago = f"finished more than {in_words(seconds)} ago"
        say(f"{many(count)} that {ago} would be deleted" if dry_run else f"deleted {many(count)} that {ago}")
        for path in files:
            say(f"  {path}")


def _seconds(older_than: str | None) -> float:
    from simcelery.settings import get_settings

    seconds = duration("--older-than", older_than)
    seconds = get_settings().retention if seconds is None else seconds
    if seconds is None:
        raise UsageError("which jobs to prune? Give --older-than 30d, or set retention")
    return seconds


def _count(seconds: float) -> int:
    from simcelery.board import engine, retention

    with engine.begin() as connection:
        return retention.count_prunable(connection, seconds)


@contextmanager
def _counting(steps: Iterable[Pruned], total: int) -> Iterator[Iterable[Pruned]]:
    """The same steps, with a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield steps
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as shown:
        task = shown.add_task("deleted", total=total)

        def counted() -> Iterator[Pruned]:
            for step in steps:
                shown.advance(task, step.jobs)
                yield step

        yield counted()
