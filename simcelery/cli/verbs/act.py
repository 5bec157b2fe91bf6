"""``cancel`` and ``retry``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from simcelery.cli.asking import agreed
from simcelery.cli.options import (
    Filters,
    Output,
    command,
    duration,
    filter_options,
    output_option,
    yes_option,
)
from simcelery.cli.output import note, say, show_ids, show_json
from simcelery.cli.selectors import Selection, ids_argument, require, which
from simcelery.describe.words import compact, many, named
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.states import State


@command(
    "cancel",
    "simcelery cancel 42",
    "simcelery cancel -w emt.relax -s pending -y",
    "simcelery list -t oxides -o quiet | simcelery cancel - -y",
    "simcelery cancel 42 --wait --timeout 1m",
)
@ids_argument()
@filter_options
@click.option("--wait", "wait", is_flag=True, help="Wait until the running jobs have ended, and say how.")
@click.option(
    "--timeout",
    metavar="DURATION",
    help="With --wait: wait at most this long: 90 (seconds), 1h30m or HH:MM:SS.",
)
@yes_option
@output_option
def cancel(
    selection: Selection | None,
    filters: Filters,
    wait: bool,
    timeout: str | None,
    yes: bool,
    output: Output,
) -> int:
    """Cancel jobs: waiting ones at once, running ones as soon as their workers hear of it.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Jobs that have ended are left alone. Asks before it cancels more than one. With --wait the exit code
    is 1 if a job ended in another way, or the time is up; Ctrl-C stops the waiting, not the cancel.
    """
    from simcelery.board.states import ACTIVE
    from simcelery.cli import stopped
    from simcelery.submission import manage

    seconds = duration("--timeout", timeout)
    if timeout is not None and not wait:
        raise UsageError("--timeout is for --wait: add it")
    require(selection, filters, "cancel")
    ids, counts = _choose(selection, filters, ACTIVE)
    if not _confirmed("cancel", ids, counts, yes):
        return 0
    at_once, requested = manage.cancel(ids)
    if wait:
        asked_for = stopped.asked_for(selection, filters, ids)
        return stopped.wait_for(asked_for, at_once, requested, seconds, output)
    if output == "json":
        show_json({"cancelled": at_once, "asked_to_stop": requested})
    elif output == "quiet":
        show_ids([*at_once, *requested])
    else:
        if at_once:
            say(f"cancelled {named(at_once)}")
        if requested:
            told = "its worker has" if len(requested) == 1 else "their workers have"
            say(f"asked to stop: running {named(requested)}; {told} been told (--wait waits for the end)")
        if not at_once and not requested:
            say("nothing to cancel: no such job waits or runs")
    return 0


@command(
    "retry",
    "simcelery retry 42",
    "simcelery retry -s failed -t oxides -y",
    "simcelery retry 57 --with-parents",
    "simcelery retry --error 2 --since 1d",
    "simcelery retry --error LostWorkerError -y",
)
@ids_argument()
@filter_options
@click.option("--with-parents", is_flag=True, help="Also retry the parents that did not succeed.")
@click.option(
    "--error", metavar="N|TYPE", help="Only jobs that failed with this error: see 'simcelery errors'."
)
@yes_option
@output_option
def retry(
    selection: Selection | None,
    filters: Filters,
    with_parents: bool,
    error: str | None,
    yes: bool,
    output: Output,
) -> int:
    """Retry failed and cancelled jobs, and the jobs that are upstream_failed because of them.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Asks before it retries more than one. Attempts go on counting; failures and losses start again at 0.
    The numbers that --error takes are those of 'simcelery errors' with the same filters (except -n). They
    change as jobs fail; a type always means the same.
    """
    from simcelery.board.states import UNSUCCESSFUL
    from simcelery.cli.selectors import chunks
    from simcelery.submission import manage

    strict = selection is not None and selection.single and not filters.given and error is None
    if error is None:
        require(selection, filters, "retry")
        ids, counts = _choose(selection, filters, None if strict else UNSUCCESSFUL)
    else:
        ids, counts = _with_error(selection, filters, error, yes)
    if not _confirmed("retry", ids, counts, yes):
        return 0
    revived: list[int] = []
    for part in chunks(ids):  # ascending: a parent goes back before its children
        revived += manage.retry(part, with_parents=with_parents, strict=strict)
    revived = sorted(set(revived))
    if output == "json":
        show_json({"retried": revived})
    elif output == "quiet":
        show_ids(revived)
    else:
        say(f"back to work: {named(revived)}" if revived else "nothing to retry: no such job is unsuccessful")
    return 0


def _choose(
    selection: Selection | None, filters: Filters, states: frozenset[State] | None
) -> tuple[list[int], dict[str, int]]:
    """The ids in question, and how many of them are in which state."""
    from simcelery.board import engine, queries

    chosen = [state for state in filters.states if states is None or state in states]
    if filters.states and not chosen:
        return [], {}
    wanted = which(selection, filters, chosen or (sorted(states) if states else ()))
    with engine.begin() as connection:
        counts = queries.counts(connection, wanted)
        ids = queries.ids(connection, wanted)[: filters.limit]
    return ids, {str(state): number for state, number in counts.items()}


def _with_error(
    selection: Selection | None, filters: Filters, error: str, tell: bool
) -> tuple[list[int], dict[str, int]]:
    """The ids of an error's jobs, and which error that is: the numbers change when jobs fail."""
    from simcelery.cli.verbs.errors import in_group

    words, ids = in_group(which(selection, filters), error)
    if ids and tell:
        note(f"simcelery: {many(len(ids))} with {words}")
    ids = ids[: filters.limit]
    return ids, {f"with {words}": len(ids)}


def _confirmed(verb: str, ids: list[int], counts: dict[str, int], yes: bool) -> bool:
    """Ask about more than one job.

    Raises:
        UsageError: nobody is there to answer.
    """
    if yes or len(ids) <= 1:
        return True
    parts = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items()))
    about = f"{verb} {many(len(ids))} ({compact(ids, 6)})"
    if sum(counts.values()) == len(ids):
        about = f"{verb} {many(len(ids))} ({parts}; ids {compact(ids, 6)})"
    return agreed(about, yes=False)
