"""``watch``: follow progress live."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli import fit
from simcelery.cli.fit import Column
from simcelery.cli.options import Filters, Output, command, duration, filter_options, output_option
from simcelery.cli.output import (
    STYLES,
    bar_width,
    console,
    in_states,
    is_terminal,
    note,
    remark,
    say,
    show_json_line,
)
from simcelery.cli.progress import Part, Progress
from simcelery.cli.selectors import Selection, ids_argument, which
from simcelery.describe import gates
from simcelery.describe.words import duration as in_words
from simcelery.describe.words import one_line, rate
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from simcelery.board.reads.gates import ClosedGate

_ON_TERMINAL, _IN_LOGS = 2.0, 10.0  # seconds between two polls, unless --every says otherwise
_HINT_AFTER = 5.0  # if nothing has started by then, perhaps no worker is there to start it
_GATES = 3  # sweeps of which is said, on a terminal, that they are held


@command(
    "watch",
    "simcelery watch",
    "simcelery watch -t oxides",
    "simcelery watch 1-10000 --every 1m >> progress.log",
    "simcelery watch -t oxides --exec 'notify-send \"the oxides are done\"'",
    "simcelery watch --forever -o json | jq .rate_per_second",
)
@ids_argument()
@filter_options
@click.option(
    "--every",
    metavar="DURATION",
    help="Time between two updates (default: 2s on a terminal, else 10s; at least 1s).",
)
@click.option(
    "--exec",
    "command_line",
    metavar="COMMAND",
    help="When all have finished, run this on your own machine, in a shell; it gets the numbers as JSON.",
)
@click.option("--forever", is_flag=True, help="Keep watching after all jobs have finished.")
@output_option
def watch(
    selection: Selection | None,
    filters: Filters,
    every: str | None,
    command_line: str | None,
    forever: bool,
    output: Output,
) -> int:
    """Show for each workflow how many jobs are in each state, the rate of the last minute and the time left.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Without IDS and filters, shows all unfinished jobs and those that finish from now on. The rate covers
    only the time with work; for slow jobs it is that of the last ten. A terminal is redrawn; a pipe gets
    one line per update, with -o json one object per line. A line says which jobs canaries or a fuse hold, and
    how to release them. A slot may take several short jobs at once: all of them count as running. Ends when
    all jobs have finished. Ctrl-C stops the watching, not the jobs. The exit code does not say how the jobs
    ended; for that, see 'wait'. Before a rate can be measured, an estimate says how long they will take,
    judged by the last 200 successes.
    """
    if command_line and forever:
        raise UsageError("--exec runs when all have finished, and with --forever that is never")
    if filters.states or filters.limit:
        raise UsageError("watch always shows all jobs in all states: leave out --state and --limit")
    seconds = duration("--every", every)
    if seconds is None:
        seconds = _ON_TERMINAL if is_terminal() else _IN_LOGS
    if seconds < 1:
        raise UsageError(f"--every {every}: must be at least 1s")
    everything = selection is None and not filters.given
    progress = Progress(which(selection, filters), everything=everything)
    finished = False
    with suppress(KeyboardInterrupt), _drawing(output) as draw:
        _follow(progress, draw, seconds, forever, live=output == "table" and is_terminal())
        finished = True
    return _run(command_line, progress) if command_line and finished else 0


def _run(command_line: str, progress: Progress) -> int:
    """Run what is to be run at the end; the exit code is 1 if it fails."""
    numbers = json.dumps(facts(progress))
    done = subprocess.run(command_line, shell=True, input=numbers, text=True)  # as the user would type it  # nosec B602
    if done.returncode:
        note(f"simcelery: the command of --exec ended with {done.returncode}")
    return int(bool(done.returncode))


Draw = Callable[[Progress, str], None]


def _follow(progress: Progress, draw: Draw, every: float, forever: bool, live: bool) -> None:
    """Poll and draw until all jobs have finished.

    Parameters:
        live: whether a terminal is redrawn, and an outage of the board said there.

    Raises:
        ServiceError: Postgres does not answer at the beginning.
    """
    from simcelery.submission.outages import Outages

    began, hint = time.monotonic(), ""
    board = Outages(partial(draw, progress) if live else remark)
    while True:
        board.ask(progress.poll)
        if not hint and progress.idle and time.monotonic() - began > _HINT_AFTER:
            hint = board.ask(_hint)
        draw(progress, hint if progress.idle else "")
        everybody = progress.all()
        if not forever and everybody.finished == everybody.total:
            return
        time.sleep(progress.pause(every))


def _hint() -> str:
    """Why pending jobs do not start, if no live worker can start them."""
    from simcelery.board import engine, reads
    from simcelery.describe.needs import too_large
    from simcelery.describe.unserved import in_sentences

    with engine.begin() as connection:
        said = in_sentences(reads.unserved(connection)) + too_large(connection, reads.Filter())
    return "; ".join(f"{about}: {advice}" for about, advice in said)


@contextmanager
def _drawing(output: Output) -> Iterator[Draw]:
    if output == "json":
        yield lambda progress, _: show_json_line(facts(progress))
    elif output == "quiet":
        yield lambda progress, _: None
    elif is_terminal():
        from rich.live import Live

        with Live(console=console(), auto_refresh=False) as live:
            yield lambda progress, remark: live.update(_picture(progress, remark), refresh=True)
    else:
        yield _Lines()


def facts(progress: Progress) -> dict[str, Any]:
    """One JSON object: the time, the numbers of all jobs, and those of each workflow."""
    parts = {part.name: _numbers(part) for part in progress.parts()}
    held = [gates.as_json(gate) for gate in progress.gates]
    at = dt.datetime.now(dt.UTC).isoformat()
    return {"at": at, **_numbers(progress.all()), "workflows": parts, "held": held}


def _numbers(part: Part) -> dict[str, Any]:
    return {
        "total": part.total,
        "finished": part.finished,
        "states": dict(part.states),
        "rate_per_second": part.rate,
        "seconds_left": part.left,
        "estimate": part.estimate and part.estimate.as_json(),
    }


class _Lines:
    """A line for each update; why jobs are held, and what keeps others, only when that changes."""

    def __init__(self) -> None:
        self._said: tuple[list[str], str] = [], ""

    def __call__(self, progress: Progress, hint: str) -> None:
        part = progress.all()
        words = ", ".join(f"{number:,} {state}" for state, number in in_order(part))
        about = ": ".join(filter(None, (f"{part.finished:,}/{part.total:,} finished", words)))
        parts = filter(None, (about, progress.report, pace(part)))
        say(f"{dt.datetime.now():%H:%M:%S}  " + "; ".join(parts))
        held, (held_before, hint_before) = [gates.loud(gate) for gate in progress.gates], self._said
        for line in held:
            if line not in held_before:
                say(f"          {line}")
        if hint and hint != hint_before:
            remark(hint)
        self._said = held, hint


def pace(part: Part) -> str:
    """``12/s, 1m20s left``; if no job is finishing yet, an estimate by earlier jobs, if there is one."""
    if not part.rate:
        return str(part.estimate or "")
    return rate(part.rate) + (f", {in_words(part.left)} left" if part.left else "")


def in_order(part: Part) -> list[tuple[str, int]]:
    """States and their numbers, in the order of the bar: finished jobs first."""
    states = ("succeeded", "failed", "upstream_failed", "cancelled", "running", "pending")
    rest = sorted(set(part.states) - set(states))
    return [(state, part.states[state]) for state in (*states, *rest) if part.states.get(state)]


_COLUMNS = (
    Column("workflow", middle=True),
    Column("", spare=True),
    Column("finished", right=True),
    Column(""),
    Column("", wrapped=True),
)


def _picture(progress: Progress, remark: str) -> Text:
    """For each workflow its name, bar, numbers, rate and time left, and the number in each state."""
    from rich.text import Text

    size = shutil.get_terminal_size()
    said = one_line(remark) or f"{dt.datetime.now():%H:%M:%S}  Ctrl-C stops the watching, not the jobs"
    last = [line for gate in progress.gates[:_GATES] for line in fit.wrapped(_loud(gate), size.columns)]
    last += [Text(progress.report)] if progress.report else []
    last += fit.wrapped(Text(said, "italic"), size.columns)
    room = most = max(1, size.lines - len(last) - 1)
    while True:
        shown = _as_fit(progress, most)
        lines = list(fit.table(_COLUMNS, [_cells(part) for part in shown], size.columns))
        if len(lines) <= room or most == 1:
            return Text("\n").join([*lines, *last])
        most -= 1


def _loud(gate: ClosedGate) -> Text:
    from rich.text import Text

    return Text(one_line(gates.loud(gate)), "bold red" if gates.needs_somebody(gate) else "magenta")


def _cells(part: Part) -> list[Text]:
    from rich.text import Text

    return [
        Text(one_line(part.name)),
        bar(part, bar_width()),
        Text(f"{part.finished:,}/{part.total:,}"),
        Text(pace(part)),
        in_states(in_order(part)),
    ]


def _as_fit(progress: Progress, room: int) -> list[Part]:
    """As many workflows as there is room for, the other workflows as one row, and a row for all."""
    parts = progress.parts()
    if len(parts) > room:
        rest = parts[room - 1 :]
        parts = [*parts[: room - 1], progress.together(f"{len(rest)} more", [part.name for part in rest])]
    return parts if len(parts) == 1 else [*parts, progress.all()]


def bar(part: Part, width: int = 30) -> Text:
    """A bar with a segment for each state; even a rare state gets a character if there is room."""
    from rich.text import Text

    drawn = Text()
    done = 0
    for state, number in in_order(part):
        done += number
        upto = max(round(width * done / part.total), len(drawn) + 1)
        drawn.append(("━" if state in STYLES else "─") * (upto - len(drawn)), STYLES.get(state, "dim"))
    drawn.truncate(width)
    return drawn
