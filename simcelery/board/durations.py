"""How long the jobs of workflows take: learned from their last successes, read by claims (`expected_time`).

Only workers whose allocation ends ask for it. It is learned by an act of recovery, and not when it is asked
for, since a claim must stay as cheap as it is.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func

from simcelery.board import sql
from simcelery.board.models import Duration
from simcelery.board.reads.estimates import NEWEST
from simcelery.board.sql_helpers import seconds

LEAST = 5  # successes, of which one can speak of a percentile
_LOOKED_AT = 2000  # successes of a workflow among which those with the same tags are looked for
_WORKFLOWS = 50  # in one transaction
_LATELY = 600.0  # seconds for which it is noted that an attempt was cut short
_KEPT = 90 * 86_400.0  # seconds for which tags are remembered of which nothing has succeeded since


def learn(connection: Connection) -> int:
    """Look at the workflows with new successes; of how many something is known now that was not before."""
    connection.execute(
        delete(Duration).where(Duration.tags != [], Duration.newest_at < func.now() - seconds(_KEPT))
    )
    sql.execute(connection, "outlasted", lately=_LATELY)
    given = {"newest": NEWEST, "looked_at": _LOOKED_AT, "least": LEAST, "workflows": _WORKFLOWS}
    return int(sql.execute(connection, "learn", **given).scalar_one())
