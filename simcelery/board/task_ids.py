"""A job's Celery task id: a UUID of version 7 (RFC 9562), so that jobs recorded together are neighbours.

Random ids would be written all over their index; these are written at its end, and so is what each later
transition of the job adds to it.
"""

from __future__ import annotations

import os
import time
import uuid

_VERSION = 7 << 76
_VARIANT = 2 << 62


def new_task_id() -> uuid.UUID:
    """48 bits of milliseconds, 74 random bits."""
    chance = int.from_bytes(os.urandom(10), "big")
    free = chance & ~(0xF << 76) & ~(3 << 62)
    return uuid.UUID(int=(time.time_ns() // 1_000_000) << 80 | _VERSION | _VARIANT | free)
