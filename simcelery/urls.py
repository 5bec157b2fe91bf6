"""URLs of the board and the broker: what is wrong with one is said when the settings are read.

No message holds a part of a URL that may belong to its password.
"""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, urlsplit

from simcelery.readable import short

_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
_REDIS = re.compile(r"(?:redis|rediss|redis\+socket)://")
# As SQLAlchemy reads it: a password may hold anything but @.
_POSTGRES_PLACE = re.compile(r"(?:[^:/@]*(?::[^@]*)?@)?([^/?]*)")
_DATABASE = re.compile(r"[0-9]{1,9}")
_PORT = re.compile(r"[0-9]{1,5}")
_ESCAPES = "in a password write @ as %40, / as %2F, : as %3A, # as %23, ? as %3F and % as %25"


def check_postgres(url: str) -> None:
    """Refuse a URL that the driver would stumble over.

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


def check_redis(url: str) -> None:
    """The same for Redis.

    Raises:
        ValueError: one line says what is wrong.
    """
    if not _REDIS.match(url):
        raise ValueError("must start with redis:// or rediss://")
    _check_printable(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"is not a URL: {_ESCAPES}") from None
    if parts.scheme != "redis+socket":
        _check_place(parts.netloc.rpartition("@")[2])
        if parts.fragment or not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
            raise ValueError(f"must end with the number of a database, such as /0; {_ESCAPES}")
    _check_query(parts.query)


def _check_printable(url: str) -> None:
    if not url.isprintable():
        raise ValueError("holds a line break, or another character that cannot be printed")


def _check_place(place: str) -> None:
    """``host``, ``host:port`` or ``[::1]:port``."""
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    host = host if colon else place
    if "@" in host or (":" in host and not re.fullmatch(r"\[[0-9A-Fa-f:.]+(%\w+)?\]", host)):
        raise ValueError(f"must hold one host and one port; {_ESCAPES}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"must name a host: a part of the name is empty or too long; {_ESCAPES}") from None
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
    """Refuse what would be misunderstood, most of all of TLS, or stumbled over when it is too late."""
    if "@" in query:  # what stands before it may be a password
        raise ValueError(f"has an @ behind its ?: {_ESCAPES}")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _TLS and name not in _NOT_TLS:
            raise ValueError(f"there is no {short(name)}; there are {', '.join((*_TLS, *_NOT_TLS))}")
        if name == "virtual_host" and not _DATABASE.fullmatch(value):
            raise ValueError(f"virtual_host is the number of a database, such as 0, not {short(value)}")
        if value not in _TLS_WORDS.get(name, (value,)):
            raise ValueError(f"{name} is one of {', '.join(_TLS_WORDS[name][:3])}, not {short(value)}")
        if name in _TLS_FILES and not os.path.exists(value):
            raise ValueError(f"{name}: there is no {value}")
