"""Groups of failures in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcelery.board.reads.summaries import ErrorGroup

NEWEST = 5000  # failures that are read, unless somebody wants more
_NAMES = 3  # workflows or nodes that are named


def in_words(group: ErrorGroup) -> str:
    """``ValueError: no convergence after # steps``."""
    return f"{group.error_type}: {group.message}".rstrip(": ")


def some(names: list[str]) -> str:
    """The first few names, and the number of the others."""
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" +{more:,}" if more > 0 else "")
