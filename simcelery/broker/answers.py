"""Redis answers, but with an error: it is full, a read-only replica, still loading, or denies access.

Such an answer is temporary, like a lost connection: somebody promotes a replica, frees memory, or corrects
the permissions of an account.
"""

from __future__ import annotations

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    ResponseError,
)

from simcelery.urls import NO_CLUSTER

_OF_CLUSTER = (AskError, ClusterCrossSlotError, ClusterDownError)  # "moved" is a kind of the first
ANSWERS = (ResponseError, BusyLoadingError, AuthenticationError)
_LONGEST = 300


def in_words(error: BaseException) -> str:
    """What Redis answered, on one line, with its error code."""
    code = getattr(error, "status_code", None)
    text = " ".join(str(error).split())
    # To redis-py a replica that has lost its master is a kind of a cluster that is down; here it is none.
    if isinstance(error, _OF_CLUSTER) and not isinstance(error, MasterDownError):
        return f"it is a node of a cluster: {NO_CLUSTER}"
    return (f"{code} {text}" if code and not text.startswith(code) else text)[:_LONGEST]
