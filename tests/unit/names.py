"""Names of test cases."""

from __future__ import annotations

import re


def stable(value: object) -> str:
    """The name of a case: without addresses and the order of sets, which differ from process to process."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} of {len(value)}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
