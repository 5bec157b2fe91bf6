"""Refuse a job whose parameters are results of others that can never fit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from simcelery.board.states import State
from simcelery.errors import ParametersError
from simcelery.submission.handle import Job
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition
from simcelery.workflows.fitting import jobs_in, never_fits

_PLACES = 20  # of a list are told apart: those behind are alike, since no tuple is so long


def check(definition: Definition, given: Mapping[str, Any]) -> None:
    """Whether the results of jobs among these values may fit, by what their workflows declare.

    A result is kept even if it is not what its workflow declares: one that is there only the worker judges.

    Raises:
        ParametersError: one cannot; the message names the parameter, the job and both types.
    """
    for name, value in given.items():
        for job, place in jobs_in(value):
            source = registry.find(job.workflow) if isinstance(job, Job) else None
            if source is None:
                continue
            assert isinstance(job, Job)
            said = _never_fits(definition, name, None if place is None else min(place, _PLACES), source)
            if said and job.state is not State.SUCCEEDED:
                where = f"parameter {name!r}" if place is None else f"item {place + 1} of parameter {name!r}"
                what = f"the result of job {job.id} ({job.workflow})"
                raise ParametersError(f"{definition.name}: {where}: {what} is {said}")


@lru_cache(maxsize=1000)
def _never_fits(definition: Definition, name: str, place: int | None, source: Definition) -> str | None:
    returns = source.parameters.returns_schema()
    return None if returns is None else never_fits(definition.parameters, name, place, returns)
