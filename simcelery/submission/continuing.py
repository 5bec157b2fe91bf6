"""The job in which another one goes on, made of what its workflow has returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simcelery.board.values import NewJob
from simcelery.submission import canvas
from simcelery.submission.submit import prepare
from simcelery.workflows.continuing import Continuation


def new_job(wanted: Continuation, *, tags: Sequence[str], priority: int) -> NewJob:
    """The job to be recorded, with the tags and, unless it has its own, the priority of the one that goes on.

    Raises:
        CanvasError: it is not that of a workflow known here, or an option cannot be recorded.
        ParametersError, EncodingError: its parameters.
    """
    definition = canvas.workflow_of(wanted.task)
    options = canvas.job_options(wanted.options)
    options = replace(options, tags=tags, priority=priority if options.priority is None else options.priority)
    return prepare(definition, definition.parameters.bind(tuple(wanted.args), dict(wanted.kwargs)), options)
