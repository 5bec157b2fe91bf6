"""Plans that do not depend on Postgres' estimates: into an index, row by row.

A job that very many wait for leads the estimates astray: where few parents have all the edges, each job is
thought to have very many children, so that one is soon found by reading the table from its beginning; and for
a job that has none the whole table is read. What goes through the edges of many jobs therefore allows
nothing else in its transaction, and says the order of its joins itself (LATERAL, and OFFSET 0, into which
Postgres does not look).
"""

from __future__ import annotations

from sqlalchemy import Connection

# Foreign keys are checked by statements whose plans a connection keeps: they are made anew under these.
_SETTINGS = """
SET LOCAL enable_seqscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL plan_cache_mode = force_custom_plan
"""


def by_index(connection: Connection) -> None:
    """To the end of the transaction read no table as a whole."""
    connection.exec_driver_sql(_SETTINGS)
