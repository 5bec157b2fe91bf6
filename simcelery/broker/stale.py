"""Stale messages: a slice runs jobs whose messages are still in Redis, and leaves these messages behind.

While other jobs of their queue and workflow wait, each of these messages leads to one of them. When none
is left, the messages would lead to futile claims, one by one, before the messages of less urgent lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import redis

from simcelery.broker import lists

_TRIES = 5  # others may take a message just then; whoever comes next tries again


def drop(client: Any, keys: Sequence[str], needed: Callable[[], bool]) -> None:
    """Drop what the lists hold now, unless it is needed; what is added meanwhile is kept.

    Parameters:
        needed: called after the lists have been read. A job is recorded before its message is sent, so if
            none is pending then, all messages that were read are stale.
    """
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.lindex(key, 0)
        answers = lists.usable(keys, pipe.execute(raise_on_error=False))
    newest = [one for one in zip(keys, answers, strict=True) if one[1] is not None]
    if newest and not needed():
        for key, message in newest:
            _drop_from(client, key, message)


def _drop_from(client: Any, key: str, message: bytes) -> None:
    """Drop this message and all older ones, which are behind it."""
    for _ in range(_TRIES):
        with client.pipeline() as pipe:
            pipe.watch(key)
            place = pipe.lpos(key, message)
            if place is None:
                return
            pipe.multi()
            # What is newer is kept; -1 would be the last of all.
            pipe.ltrim(key, *((0, place - 1) if place else (1, 0)))
            try:
                pipe.execute()
            except redis.WatchError:
                continue
            return
