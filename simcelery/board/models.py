"""The tables. The statements elsewhere use their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB
from sqlalchemy.schema import SchemaItem
from sqlalchemy.sql.expression import ColumnClause
from sqlalchemy.types import TypeEngine

from simcelery.board.states import Cause, Kind, Outcome, State

T = TypeVar("T")
_NOW = text("now()")
_TERMINAL = "state IN ('succeeded', 'failed', 'cancelled', 'upstream_failed')"


def _one_of(column: str, values: Any) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def _sane(*columns: str, name: str = "times_sane") -> CheckConstraint:
    """Times that a client can read: Python's end with the year 9999, and no time zone may lead beyond it."""
    span = "BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'"
    return CheckConstraint(" AND ".join(f"{column} {span}" for column in columns), name=name)


def _named(column: str) -> str:
    return f"jsonb_typeof({column}) = 'object'"


_TIME = DateTime(timezone=True)
_JSON = JSONB(none_as_null=True)
_TEXTS = ARRAY(Text)


def required(kind: TypeEngine[T] | type[TypeEngine[T]], *about: SchemaItem, **more: Any) -> ColumnClause[T]:
    """A column that always has a value."""
    return Column(kind, *about, nullable=False, **more)


def nullable(kind: TypeEngine[T] | type[TypeEngine[T]]) -> ColumnClause[T | None]:
    """A column that may be NULL."""
    return Column(kind)


