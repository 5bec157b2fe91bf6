"""What attempts ran with besides their parameters: one row for all that is the same, found by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from simcelery.board.models import Environment


def note(connection: Connection, details: Mapping[str, Any]) -> int:
    """The id of an environment, which is recorded if it is new."""
    digest = hashlib.sha256(json.dumps(details, sort_keys=True).encode()).hexdigest()
    # It is held until the caller's worker is recorded with it, so that prune leaves it.
    mine = select(Environment.id).where(Environment.hash == digest)
    known = mine.with_for_update(read=True, key_share=True)
    new = insert(Environment).values(hash=digest, details=dict(details)).on_conflict_do_nothing()
    found = connection.scalar(known) or connection.scalar(new.returning(Environment.id))
    return int(found or connection.execute(known).scalar_one())  # somebody else has just recorded it
