"""Prune: jobs that finished longer ago than the setting ``retention`` are deleted, and so are old workers."""

from __future__ import annotations

import time

from simcelery.board import retention
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.means import USUAL, Means
from simcelery.settings import get_settings

_ROWS = 1000


def tick(means: Means = USUAL) -> int:
    """Delete what is old enough, oldest first; how many jobs were deleted. Without ``retention``: none.

    Raises:
        BoardUnreachableError: the rest is deleted later.
    """
    older_than = get_settings().retention
    if older_than is None:
        return 0
    total = 0
    deadline = time.monotonic() + LONGEST_ACT
    while time.monotonic() < deadline:
        with means.begin() as connection:
            pruned = retention.prune(connection, older_than, _ROWS)
        total += pruned
        if pruned < _ROWS:
            break
    with means.begin() as connection:
        retention.forget_workers(connection, older_than, _ROWS)
    return total
