"""``show``: show everything about one job."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from simcelery.cli.fields import LinesOutput, chosen_fields, fields_option, lines_option, picked
from simcelery.cli.fit import cells
from simcelery.cli.options import command
from simcelery.cli.output import (
    Column,
    heading,
    say,
    show_facts,
    show_ids,
    show_json,
    show_json_line,
    show_table,
)
from simcelery.cli.selectors import Selection, ids_argument, the_only
from simcelery.describe import revision, saved
from simcelery.describe.artifacts import as_json as files_as_json
from simcelery.describe.attempt import error_of, folder_of, late, origins
from simcelery.describe.estimate import usual_as_json, usually
from simcelery.describe.facts import facts_of
from simcelery.describe.job import as_json, text_of
from simcelery.describe.needs import as_json as needs_as_json
from simcelery.describe.needs import escalation_in_words, in_words
from simcelery.describe.plain import plain
from simcelery.describe.words import duration, moment, one_line, size, span
from simcelery.readable import json_text

if TYPE_CHECKING:
    from simcelery.board.reads.artifacts import Artifact
    from simcelery.board.reads.jobs import JobRow
    from simcelery.board.reads.logs import AttemptLog
    from simcelery.conditions.values import Name

_MOST_LINES = 40
_LOG_LINES = 10
_CORRECTION = ("attempt", "handler", "error", "changes")


@command(
    "show",
    "simcelery show 42",
    "simcelery show last",
    "simcelery show 42 -o json | jq .attempts",
    "simcelery show 42 --fields state,elapsed,attempts.0.host -o json",
)
@ids_argument(required=True)
@fields_option
@lines_option
def show(selection: Selection, fields: str | None, output: LinesOutput) -> None:
    """Show everything about one job: parameters, times, attempts, parents, children, traceback, result."""
    from simcelery.board import asking, reads
    from simcelery.board.reads import artifacts, estimates, logs, workdirs

    names = chosen_fields(fields)
    number = the_only(selection)
    with asking.begin() as connection:
        row = reads.job(connection, number)
        attempts = reads.attempts(connection, number)
        revisions = reads.revisions(reads.stages(connection, number))
        parents = reads.parents_of(connection, number)
        children = reads.dependents_of(connection, number)
        steps, checkpoint = reads.steps(connection, number), reads.checkpoint(connection, number)
        corrections = reads.corrections(connection, number)
        needs = reads.needs(connection, number)
        escalations = reads.escalations(connection, number)
        left = artifacts.artifacts_of(connection, [number]).get(number, [])
        became = workdirs.became(connection, number)
        restarts = reads.restarts(connection, number)
        interventions = reads.interventions(connection, number)
        printed = logs.of_attempts(connection, [number]).get(number, [])
        assert row is not None, "resolve has found it"
        unfinished = not row.state.is_terminal
        times = estimates.usual(connection, [row.workflow]).get(row.workflow) if unfinished else None
    attempts = [{**one, "workdir_now": workdirs.now(one, became)} for one in attempts]
    traceback = attempts[-1]["traceback"] if attempts else None
    if output == "quiet":
        show_ids([number])
    elif output != "table" or names is not None:
        more: dict[str, Any] = {"parents": parents.ids, "after_any": parents.any_end}
        more |= {"children": children, "goes_on_in": parents.goes_on_in, "attempts": _with_plain(attempts)}
        changed = [revision.as_json(one) for one in revisions]
        more |= {
            "steps": saved.steps_as_json(steps),
            "checkpoint": saved.checkpoint_as_json(checkpoint),
            "artifacts": [files_as_json(one) for one in left],
            "corrections": corrections,
            "needs": needs and needs_as_json(needs),
            "escalations": escalations,
            "restarts": restarts,
        }
        more |= {"traceback": traceback, "revisions": changed, "interventions": interventions}
        more |= {"estimate": usual_as_json(times)}
        _show_record(as_json(row, **more), names, output)
    else:
        usual = ("usually", times and usually(times))
        facts = [*facts_of(row, parents, children), ("asks for", in_words(needs)), usual]
        _show(row, attempts, facts, revisions, restarts)
        for one in escalations:
            say(f"  {escalation_in_words(one)}", 4)
        _show_interventions(interventions)
        _show_saved(steps, checkpoint)
        _show_corrections(corrections)
        _show_artifacts(left)
        if row.state == "failed" and attempts:
            _show_end_of(attempts[-1], printed, number)


def _show_record(whole: dict[str, Any], names: Sequence[Name] | None, output: LinesOutput) -> None:
    """Print the job as JSON, or some of its fields."""
    record = whole if names is None else picked(whole | _measured(whole["id"]), names)
    if output == "json":
        show_json(record)
    elif output == "jsonl":
        show_json_line(record)
    else:
        show_facts((name, None if value is None else text_of(value, None)) for name, value in record.items())


def _measured(number: int) -> dict[str, Any]:
    """The columns that a job has as a field, and that its JSON does not show."""
    from simcelery.board.reads.jobs import Filter
    from simcelery.conditions.reading import fields
    from simcelery.tables.reading import of_fields

    found = of_fields(Filter(ids=[number]), fields("published_at,elapsed"))
    return next(found).cells


def _with_plain(attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**one, "parameters": {name: plain(value) for name, value in one["parameters"].items()}}
        for one in attempts
    ]


def _show(
    row: JobRow,
    attempts: list[dict[str, Any]],
    facts: list[tuple[str, object]],
    revisions: list[dict[str, Any]],
    restarts: list[dict[str, Any]],
) -> None:
    heading(f"job {row.id}  {row.workflow}  {row.state}")
    show_facts([*facts, ("seed", attempts[-1]["seed"] if attempts else None)])
    _show_values("parameters", {name: plain(value) for name, value in row.parameters.items()})
    if revisions:
        say()
        heading("revisions")
        for one in revisions:
            say(f"  {revision.line(one)}", 4)
    if row.state == "succeeded":
        _show_values("result", plain(row.result))
    if attempts:
        say()
        heading("attempts")
        _show_attempts(attempts, row.parameters)
        for one in restarts:
            say(f"  {saved.restart_line(one)}", 4)
        _show_traceback(attempts[-1])


def _show_traceback(attempt: dict[str, Any]) -> None:
    """Show where the last attempt failed; of a program, its output says more, and is shown anyhow."""
    if attempt["traceback"] and attempt["error_type"] != "CommandError":
        say()
        heading(f"traceback of attempt {attempt['attempt']}")
        for line in attempt["traceback"].rstrip().splitlines():
            say(f"  {line}")


def _show_interventions(interventions: Sequence[dict[str, Any]]) -> None:
    """Show who has cancelled, retried, held or released the job."""
    if interventions:
        say()
        heading("by hand")
        show_table(
            [Column("what"), Column("by", middle=True), Column("at")],
            [(one["kind"], one["by"], moment(one["at"])) for one in interventions],
        )


def _show_saved(steps: Sequence[dict[str, Any]], checkpoint: dict[str, Any] | None) -> None:
    """Show what a later attempt goes on from."""
    if steps:
        say()
        heading("steps")
        columns = [Column("step"), Column("given", wrapped=True), Column("output", middle=True)]
        columns += [Column("attempt", right=True), Column("took", right=True)]
        show_table(columns, saved.step_rows(steps[-_MOST_LINES:]))
        if len(steps) > _MOST_LINES:
            say(f"  {len(steps) - _MOST_LINES:,} earlier steps; -o json shows them")
    if checkpoint:
        say()
        show_facts([("checkpoint", saved.checkpoint_line(checkpoint))])


def _show_corrections(corrections: Sequence[dict[str, Any]]) -> None:
    """Show what was corrected in the input of the job's program."""
    if not corrections:
        return
    say()
    heading("corrections")
    columns = [Column("attempt", right=True), Column("handler"), Column("error", wrapped=True)]
    columns.append(Column("changes"))
    show_table(columns, [tuple(one[name] for name in _CORRECTION) for one in corrections])
    for one in corrections:
        say(f"  correction {one['number']}:")
        for line in one["difference"].splitlines()[:_MOST_LINES]:
            say(f"    {line}")


