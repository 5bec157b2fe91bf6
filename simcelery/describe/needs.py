"""What a job needs of its node, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcelery.describe.words import size

if TYPE_CHECKING:
    from simcelery.needs import Needs


def in_words(needs: Needs | None) -> str:
    """``memory 8.0 GiB``; empty if it has asked for nothing."""
    return f"memory {size(needs.memory)}" if needs and needs.memory else ""
