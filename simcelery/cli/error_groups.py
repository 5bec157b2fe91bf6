"""Failed jobs, grouped by error: for ``errors`` and ``retry --error``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcelery.describe.error_groups import NEWEST, in_words
from simcelery.describe.words import many
from simcelery.errors import RefusedByBoardError, UsageError
from simcelery.readable import short

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import Filter
    from simcelery.board.reads.summaries import ErrorGroup

_DIGITS = 9  # at most, in the number of a group


def groups(wanted: Filter, newest: int) -> list[ErrorGroup]:
    """The newest failures in groups, the largest group first."""
    from simcelery.board import asking
    from simcelery.board.reads import summaries

    with asking.begin() as connection:
        return summaries.errors(connection, wanted, newest)


def of_ids(ids: list[int]) -> list[tuple[ErrorGroup, list[int]]]:
    """The groups of those of these jobs that failed, the largest first, each with its jobs."""
    from simcelery.board import asking
    from simcelery.board.reads import summaries
    from simcelery.board.reads.jobs import Filter

    which = Filter(ids=ids)
    with asking.begin() as connection:
        found = summaries.errors(connection, which, len(ids)) if ids else []
        return [
            (group, summaries.ids_with_error(connection, which, group.error_type, group.message))
            for group in found
        ]


def in_group(wanted: Filter, error: str) -> tuple[str, list[int]]:
    """The error that ``--error`` stands for, in words, and the ids of all jobs with it.

    Parameters:
        error: a number from ``simcelery errors`` with the same filters, an error type, or ``/pattern/``.

    Raises:
        UsageError: there is no such group, or the pattern is none.
    """
    from simcelery.board import asking
    from simcelery.board.reads import summaries

    if len(error) > 1 and error.startswith("/") and error.endswith("/"):
        return f"an error like {short(error)}", _like(wanted, error[1:-1])
    if not error.isdecimal():
        with asking.begin() as connection:
            ids = summaries.ids_with_error(connection, wanted, error, None)
        return error, ids
    found = groups(wanted, NEWEST)
    number = int(error) if len(error) <= _DIGITS else 0
    if not 1 <= number <= len(found):
        there = f"the list has {many(len(found), 'group')}" if found else "no job has failed"
        raise UsageError(
            f"there is no error {short(error)}: {there}; see 'simcelery errors' with the same filters"
        )
    group = found[number - 1]
    with asking.begin() as connection:
        ids = summaries.ids_with_error(connection, wanted, group.error_type, group.message)
    return in_words(group), ids


def _like(wanted: Filter, pattern: str) -> list[int]:
    from simcelery.board import asking
    from simcelery.board.reads import summaries

    try:
        with asking.begin() as connection:
            return summaries.ids_with_error_like(connection, wanted, pattern)
    except RefusedByBoardError as error:
        why = str(error).rpartition(": ")[2]
        raise UsageError(f"--error: {short(pattern)} is not a regular expression: {why}") from None
