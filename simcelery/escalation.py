"""What the next attempt gets after one that ended for want of memory or time.

::

    {"out_of_memory": {"memory": "x2", "max": "64G", "queue": "himem"},
     "time_limit": {"time_limit": "x1.5", "max": "24h"},
     "walltime": {"queue": "long"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from simcelery.quantities import parse_duration, parse_size
from simcelery.readable import short

# By the cause of an attempt, what may grow, and how its most is read. Each may also name a queue.
_GROWS: dict[str, tuple[str, Callable[[Any], float]] | None] = {
    "out_of_memory": ("memory", parse_size),
    "time_limit": ("time_limit", parse_duration),
    "walltime": None,
}
_FACTOR = re.compile(r"x\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)")


def checked(on: Any) -> str | None:
    """The rules as the board keeps them: JSON, with factors as numbers, and the most in bytes or seconds.

    Raises:
        ValueError: one is malformed; one line says which.
    """
    if on is None:
        return None
    if not isinstance(on, Mapping) or not on:
        raise ValueError(f"on must name causes: {', '.join(_GROWS)}; not {short(on)}")
    return json.dumps({cause: _rule(cause, rule) for cause, rule in on.items()}, sort_keys=True)


def merged(usual: str | None, given: str | None) -> str | None:
    """The rules, of which those that are given take the place of the usual ones for the same cause."""
    if usual is None or given is None:
        return given or usual
    return json.dumps({**json.loads(usual), **json.loads(given)}, sort_keys=True)


def check_base(rules: str | None, memory: int | None, time_limit: float | None) -> None:
    """Whether what is to grow is there, and not beyond its most.

    Raises:
        ValueError: it is not.
    """
    for cause, rule in json.loads(rules or "{}").items():
        for name, base, example in (("memory", memory, "4G"), ("time_limit", time_limit, "1h")):
            if name not in rule:
                continue
            if base is None:
                raise ValueError(
                    f"on {cause}: {name} cannot grow, since the job asks for none: give {name}={example}"
                )
            if base > rule["max"]:
                raise ValueError(
                    f"on {cause}: max is less than the {name} that the job asks for: "
                    "give a larger one, or ask for less"
                )


def _rule(cause: Any, rule: Any) -> dict[str, Any]:
    if cause not in _GROWS:
        raise ValueError(f"on: there is no cause {short(cause)}; there are: {', '.join(_GROWS)}")
    if not isinstance(rule, Mapping) or not rule:
        raise ValueError(f"on {cause}: {short(rule)} does not say what changes, such as queue='long'")
    grows = _GROWS[cause]
    known = ("queue",) if grows is None else (grows[0], "max", "queue")
    for name in rule:
        if name not in known:
            raise ValueError(f"on {cause}: there is no {short(name)}; there are: {', '.join(known)}")
    found: dict[str, Any] = {}
    if "queue" in rule:
        found["queue"] = _queue(cause, rule["queue"])
    if grows is not None and ("max" in rule or grows[0] in rule):
        found |= _growth(cause, *grows, rule)
    return found


def _queue(cause: str, queue: Any) -> str:
    if not isinstance(queue, str) or not queue or not queue.isprintable() or len(queue) > 1000:
        raise ValueError(f"on {cause}: queue {short(queue)} is not printable text")
    return queue


def _growth(cause: str, name: str, parse: Callable[[Any], float], rule: Mapping[str, Any]) -> dict[str, Any]:
    if name not in rule or "max" not in rule:
        raise ValueError(f"on {cause}: {name} and max belong together, such as {name}='x2', max=…")
    factor = _FACTOR.fullmatch(str(rule[name]).strip())
    if not factor or not 1 < float(factor[1]) <= 100:
        raise ValueError(f"on {cause}: {name} must be a factor from x1.1 to x100, not {short(rule[name])}")
    try:
        most = parse(rule["max"])
    except ValueError as error:
        raise ValueError(f"on {cause}: max: {error}") from None
    if most <= 0:
        raise ValueError(f"on {cause}: max must be more than nothing, not {short(rule['max'])}")
    return {name: float(factor[1]), "max": most}
