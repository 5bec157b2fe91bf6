"""``--on-oom`` and its like: what the next attempt gets after one that ended for want of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simcelery.errors import UsageError
from simcelery.readable import short

# By the name of the option, the cause of an attempt.
_CAUSES = {"on_oom": "out_of_memory", "on_time_limit": "time_limit", "on_walltime": "walltime"}


def asked(chosen: dict[str, Any]) -> dict[str, dict[str, str]] | None:
    """Take these options out of those of ``submit``: the rules by cause, as `escalation.checked` reads them.

    Raises:
        UsageError: a part of one is no NAME=VALUE, or a name is given twice.
    """
    given = {name: chosen.pop(name, ()) for name in _CAUSES}
    return {_CAUSES[name]: _rule(name, texts) for name, texts in given.items() if texts} or None


def _rule(option: str, texts: Sequence[str]) -> dict[str, str]:
    rule: dict[str, str] = {}
    for part in ",".join(texts).split(","):
        name, equals, value = (text.strip() for text in part.partition("="))
        if not equals or not value:
            raise UsageError(f"{short(part)} is not NAME=VALUE: write memory=x2,max=64G or queue=long")
        if name in rule:
            raise UsageError(f"--{option.replace('_', '-')}: {name} is given twice")
        rule[name] = value
    return rule
