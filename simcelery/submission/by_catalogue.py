"""Submit what this client has no code for: a workflow that only the board's catalogue knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcelery.board import engine
from simcelery.board.catalogue import Entry
from simcelery.board.values import NewJob
from simcelery.errors import ParametersError
from simcelery.settings import get_settings
from simcelery.submission.options import Options
from simcelery.submission.submit import assemble
from simcelery.workflows.declared import encode_declared
from simcelery.workflows.definition import idempotency_key
from simcelery.workflows.encoding import check_size
from simcelery.workflows.misplaced import missing_parameters
from simcelery.workflows.paths import Finder


def prepare_entry(entry: Entry, given: Mapping[str, Any], options: Options) -> NewJob:
    """The job of a workflow that only the board's catalogue knows. Writes nothing.

    Names are checked here, values by the worker that runs the job.

    Raises:
        ParametersError, EncodingError, PayloadTooLargeError: the parameters cannot be recorded.
    """
    encoded = encode_declared(entry.name, entry.parameters, given)
    if missing := [name for name in entry.parameters.get("required", ()) if name not in given]:
        raise ParametersError(missing_parameters(entry.name, missing))
    # Defaults are stored as a client with the code stores them, so that `dedupe` agrees.
    properties = entry.parameters.get("properties", {})
    defaults = {name: about["default"] for name, about in properties.items() if "default" in about}
    encoded = {**Finder(entry.parameters)(defaults), **encoded}
    check_size(encoded, f"{entry.name}: parameter", get_settings().max_payload)
    like = assemble(entry.name, entry.version, {"queue": entry.queue, **entry.options}, encoded, options)
    key = idempotency_key(entry.name, entry.version, encoded) if like.dedupe else options.key
    return like.alike(parameters_json=engine.as_json(encoded), idempotency_key=key)
