"""A transaction in one round trip: for what every single job needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

    It goes to Postgres in one message, with the values written into it by the driver. No time limit is set
    on the server, where one set in the same message would have no effect: this process gives up after
    `LONGEST_SILENCE`.

    Parameters:
        statement: one that returns rows, with ``%(name)s`` for values.
        durable: whether the commit waits for the disk. If not, it may be lost in a crash of Postgres, but
            never in part.

    Returns:
        Its rows, each as a dictionary of its columns.

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
            answer = ClientCursor(driver, row_factory=dict_row).execute(
                statement if durable else _ASYNCHRONOUS + statement, values
            )
            if not durable:
                answer.nextset()
            return answer.fetchall()
    except BoardUnreachableError as error:
        error.perhaps_done = sent
        raise
