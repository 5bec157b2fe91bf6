"""Workers that run files other than those here, or those the jobs were submitted with, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from simcelery.board.sources import Differing, Submitted

_SHOWN = 3
_LOOKED_AT = 10_000  # jobs, for their workflows


def of_jobs(ids: Sequence[int]) -> list[tuple[str, str]]:
    """The live workers that know the workflows of these jobs and run other files: what differs, what to do.

    Raises:
        BoardUnreachableError: Postgres cannot be reached.
    """
    from simcelery.board import engine, reads, sources

    with engine.begin() as connection:
        workflows = reads.workflows(connection, ids[:_LOOKED_AT])
        live = reads.workers(connection, live_only=True)
        submitted = sources.submitted(connection, workflows)
    knowing = [
        {**one, "sources": {name: of for name, of in one["sources"].items() if name in workflows}}
        for one in live
    ]
    return in_sentences(sources.differing(knowing, as_here(knowing, submitted, workflows)))


def as_here(
    live: Sequence[Mapping[str, Any]], submitted: Mapping[str, Submitted], workflows: Collection[str]
) -> dict[str, Submitted]:
    """Which source of these workflows workers should have: that of the files here, or else the submitted one.

    Nothing is imported for it.

    Parameters:
        live: the workers, as `reads.workers` returns them; they say in which file a workflow is.
    """
    from simcelery.board.sources import Submitted, file_of
    from simcelery.workflows import project

    wanted = dict(submitted)
    files = {
        (name, file_of(one["sources"][name])) for one in live for name in workflows if name in one["sources"]
    }
    for name, file in sorted(files):
        here = project.source_of_file(file)
        if here and (name not in wanted or wanted[name].source != here):
            wanted[name] = Submitted(here)
    return wanted


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
