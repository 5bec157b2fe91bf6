"""TLS to Redis: the server's identity is verified, unless the URL explicitly says that it should not be."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import redis

from simcelery.broker import relayed, sentinels
from simcelery.errors import causes
from simcelery.relay import tunnel


class VerifiedConnection(Connection):
    """Verifies the server unless a ``rediss://`` URL says otherwise; kombu's own connection does not."""

    def _init_params(self, *arguments: Any, **named: Any) -> None:
        if named.get("transport") == "rediss":
            said = named.get("ssl")
            named["ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **(said if isinstance(said, dict) else {})}
        super()._init_params(*arguments, **named)  # type: ignore[no-untyped-call]

    def get_transport_cls(self) -> Any:
        """That of Redis goes through a relay, if there is one; that of sentinels notes where they lead."""
        found = super().get_transport_cls()  # type: ignore[no-untyped-call]
        if found is redis.SentinelTransport:
            return sentinels.Transport
        return relayed.Transport if found is redis.Transport and tunnel.is_set() else found

    def _info(self, resolve: bool = True) -> Any:
        """Those of a pool are of another class, but are made of this."""
        found = super()._info(resolve)  # type: ignore[no-untyped-call]
        return found if resolve else (*found, ("transport", self.get_transport_cls()))


class VerifiedAMQP(AMQP):  # type: ignore[misc]
    """Makes every connection of the app a verified one."""

    Connection = VerifiedConnection


def gap(connection: Connection) -> str:
    """What an attacker in the network could exploit on this connection, in words; empty if it is safe."""
    tls = connection.ssl
    if not tls:
        watched = sentinels.hosts(connection)
        if tunnel.is_set() or all(map(_is_here, watched or [str(connection.hostname or "localhost")])):
            return ""
        return f"it is not encrypted: {'add ?ssl_cert_reqs=required' if watched else 'use rediss://'}"
    if tls.get("ssl_cert_reqs", ssl.CERT_REQUIRED) == ssl.CERT_NONE:
        return "its certificate is not verified: remove ssl_cert_reqs=none, and name its CA with ssl_ca_certs"
    if not tls.get("ssl_check_hostname", True):
        return "any certificate from the same CA is accepted: remove ssl_check_hostname=false"
    return ""


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or "/" in host  # a socket


def distrust(error: BaseException) -> str:
    """Why a server's certificate was refused, and what to do, in words; empty if it was not."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _in_words(cause)
    return ""


# OpenSSL's numbers.
_UNKNOWN = {2, 18, 19, 20, 21, 27}
_NOT_NOW = {9: "is not valid yet", 10: "has expired"}
_OTHER_NAME = {62, 64}


def _in_words(error: ssl.SSLCertVerificationError) -> str:
    code, said = error.verify_code, error.verify_message
    if code in _UNKNOWN:
        return (
            f"its certificate is not signed by a CA known here ({said}): if it is your own, give the file of "
            "its CA, as in broker_url = rediss://…?ssl_ca_certs=/path/ca.pem"
        )
    if code in _NOT_NOW:
        return f"its certificate {_NOT_NOW[code]}: give the server a valid one, or set this machine's clock"
    if code in _OTHER_NAME:
        return f"its certificate is for another name ({said}): use the name on the certificate in broker_url"
    return f"its certificate is refused: {said}"
