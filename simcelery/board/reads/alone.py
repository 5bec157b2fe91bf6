"""Short jobs that do not run in slices, because of a limit or since their queue is shared."""

from __future__ import annotations

from collections.abc import Iterable

from simcelery.board import sql
from simcelery.board.sql import Reader

SHORT = 0.05  # seconds: for jobs that take longer slices gain nothing


def alone(connection: Reader, workflows: Iterable[str]) -> dict[str, str]:
    """Why the jobs of these workflows are claimed one by one, by workflow, as the newest of each tells."""
    wanted = {"workflows": list(workflows)}
    if not wanted["workflows"]:
        return {}
    return {
        row.workflow: f"{', '.join(row.limits)} limits them"
        if row.limits
        else f"queue {row.shared!r} is shared"
        for row in connection.exec_driver_sql(sql.statement("claimed_alone"), wanted)
        if row.limits or row.shared
    }


def in_words(whys: Iterable[str]) -> str:
    """``claimed one by one, not in slices, since tag:licence limits them``."""
    return f"claimed one by one, not in slices, since {' and '.join(sorted(set(whys)))}"
