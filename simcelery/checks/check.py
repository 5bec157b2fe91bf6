"""One check: what was checked, what was found, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True)
class Check:
    """What was checked, what was found, and what to do. `exit_code` matters only for a FAIL."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    exit_code: int = 2