class Base:
    """Common to all tables: a class has the columns as attributes, and stands for its table in statements.

    SQLAlchemy's own such classes come with its ORM, whose import takes longer than all that a command asks.
    """

    metadata = MetaData(
        naming_convention={
            "ix": "%(column_0_N_label)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    __tablename__: ClassVar[str]
    __table_args__: ClassVar[Sequence[SchemaItem]] = ()
    __table__: ClassVar[Table]

    def __init_subclass__(cls) -> None:
        columns = {name: one for name, one in vars(cls).items() if isinstance(one, Column)}
        for name, column in columns.items():
            column.name = name
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns.values(), *cls.__table_args__)

    @classmethod
    def __clause_element__(cls) -> Table:
        """What SQLAlchemy takes the class for."""
        return cls.__table__


class Job(Base):
    """One recorded request: workflow + parameters, and where it stands."""

    __tablename__ = "jobs"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    task_id = required(Uuid, unique=True)
    workflow = required(Text)
    parameters = required(_JSON)
    version = required(Text, server_default=text("'1'"))  # of the workflow, as it was declared
    state = required(Text)
    queue = required(Text)
    priority = required(SmallInteger)
    tags = required(_TEXTS, server_default=text("'{}'"))
    idempotency_key = nullable(Text)
    parent_id = nullable(BigInteger)  # the job that submitted this one; no foreign key: it may be pruned

    attempt = required(Integer, server_default=text("0"))
    failures = required(Integer, server_default=text("0"))
    losses = required(Integer, server_default=text("0"))
    max_attempts = required(Integer)
    max_losses = required(Integer)
    time_limit = nullable(Double)
    soft_time_limit = nullable(Double)
    run_at = nullable(_TIME)
    published_at = nullable(_TIME)
    publish_count = required(Integer, server_default=text("0"))
    cancel_requested_at = nullable(_TIME)
    unmet = required(Integer, server_default=text("0"))  # parents that have not succeeded

    worker_id = nullable(BigInteger)
    pid = nullable(BigInteger)
    claim_id = nullable(Uuid)
    result = nullable(_JSON)
    error_type = nullable(Text)
    error_message = nullable(Text)
    progress = nullable(_JSON)

    submitted_by = required(Text)
    submitted_at = required(_TIME, server_default=_NOW)
    started_at = nullable(_TIME)
    finished_at = nullable(_TIME)
    gate_id = nullable(BigInteger)  # no foreign key: only a gate without jobs is deleted
    needs_id = nullable(BigInteger)  # no foreign key, which would be checked for every job
    settled_at = nullable(_TIME)  # when all its dependents had been told how it ended, by settle
    keep = nullable(Text)  # what becomes of its workdirs: failed, none, compressed; NULL: they stay
    time_request = nullable(BigInteger)  # seconds that it takes, as somebody has said

    __table_args__ = (
        CheckConstraint(_one_of("state", State), name="state_known"),
        CheckConstraint(f"({_TERMINAL}) = (finished_at IS NOT NULL)", name="terminal_is_finished"),
        CheckConstraint(
            "state <> 'running' OR (worker_id IS NOT NULL AND pid IS NOT NULL AND claim_id IS NOT NULL "
            "AND started_at IS NOT NULL)",
            name="running_is_claimed",
        ),
        CheckConstraint(
            "state NOT IN ('pending', 'scheduled', 'blocked') OR cancel_requested_at IS NULL",
            name="waiting_is_not_cancelled",
        ),
        CheckConstraint("state <> 'scheduled' OR run_at IS NOT NULL", name="scheduled_has_time"),
        CheckConstraint(
            "unmet >= 0 AND (unmet > 0 OR state <> 'blocked' OR gate_id IS NOT NULL "
            "OR published_at IS NOT NULL)",  # throttled
            name="blocked_has_unmet",
        ),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority_range"),
        # What cannot be read is refused; `mend_rows`, in the schema, puts right what got here all the same.
        CheckConstraint(_named("parameters"), name="parameters_are_named"),
        CheckConstraint(
            "time_limit > 0 AND time_limit < 'Infinity' "
            "AND soft_time_limit > 0 AND soft_time_limit < 'Infinity'",
            name="limits_positive",
        ),
        CheckConstraint("max_attempts > 0 AND max_losses >= 0", name="tries_positive"),
        CheckConstraint(
            "attempt BETWEEN 0 AND 1000000000 AND failures BETWEEN 0 AND 1000000000 "
            "AND losses BETWEEN 0 AND 1000000000 AND publish_count BETWEEN 0 AND 1000000000",
            name="counts_sane",
        ),
        CheckConstraint(
            "tags = '{}' OR (array_ndims(tags) = 1 AND array_position(tags, NULL) IS NULL)",
            name="tags_plain",
        ),
        _sane("run_at", "published_at", "cancel_requested_at", "submitted_at", "started_at", "finished_at"),
        CheckConstraint(_named("progress"), name="progress_is_named"),
        CheckConstraint("workflow <> '' AND queue <> ''", name="names_given"),
        Index(
            "jobs_idempotency_key_key",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        # The feed: what waits on the board to be published, by lane.
        Index(
            "jobs_unpublished",
            "queue",
            "workflow",
            text("priority DESC"),
            "id",
            postgresql_where=text("state = 'pending' AND published_at IS NULL"),
        ),
        # What a pool child claims at once: short jobs of one workflow and queue.
        Index(
            "jobs_slice",
            "workflow",
            "queue",
            text("priority DESC"),
            "id",
            postgresql_where=text("state = 'pending' AND losses = 0 AND needs_id IS NULL"),
        ),
        # What the board believes to be in Redis.
        Index(
            "jobs_published",
            "queue",
            "workflow",
            text("priority DESC"),
            "published_at",
            postgresql_where=text("state = 'pending' AND published_at IS NOT NULL"),
        ),
        # Where an allocation ends soon: the shortest of a lane. Costs nothing to jobs without such a request.
        Index(
            "jobs_requested",
            "queue",
            "workflow",
            "time_request",
            postgresql_where=text("state = 'pending' AND time_request IS NOT NULL"),
        ),
        Index("jobs_scheduled", "run_at", postgresql_where=text("state = 'scheduled'")),
        Index("jobs_running", "worker_id", postgresql_where=text("state = 'running'")),
        Index("jobs_blocked", "id", postgresql_where=text("state = 'blocked' AND unmet > 0")),
        Index(
            "jobs_unsuccessful",
            "id",
            postgresql_where=text("state IN ('failed', 'cancelled', 'upstream_failed')"),
        ),
        # Settle: jobs whose dependents have not all been told how they ended.
        Index(
            "jobs_unsettled",
            "id",
            postgresql_where=text(
                "finished_at IS NOT NULL AND "
                "(settled_at < finished_at OR (settled_at IS NULL AND state <> 'succeeded'))"
            ),
        ),
        # A sweep with canaries or a fuse: what it holds, and what has ended.
        Index(
            "jobs_gate",
            "gate_id",
            "state",
            "finished_at",
            "id",
            postgresql_where=text("gate_id IS NOT NULL"),
        ),
        # Counts, and what is rare of a workflow or a queue. Its few distinct keys make it small.
        Index("jobs_kind", "workflow", "queue", "state"),
        # Costs nothing to those who use no tags.
        Index("jobs_tags", "tags", postgresql_using="gin", postgresql_where=text("tags <> '{}'")),
        # Prune, oldest first. Entries are added at the right end only: cheap, also for a million jobs.
        Index("jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        # Estimates: the last successes of a workflow. Only what asks for them orders by this expression.
        Index(
            "jobs_succeeded",
            "workflow",
            text("(finished_at AT TIME ZONE 'UTC')"),
            postgresql_where=text("state = 'succeeded'"),
        ),
    )


class Need(Base):
    """What jobs need of their node. One row for all jobs for which it is the same."""

    __tablename__ = "needs"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    memory = nullable(BigInteger)
    cores = nullable(Integer)
    gpus = nullable(Integer)
    escalation = nullable(_JSON)

    __table_args__ = (
        CheckConstraint("memory > 0 AND cores > 0 AND gpus > 0", name="numbers_positive"),
        CheckConstraint(_named("escalation"), name="escalation_is_named"),
        Index(
            "needs_same",
            text("coalesce(memory, 0)"),
            text("coalesce(cores, 0)"),
            text("coalesce(gpus, 0)"),
            text("coalesce(escalation, '{}'::jsonb)"),
            unique=True,
        ),
    )


class Escalation(Base):
    """What a job got for the attempt after this one, since this one ended for want of it."""

    __tablename__ = "escalations"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt = required(Integer, primary_key=True)
    cause = required(Text)
    before = required(_JSON)
    after = required(_JSON)
    made_at = required(_TIME, server_default=_NOW)


class Grant(Base):
    """What a running job has of its worker's node. It counts as long as the job runs under this claim."""

    __tablename__ = "grants"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    claim_id = required(Uuid)
    worker_id = required(BigInteger)
    cores = nullable(Integer)
    memory = nullable(BigInteger)
    gpus = required(_TEXTS)

    __table_args__ = (Index("grants_worker", "worker_id"),)


class PassedOver(Base):
    """A pending job that did not fit beside what ran on a worker: since when others overtake it."""

    __tablename__ = "passed_over"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    since = required(_TIME, server_default=_NOW)

    __table_args__ = (Index("passed_over_since", "since"),)


class Duration(Base):
    """How long the last successes of a workflow took: of all (no tags), and of those with the same tags.

    Of a workflow with too few successes nothing is known but that it has been looked at. Written by `learn`,
    an act of recovery; read by claims of workers whose allocation ends.
    """

    __tablename__ = "durations"

    workflow = required(Text, primary_key=True)
    tags = required(_TEXTS, primary_key=True)
    successes = required(Integer)
    p90 = nullable(Double)  # seconds
    median = nullable(Double)
    newest_at = nullable(_TIME)  # when the last of them finished
    # When an attempt was last cut short that had an allocation from its beginning; of all only.
    outlasted_at = nullable(_TIME)
    learned_at = required(_TIME, server_default=_NOW)

    __table_args__ = (
        CheckConstraint(
            "p90 >= 0 AND p90 < 'Infinity' AND median >= 0 AND median < 'Infinity' AND successes >= 0 "
            "AND (p90 IS NULL) = (median IS NULL)",
            name="numbers_sane",
        ),
        _sane("newest_at", "outlasted_at", "learned_at"),
    )


class Fingerprint(Base):
    """A hash of what a job is to do: which job has the same parameters. See `fingerprints`."""

    __tablename__ = "fingerprints"

    job_id = required(BigInteger, primary_key=True, autoincrement=False)
    fingerprint = required(BigInteger)

    __table_args__ = (Index("fingerprints_fingerprint", "fingerprint"),)


class Attempt(Base):
    """One ended execution of a job, written in the same statement as the transition that ended it."""

    __tablename__ = "attempts"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt = required(Integer, primary_key=True)
    claim_id = required(Uuid)
    outcome = required(Text)
    cause = nullable(Text)
    error_type = nullable(Text)
    error_message = nullable(Text)
    traceback = nullable(Text)
    worker_id = required(BigInteger)
    nodename = nullable(Text)
    host = nullable(Text)
    pid = required(BigInteger)
    scheduler_job_id = nullable(Text)
    started_at = required(_TIME)
    finished_at = required(_TIME)
    cpu_seconds = nullable(Double)
    peak_memory = nullable(BigInteger)
    workdir = nullable(Text)
    code_version = nullable(Text)
    seed = nullable(BigInteger)  # what its random numbers began with
    late_outcome = nullable(_JSON)
    # Its worker's. Not a foreign key: it would be checked for every attempt.
    environment_id = nullable(BigInteger)

    __table_args__ = (
        CheckConstraint(_one_of("outcome", Outcome), name="outcome_known"),
        CheckConstraint(_one_of("cause", Cause), name="cause_known"),
        CheckConstraint(
            "cpu_seconds > '-Infinity' AND cpu_seconds < 'Infinity' AND peak_memory >= 0", name="usage_finite"
        ),
        _sane("started_at", "finished_at"),
        CheckConstraint(_named("late_outcome"), name="late_is_named"),
        # What allocations have cost that ended too soon.
        Index("attempts_walltime", "finished_at", postgresql_where=text("cause = 'walltime'")),
        # What ran on clusters in some days. Rows come in the order of their ends: many pages share an entry,
        # which most rows leave as it is: that costs a finish nearly nothing.
        Index("attempts_ended", "finished_at", postgresql_using="brin"),
    )


class Environment(Base):
    """What attempts ran with besides parameters: versions, commits, lock files, loaded modules.

    One row for all workers for which it is the same.
    """

    __tablename__ = "environments"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    hash = required(Text, unique=True)
    details = required(_JSON)
    since = required(_TIME, server_default=_NOW)


class Revision(Base):
    """What a job's parameters were before they were revised: attempts up to `last_attempt` ran with them."""

    __tablename__ = "revisions"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    revision = required(Integer, primary_key=True)
    parameters = required(_JSON)
    last_attempt = required(Integer)
    revised_by = required(Text)
    revised_at = required(_TIME, server_default=_NOW)


class Intervention(Base):
    """What somebody did to a job by hand: ``cancel``, ``retry``, ``hold`` or ``release``."""

    __tablename__ = "interventions"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    at = required(_TIME, server_default=_NOW, primary_key=True)
    kind = required(Text, primary_key=True)
    by = required(Text)

    __table_args__ = (CheckConstraint("kind IN ('cancel', 'retry', 'hold', 'release')", name="kind_known"),)


class Dependency(Base):
    """An edge: `job_id` waits for `parent_id`; of no `kind`, for its success."""

    __tablename__ = "dependencies"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    # No cascade: a parent cannot be pruned while a dependent needs it.
    parent_id = required(BigInteger, ForeignKey("jobs.id"), primary_key=True)
    kind = nullable(Text)

    __table_args__ = (
        CheckConstraint("job_id <> parent_id", name="other_job"),
        CheckConstraint(_one_of("kind", Kind), name="kind_known"),
        Index("dependencies_parent", "parent_id", "job_id"),
    )


class Gate(Base):
    """What jobs of a sweep wait behind until its canaries have succeeded, or since its fuse has blown."""

    __tablename__ = "gates"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    workflow = required(Text)
    tags = required(_TEXTS, server_default=text("'{}'"))
    submitted_by = required(Text)
    canary = nullable(BigInteger)  # how many were asked for
    max_fails = nullable(BigInteger)
    max_fails_percent = nullable(Double)
    closed_by = nullable(Text)  # NULL: it is open
    held_by = nullable(Text)  # who has closed it by hand
    moving = required(Boolean, server_default=text("false"))  # some that it held may still be blocked
    changed_at = required(_TIME, server_default=_NOW)
    counts_from = required(_TIME, server_default=_NOW)  # the fuse counts what ended later
    fails_left = nullable(BigInteger)  # how many may certainly fail before the fuse blows: count_failures

    __table_args__ = (
        CheckConstraint("closed_by IN ('canary', 'fuse', 'hand')", name="closed_by_known"),
        Index("gates_active", "id", postgresql_where=text("closed_by IS NOT NULL OR moving")),
    )


class Canary(Base):
    """`job_id` must succeed before the gate opens. It may have been there before the sweep."""

    __tablename__ = "canaries"

    gate_id = required(BigInteger, ForeignKey("gates.id", ondelete="CASCADE"), primary_key=True)
    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index("canaries_job", "job_id"),)


class Limit(Base):
    """How many jobs of a tag, a workflow or a queue may run at the same time. See `limits`."""

    __tablename__ = "limits"

    name = required(Text, primary_key=True)  # such as tag:vasp-licence
    most = required(Integer)
    set_by = required(Text)
    set_at = required(_TIME, server_default=_NOW)

    __table_args__ = (CheckConstraint("most >= 0", name="most_sane"),)


class Share(Base):
    """A queue whose jobs do not come in strict order. See `shares`."""

    __tablename__ = "shares"

    queue = required(Text, primary_key=True)
    by = required(Text)
    set_by = required(Text)
    set_at = required(_TIME, server_default=_NOW)

    __table_args__ = (CheckConstraint(_one_of("by", ("submitter", "tag")), name="by_known"),)


class Throttled(Base):
    """A job that waits for a limit; `woken_at`: it is pending again, since there may be room now."""

    __tablename__ = "throttled"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    limit_name = required(Text)  # no foreign key: where the limit is gone, it is woken
    queue = required(Text)
    workflow = required(Text)
    priority = required(SmallInteger)
    woken_at = nullable(_TIME)

    __table_args__ = (
        Index(
            "throttled_next",
            "limit_name",
            "queue",
            "workflow",
            text("priority DESC"),
            "job_id",
        ),
        Index("throttled_woken", "job_id", postgresql_where=text("woken_at IS NOT NULL")),
    )


class Schedule(Base):
    """A job that is recorded again and again, by a cron expression. See `schedules`."""

    __tablename__ = "schedules"

    name = required(Text, primary_key=True)
    cron = required(Text)
    timezone = required(Text)
    missed = required(Text)  # what becomes of times that were missed
    job = required(_JSON)  # what to record, besides its parameters
    parameters = required(_JSON)
    submitted_by = required(Text)
    created_at = required(_TIME, server_default=_NOW)
    paused_at = nullable(_TIME)
    next_at = nullable(_TIME)  # when it is due; NULL: never again
    last_at = nullable(_TIME)  # the time that it was due for last
    last_job_id = nullable(BigInteger)  # no foreign key: it may be pruned
    from_settings = required(Boolean, server_default=text("false"))  # a settings file declares it

    __table_args__ = (
        CheckConstraint("missed IN ('once', 'all', 'skip')", name="missed_known"),
        CheckConstraint(f"{_named('job')} AND {_named('parameters')}", name="job_is_named"),
    )


class Cluster(Base):
    """Workers that are started through a launcher, and how many allocations of them there are to be.

    `state`: active; paused (allocations failed; one at a time is tried until one works); or stopped.
    """

    __tablename__ = "clusters"

    name = required(Text, primary_key=True)
    launcher = required(Text)
    host = nullable(Text)  # where the launcher is this host itself: which
    site = nullable(Text)  # which scheduler, as it calls itself
    owner = nullable(Text)  # the user of the system as whom its batch jobs are submitted
    profile = required(_JSON)  # how its workers are started
    wanted = required(Integer)  # allocations
    least = nullable(Integer)  # as many as there is work for, between these two; NULL: as many as are wanted
    most = nullable(Integer)
    state = required(Text, server_default=text("'active'"))
    note = nullable(Text)  # why it is paused
    failed = required(Integer, server_default=text("0"))  # allocations in a row that were of no use
    failed_at = nullable(_TIME)  # when the last of them was noted
    next_at = nullable(_TIME)  # no other is submitted before
    bad_nodes = required(_JSON, server_default=text("'[]'"))  # which are left out, until when, and why
    bad_nodes_kept = nullable(Text)  # why they are not left out after all
    round_at = required(_TIME, server_default=_NOW)  # when the scheduler is to be asked next
    round_by = nullable(Text)  # who has asked it last
    replaced_at = nullable(_TIME)  # when a worker last started another controller, since nobody had asked it
    started_by = required(Text)
    started_at = required(_TIME, server_default=_NOW)

    __table_args__ = (
        CheckConstraint("state IN ('active', 'paused', 'stopped')", name="state_known"),
        CheckConstraint("wanted >= 0 AND failed >= 0 AND least >= 0 AND most >= least", name="numbers_sane"),
        CheckConstraint("(least IS NULL) = (most IS NULL)", name="auto_is_whole"),
        CheckConstraint(_named("profile"), name="profile_is_named"),
        CheckConstraint("jsonb_typeof(bad_nodes) = 'array'", name="bad_nodes_are_listed"),
        _sane("next_at", "round_at", "started_at"),
        _sane("failed_at", "replaced_at", name="trouble_sane"),
    )


class Allocation(Base):
    """One batch job that starts workers: recorded before it is submitted, under a name that nobody else has.

    `state`: submitting (it may be submitted or not), waiting, running or ended.
    """

    __tablename__ = "allocations"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    cluster = required(Text, ForeignKey("clusters.name"))
    name = required(Text, unique=True)
    scheduler_id = nullable(Text)
    state = required(Text, server_default=text("'submitting'"))
    word = nullable(Text)  # the scheduler's own for its state
    reason = nullable(Text)  # why it waits
    hosts = required(_TEXTS, server_default=text("'{}'"))
    recorded_at = required(_TIME, server_default=_NOW)
    starts_at = nullable(_TIME)  # as the scheduler expects, or tells
    ends_at = nullable(_TIME)
    seen_at = required(_TIME, server_default=_NOW)  # when the scheduler last told of it, or was asked for it
    missed = required(Integer, server_default=text("0"))  # looks since then in which it was not listed
    cancel_requested_at = nullable(_TIME)
    ended_at = nullable(_TIME)
    cause = nullable(Text)
    told = nullable(Text)  # how it ended, in words
    tail = nullable(Text)  # the last lines of its output
    cores = nullable(Integer)  # what was asked for, on all nodes; NULL: nothing was
    # When it ran, by Postgres's clock: as the scheduler told, but within what the board knows. NULL: it never
    # did. As long as it runs, until when it certainly did.
    ran_from = nullable(_TIME)
    ran_until = nullable(_TIME)
    idle_since = nullable(_TIME)  # it runs, and since then no look has found a job on it
    no_worker_at = nullable(_TIME)  # when it was noted that it runs for long without a worker

    __table_args__ = (
        CheckConstraint("state IN ('submitting', 'waiting', 'running', 'ended')", name="state_known"),
        CheckConstraint("cores > 0", name="cores_positive"),
        CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL)", name="ended_at"),
        CheckConstraint("(state = 'ended') = (cause IS NOT NULL)", name="cause"),
        _sane("recorded_at", "starts_at", "ends_at", "seen_at", "cancel_requested_at", "ended_at"),
        _sane("ran_from", "ran_until", name="ran_sane"),
        _sane("idle_since", "no_worker_at", name="use_sane"),
        Index("allocations_of_cluster", "cluster", postgresql_where=text("state <> 'ended'")),
        Index("allocations_ended", "cluster", "ended_at", postgresql_where=text("state = 'ended'")),
    )


class Step(Base):
    """A saved sub-result of a job: the output of a call, found by what was called with what."""

    __tablename__ = "steps"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name = required(Text, primary_key=True)
    key = required(Text, primary_key=True)
    code = required(Text)
    given = required(_JSON)
    output = required(_JSON)
    attempt = required(Integer)
    seconds = required(Double)  # how long the call took
    saved_at = required(_TIME, server_default=_NOW)


class Checkpoint(Base):
    """What a job saved last to go on from."""

    __tablename__ = "checkpoints"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt = required(Integer)
    state = required(_JSON)
    saved_at = required(_TIME, server_default=_NOW)


class Correction(Base):
    """What a handler has corrected in the input of a job's program."""

    __tablename__ = "corrections"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number = required(Integer, primary_key=True)
    attempt = required(Integer)
    handler = required(Text)
    error = required(Text)
    changes = required(Text)
    difference = required(Text)
    made_at = required(_TIME, server_default=_NOW)

    __table_args__ = (CheckConstraint("changes IN ('numerics', 'physics')", name="changes_known"),)


class Workdir(Base):
    """A host where a job has left workdirs that are not to stay as they are, and what became of them."""

    __tablename__ = "workdirs"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    host = required(Text, primary_key=True)
    ended_at = required(_TIME, server_default=_NOW)
    next_at = required(_TIME, server_default=_NOW)  # when to look at them again
    done = nullable(Text)  # removed, compressed; kept, since there are artifacts in them
    done_at = nullable(_TIME)

    __table_args__ = (
        CheckConstraint("done IN ('removed', 'compressed', 'kept')", name="done_known"),
        Index("workdirs_due", "next_at", postgresql_where=text("done IS NULL")),
    )


class Restart(Base):
    """An attempt whose program went on from the files of an earlier one."""

    __tablename__ = "restarts"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt = required(Integer, primary_key=True)
    continues = required(Integer, primary_key=True)
    files = required(Text)  # for people

    __table_args__ = (CheckConstraint("continues < attempt", name="earlier"),)


class Artifact(Base):
    """A file that an attempt has registered. It counts once the attempt has succeeded with this claim.

    Without a job it is nobody's, and about to be deleted from where it is stored.
    """

    __tablename__ = "artifacts"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    job_id = Column(BigInteger, ForeignKey("jobs.id", ondelete="SET NULL"))
    attempt = required(Integer)
    claim_id = required(Uuid)
    name = required(Text)
    path = required(Text)
    host = required(Text)
    size = required(BigInteger)
    sha256 = required(Text)
    url = nullable(Text)  # where it is stored; NULL: only on its host
    registered_at = required(_TIME, server_default=_NOW)
    next_at = nullable(_TIME)  # when to look whether it counts, or to delete it; NULL: it counts

    __table_args__ = (
        Index("artifacts_job", "job_id", "claim_id", "name", unique=True),
        Index("artifacts_open", "next_at", postgresql_where=text("job_id IS NULL OR next_at IS NOT NULL")),
    )


class LogChunk(Base):
    """A piece of an attempt's log."""

    __tablename__ = "log_chunks"

    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt = required(Integer, primary_key=True)
    seq = required(BigInteger, primary_key=True)
    text = required(Text)


class FileRequest(Base):
    """A file of an attempt's folder that somebody wants to read, and what a worker on its node found."""

    __tablename__ = "file_requests"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    job_id = required(BigInteger, ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt = required(Integer)
    worker_id = nullable(BigInteger)  # who is to answer; null: whoever on the host sees the folder
    host = required(Text)
    path = required(Text)
    most = required(Integer)  # bytes, of the end of the file,
    start = nullable(BigInteger)  # or from this one on
    asked_at = required(_TIME, server_default=_NOW)
    answered_by = nullable(Text)
    size = nullable(BigInteger)
    content = nullable(LargeBinary)
    error = nullable(Text)

    __table_args__ = (Index("file_requests_job_id", "job_id"),)  # for the job's deletion


class Worker(Base):
    """A Celery worker and its lease. A restarted worker is a new row.

    Ids are reused only by a board that was restored: what tells two workers apart then is `registration`.
    """

    __tablename__ = "workers"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    nodename = required(Text)
    host = required(Text)
    pid = required(BigInteger)
    queues = required(_TEXTS)
    concurrency = required(BigInteger)
    scheduler_job_id = nullable(Text)
    allocation = nullable(Text)  # by its name: the one that started it
    version = required(Text)
    note = nullable(Text)  # what doctor and explain should say of it
    started_at = required(_TIME, server_default=_NOW)
    renewed_at = required(_TIME, server_default=_NOW)
    lease_expires_at = required(_TIME)
    ended_at = nullable(_TIME)
    identity = required(Text, server_default=text("''"))  # tells processes apart: the worker's own
    steady_since = required(_TIME, server_default=_NOW)  # it has renewed without a gap
    workflows = required(_TEXTS, server_default=text("'{}'"))  # those that it knows
    quarantined_at = nullable(_TIME)
    registration = required(Uuid, server_default=text("gen_random_uuid()"))
    # Workflow → Postgres's time at the renewal after this worker's last success with it.
    succeeded = required(_JSON, server_default=text("'{}'"))
    # Workflow → the fingerprint of its source at the start; and files that have changed on its node since.
    sources = required(_JSON, server_default=text("'{}'"))
    changed_files = required(_TEXTS, server_default=text("'{}'"))
    environment_id = nullable(BigInteger)
    # What its node has for jobs. Null: it does not say, and runs only jobs that ask for nothing.
    cores = nullable(Integer)
    memory = nullable(BigInteger)
    gpus = nullable(_TEXTS)
    ends_at = nullable(_TIME)  # when its jobs must have ended, since its allocation ends; null: never

    # Not by the end of the lease: a renewal that changes no indexed column is a heap-only update, and the
    # spare room on each page (fillfactor, in the migration) takes it.
    __table_args__ = (
        CheckConstraint("pid > 0 AND concurrency >= 0", name="numbers_sane"),
        CheckConstraint(
            "array_position(queues, NULL) IS NULL AND array_position(workflows, NULL) IS NULL",
            name="lists_plain",
        ),
        CheckConstraint(_named("succeeded"), name="succeeded_is_named"),
        _sane("started_at", "renewed_at", "lease_expires_at", "ended_at", "steady_since"),
        CheckConstraint(
            "ends_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'", name="end_sane"
        ),
        Index("workers_live", "id", postgresql_where=text("ended_at IS NULL")),
        Index("workers_of_host", "host"),
        Index("workers_of_allocation", "allocation", postgresql_where=text("allocation IS NOT NULL")),
    )


class Workflow(Base):
    """The catalogue that workers register."""

    __tablename__ = "workflows"

    name = required(Text, primary_key=True)
    description = required(Text, server_default=text("''"))
    parameters = required(_JSON)  # JSON schema
    options = required(_JSON)  # what a client without the code needs to record a job
    queue = required(Text)
    version = required(Text)
    # JSON schema of the result. Not jsonb: its fields have an order. Null: nobody has said what it is.
    returns = nullable(JSON(none_as_null=True))
    seen_at = required(_TIME, server_default=_NOW)

    __table_args__ = (
        CheckConstraint(f"{_named('parameters')} AND {_named('options')}", name="schema_is_named"),
    )


class SubmittedSource(Base):
    """Which source a workflow's last submitter had, to be compared with the workers'."""

    __tablename__ = "submitted_sources"

    workflow = required(Text, primary_key=True)
    source = required(Text)
    submitted_by = required(Text)
    since = required(_TIME, server_default=_NOW)


class Horizon(Base):
    """Until when jobs that ended, and workers, may have been deleted by prune: one row, or none."""

    __tablename__ = "horizon"

    one = required(Boolean, primary_key=True, server_default=text("true"))
    until = required(_TIME)

    __table_args__ = (CheckConstraint("one", name="one_row"), _sane("until"))


class Recovery(Base):
    """Whose turn it is: one row per act."""

    __tablename__ = "recovery"

    name = required(Text, primary_key=True)
    next_at = required(_TIME, server_default=_NOW)
    last_by = nullable(Text)


class Subscription(Base):
    """Somebody who wants to be told about the jobs of a submission. See `subscriptions`."""

    __tablename__ = "subscriptions"

    id = required(BigInteger, Identity(always=False), primary_key=True)
    address = required(Text)  # most often a secret: never shown whole
    events = required(_TEXTS)
    workflow = required(Text)
    tags = required(_TEXTS, server_default=text("'{}'"))
    jobs = required(INT8MULTIRANGE)  # their ids
    submitted_by = required(Text)
    submitted_at = required(_TIME, server_default=_NOW)
    open_until = nullable(_TIME)  # more of its jobs may be recorded until then
    since = required(_TIME, server_default=_NOW)  # when its jobs were last set going
    unfinished = nullable(BigInteger)  # the first of its jobs that has not ended, at the last look
    look_at = required(_TIME)  # when to look whether it has stalled
    failed_at = nullable(_TIME)  # when the first failure since then was noticed,
    held_at = nullable(_TIME)  # that what has not begun is held,
    stalled_at = nullable(_TIME)  # that nothing happens any more,
    done_at = nullable(_TIME)  # and that all have ended

    __table_args__ = (
        CheckConstraint("address <> '' AND workflow <> ''", name="names_given"),
        CheckConstraint("array_position(events, NULL) IS NULL", name="events_plain"),
        Index("subscriptions_active", "id", postgresql_where=text("done_at IS NULL")),
    )


class Notification(Base):
    """Something that a subscriber is to be told, and what became of it. See `notifications`."""

    __tablename__ = "notifications"

    id = required(Uuid, primary_key=True)  # its receiver knows it by this
    subscription_id = required(BigInteger, ForeignKey("subscriptions.id", ondelete="CASCADE"))
    event = required(Text)
    body = required(_JSON)
    created_at = required(_TIME, server_default=_NOW)
    next_at = required(_TIME, server_default=_NOW)
    tries = required(Integer, server_default=text("0"))
    no_way_out = required(ARRAY(BigInteger), server_default=text("'{}'"))  # workers that did not reach it
    error = nullable(Text)
    sent_at = nullable(_TIME)
    given_up_at = nullable(_TIME)

    __table_args__ = (
        CheckConstraint(_named("body"), name="body_is_named"),
        Index("notifications_subscription", "subscription_id"),
        Index(
            "notifications_to_send",
            "next_at",
            postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
        ),
        Index(
            "notifications_undelivered",
            "created_at",
            postgresql_where=text("sent_at IS NULL AND error IS NOT NULL"),
        ),
    )
