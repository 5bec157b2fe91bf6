"""What a job needs of its node."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from simcelery.quantities import parse_size
from simcelery.readable import short

LEAST_MEMORY = 2**20  # bytes


@dataclass(frozen=True)
class Needs:
    """What a job needs of its node; None: it has not said.

    Attributes:
        memory: bytes that all its processes use together.
    """

    memory: int | None = None

    def over(self, usual: Needs) -> Needs:
        """What it needs where this is asked for, and the rest is as usual."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(usual, **given)


NAMES = tuple(field.name for field in fields(Needs))


def asked(*, memory: Any = None) -> Needs:
    """What somebody asks for.

    Parameters:
        memory: ``"8G"``, ``"512M"`` or a whole number of bytes.

    Raises:
        ValueError: something is malformed, or too little for any job; one line says what.
    """
    return Needs(memory=_memory(memory))


def _memory(given: Any) -> int | None:
    if given is None:
        return None
    try:
        found = parse_size(given)
    except ValueError as error:
        raise ValueError(f"memory: {error}") from None
    if found < LEAST_MEMORY:
        raise ValueError(f"memory must be at least 1M, not {short(given)}: write 8G or 512M")
    return found
