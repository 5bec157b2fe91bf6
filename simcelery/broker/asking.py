"""How a worker asks Redis for the next message of all its lanes: with one command that names every list.

It does so for each message, and redis-py takes some 10 µs to write the name of a list: with the priorities of
30 workflows longer than all else that Celery does for a message. Here each name is written once.
"""

from __future__ import annotations

from collections.abc import Sequence


def written(text: str) -> bytes:
    """A part of a command, in Redis' protocol."""
    raw = text.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def brpop(keys: Sequence[bytes], timeout: float) -> bytes:
    """The command that pops the oldest entry of the first list that has one; the keys are `written`."""
    parts = (written("BRPOP"), *keys, written(str(timeout)))
    return b"*%d\r\n" % len(parts) + b"".join(parts)
