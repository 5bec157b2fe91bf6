"""``status``: count jobs by workflow and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcelery.cli.fields import (
    LinesOutput,
    chosen_fields,
    doubted,
    fields_option,
    lines_option,
    show_fields,
    show_records,
)
from simcelery.cli.options import Filters, command, filter_options
from simcelery.cli.output import (
    Column,
    in_states,
    is_terminal,
    note,
    place,
    say,
    show_ids,
    show_json,
    show_json_line,
    show_table,
)
from simcelery.cli.selectors import Selection, at_once, ids_argument, which
from simcelery.describe import gates as gates_in_words
from simcelery.describe import undelivered as not_arrived
from simcelery.describe.job import as_json, in_brief
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.reads.gates import ClosedGate
    from simcelery.describe.estimate import Estimate


@command("status", "simcelery status", "simcelery status -t oxides", "simcelery status 1-5,8 -o json")
@ids_argument()
@filter_options
@fields_option
@lines_option
def status(selection: Selection | None, filters: Filters, fields: str | None, output: LinesOutput) -> None:
    """Count jobs by workflow and state, or, with IDS (42, 1-5,8, last, -), show the state of each.

    Jobs that canaries or a fuse hold are blocked; a line says why, and how to release them. Of what is
    unfinished, an estimate says how long it will take, judged by the last 200 successes of each workflow;
    there is none where a workflow has no success yet, or no live worker can run it.

    With -o json: {"states": {…}, "workflows": {…}, "estimate": {…}, "held": […]}; with IDS a list of jobs.
    """
    from simcelery.board import asking, reads
    from simcelery.board.reads import gates, pages
    from simcelery.board.reads.clusters import troubled
    from simcelery.board.reads.undelivered import undelivered
    from simcelery.describe.clusters import sentence, troubles
    from simcelery.describe.estimate import outlook

    names = chosen_fields(fields)
    if names is not None and selection is None:
        raise UsageError("status counts jobs, unless IDS are given: 'simcelery list --fields' prints fields")
    wanted = at_once(which(selection, filters))
    if names is not None and output != "quiet":
        from simcelery.tables.reading import of_fields

        found = of_fields(wanted, names, limit=filters.limit)
        show_fields(names, doubted(names, (row.cells for row in found)), output)
        return
    with asking.begin() as connection:
        if output == "quiet":
            show_ids(pages.ids(connection, pages.Page.of(wanted), limit=filters.limit, newest=False))
            return
        if selection is not None:
            rows = reads.jobs(connection, wanted, limit=filters.limit, newest=False)
        else:
            counted = reads.counts_by_workflow(connection, wanted)
            closed = gates.closed_gates(connection, wanted)
            left = outlook(connection, wanted).estimate()
            lost = undelivered(connection, 1)
            wrong = troubles(troubled(connection))
    if selection is None:
        counts = {name: {str(s): n for s, n in found.items()} for name, found in counted.items()}
        _show_counts(counts, closed, left, output)
        for one in lost:
            note(f"simcelery: {not_arrived.sentence(one)}: {not_arrived.ADVICE}")
        for found_wrong in wrong:
            note(f"simcelery: {sentence(found_wrong)}")
    elif output != "table":
        show_records((as_json(row) for row in rows), output)
    else:
        columns = [Column("id", right=True), Column("workflow", middle=True), Column("state", coloured=True)]
        columns += [Column("attempt", right=True, spare=True), Column("outcome", wrapped=True)]
        show_table(columns, [(row.id, row.workflow, row.state, row.attempt, in_brief(row)) for row in rows])


def _show_counts(
    counted: dict[str, dict[str, int]],
    closed: Sequence[ClosedGate],
    left: Estimate | None,
    output: LinesOutput,
) -> None:
    from simcelery.board.states import State

    names = [str(state) for state in State]
    totals = {name: sum(found.get(name, 0) for found in counted.values()) for name in names}
    if output != "table":
        full = {name: {state: found.get(state, 0) for state in names} for name, found in counted.items()}
        about = {
            "estimate": left and left.as_json(),
            "held": [gates_in_words.as_json(gate) for gate in closed],
        }
        show = show_json if output == "json" else show_json_line
        show({"states": totals, "workflows": full, **about})
        return
    _show_table(counted, totals, names, closed)
    for gate in closed:
        say(gates_in_words.loud(gate))
    if left:
        say(f"what is unfinished takes {left}")


def _show_table(
    counted: dict[str, dict[str, int]],
    totals: dict[str, int],
    names: Sequence[str],
    closed: Sequence[ClosedGate],
) -> None:
    # One column for each state that occurs; all in one column if they do not fit.
    used = [name for name in names if totals[name]]
    kept = {name: sum(gate.held for gate in closed if gate.workflow == name) for name in counted}
    rows = [(name, found, kept[name]) for name, found in counted.items()]
    if len(rows) != 1:
        rows.append(("all", totals, sum(gate.held for gate in closed)))
    first, last = Column("workflow", middle=True), Column("all", right=True)
    columns = [first, *(Column(name, right=True) for name in used), last]
    cells: list[list[object]] = [
        [name, *(_number(s, found, held) for s in used), f"{sum(found.values()):,}"]
        for name, found, held in rows
    ]
    if is_terminal() and place(columns, cells).folded:
        columns = [first, last, Column("states", wrapped=True)]
        cells = [
            [name, f"{sum(found.values()):,}", in_states((s, found.get(s, 0)) for s in used)]
            for name, found, _ in rows
        ]
    show_table(columns, cells)


def _number(state: str, found: dict[str, int], held: int) -> str:
    """How many, and how many of them are held."""
    if not found.get(state):
        return ""
    return f"{found[state]:,}" + (f" ({held:,} held)" if held and state == "blocked" else "")
