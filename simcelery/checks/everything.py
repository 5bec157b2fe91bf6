"""All checks, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simcelery.checks import node, servers
from simcelery.checks import settings as own
from simcelery.checks.check import Check
from simcelery.errors import ServiceError, SimceleryError


def examine() -> Iterator[Check]:
    """Make all checks, except those that depend on one that failed."""
    from simcelery.settings import get_settings

    yield from own.of_variables()
    try:
        settings = get_settings()
    except SimceleryError as error:
        yield Check("settings", "FAIL", str(error))
        return
    yield from own.of_settings(settings)
    yield from node.of_grace(settings)
    yield from _guarded("workflows", lambda: own.of_workflows(settings))
    yield from node.of_folders(settings)
    yield from node.of_spool(settings)
    for name, url, look in (
        ("board", settings.board_url, lambda: servers.of_board(settings)),
        ("broker", settings.redis_url, servers.of_broker),
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
