"""Encoded values as the text of a JSON column.

Pydantic's writer takes an eighth of the standard library's time, but its import as long as thousands of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Who writes only a few plain ones does not import it.
_FEW = 2000
_plain_ones = 0


def as_json(encoded: Any) -> str:
    """Encoded values as text."""
    from pydantic_core import to_json

    try:
        return to_json(encoded).decode()
    except ValueError:  # it goes 255 levels deep; dictionaries with odd keys take three for one of Python's
        return _dumps(encoded)


def plain_as_json(encoded: Mapping[str, Any]) -> str:
    """The same of exact numbers and plain text, of which both write the same."""
    global _plain_ones
    if _plain_ones >= _FEW:
        return as_json(encoded)
    _plain_ones += 1
    return _dumps(encoded)


def _dumps(encoded: Any) -> str:
    return json.dumps(encoded, allow_nan=False, separators=(",", ":"))
