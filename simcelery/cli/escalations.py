"""``--on-oom`` and its like: what the next attempt gets after one that ended for want of it."""

from __future__ import annotations

from typing import Any

from simcelery.errors import UsageError
from simcelery.readable import short

# By the name of the option, the cause of an attempt.
_CAUSES = {"on_oom": "out_of_memory", "on_time_limit": "time_limit", "on_walltime": "walltime"}


def asked(chosen: dict[str, Any]) -> dict[str, dict[str, str]] | None:
    """Take these options out of those of ``submit``: the rules by cause, as `escalation.checked` reads them.

    Raises:
        UsageError: a part of one is no NAME=VALUE.
    """
    given = {cause: chosen.pop(name, None) for name, cause in _CAUSES.items()}
    return {cause: _rule(text) for cause, text in given.items() if text is not None} or None


def _rule(text: str) -> dict[str, str]:
    rule = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not value.strip():
            raise UsageError(f"{short(part)} is not NAME=VALUE: write memory=x2,max=64G or queue=long")
        rule[name.strip()] = value.strip()
    return rule
