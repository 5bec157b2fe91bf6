"""What a job needs of its node, and what a node has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from simcelery import escalation
from simcelery.quantities import parse_size
from simcelery.readable import short

LEAST_MEMORY = 2**20  # bytes
MOST_CORES, MOST_GPUS = 100_000, 1024


@dataclass(frozen=True)
class Needs:
    """What a job needs of its node; None: it has not said.

    Attributes:
        cores: that it keeps busy.
        memory: bytes that all its processes use together.
        gpus: that it has for itself.
        escalation: what later attempts get, as `escalation.checked` gives it.
    """

    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    escalation: str | None = None

    def over(self, usual: Needs) -> Needs:
        """What it needs where this is asked for, and the rest is as usual."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        rules = escalation.merged(usual.escalation, self.escalation)
        return replace(usual, **given | {"escalation": rules})


@dataclass(frozen=True)
class Room:
    """What a node, or an allocation on it, has for jobs.

    Attributes:
        memory: bytes.
        gpus: as ``CUDA_VISIBLE_DEVICES`` names them.
    """

    cores: int
    memory: int
    gpus: Sequence[str] = ()


NAMES = tuple(field.name for field in fields(Needs))


def asked(*, cores: Any = None, memory: Any = None, gpus: Any = None, on: Any = None) -> Needs:
    """What somebody asks for.

    Parameters:
        memory: ``"8G"``, ``"512M"`` or a whole number of bytes.
        on: what later attempts get; see `escalation`.

    Raises:
        ValueError: something is malformed, or too little for any job; one line says what.
    """
    return Needs(
        cores=_number("cores", cores, MOST_CORES),
        memory=_memory(memory),
        gpus=_number("gpus", gpus, MOST_GPUS),
        escalation=escalation.checked(on),
    )


def _number(name: str, given: Any, most: int) -> int | None:
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most:,}, not {short(given)}")
    return given


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
