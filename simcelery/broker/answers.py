"""Redis answers, but with an error: it is full, a replica, loading, or does not allow it.

Such an answer passes, as a lost connection does: somebody promotes a replica, frees memory, or corrects the
rights of an account.
"""

from __future__ import annotations

from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError

ANSWERS = (ResponseError, BusyLoadingError, AuthenticationError)
_LONGEST = 300


def in_words(error: BaseException) -> str:
    """What Redis answered, on one line, with the code it begins with."""
    code = getattr(error, "status_code", None)
    text = " ".join(str(error).split())
    return (f"{code} {text}" if code and not text.startswith(code) else text)[:_LONGEST]
