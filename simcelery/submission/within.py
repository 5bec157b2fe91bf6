"""Jobs that are submitted within a job: a second attempt finds those of the first."""

from __future__ import annotations

from dataclasses import replace

from simcelery.board.values import NewJob
from simcelery.submission import lineage
from simcelery.workflows.definition import idempotency_key


def keyed(new: NewJob) -> NewJob:
    """The job, with a key by which a later attempt of the job that submits it finds it again.

    The key is made of that job, and of what is submitted: the second of two that are the same is another
    one. One with a key of its own keeps it; outside of a job there is none.
    """
    if lineage.submitting_job is None or new.idempotency_key is not None:
        return new
    same = idempotency_key(new.workflow, new.version, new.parameters)
    number = lineage.number_of(same)
    return replace(new, idempotency_key=f"job {lineage.submitting_job} {same} {number}")
