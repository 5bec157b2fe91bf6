"""Submit: validate, record, commit, publish; in this order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from simcelery import broker, escalation
from simcelery.board import asking, submitting
from simcelery.board.json_text import as_json, plain_as_json
from simcelery.board.values import NewJob, Recorded
from simcelery.errors import BoardUnreachableError, ParametersError
from simcelery.failpoints import failpoint
from simcelery.needs import NAMES, Needs
from simcelery.settings import get_settings
from simcelery.submission import fitting, lineage, plain
from simcelery.submission.handle import Job, Jobs
from simcelery.submission.options import Options, as_known, seconds
from simcelery.submission.publishing import publish_recorded
from simcelery.submission.subscribing import Subscribing
from simcelery.submission.within import keyed
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition, idempotency_key
from simcelery.workflows.encoding import JobRef, check_size, job_refs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.transitions.record import OnFailed
    from simcelery.submission.sweep import Sweep

T = TypeVar("T")


def submit(definition: Definition, given: Mapping[str, Any], options: Options | None = None) -> Job:
    """Record one job and publish it.

    Parameters:
        given: values by parameter name; a `Job` among them is a dependency.

    Raises:
        ParametersError, EncodingError, PayloadTooLargeError: before anything is written.
        JobNotFoundError: a job to wait for is not on the board.
        BoardUnreachableError, SchemaError: nothing is recorded, or, where the board was lost during the
            commit, that is not known; the message says which. An unreachable broker is no error: the job is
            recorded, a warning says so, and workers find it later.
    """
    options = options or Options()
    if options.stops_itself:
        raise ParametersError("canary and max_fails are for many jobs: use submit_many")
    return submit_prepared([keyed(prepare(definition, given, options))], options)[0]


def submit_prepared(new: Sequence[NewJob], options: Options) -> Jobs:
    """Record jobs that are ready to be recorded, all in one transaction, and publish them."""
    recorded = record(new, options.on_failed, Subscribing(options))
    publish_recorded(new, recorded)
    return Jobs(recorded, *{job.workflow for job in new[:1]})


def prepare(definition: Definition, given: Mapping[str, Any], options: Options) -> NewJob:
    """The job that would be recorded. Writes nothing.

    Raises:
        ParametersError, EncodingError, PayloadTooLargeError: the parameters cannot be recorded.
    """
    return preparation(definition, options)(given)


def preparation(definition: Definition, options: Options) -> Callable[[Mapping[str, Any]], NewJob]:
    """`prepare`, for many jobs with the same options.

    Raises:
        ParametersError: an option is malformed.
    """
    settings = get_settings()
    limit = settings.max_payload
    like = assemble(definition.name, definition.version, definition.defaults(settings), {}, options)

    def prepared(given: Mapping[str, Any]) -> NewJob:
        parents, known = like.parents, like.known
        if (encoded := plain.encoded(definition, given)) is not None:
            text = plain_as_json(encoded)
        else:
            values = definition.parameters.validate(definition.parameters.bind((), given))
            handles: list[JobRef] = []

            def number(job: JobRef) -> int:
                handles.append(job)
                return job.id

            encoded = definition.parameters.encode(values, number, limit)
            if refers := job_refs(encoded):
                fitting.check(definition, given)
                parents |= refers
                known |= {pair for job in handles if (pair := as_known(job))}
            text = as_json(encoded)
        if 12 * len(text) > limit:  # which counts spaces, and up to 12 bytes for a character
            check_size(encoded, f"{definition.name}: parameter", limit)
        key = idempotency_key(definition.name, definition.version, encoded) if like.dedupe else options.key
        return like.alike(
            parameters=encoded, parameters_json=text, idempotency_key=key, parents=parents, known=known
        )

    return prepared


def assemble(
    workflow: str,
    version: str,
    defaults: Mapping[str, Any],
    encoded: Mapping[str, Any],
    options: Options,
) -> NewJob:
    """A job from its encoded parameters, the workflow's defaults, and the options that win over them.

    Raises:
        ParametersError: what is to grow for later attempts is not there.
        DefinitionError: modules of workflows are just being imported.
    """
    registry.refuse_while_loading()
    time_limit = seconds(options.time_limit, "time_limit")
    hard = defaults["time_limit"] if time_limit is None else time_limit
    soft = defaults["soft_time_limit"]
    takes = seconds(options.time_request, "time_request") or defaults.get("time_request")
    needs = options.needs.over(Needs(**{name: defaults.get(name) for name in NAMES}))
    try:
        escalation.check_base(needs.escalation, needs.memory, hard or soft)
    except ValueError as error:
        raise ParametersError(f"{workflow}: {error}") from None
    return NewJob(
        workflow=workflow,
        parameters=encoded,
        queue=options.queue or defaults["queue"],
        priority=defaults["priority"] if options.priority is None else options.priority,
        tags=tuple(options.tags),
        idempotency_key=options.key,
        version=version,
        dedupe=options.dedupe and options.key is None,
        parent_id=lineage.submitting_job,
        max_attempts=options.max_attempts or defaults["max_attempts"],
        max_losses=defaults["max_losses"] if options.max_losses is None else options.max_losses,
        time_limit=hard,
        soft_time_limit=None if hard is not None and soft is not None and soft >= hard else soft,
        time_request=None if takes is None else math.ceil(takes),
        keep=_keep(options.keep or defaults.get("keep") or get_settings().keep_workdirs),
        run_at=options.run_at,
        delay=seconds(options.delay, "delay"),
        parents=frozenset(job_refs(encoded)) | options.parents,
        after_any=options.ends,
        known=options.known,
        submitted_by=lineage.submitter(),
        needs=None if needs == Needs() else needs,
    )


def _keep(word: str) -> str | None:
    return None if word == "all" else word


def record(
    new: Sequence[NewJob],
    on_failed: OnFailed,
    subscribing: Subscribing | None = None,
    sweep: Sweep | None = None,
    *,
    more: bool = False,
) -> list[Recorded]:
    """Record jobs in one transaction, with the subscriptions to them.

    Within a job this waits for the board if jobs that are recorded already would be found by their keys.

    Parameters:
        sweep: what they are a part of, with canaries or a fuse.
        more: whether more jobs of this submission may follow.

    Raises:
        BoardUnreachableError: none is recorded, or that is not known; the message says which.
    """

    def once() -> list[Recorded]:
        return _record(new, on_failed, subscribing, sweep, more=more)

    repeatable = not subscribing and sweep is None and all(job.idempotency_key for job in new)
    return lineage.despite_outages(once) if repeatable else once()


def _record(
    new: Sequence[NewJob],
    on_failed: OnFailed,
    subscribing: Subscribing | None,
    sweep: Sweep | None,
    *,
    more: bool,
) -> list[Recorded]:
    if not subscribing and sweep is None and all(map(submitting.may_be_alone, new)):
        return [_record_alone(new[0])] if len(new) == 1 else _record_plain(new)
    from simcelery.board import fingerprints, transitions  # SQLAlchemy loads when it is first needed

    if any(job.dedupe for job in new):
        fingerprints.catch_up()
    with recording(len(new)) as connection:
        if sweep is not None:
            recorded = sweep.record(connection, new)
        else:
            recorded = transitions.record(connection, new, on_failed=on_failed)
        if subscribing:
            subscribing.note(connection, new, recorded, more=more)
        return recorded


@contextmanager
def recording(count: int) -> Iterator[Connection]:
    """A transaction that records so many jobs.

    Raises:
        BoardUnreachableError: none is recorded, or that is not known; the message says which.
    """
    from simcelery.board import engine  # as above

    with _committed(count, engine.begin()) as connection:
        yield connection


def _record_plain(new: Sequence[NewJob]) -> list[Recorded]:
    with _committed(len(new), asking.to_write()) as connection:
        return submitting.record_plain(connection, new)


@contextmanager
def _committed(count: int, transaction: AbstractContextManager[T]) -> Iterator[T]:
    committing = False
    try:
        with transaction as connection:
            yield connection
            failpoint("before_record_commit")
            committing = True
    except BoardUnreachableError as error:
        if not committing:
            raise
        raise _not_known(count, error) from error


def _record_alone(new: NewJob) -> Recorded:
    failpoint("before_record_commit")
    try:
        return submitting.record_alone(new, published=broker.has_room(new))
    except BoardUnreachableError as error:
        if not error.perhaps_done:
            raise
        raise _not_known(1, error) from error


def _not_known(count: int, error: BoardUnreachableError) -> BoardUnreachableError:
    what = "the job was" if count == 1 else f"the last {count:,} jobs were"
    return BoardUnreachableError(
        f"the board was lost during the commit: it is not known whether {what} "
        "recorded; look with 'simcelery list', or submit with dedupe or a key, which may be repeated safely "
        f"({str(error).partition(';')[0]})"
    )
