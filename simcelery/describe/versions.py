"""That results come from several versions of a workflow's files, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from simcelery.describe.words import many

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import Filter
    from simcelery.board.reads.versions import Version

_SHOWN = 4


def mixed(which: Filter, limit: int | None = None) -> Iterator[str]:
    """A sentence for each file of which the jobs that match ran with several versions.

    Parameters:
        limit: look only at so many of the jobs, the oldest.
    """
    from simcelery.board import engine
    from simcelery.board.reads import versions
    from simcelery.board.sources import file_of

    with engine.begin() as connection:
        found = versions.versions(connection, which, limit)
    for file in dict.fromkeys(file_of(one.source) for one in found):
        jobs: dict[str, int] = {}
        for one in found:
            if file_of(one.source) == file:
                jobs[one.source] = jobs.get(one.source, 0) + one.jobs
        if len(jobs) > 1:
            yield f"{len(jobs)} versions of {file} ({_numbers(sorted(jobs.values(), reverse=True))})"


def _numbers(counts: Sequence[int]) -> str:
    """``995 and 5 jobs``."""
    words = [f"{count:,}" for count in counts[:_SHOWN]]
    if len(counts) > _SHOWN:
        words[-1] = f"{sum(counts[_SHOWN - 1 :]):,} more"
    return f"{', '.join(words[:-1])} and {words[-1]} jobs"


def unlike_here(existing: Sequence[int], workflow: str) -> str:
    """That existing jobs ran with another source of their workflow than there is here; empty if none did."""
    from simcelery.board import engine
    from simcelery.board.reads import versions
    from simcelery.board.reads.jobs import Filter
    from simcelery.board.sources import file_of
    from simcelery.workflows import registry

    definition = registry.find(workflow)
    if definition is None or not definition.source or not existing:
        return ""
    with engine.begin() as connection:
        found: list[Version] = versions.versions(
            connection, Filter(ids=sorted(existing), states=("succeeded",))
        )
    number = sum(one.jobs for one in found if one.source != definition.source)
    if not number:
        return ""
    return (
        f"{many(number, 'existing result')} {'is' if number == 1 else 'are'} of another version of "
        f"{file_of(definition.source)} than the one here; to compute anew, declare "
        "another version: @workflow(version=…)"
    )
