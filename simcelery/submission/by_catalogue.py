"""Submit what this client has no code for: a workflow that only the board's catalogue knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcelery.board import engine
from simcelery.board.catalogue import Entry
from simcelery.board.values import NewJob
from simcelery.errors import ParametersError
from simcelery.readable import short
from simcelery.settings import get_settings
from simcelery.submission.options import Options
from simcelery.submission.submit import assemble
from simcelery.workflows.definition import idempotency_key
from simcelery.workflows.encoding import check_size, encode
from simcelery.workflows.misplaced import missing_parameters, unknown_parameter
from simcelery.workflows.paths import Finder


def prepare_entry(entry: Entry, given: Mapping[str, Any], options: Options) -> NewJob:
    """The job of a workflow that only the board's catalogue knows. Writes nothing.

    Names are checked here, values by the worker that runs the job.

    Raises:
        ParametersError, EncodingError, PayloadTooLargeError: the parameters cannot be recorded.
    """
    properties = entry.parameters.get("properties", {})
    for name in given:
        if name not in properties:
            raise ParametersError(unknown_parameter(entry.name, name, properties))
    if missing := [name for name in entry.parameters.get("required", ()) if name not in given]:
        raise ParametersError(missing_parameters(entry.name, missing))
    # Defaults and numbers are stored as a client with the code stores them, so that `dedupe` agrees.
    encoded = {
        name: encode(_as_declared(about, given[name], f"{entry.name}: parameter {name!r}"), name)
        if name in given
        else about["default"]
        for name, about in properties.items()
        if name in given or "default" in about
    }
    encoded = Finder(entry.parameters)(encoded)
    check_size(encoded, f"{entry.name}: parameter", get_settings().max_payload)
    like = assemble(entry.name, entry.version, {"queue": entry.queue, **entry.options}, encoded, options)
    key = idempotency_key(entry.name, entry.version, encoded) if like.dedupe else options.key
    return like.alike(parameters_json=engine.as_json(encoded), idempotency_key=key)


def _as_declared(about: Mapping[str, Any], value: Any, what: str) -> Any:
    if about.get("type") != "number" or not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        raise ParametersError(
            f"{what}: {short(value)} is too large for a number of double precision"
        ) from None
