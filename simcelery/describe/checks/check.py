"""One check: what was looked at, what was found, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, what to do. `exit_code` counts for a FAIL only."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    exit_code: int = 2
