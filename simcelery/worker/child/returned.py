"""A workflow's function has returned: its work is done and is kept, whether or not the board can store it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from simcelery.board.states import Cause, Outcome
from simcelery.board.values import EndedAttempt
from simcelery.errors import EncodingError, SimceleryError
from simcelery.execution import keeping
from simcelery.execution.workdir import Folder
from simcelery.settings import get_settings
from simcelery.submission import continuing
from simcelery.worker import context, slots
from simcelery.worker.outcomes import failure
from simcelery.workflows.annotations import one_line
from simcelery.workflows.continuing import Continuation
from simcelery.workflows.parameters import Parameters

_REASON_LENGTH = 2000


def report(parameters: Parameters, value: Any, folder: Folder) -> EndedAttempt:
    """The report of an attempt whose function returned `value`.

    A value that cannot be stored is a failure that no further attempt can fix: the job is never tried
    again, and the value is kept in a file in the attempt's folder. So is another job to go on in which cannot
    be recorded, but for the file.
    """
    slots.mine.returned()
    if isinstance(value, Continuation):
        return _going_on(parameters.name, value)
    try:
        encoded = parameters.encode_result(value, get_settings().max_payload)
    except BaseException as error:  # of the value's own methods too: SystemExit, endless recursion
        slots.mine.keeping()
        return _failed(parameters.name, value, folder, error)
    return EndedAttempt(outcome=Outcome.SUCCEEDED, result=encoded)


def _going_on(workflow: str, wanted: Continuation) -> EndedAttempt:
    claim = context.current_claim()
    assert claim is not None
    try:
        new = continuing.new_job(wanted, tags=claim.tags, priority=claim.priority)
    except BaseException as error:  # of the methods of its parameters too
        why = failure.text(error) if isinstance(error, SimceleryError) else one_line(error)
        reason = f"{workflow}: it cannot go on in {wanted.task}: {why}"
        return EndedAttempt(
            outcome=Outcome.FAILED,
            cause=Cause.ERROR,
            error_type=type(error).__name__,
            error_message=failure.printable(reason[:_REASON_LENGTH]),
            traceback=failure.traceback_of(error),
        )
    return EndedAttempt(outcome=Outcome.SUCCEEDED, then=new)


def _failed(workflow: str, value: Any, folder: Folder, error: BaseException) -> EndedAttempt:
    ours = isinstance(error, EncodingError)
    reason = failure.text(error) if ours else f"{workflow}: result: it cannot be stored: {one_line(error)}"
    return EndedAttempt(
        outcome=Outcome.FAILED,
        cause=Cause.ERROR,
        error_type=type(error).__name__ if ours else EncodingError.__name__,
        error_message=failure.printable(f"{reason[:_REASON_LENGTH]}; {_kept(value, folder)}"),
        traceback=failure.traceback_of(error),
    )


def _kept(value: Any, folder: Folder) -> str:
    host = socket.gethostname()
    try:
        folder.make()
        Path(folder.path).mkdir(mode=0o700, exist_ok=True)  # the workflow may have removed it
        path = keeping.keep(value, Path(folder.path))
    except BaseException as error:
        return f"what it returned could not be kept in {host}:{folder.path}: {one_line(error)}"
    return f"what it returned is kept in {host}:{path}"
