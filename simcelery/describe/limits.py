"""Limits in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import spaced

if TYPE_CHECKING:
    from simcelery.board.limits import LimitRow


def use(limit: LimitRow) -> str:
    """``tag:vasp-licence: 8 of 8 used by jobs 17-24``."""
    more = ", …" if limit.used > len(limit.jobs) else ""
    jobs = f" by job{'' if limit.used == 1 else 's'} {spaced(limit.jobs)}{more}" if limit.jobs else ""
    return f"{limit.name}: {limit.used:,} of {limit.most:,} used{jobs}"


def raise_it(limit: LimitRow) -> str:
    """What can be done about a full limit."""
    return f"to let more run: simcelery limits set {quote(limit.name)} N"


def by_host(
    workers: Sequence[Mapping[str, Any]], full: Mapping[int, LimitRow]
) -> Iterator[tuple[str, LimitRow]]:
    """``n1 and n2: host:*: 2 of 2 used`` with the limit, for the hosts of these workers that are full."""
    hosts = {worker["host"]: full[worker["id"]] for worker in workers if worker["id"] in full}
    alike: dict[str, list[str]] = {}
    for host, limit in hosts.items():
        alike.setdefault(use(limit), []).append(host)
    for used, some in alike.items():
        more = f" and {len(some) - 1} more hosts" if len(some) > 2 else f" and {some[1]}" if some[1:] else ""
        yield f"{some[0]}{more}: {used}", hosts[some[0]]


def differing(here: Mapping[str, object], board: Mapping[str, object]) -> list[str]:
    """What of the settings the board has otherwise, each as ``tag:a = 8, but 4 on the board``."""
    return [
        f"{name} = {most}, but {board[name]} on the board"
        for name, most in sorted(here.items())
        if board.get(name, most) != most
    ]
