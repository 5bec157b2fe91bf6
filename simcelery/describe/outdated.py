"""Workers that run files other than those the jobs were submitted with, in sentences."""

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
        return f"an older {one.file}: that file, or one it imports, has changed on disk since then"
    theirs = f"the one last used by {one.submitted_by} to submit" if one.submitted_by else "the one here"
    how = "an older" if one.how == "older" else "a different"
    return f"{how} {one.file} (or a file it imports) than {theirs}"


def _advice(one: Differing) -> str:
    them = "it" if len(one.workers) == 1 else "them"
    if one.how == "changed":
        return f"restart {them}, since a worker loads its files only when it starts"
    return (
        f"copy the same files to all nodes and restart {them}: a worker loads its files only when it starts"
    )
