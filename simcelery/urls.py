"""Check the URLs of board and broker as soon as the settings are read.

No message quotes a part of a URL that may belong to its password.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from simcelery.readable import short

_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
# As SQLAlchemy reads a URL, where a password may hold anything but @; but with several places, as in libpq.
_POSTGRES_PARTS = re.compile(
    r"[^:]*://(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<places>[^/?]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?"
)
_WRITABLE = ("read-write", "primary")
_REDIS = re.compile(r"(?:redis|rediss|redis\+socket|sentinel)://")
_CLUSTER = re.compile(r"(?:redis|rediss|valkeys?)[+-]cluster://")
_DATABASE = re.compile(r"[0-9]{1,9}")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]*:[0-9]*")
_PORT = re.compile(r"[0-9]{1,5}")
_ESCAPES = "in a password, write @ as %40, / as %2F, : as %3A, # as %23, ? as %3F and % as %25"


def check_postgres(url: str) -> None:
    """Refuse a URL that the driver cannot handle.

    Raises:
        ValueError: one line says what is wrong.
    """
    if not _POSTGRES.match(url):
        raise ValueError("must start with postgresql://")
    _check_printable(url)
    found = _POSTGRES_PARTS.match(url)
    assert found is not None, "all but its beginning may be left out"
    places = found["places"].split(",")
    for place in places:
        _check_place(place)
    if len(places) > 1 and not all(places):
        raise ValueError(f"has an empty host among several; {_ESCAPES}")
    wanted = dict(parse_qsl(found["query"] or "")).get("target_session_attrs", "any")
    if wanted not in (*_WRITABLE, "any"):
        raise ValueError(f"target_session_attrs must be {' or '.join(_WRITABLE)}: the board is written to")


def postgres_place(url: str) -> dict[str, str]:
    """The parts of the URL of a board, those that are left out empty; several hosts with commas between them.

    They are `user`, `password`, `host`, `port`, `dbname` and `query`.
    """
    parts = _POSTGRES_PARTS.match(url)
    assert parts is not None, "`check_postgres` has seen it"
    places = [_host_and_port(place) for place in parts["places"].split(",")]
    hosts, ports = zip(*places, strict=True)
    found = {"host": ",".join(hosts), "port": ",".join(ports), "query": parts["query"] or ""}
    return found | {name: unquote(parts[name] or "") for name in ("user", "password", "dbname")}


def _host_and_port(place: str) -> tuple[str, str]:
    """Of ``host:port`` or ``[::1]:port``; no port is an empty one."""
    host, colon, port = place.rpartition(":") if not place.endswith("]") else ("", "", "")
    return (host if colon else place).strip("[]"), port if colon else ""


def postgres_arguments(url: str) -> dict[str, Any]:
    """What the URL of a board says, as keywords of the driver.

    Several hosts, each with its port, are tried one after the other; unless the URL says otherwise, until one
    takes writes: the others are standbys.
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
    told = {name: value for name, value in found.items() if value} | {
        name: ",".join(values) for name, values in given.items()
    }
    return {"target_session_attrs": _WRITABLE[0]} | told if "," in told.get("host", "") else told


def postgres_hosts(url: str) -> list[tuple[str, int]]:
    """The hosts of a board with their ports, in the order in which they are tried."""
    told = postgres_arguments(url)
    hosts = told.get("host", "localhost").split(",")
    ports = told.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports  # one is that of all
    return [(host, int(port) if port.isdecimal() else 5432) for host, port in zip(hosts, ports, strict=False)]


def check_redis(url: str) -> None:
    """Refuse a Redis URL that the client cannot handle.

    Raises:
        ValueError: one line says what is wrong.
    """
    if _CLUSTER.match(url):
        raise ValueError(f"is that of a cluster: {NO_CLUSTER}")
    if not _REDIS.match(url):
        raise ValueError("must start with redis://, rediss:// or sentinel://")
    _check_printable(url)
    if url.startswith(_SENTINEL):
        sentinels(url)
        return
    parts = _check_redis_parts(url)
    _check_query(parts.query, (*_TLS, *_NOT_TLS))


