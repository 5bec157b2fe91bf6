"""The roles of Postgres that people and workers have on the board, and what each of them may do there.

A role may do all that the one before it may: who runs jobs may also submit some, as jobs do. The last one
owns the schema. Logins are made by whoever manages Postgres, each in one of these roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from simcelery.board import sql

READ, SUBMIT, WORK, ADMIN = "simcelery_read", "simcelery_submit", "simcelery_work", "simcelery_admin"
ROLES = (READ, SUBMIT, WORK, ADMIN)

# What a submission writes of a job, and what a cancel, a retry or a release changes of it. Neither has a say
# in what an attempt has brought, nor in how many there were.
_RECORDED = (
    "id, task_id, workflow, parameters, version, state, queue, priority, tags, idempotency_key, parent_id, "
    "max_attempts, max_losses, time_limit, soft_time_limit, run_at, unmet, submitted_by, gate_id, needs_id, "
    "keep, time_request, published_at, publish_count"
)
_MOVED = (
    "state, parameters, idempotency_key, failures, losses, run_at, published_at, publish_count, unmet, "
    "cancel_requested_at, worker_id, pid, claim_id, error_type, error_message, started_at, finished_at, "
    "gate_id, settled_at"
)
_ALL = "INSERT, UPDATE, DELETE"


class May(NamedTuple):
    """What the roles may do with a table, besides reading it: each more than the one before."""

    submit: str = ""
    work: str = ""


# Every table has its line here, and `ADMIN` owns them all.
TABLES = {
    "alembic_version": May(),
    "allocations": May(work=_ALL),
    "artifacts": May(work=_ALL),
    "attempts": May(work="INSERT, UPDATE"),
    "canaries": May(submit="INSERT"),
    "celery_taskmeta": May(submit=_ALL),
    "celery_tasksetmeta": May(submit=_ALL),
    "checkpoints": May(submit="DELETE", work="INSERT, UPDATE"),
    "clusters": May(work=_ALL),
    "corrections": May(work=_ALL),
    "dependencies": May(submit=_ALL),
    "durations": May(work=_ALL),
    "environments": May(work=_ALL),
    "escalations": May(work="INSERT"),
    "file_requests": May(submit="INSERT, DELETE", work="UPDATE"),
    "fingerprints": May(submit="INSERT, UPDATE"),
    "gates": May(submit="INSERT, UPDATE", work="DELETE"),
    "grants": May(work=_ALL),
    "horizon": May(work="INSERT, UPDATE"),
    "interventions": May(submit="INSERT"),
    "jobs": May(submit=f"INSERT ({_RECORDED}), UPDATE ({_MOVED})", work="UPDATE"),
    "limits": May(work=_ALL),
    "log_chunks": May(work=_ALL),
    "needs": May(submit="INSERT"),
    "notifications": May(work=_ALL),
    "passed_over": May(work=_ALL),
    "recovery": May(work="INSERT, UPDATE"),
    "restarts": May(work="INSERT, UPDATE"),
    "revisions": May(submit="INSERT"),
    "schedules": May(submit=_ALL),
    "shares": May(),
    "steps": May(submit="DELETE", work="INSERT, UPDATE"),
    "submitted_sources": May(submit="INSERT, UPDATE"),
    "subscriptions": May(submit=_ALL),
    "throttled": May(submit="DELETE", work="INSERT, UPDATE"),
    "workdirs": May(work=_ALL),
    "workers": May(work=_ALL),
    "workflows": May(work=_ALL),
}


# Whether the board has been given to them: the roles themselves are those of all boards of a server.
_GIVEN = """
SELECT EXISTS (
    SELECT FROM pg_class, aclexplode(relacl) JOIN pg_roles ON pg_roles.oid = grantee
    WHERE pg_class.oid = 'jobs'::regclass AND rolname = :role
)
"""
_OWNED_BY_A_ROLE_OF_MINE = """
SELECT EXISTS (
    SELECT FROM pg_class WHERE oid = to_regclass('jobs') AND pg_get_userbyid(relowner) = :role
        AND pg_has_role(relowner, 'USAGE')
)
"""
_IS_IN = "SELECT pg_has_role(:more, :less, 'USAGE')"
_OPEN_TO_ALL = """
SELECT EXISTS (
    SELECT FROM pg_namespace, aclexplode(nspacl)
    WHERE nspname = current_schema() AND grantee = 0 AND privilege_type = 'CREATE'
)
"""
_MAY = """
SELECT current_user AS login, has_table_privilege(oid, 'SELECT') AS read,
    has_column_privilege(oid, 'state', 'UPDATE') AS submit,
    has_table_privilege('workers', 'INSERT') AS work, pg_has_role(relowner, 'USAGE') AS manage
