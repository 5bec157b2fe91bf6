"""``submit``: validate everything, record it, and say what was recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli import foreseen, programs
from simcelery.cli.completions import parameter_names, workflow_names
from simcelery.cli.hopeless import warn_of_nobody
from simcelery.cli.job_options import job_options, of_job
from simcelery.cli.jobfiles.echo import given, written
from simcelery.cli.options import (
    COUNT,
    Output,
    WithCommand,
    command,
    command_of,
    duration,
    output_option,
)
from simcelery.cli.outdated import warn_of_outdated
from simcelery.cli.output import Column, note, say, show_ids, show_json, show_json_list, show_table, write
from simcelery.cli.recording import interruptible, prepared, record_all
from simcelery.cli.selectors import chunks
from simcelery.cli.sources import pairs
from simcelery.cli.templates import words
from simcelery.cli.wanted import wanted
from simcelery.describe.job import as_json, summary
from simcelery.describe.words import listed, many, spaced
from simcelery.errors import UsageError
from simcelery.readable import short

if TYPE_CHECKING:
    from simcelery.board.values import NewJob
    from simcelery.cli.jobfiles.entries import Entry
    from simcelery.cli.sources import Items
    from simcelery.cli.targets import Target
    from simcelery.describe.estimate import Estimate
    from simcelery.submission.handle import Jobs
    from simcelery.submission.options import Options

_SHOWN = 10  # jobs shown by a dry run
_AT_ONCE = 1000  # jobs read and printed at a time
_WORTH_TELLING = 1.0  # seconds: what takes less is there before the line is read


class SubmitCommand(WithCommand):
    """Submits a workflow or a command."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Both forms of the usage line."""
        return ["[OPTIONS] WORKFLOW [NAME=VALUE]...  |  [OPTIONS] [NAME=VALUE]... -- COMMAND..."]


