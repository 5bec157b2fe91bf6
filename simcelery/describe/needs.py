"""What a job needs of its node, and which workers have it, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import many, size

if TYPE_CHECKING:
    from simcelery.needs import Needs

_NOTHING: Mapping[str, int] = {}


def in_words(needs: Needs | None) -> str:
    """``4 cores, memory 8.0 GiB, 1 GPU``; empty if it has asked for nothing."""
    if needs is None:
        return ""
    parts = (
        many(needs.cores, "core") if needs.cores else "",
        f"memory {size(needs.memory)}" if needs.memory else "",
        many(needs.gpus, "GPU") if needs.gpus else "",
    )
    return ", ".join(filter(None, parts))


def has_in_words(worker: Mapping[str, Any]) -> str:
    """The same of what a worker's node has."""
    if worker["cores"] is None:
        return "does not say what its node has"
    gpus = len(worker["gpus"] or ())
    memory = f"memory {size(worker['memory'])}"
    return f"has {many(worker['cores'], 'core')}, {memory}, {many(gpus, 'GPU') if gpus else 'no GPU'}"


def fits(needs: Needs, worker: Mapping[str, Any], given: Needs | None = None) -> bool:
    """Whether a worker's node has enough, beside what has been given to others there."""
    if worker["cores"] is None:
        return False
    used = vars(given) if given else _NOTHING
    has = {"cores": worker["cores"], "memory": worker["memory"], "gpus": len(worker["gpus"] or ())}
    return all((asked or 0) <= has[name] - (used.get(name) or 0) for name, asked in vars(needs).items())


def never(needs: Needs | None, able: Sequence[Mapping[str, Any]]) -> str:
    """That none of these workers will ever have what a job needs; empty if one has, or if there is none."""
    if needs is None or not able or any(fits(needs, worker) for worker in able):
        return ""
    most = max(able, key=lambda one: (len(one["gpus"] or ()), one["memory"] or 0, one["cores"] or 0))
    has = f"{most['nodename']} {has_in_words(most)}"
    return f"it asks for {in_words(needs)}, and no live worker has as much: {has}"