FROM pg_class WHERE oid = 'jobs'::regclass
"""


def rights(connection: Connection) -> tuple[str, dict[str, bool]]:
    """Who is logged in, and which parts are theirs, with roles or without."""
    login, *parts = connection.execute(text(_MAY)).one()
    return login, dict(zip(("read", "submit", "work", "manage the board"), parts, strict=True))


def act_as_owner(connection: Connection) -> None:
    """Until the end of the transaction, let what is made belong to `ADMIN`, if the board does."""
    if connection.scalar(text(_OWNED_BY_A_ROLE_OF_MINE), {"role": ADMIN}):
        connection.execute(text(f"SET LOCAL ROLE {ADMIN}"))


def renew(connection: Connection) -> None:
    """Give the roles what they may do with what is new on the board, if the board has been given to them."""
    if connection.scalar(text(_GIVEN), {"role": READ}):
        carry_out(connection, _grants(connection, _belongings(connection)))


def statements(connection: Connection) -> list[str]:
    """What is to be done so that the roles exist, and may do on this board what is said here."""
    all_of_it = _belongings(connection)
    owners = sorted({one.owner for one in all_of_it} - {ADMIN})
    return [
        *_roles(connection, owners),
        *_ownership(connection, all_of_it),
        *_grants(connection, all_of_it),
    ]


def carry_out(connection: Connection, statements: Iterable[str]) -> None:
    """Execute what `statements` has said."""
    for statement in statements:
        connection.execute(text(statement))


def _roles(connection: Connection, owners: Iterable[str]) -> Iterator[str]:
    """The roles that are not there, and who is not yet in which; `owners` are those of the board so far."""
    there = set(connection.scalars(text("SELECT rolname FROM pg_roles")))
    for role in ROLES:
        if role not in there:
            yield f"CREATE ROLE {role} NOLOGIN"
    for less, more in (*pairwise(ROLES), *((ADMIN, owner) for owner in owners)):
        both = {"less": less, "more": more}
        if not (there.issuperset(both.values()) and connection.scalar(text(_IS_IN), both)):
            yield f"GRANT {less} TO {_quoted(more)}"


def _ownership(connection: Connection, all_of_it: Sequence[Any]) -> Iterator[str]:
    """Who may upgrade the schema owns it."""
    schema = _schema(connection)
    if connection.scalar(text(_OPEN_TO_ALL)):  # so it is before Postgres 15
        yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
    yield f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {ADMIN}"
    for one in all_of_it:
        if one.owner != ADMIN and not one.follows:
            yield f"ALTER {one.kind} {one.name} OWNER TO {ADMIN}"


def _grants(connection: Connection, all_of_it: Sequence[Any]) -> Iterator[str]:
    """What gives the roles their rights, and takes all others from them."""
    schema = _schema(connection)
    yield f"GRANT USAGE ON SCHEMA {schema} TO {READ}"
    for kind in ("TABLE", "SEQUENCE"):
        names = ", ".join(one.name for one in all_of_it if one.kind == kind)
        yield f"REVOKE ALL ON {kind} {names} FROM {READ}, {SUBMIT}, {WORK}"
        yield f"GRANT SELECT ON {kind} {names} TO {READ}"
    yield f"GRANT USAGE ON SEQUENCE {names} TO {SUBMIT}"
    for table, may in TABLES.items():
        for role, rights in ((SUBMIT, may.submit), (WORK, may.work)):
            if rights:
                yield f"GRANT {rights} ON {schema}.{table} TO {role}"
    yield f"GRANT EXECUTE ON FUNCTION {schema}.delete_jobs(bigint[]) TO {WORK}"


def _belongings(connection: Connection) -> Sequence[Any]:
    found = sql.execute(connection, "belongings", tables=list(TABLES), functions=sql.function_names())
    rows: Sequence[Any] = found.all()
    return rows


def _schema(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT quote_ident(current_schema())")))


def _quoted(name: str) -> str:
    """A name as a statement needs it."""
    return '"' + name.replace('"', '""') + '"'
