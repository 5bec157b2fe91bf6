"""What clusters cost, on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcelery.cli.output import Column, note, say, show_table
from simcelery.describe import costs as words
from simcelery.describe.words import core_hours

if TYPE_CHECKING:
    from simcelery.board.reads.costs import Cost, Label, Report

_TOTAL = "(all)"


def show(report: Report, is_now: bool, by: str | None) -> None:
    """A row for each cluster, one for all of them, and for what was lost; and what jobs held by label."""
    from simcelery.board.reads.costs import together

    whole = together(report.costs)
    rows = [*report.costs, *([whole] if len(report.costs) > 1 else [])]
    say(f"core-hours {words.when(report.window, is_now)}")
    say()
    columns = [Column("cluster", middle=True), Column("allocations", right=True)]
    columns += [Column(name, right=True) for name in ("granted", "busy", "lost", "idle")]
    columns += [Column("unknown", right=True)] if whole.unknown else []
    columns += [Column(name, right=True, spare=True) for name in ("cpu", "failed", "starting")]
    show_table(columns, [_cells(cost, bool(whole.unknown)) for cost in rows])
    if whole.losses:
        say()
        names = ("cause", "attempts", "lost")
        columns = [Column("cluster", middle=True), *(Column(name, right=name != "cause") for name in names)]
        show_table(columns, [row for cost in rows for row in _losses(cost)])
    if by is not None and report.labels:
        say()
        _show_labels(by, report.labels, report.number_of_labels)


def _show_labels(by: str, labels: Sequence[Label], number: int) -> None:
    columns = [Column(by, middle=True)]
    columns += [Column(name, right=True) for name in ("attempts", "busy", "failed", "lost")]
    rows = [
        (
            "(none)" if one.label is None else one.label,
            f"{one.attempts:,}",
            core_hours(one.busy),
            core_hours(one.failed),
            core_hours(one.lost),
        )
        for one in labels
    ]
    show_table(columns, rows)
    if len(labels) < number:
        note(f"the first {len(labels):,} of {number:,}; -n shows more")


def _cells(cost: Cost, unknown: bool) -> tuple[object, ...]:
    used = f"{cost.cpu / cost.measured:.0%}".replace("%", " %") if cost.measured else ""
    return (
        cost.name or _TOTAL,
        f"{cost.allocations:,}",
        *map(core_hours, (cost.granted, cost.busy, cost.lost, cost.idle)),
        *([core_hours(cost.unknown)] if unknown else []),
        used,
        *map(core_hours, (cost.failed, cost.starting)),
    )


def _losses(cost: Cost) -> list[tuple[object, ...]]:
    found = sorted(cost.losses.items(), key=lambda each: (-each[1].core_hours, each[0]))
    return [
        (cost.name or _TOTAL, cause.replace("_", " "), f"{loss.attempts:,}", core_hours(loss.core_hours))
        for cause, loss in found
    ]
