"""TLS to Postgres: by default, libpq uses what the server offers, and verifies nothing."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

_VERIFIED = "use sslmode=verify-full, and sslrootcert=/path/ca.pem (or system) in database_url"


def gap(connection: Connection) -> str:
    """What an attacker in the network could exploit on this connection, in words; empty if it is safe."""
    driver: Any = connection.connection.driver_connection
    libpq = driver.pgconn
    options = {option.keyword: option.val or b"" for option in libpq.info}
    return in_words(libpq.hostaddr.decode(), libpq.ssl_in_use, options.get(b"sslmode", b"").decode())


def in_words(address: str, encrypted: bool, sslmode: str) -> str:
    """The same for an address (empty: a socket of this machine), and for what libpq was told."""
    with suppress(ValueError):
        if not address or ip_address(address).is_loopback:
            return ""
    if not encrypted:
        return f"it is not encrypted: {_VERIFIED}"
    if sslmode == "verify-full":
        return ""
    if sslmode == "verify-ca":
        return "any certificate from the same CA is accepted: use sslmode=verify-full in database_url"
    return f"its certificate is not verified: {_VERIFIED}"
