"""Values for a workflow of which only the JSON schema of its parameters is known, not the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simcelery.errors import ParametersError
from simcelery.readable import short
from simcelery.workflows.encoding import JobRef, encode
from simcelery.workflows.misplaced import unknown_parameter
from simcelery.workflows.paths import Finder


def encode_declared(
    name: str,
    schema: Mapping[str, Any],
    given: Mapping[str, Any],
    job: Callable[[JobRef], int] = lambda ref: ref.id,
) -> dict[str, Any]:
    """What the board stores for these values; paths of what exists here become absolute.

    Names are checked here, values by the worker that runs the job.

    Parameters:
        name: the workflow's, for messages.
        schema: that of all its parameters.
        job: gives the id of a job whose result is taken.

    Raises:
        ParametersError, EncodingError: there is no such parameter, or a value cannot be stored.
    """
    properties = schema.get("properties", {})
    for parameter in given:
        if parameter not in properties:
            raise ParametersError(unknown_parameter(name, parameter, properties))
    # Numbers are stored as a client with the code stores them, so that `dedupe` agrees.
    encoded = {
        parameter: encode(
            _as_declared(properties[parameter], value, f"{name}: parameter {parameter!r}"), parameter, job
        )
        for parameter, value in given.items()
    }
    return Finder(schema)(encoded)


def _as_declared(about: Mapping[str, Any], value: Any, what: str) -> Any:
    if about.get("type") != "number" or not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        raise ParametersError(
            f"{what}: {short(value)} is too large for a number of double precision"
        ) from None