def _show_artifacts(left: Sequence[Artifact]) -> None:
    """Show the files that the job has registered."""
    if left:
        say()
        heading("artifacts")
        show_facts((one.name, f"{size(one.size)}  {one.url or f'{one.host}:{one.path}'}") for one in left)


def _show_end_of(attempt: dict[str, Any], printed: Sequence[AttemptLog], number: int) -> None:
    """Show what a failed job's last attempt printed last, which often says why, and where it ran."""
    text = "".join(one.text for one in printed if one.attempt == attempt["attempt"])
    lines = text.rstrip().splitlines()
    say()
    heading("end of the log" if len(lines) > _LOG_LINES else "log")
    for line in lines[-_LOG_LINES:] or ["(it printed nothing)"]:
        say(f"  {line}")
    if len(lines) > _LOG_LINES:
        say(f"  all {len(lines):,} lines: simcelery logs {number}")
    say()
    show_facts([("host", attempt["host"] or "(unknown)"), ("workdir", folder_of(attempt))])


def _show_values(title: str, value: Any) -> None:
    say()
    heading(title)
    if isinstance(value, dict) and value:
        names = {name: one_line(name) for name in value}
        width = max(map(cells, names.values()))
        lines = [
            line
            for name, item in value.items()
            for line in _indented(names[name] + " " * (width - cells(names[name]) + 2), json_text(item), item)
        ]
        hang = width + 4
    else:
        lines, hang = json_text(value, indent=2).splitlines(), 4
    for line in lines[:_MOST_LINES]:
        say(f"  {line}", hang)
    if len(lines) > _MOST_LINES:
        say(f"  … {len(lines) - _MOST_LINES:,} more lines; -o json shows them")


