"""``doctor``: everything that may be wrong, and what to do about it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, say, show_ids, show_json, show_table
from simcelery.describe import checks
from simcelery.describe.checks import Check, Verdict
from simcelery.errors import ServiceError, SimceleryError
from simcelery.urls import masked

if TYPE_CHECKING:
    from simcelery.settings import Settings

_MOST_SKEW = 2.0
_OLDEST_POSTGRES = 14
_OLDEST_REDIS = (6, 0, 6)  # LPOS, with which stale messages are found


@command(
    "doctor", "simcelery doctor", "simcelery doctor -o json", "simcelery doctor -o quiet    # the faults only"
)
@output_option
def doctor(output: Output) -> int:
    """Check settings, folders, board, broker, workers and workflows, and say what to do about what is wrong.

    Exit code 0 if no check fails, 3 if a service is unreachable, else 2.
    """
    found = list(examine())
    failed = [check for check in found if check.verdict == "FAIL"]
    if output == "json":
        shown = [{n: v for n, v in asdict(check).items() if n != "exit_code"} for check in found]
        show_json({"ok": not failed, "checks": shown})
    elif output == "quiet":
        show_ids(check.name for check in failed)
    else:
        columns = [Column("check"), Column("", coloured=True), Column("found", wrapped=True)]
        show_table(columns, [(check.name, check.verdict, check.found) for check in found])
        advised = [check for check in found if check.advice]
        if advised:
            say()
        for check in advised:
            say(f"{check.name}: {check.advice}")
    return max((check.exit_code for check in failed), default=0)


def examine() -> Iterator[Check]:
    """All checks; each that depends on one that failed is left out."""
    from simcelery.settings import get_settings

    try:
        settings = get_settings()
    except SimceleryError as error:
        yield Check("settings", "FAIL", str(error))
        return
    yield from _settings(settings)
    yield from checks.of_grace(settings)
    yield from _guarded("workflows", lambda: _workflows(settings))
    yield from checks.of_folders(settings)
    yield from checks.of_spool(settings)
    for name, url, look in (
        ("board", settings.board_url, lambda: _board(settings)),
        ("broker", settings.redis_url, _broker),
    ):
        if _is_set(url):
            yield from _guarded(name, look)


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except ServiceError as error:
        yield Check(name, "FAIL", str(error), exit_code=3)
    except SimceleryError as error:
        yield Check(name, "FAIL", str(error))


def _is_set(url: Callable[[], str]) -> bool:
    try:
        return bool(url())
    except ServiceError:
        return False


def _settings(settings: Settings) -> Iterator[Check]:
    from simcelery.settings import find_settings_file

    file = find_settings_file()
    yield Check("settings", "ok", str(file) if file else "no simcelery.toml here or above: defaults")
    yield Check("home", "ok", f"{settings.home}{'' if settings.home.is_dir() else ' (not there yet)'}")
    for name, url in (("database_url", settings.board_url), ("broker_url", settings.redis_url)):
        try:
            yield Check(name, "ok", f"{masked(url())} ({source(settings, name)})")
        except SimceleryError as error:
            yield Check(name, "FAIL", "none", str(error), exit_code=3)


def older(version: str, oldest: tuple[int, ...]) -> bool:
    """Whether a server's version, such as ``7.2.4-rc1``, comes before the oldest that will do."""
    numbers = tuple(map(int, re.findall(r"[0-9]{1,9}", version)[: len(oldest)]))
    return bool(numbers) and numbers < oldest


def source(settings: Settings, name: str) -> str:
    """Where a URL comes from."""
    value = getattr(settings, name)
    if value is None:
        return "the embedded server"
    if os.environ.get(f"SIMCELERY_{name.upper()}") == value.get_secret_value():
        return f"SIMCELERY_{name.upper()}"
    return "simcelery.toml or a flag"


def _workflows(settings: Settings) -> Iterator[Check]:
    from simcelery.workflows import registry

    for module, error in registry.load(settings).items():
        yield Check(
            "workflows", "FAIL", f"module {module!r} does not import", str(error)[len("workflows: ") :]
        )
    names = [known.name for known in registry.definitions()]
    own = [name for name in names if name != "command" and not name.startswith("emt.")]
    advice = "" if own else 'name your modules: workflows = ["my_project.relax"] in simcelery.toml'
    yield Check("workflows", "ok", f"{len(names)} known here, {len(own)} of them yours", advice)


def _board(settings: Settings) -> Iterator[Check]:
    from simcelery.board import migrate
    from simcelery.board.schema import REVISION

    revision = migrate.current(settings)
    yield from _postgres()
    if revision == REVISION:
        yield Check("schema", "ok", REVISION)
        yield from _workers()
    elif revision is None or revision < REVISION:
        advice = "run 'simcelery db upgrade'"
        yield Check("schema", "FAIL", f"{revision or 'none'}, this simcelery needs {REVISION}", advice)
    else:
        advice = "upgrade simcelery here"
        yield Check("schema", "FAIL", f"{revision}, newer than {REVISION} of this simcelery", advice)


def _postgres() -> Iterator[Check]:
    import datetime as dt

    from simcelery.board import engine, fleet

    made = engine.engine()
    with engine.translated(made), made.begin() as connection:
        before = dt.datetime.now(dt.UTC)
        server = fleet.server(connection)
        after = dt.datetime.now(dt.UTC)
    version = server["version"]
    gap = server["gap"]
    verdict: Verdict = "ok" if int(re.split(r"\D", version)[0]) >= _OLDEST_POSTGRES else "FAIL"
    advice = "" if verdict == "ok" else f"simcelery needs Postgres {_OLDEST_POSTGRES} or newer"
    yield Check("postgres", verdict, f"{version}, {server['max_connections']} connections at most", advice)
    yield Check("encryption", "warn" if gap else "ok", f"Postgres: {gap or 'nobody reads along'}")
    skew = (before + (after - before) / 2 - server["now"]).total_seconds()
    large = abs(skew) > _MOST_SKEW
    advice = (
        "times are Postgres's; set this machine's clock (NTP), or walltimes are misjudged" if large else ""
    )
    yield Check("clock", "warn" if large else "ok", f"{skew:+.1f} s from Postgres", advice)


def _workers() -> Iterator[Check]:
    from simcelery.board import engine

    with engine.begin() as connection:
        yield from list(checks.of_workers(connection))
        yield from list(checks.of_clock(connection))


def _broker() -> Iterator[Check]:
    from simcelery import broker

    redis: dict[str, Any] = broker.ping()
    old = older(str(redis["compatible"]), _OLDEST_REDIS)
    advice = f"simcelery needs Redis {'.'.join(map(str, _OLDEST_REDIS))} or newer" if old else ""
    used = f"{redis['version']}, {(redis['memory'] or 0) / 2**20:.1f} MiB used"
    yield Check("redis", "FAIL" if old else "ok", used, advice)
    yield Check(
        "encryption", "warn" if redis["gap"] else "ok", f"Redis: {redis['gap'] or 'nobody reads along'}"
    )
    if redis["policy"] == "noeviction":
        yield Check("maxmemory", "ok", "noeviction")
    else:
        advice = (
            "set maxmemory-policy noeviction: otherwise Redis may drop messages (no job is lost, but late)"
        )
        yield Check("maxmemory", "warn", str(redis["policy"]), advice)
    if redis["aof"]:
        yield Check("persistence", "ok", "AOF is on")
    else:
        advice = (
            "a restart of Redis loses the messages (jobs are sent again in seconds); appendonly yes avoids it"
        )
        yield Check("persistence", "warn", "AOF is off", advice)