# Why, and what to use instead.
NO_CLUSTER = (
    "simcelery does not work with one, since a worker waits for all its queues with one command; use a Redis "
    "or Valkey that is not in cluster mode, with sentinels if it is to be highly available: "
    "sentinel://host:26379/0?master_name=mymaster"
)


def _check_redis_parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"is not a valid URL; {_ESCAPES}") from None
    if parts.scheme != "redis+socket":
        _check_place(parts.netloc.rpartition("@")[2])
        if parts.fragment or not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
            raise ValueError(f"must end with a database number, such as /0; {_ESCAPES}")
    return parts


_SENTINEL = "sentinel://"
_SENTINEL_PORT = 26379


@dataclass(frozen=True)
class Sentinels:
    """What the URLs of sentinels say, taken together: the master that they watch, and how to log in to it.

    Attributes:
        hosts: of the sentinels.
        master: the name by which they know it.
        database: its number in the master, as text.
        login: to the sentinels themselves, if they want one: ``username`` and ``password``.
        tls: parameters of TLS, for master and sentinels. With none, nothing is encrypted.
    """

    hosts: tuple[tuple[str, int], ...]
    master: str
    user: str
    password: str
    database: str
    login: dict[str, str]
    tls: dict[str, str]

    def for_kombu(self) -> str:
        """The URLs as kombu wants them: it uses one after the other, so each says all."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@".removeprefix(":@")
        query = f"?{urlencode(self.tls)}" if self.tls else ""
        hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return ";".join(f"{_SENTINEL}{login}{host}/{self.database}{query}" for host in hosts)


def sentinels(url: str) -> Sentinels:
    """Read ``sentinel://:password@host:26379/0?master_name=mymaster``; for more, add ``;sentinel://host2:26379``.

    Raises:
        ValueError: one line says what is wrong.
    """
    hosts: list[tuple[str, int]] = []
    said: dict[str, str] = {}
    for one in re.split(r";(?=\w+://)", url):
        if not one.startswith(_SENTINEL):
            raise ValueError(
                f"has something else than sentinels: each must start with {_SENTINEL}; {_ESCAPES}"
            )
        parts = _check_redis_parts(one)
        _check_query(parts.query, (*_OF_SENTINELS, *_TLS))
        hosts.append((parts.hostname or "localhost", parts.port or _SENTINEL_PORT))
        here = dict(parse_qsl(parts.query)) | {
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": parts.path.strip("/"),
        }
        for name, value in here.items():
            if value and said.setdefault(name, value) != value:
                raise ValueError(f"says two things of {name}: say it once, it is true of all sentinels")
    if not said.get("master_name"):
        raise ValueError("must name the master that the sentinels watch: sentinel://…/0?master_name=mymaster")
    return Sentinels(
        tuple(hosts),
        said["master_name"],
        said.get("user", ""),
        said.get("password", ""),
        said.get("database", "0"),
        {name: said[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in said},
        {name: value for name, value in said.items() if name in _TLS},
    )


def is_sentinel(url: str) -> bool:
    """Whether the URL of a broker leads to sentinels, which say where it is."""
    return url.startswith(_SENTINEL)


def broker_hosts(url: str) -> list[tuple[str, int]]:
    """Where the broker is, or its sentinels are; a socket is its path, and a port of no use."""
    if is_sentinel(url):
        return list(sentinels(url).hosts)
    parts = urlsplit(url)
    return [(parts.hostname or parts.path, parts.port or 6379)]


def broker_place(url: str) -> str:
    """The same in words, without anything secret."""
    places = ", ".join(f"{host}:{port}" for host, port in broker_hosts(url))
    return f"{sentinels(url).master} of the sentinels at {places}" if is_sentinel(url) else places


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
    if "@" in host or "," in host or (":" in host and not re.fullmatch(r"\[[0-9A-Fa-f:.]+(%\w+)?\]", host)):
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
_OF_SENTINELS = ("master_name", "sentinel_username", "sentinel_password")


def _check_query(query: str, known: tuple[str, ...]) -> None:
    """Refuse query parameters, mostly of TLS, that would be misread or would fail only later."""
    if "@" in query:  # what stands before it may be a password
        raise ValueError(f"has an @ after its ?; {_ESCAPES}")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise ValueError(f"has an unknown parameter {short(name)}; known are {', '.join(known)}")
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
