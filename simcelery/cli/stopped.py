"""``cancel --wait``: wait until the running jobs have ended, then say how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from simcelery.cli.ended import rows_of
from simcelery.cli.options import EXIT_INTERRUPTED, Filters, Output
from simcelery.cli.output import Column, note, say, show_ids, show_json, show_table
from simcelery.cli.selectors import Selection, chunks, resolve
from simcelery.cli.waiting import Watch, follow
from simcelery.describe.attempt import what_became
from simcelery.describe.words import duration, named
from simcelery.errors import WaitTimeoutError

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import JobRow
    from simcelery.board.states import State


@dataclass(frozen=True)
class Stopped:
    """How one job ended. `took` is the seconds between the cancel request and the end."""

    id: int
    state: str
    message: str
    host: str | None = None
    took: float | None = None


def asked_for(selection: Selection | None, filters: Filters, ids: Sequence[int]) -> list[int]:
    """The jobs to report on: those that were cancelled, and those named one by one."""
    if selection is None or filters.given or filters.limit:
        return sorted(ids)
    return sorted({*ids, *resolve(Selection(selection.numbers, last=selection.last))})


def wait_for(
    ids: Sequence[int],
    at_once: Sequence[int],
    requested: Sequence[int],
    timeout: float | None,
    output: Output,
) -> int:
    """Wait until all have ended, then say how; return 0 if all are cancelled.

    Raises:
        WaitTimeoutError: some have not ended in time; raised after reporting on those that have.
    """
    time_is_up: WaitTimeoutError | None = None
    try:
        follow(Watch(ids), timeout, still="the cancel request stands ('simcelery explain ID' says more)")
    except WaitTimeoutError as error:
        time_is_up = error
    except KeyboardInterrupt:
        note("simcelery: no longer waiting; the cancel request stands")
        return EXIT_INTERRUPTED
    found = _ends(ids, set(at_once), set(requested))
    cancelled = [one.id for one in found if one.state == "cancelled"]
    if output == "json":
        show_json([asdict(one) for one in found])
    elif output == "quiet":
        show_ids(cancelled)
    else:
        _show(found, at_once)
    if time_is_up is not None:
        raise time_is_up
    return 0 if len(cancelled) == len(found) else 1


def _ends(ids: Sequence[int], at_once: set[int], requested: set[int]) -> list[Stopped]:
    from simcelery.board import engine, reads

    took = {row.id: _seconds(row) for row in rows_of(sorted(requested))}
    states: dict[int, State] = {}
    last: dict[int, dict[str, Any]] = {}
    with engine.begin() as connection:
        for part in chunks(ids):
            states.update(reads.states(connection, part))
            last.update(reads.last_attempts(connection, part))
    found = []
    for number in ids:
        attempt = {} if number in at_once else last.get(number, {})
        message = what_became(states[number], attempt, at_once=number in at_once, asked=number in requested)
        found.append(Stopped(number, str(states[number]), message, attempt.get("host"), took.get(number)))
    return found


def _seconds(row: JobRow) -> float | None:
    if row.cancel_requested_at is None or row.finished_at is None:
        return None
    return (row.finished_at - row.cancel_requested_at).total_seconds()


def _show(found: Sequence[Stopped], at_once: Sequence[int]) -> None:
    if not found:
        say("nothing to cancel: no matching job is waiting or running")
    if at_once:
        say(f"cancelled {named(at_once)}")
    rest = [one for one in found if one.id not in set(at_once)]
    if rest:
        columns = [Column("id", right=True), Column("state", coloured=True), Column("host", middle=True)]
        columns += [Column("took", right=True), Column("message", wrapped=True)]
        show_table(columns, [(one.id, one.state, one.host, duration(one.took), one.message) for one in rest])
