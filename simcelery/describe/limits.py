"""Limits in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from simcelery.describe.words import spaced

if TYPE_CHECKING:
    from simcelery.board.limits import LimitRow


def use(limit: LimitRow) -> str:
    """``tag:vasp-licence: 8 of 8 used by jobs 17-24``."""
    more = ", …" if limit.used > len(limit.jobs) else ""
    jobs = f" by job{'' if limit.used == 1 else 's'} {spaced(limit.jobs)}{more}" if limit.jobs else ""
    return f"{limit.name}: {limit.used:,} of {limit.most:,} used{jobs}"


def differing(here: Mapping[str, int], board: Mapping[str, int]) -> list[str]:
    """The limits of the settings that the board has otherwise, each as ``tag:a = 8, but 4 on the board``."""
    return [
        f"{name} = {most}, but {board[name]} on the board"
        for name, most in sorted(here.items())
        if board.get(name, most) != most
    ]