def _indented(head: str, compact_text: str, value: Any) -> list[str]:
    """A short value on one line, a long one on several; of a long text of many lines the end."""
    if len(compact_text) <= 100:
        return [head + compact_text]
    if isinstance(value, str) and "\n" in value:
        lines = value.rstrip().splitlines()
        left_out = [f"… {len(lines) - _LOG_LINES:,} lines"] if len(lines) > _LOG_LINES else []
        first, *rest = [*left_out, *lines[-_LOG_LINES:]]
    elif isinstance(value, dict) and any("\n" in text for text in value.values() if isinstance(text, str)):
        first, *rest = chain.from_iterable(_text_of(name, text) for name, text in value.items())
    else:
        first, *rest = json_text(value, indent=2).splitlines()
    return [head + first, *(" " * cells(head) + line for line in rest)]


def _text_of(name: str, text: Any) -> list[str]:
    """A file as it was given: its name, and its lines."""
    lines = text.rstrip().splitlines() if isinstance(text, str) else [json_text(text)]
    return [f"{name}:", *(f"  {line}" for line in lines)]


def _show_attempts(attempts: list[dict[str, Any]], now: dict[str, Any]) -> None:
    columns = [
        Column("attempt", right=True),
        Column("outcome", coloured=True),
        Column("cause"),
        Column("host", middle=True),
        Column("took", right=True),
        Column("cpu", right=True, spare=True),
        Column("memory", right=True, spare=True),
        Column("error", wrapped=True),
    ]
    rows = [
        (
            one["attempt"],
            one["outcome"],
            one["cause"],
            one["host"],
            span(one["started_at"], one["finished_at"]),
            duration(one["cpu_seconds"]),
            size(one["peak_memory"]),
            error_of(one),
        )
        for one in attempts
    ]
    show_table(columns, rows)
    for line in origins(attempts):
        say(f"  {line}", 4)
    for one in attempts:
        if had := revision.had(one["parameters"], now):
            say(f"  attempt {one['attempt']}, ran with: {had}", 4)
        if one["workdir"]:
            say(f"  attempt {one['attempt']}, files: {folder_of(one)}")
        if one["late_outcome"]:
            say(f"  attempt {one['attempt']}, late: {late(one)}")
