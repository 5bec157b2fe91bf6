"""How a worker asks Redis for the next message of all its lanes: with one command that names every list.

It does this for each message, and redis-py takes about 10 µs to encode the name of a list: with the
priorities of 30 workflows, more than everything else that Celery does for a message. Here each name is
encoded only once.
"""

from __future__ import annotations

from collections.abc import Sequence


def written(text: str) -> bytes:
    """A part of a command, in the Redis protocol."""
    raw = text.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def brpop(keys: Sequence[bytes], timeout: float) -> bytes:
    """The command that pops the oldest entry of the first list that has one; the keys come from `written`."""
    parts = (written("BRPOP"), *keys, written(str(timeout)))
    return b"*%d\r\n" % len(parts) + b"".join(parts)
