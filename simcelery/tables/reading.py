"""Read the cells of a table from the board, page by page, so that any number of jobs fits into memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from simcelery.board import engine
from simcelery.board.reads import pages, table
from simcelery.board.reads.jobs import Filter, JobRow
from simcelery.board.states import CALLS
from simcelery.board.unreadable import bad_rows
from simcelery.conditions.values import Name
from simcelery.describe.plain import jsonable, plain

_WORKFLOW, _STATE = Name(("workflow",), "workflow"), Name(("state",), "state")
_ARGUMENTS = "parameters.arguments"
_WHOLE_AT_ONCE = 200  # jobs with all that they gave, which may be a megabyte each


@dataclass(frozen=True)
class Row:
    """A job's cells by name: plain JSON, times as ISO 8601 in UTC."""

    id: int
    workflow: str
    cells: dict[str, Any]


def of_fields(
    which: Filter, names: Sequence[Name], *, limit: int | None = None, newest: bool = False
) -> Iterator[Row]:
    """These fields of the jobs that pass a filter.

    Raises:
        UsageError: a name is none of a field.
        BoardUnreachableError: Postgres cannot be reached.
    """
    for found in _read(which, names, limit, newest, pages.AT_ONCE):
        number, workflow, *values = found
        cells = {name.text: _cell(value) for name, value in zip(names, values, strict=True)}
        yield Row(number, workflow, cells)


def of_everything(which: Filter, extra: Sequence[str] = (), *, limit: int | None = None) -> Iterator[Row]:
    """All parameters and results, as ``parameters.x`` and ``result.x``, or ``result`` if it has no fields.

    Parameters:
        extra: columns of the job to add.
    """
    names = [Name((name,), name) for name in (*extra, "parameters", "result")]
    for number, workflow, *values, parameters, result in _read(which, names, limit, False, _WHOLE_AT_ONCE):
        cells = {"id": number, "workflow": workflow}
        cells |= {name: _cell(value) for name, value in zip(extra, values, strict=True)}
        yield Row(number, workflow, cells | spread(workflow, bad_rows.named_values(parameters), result))


def spread(workflow: str, parameters: Mapping[str, Any], result: Any) -> dict[str, Any]:
    """A cell for each parameter and each field of the result; ``result`` where that has no fields.

    So it is with each argument of a call, since that is what its parameters are to whoever made it.
    """
    cells = {f"parameters.{name}": plain(value) for name, value in parameters.items()}
    if workflow == CALLS and isinstance(arguments := cells.get(_ARGUMENTS), dict):
        del cells[_ARGUMENTS]
        cells |= {f"{_ARGUMENTS}.{name}": value for name, value in arguments.items()}
    value = plain(result)
    if isinstance(value, dict):
        return cells | {f"result.{name}": item for name, item in value.items()}
    return cells | {"result": value}


def of_job(job: JobRow) -> Row:
    """All that the board says of a job, and each of its parameters and results in a cell of its own, too."""
    cells = {name: jsonable(value) for name, value in vars(job).items()}
    cells |= {name: plain(cells[name]) for name in ("parameters", "result", "progress")}
    for head in ("parameters", "result"):
        if isinstance(cells[head], dict):
            cells |= {f"{head}.{name}": value for name, value in cells[head].items()}
    return Row(job.id, job.workflow, cells)


def _read(
    which: Filter, names: Sequence[Name], limit: int | None, newest: bool, at_once: int
) -> Iterator[tuple[Any, ...]]:
    read = partial(table.fields, names=[_WORKFLOW, _STATE, *names])
    page = pages.Page.of(which) if not isinstance(which, pages.Page) else which
    for rows in pages.walk(
        page, read, _first, limit=limit, newest=newest, at_once=at_once, begin=engine.begin
    ):
        for number, workflow, state, *values in rows:
            if bad_rows.state(state) is None:
                bad_rows.name({f"job {number}": f"it is left out, since there is no state {state!r}"})
            else:
                yield (number, workflow, *values)


def _first(row: tuple[Any, ...]) -> int:
    return int(row[0])


def _cell(value: Any) -> Any:
    return jsonable(value) if isinstance(value, dt.datetime) else plain(value)
