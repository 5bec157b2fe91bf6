"""Check the URLs of board and broker as soon as the settings are read.

No message quotes a part of a URL that may belong to its password.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from simcelery.readable import short

_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
# As SQLAlchemy reads a URL: a password may hold anything but @.
_POSTGRES_PARTS = re.compile(
    r"[^:]*://(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<host>\[[^]/?]*\]|[^:/?]*)(?::(?P<port>[0-9]*))?(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?"
)
_REDIS = re.compile(r"(?:redis|rediss|redis\+socket)://")
# As SQLAlchemy reads it: a password may hold anything but @.
_POSTGRES_PLACE = re.compile(r"(?:[^:/@]*(?::[^@]*)?@)?([^/?]*)")
_DATABASE = re.compile(r"[0-9]{1,9}")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]*:[0-9]*")
_PORT = re.compile(r"[0-9]{1,5}")
_ESCAPES = "in a password, write @ as %40, / as %2F, : as %3A, # as %23, ? as %3F and % as %25"


def check_postgres(url: str) -> None:
    """Refuse a URL that the driver cannot handle.

    Raises:
        ValueError: one line says what is wrong.
    """
    begins = _POSTGRES.match(url)
    if not begins:
        raise ValueError("must start with postgresql://")
    _check_printable(url)
    place = _POSTGRES_PLACE.match(url, begins.end())
    assert place is not None, "it matches the empty text, too"
    _check_place(place[1])


def postgres_place(url: str) -> dict[str, str]:
    """The parts of the URL of a board, those that are left out empty.

    They are `user`, `password`, `host`, `port`, `dbname` and `query`.
    """
    parts = _POSTGRES_PARTS.match(url)
    assert parts is not None, "`check_postgres` has seen it"
    plain = {name: parts[name] or "" for name in ("host", "port", "query")}
    plain["host"] = plain["host"].strip("[]")
    return plain | {name: unquote(parts[name] or "") for name in ("user", "password", "dbname")}


def postgres_arguments(url: str) -> dict[str, Any]:
    """What the URL of a board says, as keywords of the driver.

    Several hosts in its query, each with its port, are tried one after the other.
    """
    found = postgres_place(url)
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(found.pop("query")):
        given.setdefault(name, []).append(value)
    hosts = given.get("host", [])
    if "port" not in given and (len(hosts) > 1 or (hosts and _HOST_AND_PORT.fullmatch(hosts[0]))):
        given["host"] = [host.partition(":")[0] for host in hosts]
        given["port"] = [host.partition(":")[2] for host in hosts]
    elif "port" not in given and hosts and "," in hosts[0]:
        given["port"] = ["" for _ in hosts[0].split(",")]  # the default of each, not that of the place
    return {name: value for name, value in found.items() if value} | {
        name: ",".join(values) for name, values in given.items()
    }


def check_redis(url: str) -> None:
    """Refuse a Redis URL that the client cannot handle.

    Raises:
        ValueError: one line says what is wrong.
    """
    if not _REDIS.match(url):
        raise ValueError("must start with redis:// or rediss://")
    _check_printable(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"is not a valid URL; {_ESCAPES}") from None
    if parts.scheme != "redis+socket":
        _check_place(parts.netloc.rpartition("@")[2])
        if parts.fragment or not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
            raise ValueError(f"must end with a database number, such as /0; {_ESCAPES}")
    _check_query(parts.query)


def check_mail(via: str) -> None:
    """Refuse what names neither a mail server nor a program.

    Raises:
        ValueError: one line says what is wrong.
    """
    _check_printable(via)
    if via.startswith("/"):
        return
    if not re.match(r"smtps?://", via):
        raise ValueError("must start with smtp:// or smtps://, or be the path of sendmail")
    _check_place(via.partition("://")[2].partition("/")[0].rpartition("@")[2])
    if not urlsplit(via).hostname:
        raise ValueError("must name a host: smtp://host:587")


def check_relay(url: str) -> None:
    """Refuse what is not the URL of a relay.

    Raises:
        ValueError: one line says what is wrong.
    """
    _check_printable(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("must start with https:// and name a host")
    _check_place(parts.netloc)
    if parts.query or parts.fragment:
        raise ValueError("must have nothing after its path")


def _check_printable(url: str) -> None:
    if not url.isprintable():
        raise ValueError("contains a line break or another unprintable character")


def _check_place(place: str) -> None:
    """``host``, ``host:port`` or ``[::1]:port``."""
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    host = host if colon else place
    if "@" in host or (":" in host and not re.fullmatch(r"\[[0-9A-Fa-f:.]+(%\w+)?\]", host)):
        raise ValueError(f"must have one host and one port; {_ESCAPES}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(
            f"has an invalid host: a part of its name is empty or too long; {_ESCAPES}"
        ) from None
    if colon and not (_PORT.fullmatch(port) and 0 < int(port) < 2**16):
        raise ValueError(f"must have a port from 1 to 65535; {_ESCAPES}")


def masked(url: str) -> str:
    """The URL without its password."""
    url = re.sub(r"://([^:/@]*):.*@", r"://\1:***@", re.sub(r"^(postgres\w*)\+\w+:", r"\1:", url))
    return re.sub(r"([?&][^=&]*password[^=&]*=)[^&]*", r"\1***", url, flags=re.IGNORECASE)


_TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_TLS_WORDS = {
    "ssl_cert_reqs": ("required", "optional", "none", "CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE"),
    "ssl_check_hostname": ("true", "false"),
}
_TLS = (*_TLS_WORDS, *_TLS_FILES, "ssl_password", "ssl_ciphers")
_NOT_TLS = ("virtual_host", "credential_provider")


def _check_query(query: str) -> None:
    """Refuse query parameters, mostly of TLS, that would be misread or would fail only later."""
    if "@" in query:  # what stands before it may be a password
        raise ValueError(f"has an @ after its ?; {_ESCAPES}")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _TLS and name not in _NOT_TLS:
            raise ValueError(
                f"has an unknown parameter {short(name)}; known are {', '.join((*_TLS, *_NOT_TLS))}"
            )
        if name == "virtual_host" and not _DATABASE.fullmatch(value):
            raise ValueError(f"virtual_host must be a database number, such as 0, not {short(value)}")
        if value not in _TLS_WORDS.get(name, (value,)):
            raise ValueError(f"{name} must be one of {', '.join(_TLS_WORDS[name][:3])}, not {short(value)}")
        if name in _TLS_FILES and not os.path.exists(value):
            raise ValueError(f"{name}: there is no file or folder {value}")


def check_store(url: str) -> None:
    """Refuse what cannot be where artifacts are stored.

    Raises:
        ValueError: one line says what is wrong.
    """
    _check_printable(url)
    scheme, separator, rest = url.partition("://")
    if folder_of_store(url) is None and not (
        separator and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) and rest
    ):
        raise ValueError("must be the absolute path of a folder, or a URL such as s3://bucket/folder")
    if ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise ValueError(
            "must hold no password, since it is on the board: let the store's client find it elsewhere"
        )


def folder_of_store(url: str) -> Path | None:
    """The folder, or file, that the URL of a store means; None: it is of another kind."""
    if url.startswith("file://"):
        url = url.removeprefix("file://")
    return Path(url) if url.startswith("/") else None
