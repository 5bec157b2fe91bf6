"""How long the jobs of each workflow take in this pool child: short ones may be claimed in slices."""

from __future__ import annotations

from dataclasses import dataclass

SLICE = 0.25  # seconds that a slice is to fill
_SHORT = 0.05  # seconds: a workflow whose jobs take longer gains nothing from slices
_MOST = 1000  # jobs of a slice, whose parameters and results are in memory together
_NEWEST = 0.2  # the weight of the newest measurement
_GROWTH = 4  # a slice is at most so many times as large as what was measured


@dataclass
class _Measured:
    mean: float
    jobs: int = 1


_measured: dict[str, _Measured] = {}


def note(workflow: str, seconds: float) -> None:
    """Note how long a job of this workflow took, including everything that this child does for it."""
    known = _measured.get(workflow)
    if known is None:
        _measured[workflow] = _Measured(seconds)
        return
    # A long one counts at once: the next may be as long.
    known.mean = seconds if seconds > SLICE else known.mean + _NEWEST * (seconds - known.mean)
    known.jobs += 1


def is_short(workflow: str) -> bool:
    """Whether the jobs of this workflow have been short here."""
    known = _measured.get(workflow)
    return known is not None and known.mean < _SHORT


def fill(workflow: str) -> int:
    """How many of its jobs would fill a slice, as far as is known; at least 1."""
    known = _measured.get(workflow)
    if known is None or known.mean >= _SHORT:
        return 1
    return min(_MOST, int(SLICE / max(known.mean, 1e-6)), _GROWTH * known.jobs)
