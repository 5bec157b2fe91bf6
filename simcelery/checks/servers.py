"""Check Postgres with the board, and Redis: whether they are recent enough and set up as they should be."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simcelery.checks.check import Check, Verdict
from simcelery.checks.workers import of_workers
from simcelery.describe.words import duration
from simcelery.urls import NO_CLUSTER, postgres_hosts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.settings import Settings

_MOST_SKEW = 2.0
_OLDEST_POSTGRES = 14
_OLDEST_REDIS = (6, 0, 6)  # has LPOS, which finds stale messages


def of_board(settings: Settings) -> Iterator[Check]:
    """Check Postgres, its schema, and what the board says about the workers."""
    from simcelery.board import migrate
    from simcelery.board.schema import REVISION

    revision = migrate.current(settings)
    yield from _postgres()
    if revision == REVISION:
        yield Check("schema", "ok", REVISION)
        yield from _workers()
    elif revision is None or revision < REVISION:
        advice = "run 'simcelery db upgrade'"
        yield Check("schema", "FAIL", f"{revision or 'none'}, but this simcelery needs {REVISION}", advice)
    else:
        advice = "upgrade simcelery here"
        yield Check(
            "schema", "FAIL", f"{revision}, newer than {REVISION}, which this simcelery needs", advice
        )


def _postgres() -> Iterator[Check]:
    from simcelery.board import engine, reads

    made = engine.engine()
    url = engine.url_of(made)
    with engine.translated(made), made.begin() as connection:
        before = dt.datetime.now(dt.UTC)
        server = reads.server(connection)
        after = dt.datetime.now(dt.UTC)
    version = server["version"]
    gap = server["gap"]
    verdict: Verdict = "ok" if int(re.split(r"\D", version)[0]) >= _OLDEST_POSTGRES else "FAIL"
    advice = "" if verdict == "ok" else f"simcelery needs Postgres {_OLDEST_POSTGRES} or newer"
    yield Check("postgres", verdict, f"{version}, at most {server['max_connections']} connections", advice)
    yield Check("encryption", "warn" if gap else "ok", f"Postgres: {gap or 'nobody can eavesdrop'}")
    if len(postgres_hosts(url)) > 1:
        yield _failover(server["synchronous"], url)
    skew = (before + (after - before) / 2 - server["now"]).total_seconds()
    large = abs(skew) > _MOST_SKEW
    advice = (
        "set this machine's clock (NTP): job times come from Postgres, but walltimes from here"
        if large
        else ""
    )
    yield Check("clock", "warn" if large else "ok", f"{skew:+.1f} s from Postgres", advice)


def _failover(synchronous: bool, url: str) -> Check:
    """What it costs if one of several hosts takes over from another."""
    hosts = ", ".join(f"{host}:{port}" for host, port in postgres_hosts(url))
    if synchronous:
        return Check("failover", "ok", f"{hosts}: synchronous, so nothing that is finished is lost")
    advice = "set synchronous_standby_names in Postgres, unless what has just finished may run again"
    return Check("failover", "warn", f"{hosts}: asynchronous, so the last moments may be lost", advice)


def _workers() -> Iterator[Check]:
    from simcelery.board import engine

    with engine.begin() as connection:
        yield _login(connection)
        yield from list(of_workers(connection))
        yield from list(_clock_set_back(connection))


def _login(connection: Connection) -> Check:
    """What whoever asks may do on the board."""
    from simcelery.board import roles

    login, parts = roles.rights(connection)
    return Check("login", "ok", f"{login} may {', '.join(part for part, may in parts.items() if may)}")


def _clock_set_back(connection: Connection) -> Iterator[Check]:
    """Whether Postgres's clock was set back."""
    from simcelery.board import clock

    ahead = clock.ahead(connection)
    if ahead:
        far = duration(max(ahead.values()))
        found = f"{', '.join(sorted(ahead))} up to {far} in the future: Postgres's clock was set back"
        advice = "check Postgres's clock (NTP); recovery still works, but the times of these jobs are wrong"
        yield Check("clock", "warn", found, advice)


def of_broker() -> Iterator[Check]:
    """Whether Redis is recent enough, encrypted, and keeps its messages."""
    from simcelery import broker

    redis: dict[str, Any] = broker.ping()
    old = older(str(redis["compatible"]), _OLDEST_REDIS)
    advice = f"simcelery needs Redis {'.'.join(map(str, _OLDEST_REDIS))} or newer" if old else ""
    used = f"{redis['version']}, {(redis['memory'] or 0) / 2**20:.1f} MiB used"
    yield Check("redis", "FAIL" if old else "ok", used, advice)
    if redis["cluster"]:
        yield Check("redis", "FAIL", "it is a node of a cluster", NO_CLUSTER)
    yield Check(
        "encryption", "warn" if redis["gap"] else "ok", f"Redis: {redis['gap'] or 'nobody can eavesdrop'}"
    )
    if redis["policy"] == "noeviction":
        yield Check("maxmemory", "ok", "noeviction")
    else:
        advice = (
            "set maxmemory-policy noeviction, or Redis may drop messages (which delays jobs but loses none)"
        )
        yield Check("maxmemory", "warn", str(redis["policy"]), advice)
    if redis["aof"]:
        yield Check("persistence", "ok", "AOF is on")
    else:
        advice = (
            "set appendonly yes, or a restart of Redis loses messages (which are sent again within seconds)"
        )
        yield Check("persistence", "warn", "AOF is off", advice)


def older(version: str, oldest: tuple[int, ...]) -> bool:
    """Whether a server's version, such as ``7.2.4-rc1``, is older than the oldest supported one."""
    numbers = tuple(map(int, re.findall(r"[0-9]{1,9}", version)[: len(oldest)]))
    return bool(numbers) and numbers < oldest
