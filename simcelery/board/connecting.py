"""How a connection to the board is made: the one place for it, with SQLAlchemy and without."""

from __future__ import annotations

import os
from typing import Any

import psycopg

from simcelery import urls
from simcelery.board.unreadable import loading
from simcelery.relay import tunnel

STATEMENT_TIMEOUT = 60.0
# The server ends a statement after that; but one that is stopped ends nothing, and its sockets stay open.
LONGEST_SILENCE = STATEMENT_TIMEOUT + 15.0
_MILLISECONDS = int(STATEMENT_TIMEOUT * 1000)
# What every transaction begins with: behind PgBouncer in transaction mode two transactions may meet different
# server connections, so everything that is set is set within a transaction.
SETTINGS = (
    f"SET LOCAL statement_timeout = {_MILLISECONDS}; "
    f"SET LOCAL idle_in_transaction_session_timeout = {_MILLISECONDS}; "
    # For estimates of a large board Postgres may compile a statement for longer than it then runs.
    "SET LOCAL jit = off"
)
# A connection that hears nothing is dead after about half a minute, not after two hours.
_CONNECT = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # Whatever the database's own encoding is: what it cannot hold is refused, not garbled.
    "client_encoding": "utf8",
}


def silence(lease: float) -> float:
    """For how many seconds a worker with this lease waits for a network that is silent.

    A quarter, so that there is time left to renew; but not so short that a slow network seems dead.
    """
    return min(max(lease // 4, 2.0), 20.0)


def give_up_after(seconds: float) -> None:
    """Let connections made from now on, here or in a fork, end when nothing has arrived for so long.

    A network that drops packets tells nobody. TCP sends again, after pauses that double: after ten seconds
    of silence the next one takes as long, and whoever waits for it does not see that the network is back.
    Answers that take long do not count: Postgres's host acknowledges the question at once.
    """
    half = int(seconds / 2)
    _CONNECT.update(
        connect_timeout=int(min(seconds, 5)),
        keepalives_idle=half,
        keepalives_interval=half,
        tcp_user_timeout=int(seconds * 1000),
    )


class _BoundedConnection(psycopg.Connection[Any]):
    """A connection that does not wait for ever for an answer."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As in the base class, but always with a time limit."""
        try:
            return super().wait(gen, interval, LONGEST_SILENCE if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {LONGEST_SILENCE:g} s") from None


def connect(url: str, *, prepared_statements: bool, **more: Any) -> psycopg.Connection[Any]:
    """A new connection to the board at a URL.

    Parameters:
        prepared_statements: whether the driver may prepare statements that recur; not behind PgBouncer.
        more: further keywords of the driver.
    """
    made = _BoundedConnection.connect(
        **_through_relay(urls.postgres_arguments(url))
        | _CONNECT
        | more
        | {
            "prepare_threshold": 5 if prepared_statements else None,
            "application_name": f"simcelery {os.getpid()}",
        }
    )
    loading.prepare(made)
    return made


def _through_relay(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same server, where a relay leads to it: the name stays, for the server's certificate."""
    port = tunnel.port(tunnel.BOARD)
    if port is None:
        return arguments
    return arguments | {"hostaddr": tunnel.HERE, "port": port}
