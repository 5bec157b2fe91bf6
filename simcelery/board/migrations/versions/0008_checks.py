"""Rows that everybody can read: CHECKs on what is written, and what puts right a row that breaks one."""

from alembic import op

from simcelery.board import sql

revision = "0008"
down_revision = "0007"

_STATES = (
    "'blocked', 'scheduled', 'pending', 'running', 'succeeded', 'failed', 'cancelled', 'upstream_failed'"
)
# What a client can read: Python's times end with the year 9999, and no time zone may lead beyond it.
_SANE = "BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'"


def _times(*columns: str) -> str:
    return " AND ".join(f"{column} {_SANE}" for column in columns)


_LIMITS = (
    "time_limit > 0 AND time_limit < 'Infinity' AND soft_time_limit > 0 AND soft_time_limit < 'Infinity'"
)
_COUNTS = (
    "attempt BETWEEN 0 AND 1000000000 AND failures BETWEEN 0 AND 1000000000 "
    "AND losses BETWEEN 0 AND 1000000000 AND publish_count BETWEEN 0 AND 1000000000"
)
_TAGS = "tags = '{}' OR (array_ndims(tags) = 1 AND array_position(tags, NULL) IS NULL)"
_JOB_TIMES = _times(
    "run_at", "published_at", "cancel_requested_at", "submitted_at", "started_at", "finished_at"
)
_KNOWN = (
    "outcome IN ('succeeded', 'failed', 'cancelled', 'lost', 'released') "
    "AND cause IN ('error', 'time_limit', 'out_of_memory', 'worker_lost', 'walltime', 'cancelled', "
    "'shutdown')"
)
_USAGE = "cpu_seconds > '-Infinity' AND cpu_seconds < 'Infinity' AND peak_memory >= 0"
_LISTS = "array_position(queues, NULL) IS NULL AND array_position(workflows, NULL) IS NULL"

CHECKS = {
    "jobs": {
        "parameters_are_named": "jsonb_typeof(parameters) = 'object'",
        "limits_positive": _LIMITS,
        "tries_positive": "max_attempts > 0 AND max_losses >= 0",
        "counts_sane": _COUNTS,
        "tags_plain": _TAGS,
        "times_sane": _JOB_TIMES,
        "progress_is_named": "jsonb_typeof(progress) = 'object'",
        "names_given": "workflow <> '' AND queue <> ''",
    },
    "attempts": {
        "usage_finite": _USAGE,
        "times_sane": _times("started_at", "finished_at"),
        "late_is_named": "jsonb_typeof(late_outcome) = 'object'",
    },
    "dependencies": {"other_job": "job_id <> parent_id"},
    "workers": {
        "numbers_sane": "pid > 0 AND concurrency >= 0",
        "lists_plain": _LISTS,
        "succeeded_is_named": "jsonb_typeof(succeeded) = 'object'",
        "times_sane": _times("started_at", "renewed_at", "lease_expires_at", "ended_at", "steady_since"),
    },
    "workflows": {
        "schema_is_named": "jsonb_typeof(parameters) = 'object' AND jsonb_typeof(options) = 'object'",
    },
}


def upgrade() -> None:
    sql.install(op.get_bind(), "mend_rows")
    op.execute("SELECT mend_rows()")
    for table, checks in CHECKS.items():
        # Not validated: every row has just been looked at, and this way nothing waits for another look.
        added = ", ".join(
            f"ADD CONSTRAINT {table}_{name} CHECK ({condition}) NOT VALID"
            for name, condition in checks.items()
        )
        op.execute(f"ALTER TABLE {table} {added}")
