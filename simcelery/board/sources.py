"""Which source of a workflow was last submitted with, and which live workers have a different one.

One row per workflow, not per job, written when somebody submits with files other than the last ones.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from simcelery.board.leases import is_worker
from simcelery.board.models import SubmittedSource, Worker
from simcelery.board.values import Registration


@dataclass(frozen=True)
class Submitted:
    """The source that a workflow was last submitted with, or is about to be.

    Attributes:
        since: when the first of these jobs was submitted, by Postgres's clock; None: none has been yet.
    """

    source: str
    submitted_by: str = ""
    since: dt.datetime | None = None


@dataclass(frozen=True)
class Differing:
    """Live workers that have loaded a different source of a workflow than they should.

    Attributes:
        file: the file of the workflow's module; the change may also be in a module that it imports.
        how: ``changed``: it has changed on their nodes since; ``older``: others submit with a newer one,
            and have done so only since these workers started; ``other``: which one is older is not known.
        submitted_by: who submitted with the other source.
    """

    file: str
    how: Literal["changed", "older", "other"]
    submitted_by: str
    workers: tuple[str, ...]


def note_changed(connection: Connection, me: Registration, files: Sequence[str]) -> None:
    """Note that these files of a live worker are no longer those that it has loaded."""
    connection.execute(update(Worker).where(is_worker(me)).values(changed_files=list(files)))


def submitted(connection: Connection, workflows: Iterable[str] | None = None) -> dict[str, Submitted]:
    """What these workflows, or all, were last submitted with."""
    row = SubmittedSource
    statement = select(row.workflow, row.source, row.submitted_by, row.since)
    if workflows is not None:
        statement = statement.where(row.workflow.in_(list(workflows)))
    rows = connection.execute(statement)
    return {one.workflow: Submitted(one.source, one.submitted_by, one.since) for one in rows}


def differing(
    live: Iterable[Mapping[str, Any]], wanted: Mapping[str, Submitted], only: str | None = None
) -> list[Differing]:
    """The workers whose source of a workflow differs from the wanted one, or from their own disk.

    Parameters:
        live: from `reads.workers`; a worker without sources is left out.
        wanted: by workflow.
        only: check only this workflow.
    """
    found: dict[tuple[str, Any, str], dict[str, None]] = {}
    for worker in live:
        for workflow, loaded in worker.get("sources", {}).items():
            theirs = wanted.get(workflow, Submitted(loaded))
            if only in (None, workflow) and (how := _how(worker, loaded, theirs)):
                by = "" if how == "changed" else theirs.submitted_by
                found.setdefault((file_of(loaded), how, by), {})[worker["nodename"]] = None
    return [Differing(*kind, tuple(workers)) for kind, workers in sorted(found.items())]


def _how(worker: Mapping[str, Any], loaded: str, theirs: Submitted) -> Any:
    if file_of(loaded) in worker["changed_files"]:
        return "changed"
    if loaded == theirs.source:
        return None
    return "older" if theirs.since is not None and theirs.since > worker["started_at"] else "other"


def file_of(source: str) -> str:
    """The file that a fingerprint begins with."""
    return source.rpartition(":")[0]
