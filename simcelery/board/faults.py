"""Turn errors of Postgres into errors of simcelery, each in one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from simcelery import urls
from simcelery.errors import (
    BoardChangedError,
    BoardUnreachableError,
    BoardUntrustedError,
    NotPermittedError,
    RefusedByBoardError,
    SchemaError,
    SettingsError,
    SimceleryError,
    StateError,
)
from simcelery.relay import tunnel


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn the driver's errors into errors of simcelery."""
    try:
        yield
    except (psycopg.Error, UnicodeEncodeError) as error:
        if found := meaning(error, url):
            raise found from error
        raise


def meaning(cause: BaseException | None, url: str, *, broken: bool = False) -> SimceleryError | None:
    """What an error of the driver means; None: it is a fault of ours.

    Parameters:
        broken: whether the connection is of no use any more.
    """
    if isinstance(cause, UnicodeEncodeError):
        return RefusedByBoardError("the board cannot store this: it holds bytes that are not UTF-8 text")
    if isinstance(cause, _UNDEFINED) and url in found_to_fit:
        return changed(url, _first_line(cause))
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return SchemaError(no_schema(url))
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return NotPermittedError(not_permitted(url, cause))
    if is_unreachable(cause, broken=broken):
        return unreachable(url, cause)
    if isinstance(cause, psycopg.errors.UniqueViolation) and cause.diag.constraint_name == _TASK_ID:
        return StateError("another job has this task_id already: leave it out, or give each job its own")
    if isinstance(cause, psycopg.DataError | psycopg.errors.CheckViolation):
        return RefusedByBoardError(f"the board cannot store this: {_first_line(cause)}")
    if isinstance(cause, psycopg.ProgrammingError) and cause.sqlstate is None:
        # The driver itself, before it connects: of what the URL says behind its question mark.
        return SettingsError(f"database_url: {_first_line(cause)}")
    return None


_TASK_ID = "jobs_task_id_key"
_UNDEFINED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)
# The boards whose schema this process has found to fit, and when it looked last, by its monotonic clock.
found_to_fit: dict[str, float] = {}


def changed(url: str, what: str) -> BoardChangedError:
    """The error that says that a schema which did fit does not any more."""
    return BoardChangedError(
        f"the board at {address(url)} is not what this process found before ({what}): it was upgraded, or is "
        "being restored; if this lasts, start the simcelery that fits, or restore the board with its "
        "functions, on the search_path of its role"
    )


# Classes of SQLSTATE that pass: connection, transaction state (a standby is read-only), deadlock, resources,
# locks, operator (shutdown, time-out), I/O, internal errors.
_PASSING = ("08", "25", "40", "53", "55", "57", "58", "XX")


def is_unreachable(cause: BaseException | None, *, broken: bool = False) -> bool:
    """Whether Postgres could not answer at the moment, rather than refused the statement."""
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_PASSING)
    return broken or isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)


def took_too_long(error: BaseException) -> bool:
    """Whether an error of ours says that a statement has reached its time limit."""
    cause = error.__cause__
    return getattr(getattr(cause, "orig", cause), "sqlstate", None) == "57014"


def not_permitted(url: str, cause: BaseException) -> str:
    """One line about a login that lacks a right."""
    who = urls.postgres_place(url)["user"] or "this login"
    return (
        f"the board at {address(url)} does not let {who} do that ({_first_line(cause)}): log in as one who "
        "may ('simcelery db roles' makes roles)"
    )


def reason(error: BaseException) -> str:
    """What Postgres itself said, in one line, of an error of ours."""
    cause = error.__cause__
    return _first_line(getattr(cause, "orig", cause))


def unreachable(url: str, cause: BaseException | None) -> BoardUnreachableError:
    """The error that says that a board does not answer, or is not to be trusted."""
    if trouble := tunnel.trouble():
        return BoardUnreachableError(f"the board at {address(url)} cannot be reached through {trouble}")
    if distrust := _distrust(str(cause)):
        return BoardUntrustedError(f"the board at {address(url)} cannot be trusted: {distrust}")
    reason = re.sub(r"^.*(FATAL|failed): *", "", _first_line(cause))
    return BoardUnreachableError(
        f"the board at {address(url)} cannot be reached: {reason}; start it (simcelery up) or correct "
        "SIMCELERY_DATABASE_URL"
    )


def all_in_use(url: str) -> BoardUnreachableError:
    """The error that says that this process has too many threads that use a board."""
    return BoardUnreachableError(f"all connections of this process to the board at {address(url)} are in use")


# What libpq says of a certificate; of one that is not valid it does not say why.
_DISTRUST = {
    r"root certificate file .* does not exist": (
        "there is no file of its CA: name one in database_url, with sslrootcert=/path/ca.pem, or let those "
        "of the system decide, with sslrootcert=system"
    ),
    r"certificate verify failed": (
        "its certificate has expired, or is not signed by the CA in sslrootcert: give the server a valid "
        "one, or name the file of its CA"
    ),
    r"server certificate for .* does not match .*": (
        "its certificate is for another name ({}): use the name on the certificate in database_url"
    ),
}


def _distrust(said: str) -> str:
    """Why the server's certificate was refused, and what to do, in words; empty if it was not."""
    for pattern, words in _DISTRUST.items():
        if found := re.search(pattern, said):
            return words.format(found[0])
    return ""


def _first_line(cause: BaseException | None) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def address(url: str) -> str:
    """``host:port/name`` of a URL, or ``a:5432,b:5432/name``: enough to recognise it, and nothing secret."""
    hosts = ",".join(f"{host}:{port}" for host, port in urls.postgres_hosts(url))
    return f"{hosts}/{urls.postgres_arguments(url).get('dbname', '')}"


def no_schema(url: str) -> str:
    """One line about a board without tables."""
    return f"the board at {address(url)} has no schema yet: run 'simcelery db upgrade'"
