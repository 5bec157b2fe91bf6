"""Workers that run other files than those who submit, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcelery.board.sources import Differing

_SHOWN = 3


def in_sentences(found: list[Differing]) -> list[tuple[str, str]]:
    """What differs, and what to do: a pair for each file."""
    return [(f"{_names(one)} {_runs(one)}", _advice(one)) for one in found]


def _names(one: Differing) -> str:
    names = list(one.workers)
    if len(names) > _SHOWN:
        names[_SHOWN:] = [f"{len(names) - _SHOWN} more"]
    said = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{said} run{'s' if len(names) == 1 else ''}"


def _runs(one: Differing) -> str:
    if one.how == "changed":
        return f"an older {one.file}: it, or what it imports, has changed on disk since then"
    theirs = f"the one that {one.submitted_by} submitted with last" if one.submitted_by else "the one here"
    return f"{'an older' if one.how == 'older' else 'another'} {one.file} (or what it imports) than {theirs}"


def _advice(one: Differing) -> str:
    them = "it" if len(one.workers) == 1 else "them"
    if one.how == "changed":
        return f"restart {them}: a worker loads its files once, when it starts"
    return f"give all nodes the same files, and restart {them}: a worker loads its files once, when it starts"
