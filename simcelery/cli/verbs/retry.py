"""``retry``: run jobs that did not succeed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from simcelery.cli import revised
from simcelery.cli.asking import confirmed, show_dry
from simcelery.cli.ended import wait_or_leave
from simcelery.cli.error_groups import in_group
from simcelery.cli.options import (
    Filters,
    Output,
    command,
    duration,
    filter_options,
    output_option,
    yes_option,
)
from simcelery.cli.outdated import warn_of_outdated
from simcelery.cli.output import note, say, show_ids, show_json
from simcelery.cli.programs import allowed
from simcelery.cli.selectors import Selection, chosen, chunks, ids_argument, require, which
from simcelery.describe.words import many, named

if TYPE_CHECKING:
    from simcelery.board.values import Revision


@command(
    "retry",
    "simcelery retry 42",
    "simcelery retry -s failed -t oxides -y",
    "simcelery retry 42 --set fmax=0.02 --wait",
    "simcelery retry 57 --with-parents",
    "simcelery retry 57 --from-scratch",
    "simcelery retry --error 2 --since 1d",
    "simcelery retry --error LostWorkerError -y",
    "simcelery retry 57 --allow physics",
    "simcelery retry --error '/SCF .*not converged/' -t oxides --dry-run",
    "simcelery retry --error 2 --set fmax=0.02 --set 'kpts=[4,4,4]' --dry-run",
)
@ids_argument()
@filter_options
@click.option("--with-parents", is_flag=True, help="Also retry the parents that did not succeed.")
@click.option(
    "--error",
    metavar="N|TYPE|/REGEX/",
    help="Only jobs that failed with this error; see 'simcelery errors'.",
)
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="Retry with another value of this parameter (repeatable).",
)
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["numerics", "physics"]),
    help="Retry with this as what handlers of their program may change: --set 'allow=[…]'.",
)
@click.option(
    "--from-scratch",
    is_flag=True,
    help="Forget their steps, checkpoints and corrections, which are kept otherwise.",
)
@click.option("--dry-run", is_flag=True, help="Only say which jobs would be retried, and what would change.")
@click.option("--wait", is_flag=True, help="Wait until they have finished, as 'simcelery wait' does.")
@click.option("--timeout", metavar="DURATION", help="With --wait: wait at most this long.")
@yes_option
@output_option
def retry(
    selection: Selection | None,
    filters: Filters,
    with_parents: bool,
    error: str | None,
    values: tuple[str, ...],
    allow: tuple[str, ...],
    from_scratch: bool,
    dry_run: bool,
    wait: bool,
    timeout: str | None,
    yes: bool,
    output: Output,
) -> int:
    """Retry failed and cancelled jobs, and the jobs that are upstream_failed because of them.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Asks for confirmation before retrying more than one. Attempts keep counting up; failures and losses
    start again at 0. --error takes a number from 'simcelery errors' with the same filters (except -n), or
    an error type, or a regular expression between slashes, which is looked for in 'type: message'. The
    numbers change as more jobs fail; a type does not.

    --set changes a parameter of all these jobs (not of parents and descendants that are retried with them);
    values are read as 'simcelery submit' reads them. If one does not fit, nothing is retried. Each attempt
    keeps what it ran with; 'simcelery show' says what that was. A command's parameters are argv, env,
    keep_urls, files, stdin, expect, ok and json.

    A job goes on from the steps and the checkpoint that its attempts have saved, and has what is left of its
    corrections, unless --from-scratch or another value of a parameter is given: both begin anew.

    With --wait the exit code is 1 if any of them did not succeed, or on a timeout.
    """
    from simcelery.board.states import UNSUCCESSFUL
    from simcelery.submission import actions

    seconds = duration("--timeout", timeout)
    values = (*values, *allowed(allow))
    strict = selection is not None and selection.single and not filters.given and error is None
    if error is None:
        require(selection, filters, "retry")
        ids, counts = chosen(selection, filters, None if strict else UNSUCCESSFUL)
    else:
        ids, counts = _with_error(selection, filters, error, yes or dry_run)
    revisions = revised.plan(ids, values) if values else None
    if dry_run and revisions is not None:
        actions.retry(ids, with_parents=with_parents, strict=strict, revisions=revisions, dry=True)
        revised.show_dry(revisions, output)
        return 0
    if dry_run:
        if strict:  # of many, those that cannot be retried are left alone
            actions.retry(ids, with_parents=with_parents, strict=True, from_scratch=from_scratch, dry=True)
        show_dry("retry", ids, output)
        return 0
    if not confirmed("retry", ids, counts, yes):
        return 0
    revived: list[int] = []
    # Ascending, so that a parent is retried before its children. With other parameters it is all or nothing.
    for part in [ids] if values else chunks(ids):
        revived += actions.retry(
            part,
            with_parents=with_parents,
            strict=strict,
            revisions=revisions,
            from_scratch=from_scratch,
        )
    revived = sorted(set(revived))
    if not wait or not revived:
        _tell(revived, revisions, output)
        return 0
    note(_in_words(revived, _going_on(revived)))  # stdout is for the result
    warn_of_outdated(revived)
    # Of a single job its result is shown, whatever else was retried with it.
    return wait_or_leave(ids if strict else revived, seconds, output, single=strict)


def _tell(revived: list[int], revisions: list[Revision] | None, output: Output) -> None:
    """Say which jobs went back, and which of them go on from what they have saved."""
    going_on = _going_on(revived)
    if output == "json":
        told = {"retried": revived}
        if going_on:
            told["going_on"] = going_on
        if revisions is not None:
            told["revised"] = [one.job_id for one in revisions if one.changes]
        show_json(told)
    elif output == "quiet":
        show_ids(revived)
    else:
        say(_in_words(revived, going_on))
    warn_of_outdated(revived)


def _going_on(revived: list[int]) -> list[int]:
    from simcelery.board import engine, saved

    with engine.begin() as connection:
        return saved.with_any(connection, revived)


def _in_words(revived: list[int], going_on: list[int]) -> str:
    if not revived:
        return "nothing to retry: no matching job was unsuccessful"
    if not going_on:
        return f"retried {named(revived)}"
    if len(going_on) == 1:
        which = "it goes" if len(revived) == 1 else f"{named(going_on)} goes"
    else:
        which = "all of them go" if going_on == revived else f"{named(going_on)} go"
    kept = "on from saved steps or a checkpoint (--from-scratch forgets them)"
    return f"retried {named(revived)}; {which} {kept}"


def _with_error(
    selection: Selection | None, filters: Filters, error: str, tell: bool
) -> tuple[list[int], dict[str, int]]:
    """The ids of the jobs with this error; the error is named, since its number changes as jobs fail."""
    words, ids = in_group(which(selection, filters), error)
    if ids and tell:
        note(f"simcelery: {many(len(ids))} with {words}")
    ids = ids[: filters.limit]
    return ids, {f"with {words}": len(ids)}
