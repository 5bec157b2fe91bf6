"""Tells the board which source of a workflow its jobs are submitted with: once, and not for each job."""

from __future__ import annotations

from collections.abc import Iterable

from simcelery.board import submitting
from simcelery.errors import ServiceError
from simcelery.settings import get_settings
from simcelery.submission import lineage
from simcelery.workflows import registry

_noted: set[tuple[object, ...]] = set()


def note(workflows: Iterable[str], submitter: str) -> None:
    """After their jobs are recorded. What a job submits tells nothing new: it has its worker's files."""
    if lineage.submitting_job is not None:
        return
    for workflow in sorted(set(workflows)):
        definition = registry.find(workflow)
        if definition is None or not definition.source:
            continue
        settings = get_settings()
        this = (settings.database_url, settings.home, workflow, definition.source)
        if this in _noted:
            continue
        try:
            submitting.note_source(workflow, definition.source, submitter)
        except ServiceError:
            return  # what counts is recorded; the next process says it
        _noted.add(this)
