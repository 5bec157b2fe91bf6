"""How long the jobs of each workflow take in this pool child: short ones may be claimed in slices."""

from __future__ import annotations

from dataclasses import dataclass

from simcelery.board import engine
from simcelery.board.values import EndedAttempt

SLICE = 0.25  # seconds that a slice is to fill
_SHORT = 0.05  # seconds: a workflow whose jobs take longer gains nothing from slices
_MOST = 1000  # jobs of a slice
MOST_BYTES = 4 << 20  # of what they returned and printed, which is in memory together until it is written
_NEWEST = 0.2  # the weight of the newest measurement
_GROWTH = 4  # a slice is at most so many times as large as what was measured


@dataclass
class _Measured:
    mean: float
    size: float = 0.0
    jobs: int = 1


_measured: dict[str, _Measured] = {}


def note(workflow: str, seconds: float, size: int = 0) -> None:
    """Note how long a job of this workflow took, including everything that this child does for it.

    Parameters:
        size: bytes of what it returned and printed.
    """
    known = _measured.get(workflow)
    if known is None:
        _measured[workflow] = _Measured(seconds, size)
        return
    # A long or a large one counts at once: the next may be as long.
    known.mean = seconds if seconds > SLICE else known.mean + _NEWEST * (seconds - known.mean)
    known.size = max(size, known.size + _NEWEST * (size - known.size))
    known.jobs += 1


def size_of(ended: EndedAttempt) -> int:
    """About how many bytes it takes until it is written: what it returned and printed."""
    printed = ended.log if isinstance(ended.log, str) else "".join(ended.log.values())
    result = ended.result
    if result is None or isinstance(result, bool | int | float):
        return len(printed)
    return len(printed) + len(result if isinstance(result, str) else engine.as_json(result))


def is_short(workflow: str) -> bool:
    """Whether the jobs of this workflow have been short here."""
    known = _measured.get(workflow)
    return known is not None and known.mean < _SHORT


def fill(workflow: str) -> int:
    """How many of its jobs would fill a slice, as far as is known; at least 1."""
    known = _measured.get(workflow)
    if known is None or known.mean >= _SHORT:
        return 1
    in_memory = max(1, int(MOST_BYTES / max(known.size, 1.0)))
    return min(_MOST, int(SLICE / max(known.mean, 1e-6)), _GROWTH * known.jobs, in_memory)
