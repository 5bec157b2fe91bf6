"""A transaction in one round trip: for what every single job needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import ClientCursor
from psycopg.rows import dict_row

from simcelery.board import asking, faults, lending, schema
from simcelery.errors import BoardUnreachableError
from simcelery.settings import get_settings

# For the transaction that the message is.
_ASYNCHRONOUS = "SET LOCAL synchronous_commit = off;"


def one_round_trip(
    statement: str, values: Mapping[str, Any], *, durable: bool = True
) -> list[dict[str, Any]]:
    """Execute a statement as one transaction, in one round trip: for what every single job needs.

    Parameters, return value, errors:
        As `in_one_message`.
    """
    return in_one_message((statement, values), durable=durable)[0]


def in_one_message(
    *statements: tuple[str, Mapping[str, Any]], durable: bool = True
) -> list[list[dict[str, Any]]]:
    """Execute statements as one transaction, in one round trip.

    They go to Postgres in one message, with the values written into it by the driver. No time limit is set
    on the server, where one set in the same message would have no effect: this process gives up after
    `LONGEST_SILENCE`.

    Parameters:
        statements: each returns rows, and has ``%(name)s`` for its values.
        durable: whether the commit waits for the disk. If not, it may be lost in a crash of Postgres, but
            never in part.

    Returns:
        The rows of each, as dictionaries of their columns.

    Raises:
        BoardUnreachableError: Postgres could not be reached or went away; the error says as `perhaps_done`
            whether it may have been committed.
        SchemaError: the schema is missing, older or newer than this code.
    """
    url = get_settings().board_url()
    if not schema.is_known_to_fit(url):
        with asking.begin():
            pass  # which looks
    sent = False
    try:
        with faults.translated(url), lending.lent(url) as driver:
            sent = True
            return _answers(driver, statements, durable)
    except BoardUnreachableError as error:
        error.perhaps_done = sent
        raise


def _answers(
    driver: psycopg.Connection[Any], statements: Sequence[tuple[str, Mapping[str, Any]]], durable: bool
) -> list[list[dict[str, Any]]]:
    cursor = ClientCursor(driver, row_factory=dict_row)
    message: Any = ";\n".join(cursor.mogrify(*one) for one in statements)
    cursor.execute(message if durable else _ASYNCHRONOUS + message)
    answers: list[list[dict[str, Any]]] = []
    for _ in statements:
        if answers or not durable:
            cursor.nextset()
        answers.append(cursor.fetchall())
    return answers
