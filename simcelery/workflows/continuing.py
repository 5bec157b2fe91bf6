"""`then`: what a workflow returns if its job is to go on in another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcelery.errors import CanvasError
from simcelery.readable import short
from simcelery.workflows import registry


@dataclass(frozen=True)
class Continuation:
    """A call of a workflow whose result becomes that of the job that returns it.

    Attributes:
        task: the workflow's name.
        options: Celery's, as the signature has them.
    """

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]


def then(signature: Any) -> Any:
    """Return this from a workflow to go on in another job, whose result becomes that of this one.

    ::

        @workflow
        def relax(structure: str, left: int = 10) -> float:
            energy, converged = step(structure)
            return energy if converged else then(relax.s(structure, left - 1))

    The job stays ``blocked`` until the other has ended: it succeeds with the result of the other, and becomes
    ``upstream_failed`` if that does not succeed. The other one is recorded together with the end of the
    attempt, so a crash leaves neither none nor two. It has the tags and, unless the signature sets one, the
    priority of the job. At most 1,000 jobs may go on in each other.

    In a plain call of the workflow, the other one is called right there.

    Parameters:
        signature: of one workflow, such as ``other.s(1, b=2)`` or ``other.s(1).set(queue="long")``; a `Job`
            among its parameters stands for its result, and is waited for.

    Raises:
        CanvasError: it is not the signature of a workflow.
    """
    if (kind := getattr(signature, "subtask_type", "")) is not None:
        raise CanvasError(
            f"then takes the signature of one workflow, such as other.s(1), not {short(signature)}"
            + ("; of a chain submit the first calls: then(last.s(first.submit(1)))" if kind else "")
        )
    return Continuation(
        signature.task, tuple(signature.args), dict(signature.kwargs), dict(signature.options)
    )


def here(value: Any) -> Any:
    """What a workflow has returned, after it has gone on in others, here and now."""
    while isinstance(value, Continuation):
        definition = registry.get(value.task)
        bound = definition.parameters.bind(value.args, value.kwargs)
        value = definition.function(**definition.parameters.validate(bound))
    return value
