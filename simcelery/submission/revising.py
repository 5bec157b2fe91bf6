"""What changes in the parameters of jobs that are retried with other values. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from simcelery.board import catalogue, engine, reads
from simcelery.board.states import UNSUCCESSFUL
from simcelery.board.unreadable import bad_rows
from simcelery.board.values import Revision
from simcelery.describe.revision import differing
from simcelery.errors import StateError, UsageError
from simcelery.readable import short
from simcelery.settings import get_settings
from simcelery.submission.options import as_known
from simcelery.submission.presence import check_there
from simcelery.workflows import registry
from simcelery.workflows.declared import encode_declared
from simcelery.workflows.definition import idempotency_key, is_digest
from simcelery.workflows.encoding import JobRef, check_size, job_refs

_AT_ONCE = 1000  # jobs read at a time

Values = Mapping[str, Any]


def plan(ids: Sequence[int], values: Values | Callable[[str], Values]) -> list[Revision]:
    """What would change in those of the jobs that did not succeed; the same values for all.

    Parameters:
        values: by the names of parameters; or what gives them for a workflow.

    Raises:
        UsageError: a job's workflow has no such parameter, or a value does not fit; one line says which job.
        JobNotFoundError: a job that is among the values is no longer on the board.
    """
    if not (callable(values) or isinstance(values, Mapping)):
        raise UsageError(f"set takes new values by the names of parameters, not {short(values)}")
    of_workflow = values if callable(values) else lambda _: values
    encoded: dict[str, Values] = {}
    takes: list[Any] = []
    found = []
    for row in _unsuccessful(ids):
        try:
            if row.workflow not in encoded:
                encoded[row.workflow] = _encoded(row.workflow, of_workflow(row.workflow), takes)
            found.append(_revision(row, encoded[row.workflow]))
        except UsageError as error:
            raise type(error)(f"job {row.id}: {error}; nothing was retried") from None
    if takes:
        with engine.begin() as connection:
            check_there(connection, takes)
    return found


def _unsuccessful(ids: Sequence[int]) -> Iterator[Any]:
    for start in range(0, len(ids), _AT_ONCE):
        with engine.begin() as connection:
            rows = reads.revisable(connection, ids[start : start + _AT_ONCE])
        yield from (row for row in rows if row.state in UNSUCCESSFUL)


def _encoded(workflow: str, values: Values, takes: list[Any]) -> Values:
    """What the board stores for these values, validated as a submission would; the handles among them."""

    def number(job: JobRef) -> int:
        if as_known(job):
            takes.append(job)
        return job.id

    definition = registry.find(workflow)
    if definition is None:
        registry.load(get_settings())
        definition = registry.find(workflow)
    if definition is not None:
        return definition.parameters.encode_some(values, number, get_settings().max_payload)
    with engine.begin() as connection:
        entry = next((one for one in catalogue.read(connection) if one.name == workflow), None)
    if entry is None:
        registry.get(workflow)  # says why it is not here
        raise AssertionError("it was not found")
    return encode_declared(entry.name, entry.parameters, values, number)


def _revision(row: Any, encoded: Values) -> Revision:
    before = row.parameters
    if not isinstance(before, dict) or bad_rows.trouble(before):
        raise StateError("its parameters cannot be read")
    had = {name: before[name] for name in encoded if name in before}
    changes = {name: encoded[name] for name in differing(had, encoded)}
    after = {**before, **changes}
    check_size(after, f"{row.workflow}: parameter", get_settings().max_payload)
    took, takes = job_refs(before), job_refs(after)
    return Revision(
        job_id=row.id,
        workflow=row.workflow,
        version=row.version,
        seen=row.seen,
        before=before,
        changes=changes,
        added=frozenset(takes - took),
        dropped=frozenset(took - takes),
        key=idempotency_key(row.workflow, row.version, after) if is_digest(row.idempotency_key) else None,
    )
