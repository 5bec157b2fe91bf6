"""The Redis lists that hold the lanes. One that cannot be used is left out, and named; the others still work.

A list cannot be used if somebody has put another value in its place, or if the account has no access to
it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import NoPermissionError

from simcelery.broker.answers import ANSWERS, in_words
from simcelery.broker.sparing import Sparing

log = logging.getLogger(__name__)
_sparing = Sparing(log, every=60.0)
_NAMED = 3  # keys that one line names


def usable(keys: Sequence[str], answers: Sequence[Any]) -> list[Any]:
    """What Redis answered for each key in a pipeline; None for a key that cannot be used.

    Raises:
        The error that Redis answered, if it concerns more than single keys.
    """
    refused = {key: one for key, one in zip(keys, answers, strict=True) if isinstance(one, Exception)}
    for error in refused.values():
        if not concerns_a_key(error):
            raise error
    _name(refused)
    return [None if key in refused else answer for key, answer in zip(keys, answers, strict=True)]


def unusable(client: Any, keys: Iterable[str]) -> list[str]:
    """Those of these keys that cannot be used. Empty if Redis does not say, or if it concerns all of them."""
    asked = list(keys)
    with client.pipeline(transaction=False) as pipe:
        for key in asked:
            pipe.type(key)
        answers = pipe.execute(raise_on_error=False)
    refused: dict[str, Any] = {}
    for key, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Exception):
            if not concerns_a_key(answer):
                return []
            refused[key] = answer
        elif answer not in (b"list", b"none"):
            refused[key] = f"it holds a value of type {answer.decode()}"
    if len(refused) == len(asked):
        return []
    _name(refused)
    return list(refused)


def concerns_a_key(error: BaseException) -> bool:
    """Whether an error from Redis is about the keys of a command, not about the command or the server."""
    text = in_words(error)
    return isinstance(error, ANSWERS) and (
        text.startswith("WRONGTYPE") or (isinstance(error, NoPermissionError) and "access" in text)
    )


def _name(refused: dict[str, Any]) -> None:
    if not refused:
        return
    reason = next(iter(refused.values()))
    reason = in_words(reason) if isinstance(reason, BaseException) else reason
    names = ", ".join(map(repr, list(refused)[:_NAMED]))
    more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    _sparing.warning(
        "key",
        f"the key {names}{more} in Redis cannot be used, so its jobs wait: {reason}; "
        "delete the key, or give the account access to it",
    )
