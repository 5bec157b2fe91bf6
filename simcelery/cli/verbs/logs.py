"""``logs``: show what jobs printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli import following
from simcelery.cli.following import with_line_end
from simcelery.cli.options import COUNT, Filters, Output, command, filter_options, output_option
from simcelery.cli.output import heading, note, say, show_ids, show_json, show_json_list, write
from simcelery.cli.selectors import Selection, chosen, ids_argument, require, the_only
from simcelery.describe.words import many, one_line
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import JobRow
    from simcelery.board.reads.logs import AttemptLog

_JOBS = 20  # shown, unless -n says otherwise
_LINES = 10  # of each of several jobs


@command(
    "logs",
    "simcelery logs 42",
    "simcelery logs 42 -f                            # until it has ended",
    "simcelery logs 42 --tail 50",
    "simcelery logs 42 --attempt 1 > first.log",
    "simcelery logs 42 --file log.lammps --tail 20   # a file that it writes",
    "simcelery logs -s failed -t oxides --tail 5     # the last lines of each failed job",
)
@ids_argument()
@filter_options
@click.option(
    "-f", "--follow", is_flag=True, help="Go on until the job has ended; exit code 1 if it did not succeed."
)
@click.option("--tail", type=COUNT, metavar="N", help="Only the last N lines of each job.")
@click.option("--attempt", type=COUNT, metavar="N", help="Only this attempt (default: all of one job).")
@click.option("--file", "path", metavar="PATH", help="Instead, the end of this file in the job's folder.")
@output_option
def logs(
    selection: Selection | None,
    filters: Filters,
    follow: bool,
    tail: int | None,
    attempt: int | None,
    path: str | None,
    output: Output,
) -> int:
    """Show what jobs printed: Python's output, and that of commands.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Of a single job, everything; of several, the last 10 lines of the last attempt of the newest 20 of them,
    or as --tail and -n say, those that failed in the groups of 'simcelery errors'. What a running job prints
    is there about a second later. -f follows a single job, over all its attempts or one of them, wherever it
    runs; Ctrl-C stops the following, not the job.

    --file shows a file that a job writes, of a job that runs or has run: the last 256 KiB of it, or --tail
    lines. A live worker on the job's node reads it, so you need no access to that node.
    """
    require(selection, filters, "show the logs of")
    if follow and output != "table":
        raise UsageError(f"-f prints what the job prints, so it does not go with -o {output}")
    if follow and path is not None:
        raise UsageError("--file shows a file as it is now, so it does not go with -f")
    if follow:
        return following.show(_the_one(selection, filters, "-f follows"), tail, attempt)
    if path is not None:
        number = _the_one(selection, filters, "--file shows a file of")
        _show_file(number, path, tail, attempt, output)
    elif selection is not None and selection.single and not filters.given:
        _show_one(the_only(selection), tail, attempt, output)
    else:
        _show_many(selection, filters, tail or _LINES, attempt, output)
    return 0


def _the_one(selection: Selection | None, filters: Filters, what: str) -> int:
    if selection is None or filters.given:
        raise UsageError(f"{what} one job: give its id, such as 42 or last, and no filters")
    return the_only(selection)


def _show_one(number: int, tail: int | None, attempt: int | None, output: Output) -> None:
    [(row, found)] = _read([number], attempt)
    if output == "json":
        show_json(_facts(row, found, tail))
    elif output == "quiet":
        show_ids([number])
    elif not found:
        note(_nothing(row, attempt))
    else:
        lines = [(one, text) for one in found for text in _last(one.text, None)][-(tail or 0) :]
        before = lines[0][0]
        for one, text in lines:
            if one is not before:
                before = one
                where = f" on {one.host}" if one.host else ""
                heading(one_line(f"attempt {one.attempt} of job {number}{where}"))
            say(text)


def _show_file(number: int, path: str, tail: int | None, attempt: int | None, output: Output) -> None:
    from simcelery.submission.files import read

    found = read(number, path, attempt)
    text = found.content.decode(errors="backslashreplace")
    if cut := found.size > len(found.content):
        text = text.partition("\n")[2] or text
    shown = "\n".join(_last(text, tail))
    if output == "json":
        show_json({"id": number, "file": path, "size": found.size, "text": shown})
    elif output == "quiet":
        show_ids([number])
    else:
        write(with_line_end(shown))
        if cut:
            note(f"this is the end of {path}, which has {found.size:,} bytes")


def _nothing(row: JobRow, attempt: int | None) -> str:
    what = f"attempt {attempt} of job {row.id}" if attempt else f"job {row.id}"
    if row.state == "running" and attempt in (None, row.attempt):
        return f"{what} is running, and has printed nothing so far"
    if attempt and attempt > row.attempt:
        return f"job {row.id} has had {many(row.attempt, 'attempt')}: there is no attempt {attempt}"
    return f"{what} has printed nothing" if row.attempt else f"{what} has not run yet"


def _show_many(
    selection: Selection | None, filters: Filters, tail: int, attempt: int | None, output: Output
) -> None:
    limit = filters.limit or _JOBS
    ids, _ = chosen(selection, replace(filters, limit=None), None)
    found = _read(ids[-limit:][::-1], attempt)  # the newest ones
    if output == "json":
        show_json_list(_facts(row, logs, tail) for row, logs in found)
    elif output == "quiet":
        show_ids(row.id for row, _ in found)
    elif not found:
        note("no job matches")
    else:
        _show_groups(found, tail)
        if len(ids) > limit:
            note(f"these are the newest {limit:,} of {many(len(ids))}; -n shows more")


def _show_groups(found: Sequence[tuple[JobRow, list[AttemptLog]]], tail: int) -> None:
    for title, jobs in _grouped(found):
        if title:
            heading(one_line(f"{title} ({many(len(jobs))})"))
        for row, logs in jobs:
            last = logs[-1] if logs else None
            where = f", attempt {last.attempt}" + (f" on {last.host}" if last.host else "") if last else ""
            heading(one_line(f"job {row.id} {row.workflow} {row.state}{where}"))
            for text in _last(last.text, tail) if last else [f"({_nothing(row, None)})"]:
                say(f"  {text}")
            say()


def _grouped(
    found: Sequence[tuple[JobRow, list[AttemptLog]]],
) -> Iterator[tuple[str, list[tuple[JobRow, list[AttemptLog]]]]]:
    """The jobs by their error as `errors` groups them, the largest group first; then all others."""
    from simcelery.cli.error_groups import of_ids as groups_of
    from simcelery.describe.error_groups import in_words

    left = {row.id: (row, logs) for row, logs in found}
    for group, ids in groups_of(list(left)):
        if members := [left.pop(number) for number in ids if number in left]:
            yield in_words(group), members
    if left:
        yield "", list(left.values())


def _read(ids: Sequence[int], attempt: int | None) -> list[tuple[JobRow, list[AttemptLog]]]:
    """The jobs, in this order, each with the logs of its attempts."""
    from simcelery.board import engine, reads
    from simcelery.board.reads.logs import of_attempts

    with engine.begin() as connection:
        rows = {row.id: row for row in reads.jobs(connection, reads.Filter(ids=ids))}
        found = of_attempts(connection, ids, attempt)
    return [(rows[number], found.get(number, [])) for number in ids if number in rows]


def _last(text: str, lines: int | None) -> list[str]:
    found = text.rstrip("\n").split("\n") if text else []
    return found if lines is None else found[-lines:]


def _facts(row: JobRow, found: list[AttemptLog], tail: int | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "workflow": row.workflow,
        "state": str(row.state),
        "error": row.error,
        "attempts": [
            {"attempt": one.attempt, "host": one.host, "log": "\n".join(_last(one.text, tail))}
            for one in found
        ],
    }
