"""Ask for confirmation before doing what cannot be undone."""

from __future__ import annotations

import sys

import click

from simcelery.cli.options import Output
from simcelery.cli.output import say, show_ids, show_json
from simcelery.describe.words import many, named, spaced
from simcelery.errors import UsageError


def agreed(about: str, yes: bool) -> bool:
    """Whether the user agrees to this, such as ``cancel 3 jobs``.

    Raises:
        UsageError: stdin or stderr is not a terminal, so nobody can answer.
    """
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"this would {about}; add -y to confirm")
    return click.confirm(f"{about}?", err=True)


def confirmed(verb: str, ids: list[int], counts: dict[str, int], yes: bool) -> bool:
    """Ask for confirmation if there is more than one job.

    Raises:
        UsageError: stdin or stderr is not a terminal, so nobody can answer.
    """
    if yes or len(ids) <= 1:
        return True
    parts = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items()))
    about = f"{verb} {many(len(ids))} ({spaced(ids, 6)})"
    if sum(counts.values()) == len(ids):
        about = f"{verb} {many(len(ids))} ({parts}; ids {spaced(ids, 6)})"
    return agreed(about, yes=False)


def show_dry(verb: str, ids: list[int], output: Output) -> None:
    """What a verb would be done to, instead of doing it."""
    if output == "json":
        show_json({f"would_{verb}": ids})
    elif output == "quiet":
        show_ids(ids)
    else:
        say(f"would {verb} {named(ids)}; nothing was changed" if ids else f"nothing to {verb}")