@command(
    "submit",
    "simcelery submit emt.relax structure=NaCl.cif fmax=0.01 --priority 8",
    "simcelery submit emt.relax --each '*.cif' --grid fmax=0.05,0.01 -t oxides --dedupe",
    "simcelery submit my_project.scan --each points.csv --dry-run",
    "simcelery submit my_project.scan --each points.csv -t scan --canary 5 --max-fails 5%",
    "simcelery submit my_project.fit energies=@1178-1187      # the results of these jobs",
    "simcelery submit --queue cpu --wait -- mpirun -n 4 ~/bin/solve $PWD/input.txt",
    "simcelery submit emt.relax structure=NaCl.cif --echo > job.toml; simcelery submit job.toml",
    "simcelery submit emt.relax --each '*.cif' --notify https://ntfy.sh/my-topic --on done,first-failure",
    "simcelery submit --each points.csv -- lmp -var T {T} -var P {P} -in $PWD/in.melt",
    "simcelery submit --each points.csv --file in.melt.tmpl --ok 'Total wall time' -- lmp -in in.melt",
    cls=SubmitCommand,
)
@click.argument("workflow", required=False, shell_complete=workflow_names)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=parameter_names)
@click.option(
    "--each",
    metavar="FILE|GLOB",
    help="One job per row of a .jsonl, .csv or .tsv file (-: JSON lines on stdin) or per file: NAME='*.cif'.",
)
@click.option(
    "--grid",
    multiple=True,
    metavar="NAME=V,V,…",
    help="One job per value; START:STOP:STEP includes both ends (repeatable, for all combinations).",
)
@job_options
@click.option(
    "--after", multiple=True, metavar="IDS", help="Jobs that must succeed first: 42, 1-5,8, last, -."
)
@click.option(
    "--after-any", multiple=True, metavar="IDS", help="Jobs that must end first, even if they do not succeed."
)
@click.option(
    "--run-at", metavar="TIME", help="Do not run before 2030-01-31T08:00 (local time), or +2h from now."
)
@click.option(
    "--dedupe",
    is_flag=True,
    help="Reuse an existing job with the same parameters, however it was submitted.",
)
@click.option("--key", help="Reuse an existing job with the same key, which you choose; for one job.")
@click.option(
    "--on-failed",
    type=click.Choice(["retry", "keep", "error"]),
    default="retry",
    help="What to do if the job to be reused did not succeed (default: retry).",
)
@click.option(
    "--notify",
    multiple=True,
    metavar="URL|mailto:…",
    help="Tell somebody how these jobs are: a POST to a URL, or a mail (repeatable; see 'simcelery notify').",
)
@click.option(
    "--on",
    "notify_on",
    metavar="EVENT,…",
    help="With --notify, of what: done, first-failure, held, stalled (default: done).",
)
@click.option(
    "--canary",
    type=COUNT,
    metavar="N",
    help="Run N jobs first, spread over all; hold the others until these have succeeded.",
)
@click.option(
    "--max-fails",
    metavar="N|P%",
    help="Hold what has not begun once more than N have failed, or more than P% of those that ended.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="FILE[:NAME]",
    help="Of a command: write this file into its folder, with values where it has {NAME}, or, if it ends in "
    ".j2, as Jinja2 does (repeatable).",
)
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of a command: a variable to add to its environment; everybody who reads the board sees it "
    "(repeatable).",
)
@click.option(
    "--module",
    multiple=True,
    metavar="NAME",
    help="Of a command: an environment module to load for it, as 'module load' does (repeatable).",
)
@click.option("--stdin", metavar="NAME", help="Of a command: let it read this file of its folder.")
@click.option(
    "--expect",
    multiple=True,
    metavar="NAME",
    help="Of a command: a file that it has to write, with something in it (repeatable).",
)
@click.option(
    "--ok", metavar="TEXT", help="Of a command: a text that it has to print, or write into such a file."
)
@click.option(
    "--json",
    "json_",
    metavar="NAME",
    help="Of a command: a JSON file that it writes, whose values become its result.",
)
@click.option(
    "--artifact",
    multiple=True,
    metavar="NAME|GLOB",
    help="Of a command: files that it leaves, to be listed and got with 'simcelery files' (repeatable).",
)
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["numerics", "physics"]),
    help="Of a workflow whose program has handlers: what these may change (default: numerics).",
)
@click.option("--wait", is_flag=True, help="Wait until all have finished, as 'simcelery wait' does.")
@click.option("--timeout", metavar="DURATION", help="With --wait: wait at most this long.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only validate everything and show it, with --dedupe also what exists; write nothing.",
)
@click.option(
    "--echo", is_flag=True, help="Only validate everything, and print it as a job file; write nothing."
)
@output_option
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    workflow: str | None,
    parameters: tuple[str, ...],
    each: str | None,
    grid: tuple[str, ...],
    wait: bool,
    timeout: str | None,
    dry_run: bool,
    echo: bool,
    output: Output,
    **chosen: Any,
) -> int:
    """Submit one job; or one for each row, file or point of a grid; or a command; or what a job file says.

    Values are read as JSON if that fits the parameter, else as text; what a parameter of text is given is
    taken as it stands, quotes too. @42 is the result of job 42, and @1-5,8 the list of the results of these
    jobs (@@42 is text). In a command, {NAME} stands for a value of
    NAME=VALUE, --each or --grid, and {{NAME}} for itself. Everything is validated before
    anything is written, except that more than 10,000 jobs from stdin are validated and written 10,000 at a
    time. With --dedupe, repeating an interrupted submission continues where it stopped.
    """
    from simcelery.cli import filed

    after = _Afterwards(wait, duration("--timeout", timeout), dry_run, output)
    if filed.is_file(workflow):
        assert workflow is not None
        filed.check_alone(ctx)
        return _submit_file(*filed.asked(ctx, workflow), after)
    argv = command_of(ctx)
    program = programs.asked(chosen, of_command=argv is not None)
    parameters = (*parameters, *programs.allowed(chosen["allow"]))
    target, found = wanted(argv, program, workflow, parameters, each, grid)
    if echo:
        values = [*filter(None, [workflow]), *parameters] if argv is not None else parameters
        options = given(ctx.command.params, chosen)
        text = written(target, argv and words(argv), pairs(values), each, pairs(grid), options)
        _check(target, found, several=each is not None or bool(grid), chosen=chosen)
        write(text)
        return 0
    return _submit(target, found, each is not None or bool(grid), chosen, after)


