"""Which source of its workflow a job's last attempt ran with, as a column."""

from __future__ import annotations

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, case, func, select

from simcelery.board.models import Attempt, Environment, Job
from simcelery.board.states import CALLS

of_call = case((Job.workflow == CALLS, Job.parameters["source"].astext))


def of_job() -> ColumnElement[str | None]:
    """The source of a job's last attempt, as a column; null if it is not known, or none has ended."""
    attempt, environment = Attempt.__table__.alias().c, Environment.__table__.alias().c
    noted = (
        select(in_details(environment.details, Job.workflow))
        .where(
            attempt.job_id == Job.id, attempt.attempt == Job.attempt, environment.id == attempt.environment_id
        )
        .correlate(Job)
        .scalar_subquery()
    )
    return func.coalesce(of_call, noted, type_=Text)


def in_details(
    details: SQLColumnExpression[object], workflow: SQLColumnExpression[str]
) -> ColumnElement[str | None]:
    return func.jsonb_extract_path_text(details, "workflows", workflow, "source", type_=Text)
