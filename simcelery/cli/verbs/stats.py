"""``stats``: show how fast jobs finish, and how long they wait and run."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from simcelery.cli.options import Filters, Output, command, duration, output_option, window_options
from simcelery.cli.output import Column, is_terminal, note, say, show_json, show_table, width
from simcelery.cli.selectors import Selection, at_once, ids_argument, which
from simcelery.describe.plain import jsonable
from simcelery.describe.words import core_hours, many, rate
from simcelery.describe.words import duration as in_words
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.reads.expected import Known, Lost
    from simcelery.board.reads.summaries import Interval, Period, Spread, Times

_WINDOW = 86_400.0
_NEWEST = 20_000  # jobs whose times are read, unless -n says otherwise
_MOST = 30  # intervals
_STEPS = (60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400)
_BAR = 40
_BESIDE_THE_BAR = 50  # cells
_COLUMNS = (
    Column("workflow", middle=True),
    *(
        Column(name, right=True, spare=name in ("succeeded", "90 %", "expected"))
        for name in (
            *("finished", "succeeded", "failed", "waited", "90 %", "max", "ran", "90 %", "max"),
            "expected",
        )
    ),
)


@command(
    "stats",
    "simcelery stats",
    "simcelery stats --since 30m -w emt.relax",
    "simcelery stats --since 7d -o json | jq .finished_per_hour",
)
@ids_argument()
@window_options
@output_option
def stats(selection: Selection | None, filters: Filters, output: Output) -> None:
    """Show how many jobs finished per minute or hour, and how long the jobs of each workflow waited and ran.

    Rates cover the time during which jobs ran: from the first start to the last end, or until now while
    some are still running.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    A job waits from its submission, or from its --run-at time, until it starts; waiting for parents counts.
    Its running time is that of its last attempt. Shown are the median, the 90th percentile and the maximum
    over the newest 20,000 finished jobs, or as many as -n says. What a job of the workflow is expected to
    take is what workers go by whose allocation ends: the 90th percentile of the last 200 successes. What
    attempts have cost that ended with their allocation is told as core-hours. With -o quiet, prints only the
    number of finished jobs.
    """
    from simcelery.board import asking
    from simcelery.board.reads import summaries
    from simcelery.board.reads.alone import SHORT, alone
    from simcelery.board.reads.alone import in_words as reason
    from simcelery.board.reads.expected import Lost, known, lost_to_walltime

    window = _WINDOW if filters.since is None else duration("--since", filters.since)
    if not window:
        raise UsageError("--since must be longer than 0: write 30m, 24h or 7d")
    wanted = at_once(which(selection, replace(filters, since=None)))
    newest = filters.limit or _NEWEST
    with asking.begin() as connection:
        intervals = summaries.throughput(connection, wanted, window, intervals_of(window))
        times = summaries.times(connection, wanted, window, newest) if output != "quiet" else []
        period = summaries.period(connection, wanted, window) if output != "quiet" else None
        asks = output != "quiet"
        lost = lost_to_walltime(connection, wanted, window) if asks else Lost(0, 0.0)
        takes = known(connection, [each.workflow for each in times])
        short = [each.workflow for each in times if each.running and each.running.median < SHORT]
        one_by_one = alone(connection, short) if output == "table" else {}
    finished = sum(interval.finished for interval in intervals)
    if output == "quiet":
        say(str(finished))
    elif output == "json":
        show_json(_facts(intervals, times, window, period, lost, takes))
    elif not finished or period is None:
        note(f"no job has finished in the last {in_words(window)}")
    else:
        _show(intervals, times, window, period, takes)
        if sum(each.finished for each in times) < finished:
            note(f"waiting and running times are from the newest {newest:,} jobs; -n looks at more")
        for name, why in one_by_one.items():
            note(f"jobs of {name} are short, but {reason([why])}")
    if output == "table" and lost.attempts:
        hours = core_hours(lost.core_seconds / 3600)
        saved = f"; {lost.saved:,} of them had saved their work" if lost.saved else ""
        note(f"{many(lost.attempts, 'attempt')} ended with the allocation: {hours} core-hours lost{saved}")


def intervals_of(window: float) -> int:
    """The number of intervals for a window: each a round length, such as a minute, that gives few enough."""
    step = next((step for step in _STEPS if window / step <= _MOST), window / _MOST)
    return math.ceil(window / step)


def _show(
    intervals: list[Interval], times: list[Times], window: float, period: Period, takes: Mapping[str, Known]
) -> None:
    finished = sum(interval.finished for interval in intervals)
    most = max(interval.finished for interval in intervals)
    step = window / len(intervals)
    clock = "%H:%M:%S" if window <= _WINDOW else "%a %d %b %H:%M"
    start, until = (f"{moment.astimezone():{clock}}" for moment in (period.start, period.until))
    when = f"since {start}" if period.running else f"from {start} to {until}"
    pace = rate(finished / period.seconds) if period.seconds > 0 else ""
    said = f"{many(finished)} finished in the last {in_words(window)}, {when}"
    say(f"{said}: {pace} over these {in_words(period.seconds)}" if pace else said)
    say()
    bar = max(1, min(_BAR, width() - _BESIDE_THE_BAR)) if is_terminal() else _BAR
    show_table(
        (Column("from"), Column("finished", right=True), Column("rate", right=True), Column("")),
        [
            (
                f"{interval.start.astimezone():{clock}}",
                f"{interval.finished:,}",
                rate(_rate(interval, step, period)),
                "█" * round(bar * interval.finished / most),
            )
            for interval in intervals
        ],
    )
    say()
    show_table(_COLUMNS, [_cells(each, takes.get(each.workflow)) for each in times])


def _rate(interval: Interval, step: float, period: Period) -> float:
    """Jobs finished per second, over the part of the interval that lies within the period."""
    end = min(interval.start + dt.timedelta(seconds=step), period.until)
    worked = (end - max(interval.start, period.start)).total_seconds()
    return interval.finished / worked if worked > 0 else 0.0


def _cells(times: Times, takes: Known | None) -> tuple[object, ...]:
    numbers = (times.finished, times.ended.get("succeeded"), times.ended.get("failed"))
    spreads = (*_in_words(times.waiting), *_in_words(times.running))
    counts = (f"{number:,}" if number else "" for number in numbers)
    return (times.workflow, *counts, *spreads, in_words(takes.p90) if takes else "")


def _in_words(spread: Spread | None) -> tuple[str, str, str]:
    if spread is None:
        return "", "", ""
    return in_words(spread.median), in_words(spread.p90), in_words(spread.max)


def _facts(
    intervals: list[Interval],
    times: list[Times],
    window: float,
    period: Period | None,
    lost: Lost,
    takes: Mapping[str, Known],
) -> dict[str, Any]:
    finished = sum(interval.finished for interval in intervals)
    took = period.seconds if period else 0.0
    return {
        "window_seconds": window,
        "finished": finished,
        "finished_per_hour": finished / took * 3600 if took else 0.0 if not finished else None,
        "worked_from": period and jsonable(period.start),
        "worked_until": period and jsonable(period.until),
        "worked_seconds": took,
        "interval_seconds": window / len(intervals),
        "intervals": [jsonable(asdict(interval)) for interval in intervals],
        "lost_to_walltime": {
            "attempts": lost.attempts,
            "core_hours": lost.core_seconds / 3600,
            "saved": lost.saved,
        },
        "workflows": {
            each.workflow: {
                "finished": each.finished,
                "states": each.ended,
                "waiting": each.waiting and asdict(each.waiting),
                "running": each.running and asdict(each.running),
                "expected": takes[each.workflow]._asdict() if each.workflow in takes else None,
            }
            for each in times
        },
    }