@dataclass(frozen=True)
class _Afterwards:
    """What becomes of a submission besides being recorded."""

    wait: bool
    timeout: float | None
    dry_run: bool
    output: Output


def _submit(target: Target, found: Items, several: bool, chosen: dict[str, Any], after: _Afterwards) -> int:
    """One submission, of however many jobs."""
    options = _checked(chosen, several)
    if after.dry_run:
        planned = prepared(target, found, options)
        if options.dedupe or options.key:
            foreseen.show(planned, options, after.output, several)
        else:
            show_dry(planned, after.output, several)
        return 0
    with interruptible(options) as recording:
        jobs = record_all(target, found, options, recording)
        return _recorded(jobs, several, options, after)


def _checked(chosen: dict[str, Any], several: bool) -> Options:
    if chosen["key"] and several:
        raise UsageError("--key is for one job; with --each and --grid use --dedupe")
    options = _options(programs.without(chosen))
    if options.stops_itself and not several:
        raise UsageError("--canary and --max-fails are for many jobs: add --each or --grid")
    return options


def _check(target: Target, found: Items, several: bool, chosen: dict[str, Any]) -> None:
    """Validate everything, and record nothing."""
    for _ in prepared(target, found, _checked(chosen, several)):
        pass


def _submit_file(asked: list[Entry], listed: bool, after: _Afterwards) -> int:
    """What a job file asks for."""
    from simcelery.cli import filed, targets

    if not listed:
        [entry] = asked
        with entry.named():
            target, found = entry.resolved(targets.find)
            return _submit(target, found, entry.several, entry.options(), after)
    from simcelery.submission import together
    from simcelery.submission.handle import Jobs

    parts = filed.parts(asked, _options)
    if after.dry_run:
        show_dry(together.planned(parts), after.output, several=True)
        return 0
    with interruptible(parts[0].options) as recording:
        recording.total = sum(len(part.new) for part in parts)
        records = together.submit(parts, recording.note)
        names = {job.workflow for part in parts for job in part.new}
        jobs = Jobs(records, *(names if len(names) == 1 else ()))
        return _recorded(jobs, True, parts[0].options, after)


def _recorded(jobs: Jobs, several: bool, options: Options, after: _Afterwards) -> int:
    if after.wait:
        from simcelery.cli.ended import wait_for

        note(_in_words(jobs, several, options))  # stdout is for the result
        _warn(jobs)
        return wait_for(jobs.ids, after.timeout, after.output, single=not several)
    _show(jobs, after.output, several, options)
    _warn(jobs)
    return 0


def _warn(jobs: Jobs) -> None:
    """What may surprise: the files with which these jobs run or have run, and that nobody will run them."""
    from simcelery.describe.versions import unlike_here
    from simcelery.errors import ServiceError

    warn_of_outdated(jobs.ids)
    warn_of_nobody(jobs)
    with suppress(ServiceError):  # all is recorded
        if said := unlike_here(jobs.records.ids_of("existing"), jobs.workflow):
            note(f"simcelery: {said}")


def _options(chosen: dict[str, Any]) -> Options:
    from simcelery.cli import selectors
    from simcelery.submission.options import Options

    parents, ends = (
        selectors.resolve(found) if (found := selectors.parse(chosen.pop(name))) else ()
        for name in ("after", "after_any")
    )
    run_at = chosen.pop("run_at")
    moment, delay = parse_run_at(run_at) if run_at else (None, None)
    if chosen["notify_on"] is not None and not chosen["notify"]:
        raise UsageError("--on says of what --notify tells: give --notify URL too")
    chosen["notify_on"] = (chosen["notify_on"] or "done").split(",")
    return Options(after=parents, after_any=ends, run_at=moment, delay=delay, **of_job(chosen))


def parse_run_at(text: str) -> tuple[dt.datetime | None, float | None]:
    """A moment such as ``2030-01-31T08:00`` (local time unless it has a zone), or seconds from now: ``+2h``.

    Raises:
        UsageError: it is neither.
    """
    if text.startswith("+"):
        return None, duration("--run-at", text[1:])
    try:
        return dt.datetime.fromisoformat(text).astimezone(), None
    except (ValueError, OverflowError):  # no time, or none that this time zone has
        raise UsageError(f"--run-at: {short(text)} is not a time: write 2030-01-31T08:00 or +2h") from None


