"""A short name for this board, for what belongs to it elsewhere, such as the folders of its attempts."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, text

# Made once by initdb: it stays where a server moves, or a replica takes over, and a dump that is restored
# elsewhere gets another one. A copy of the whole server shares it; claims tell those two apart.
_MAY_ASK = text("SELECT has_function_privilege('pg_control_system()', 'execute')")
_ASK = text(
    "SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "FROM pg_control_system()"
)
_ELSE = text(
    "SELECT current_database() || '@' || coalesce(host(inet_server_addr()) || ':' || inet_server_port(), '')"
)


def identity(connection: Connection) -> str:
    """Eight hexadecimal digits, made from the server's own identifier and the database."""
    asked = _ASK if connection.scalar(_MAY_ASK) else _ELSE
    return hashlib.sha256(str(connection.scalar(asked)).encode()).hexdigest()[:8]