def _show(jobs: Jobs, output: Output, several: bool, options: Options) -> None:
    if output == "quiet":
        for some in chunks(jobs.records.ids):
            show_ids(some)
    elif output == "json" and several:
        show_json_list(_records(jobs))
    elif output == "json":
        show_json(next(_records(jobs)))
    else:
        say(_in_words(jobs, several, options))


def _in_words(jobs: Jobs, several: bool, options: Options) -> str:
    if not several:
        line = f"job {jobs[0].id}" + (f" ({jobs[0].how})" if jobs[0].how != "new" else "")
        return f"{line}{_told(_estimate(jobs))}"
    line = f"{many(len(jobs))} (ids {spaced(jobs.records.ids)})"
    if options.dedupe or jobs.summary()["new"] < len(jobs):
        line += ": " + ", ".join(f"{number:,} {how}" for how, number in jobs.summary().items() if number)
    return f"{line}{_first(jobs.records.canaries, len(jobs))}{_told(_estimate(jobs))}"


def _told(estimate: Estimate | None) -> str:
    return f"; {estimate}" if estimate and estimate.p90_seconds >= _WORTH_TELLING else ""


def _estimate(jobs: Jobs) -> Estimate | None:
    """How long what is new will take, unless some of it is held.

    All is of one workflow and queue: the last job stands for the rest.
    """
    from simcelery.board import engine, reads
    from simcelery.board.reads import estimates
    from simcelery.describe.estimate import expected
    from simcelery.errors import ServiceError

    if not jobs.workflow:  # several
        return None
    if (last := jobs.records.last_to_run) is None:
        return None
    canaries = jobs.records.canaries
    if canaries and len(canaries) < len(jobs):  # nobody knows when the others are released
        return None
    number = len(jobs) - jobs.summary()["existing"]
    try:
        with engine.begin() as connection:
            groups = estimates.unfinished(connection, reads.Filter(ids=[last]))
            return expected(connection, [replace(group, count=number) for group in groups]).estimate()
    except ServiceError:  # the jobs are recorded all the same
        return None


def _first(canaries: Sequence[int], total: int) -> str:
    """Which of them run first."""
    if not canaries or len(canaries) >= total:
        return ""
    those = f"job {canaries[0]} has" if len(canaries) == 1 else f"jobs {listed(canaries)} have"
    return f"; {many(total - len(canaries))} held until {those} succeeded"


def _records(jobs: Jobs) -> Iterator[dict[str, Any]]:
    from simcelery.board import engine, reads
    from simcelery.board.reads import estimates
    from simcelery.describe.estimate import usual_as_json

    for start in range(0, len(jobs), _AT_ONCE):
        some = jobs[start : start + _AT_ONCE]
        with engine.begin() as connection:
            rows = {row.id: row for row in reads.jobs(connection, reads.Filter(ids=some.ids))}
            times = estimates.usual(connection, {row.workflow for row in rows.values()})
        for row, how in ((rows[job.id], job.how) for job in some if job.id in rows):
            yield as_json(row, how=how, estimate=usual_as_json(times.get(row.workflow)))


def show_dry(new: Iterator[NewJob], output: Output, several: bool) -> None:
    """Show what would be submitted."""
    if output == "json":
        shown = map(foreseen.planned, new)
        if several:
            show_json_list(shown)
        else:
            show_json(next(shown))
        return
    first = list(islice(new, _SHOWN))
    left = sum(1 for _ in new)  # validated, too
    if output == "table":
        columns = [
            Column("workflow", middle=True),
            Column("queue", middle=True),
            Column("priority", right=True),
        ]
        columns += [Column("parameters", wrapped=True)]
        show_table(
            columns, [(job.workflow, job.queue, job.priority, summary(dict(job.parameters))) for job in first]
        )
        if left:
            say(f"… and {left:,} more")
        say(f"{many(len(first) + left)} would be submitted; nothing was written")
