"""JSON schemas of what commands print with ``-o json``, a file for each shape.

They may only grow: a key that is here once stays, and keeps its meaning.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def names() -> list[str]:
    """The names of all shapes."""
    files = (file.name for file in resources.files(__package__).iterdir())
    return sorted(name.removesuffix(".json") for name in files if name.endswith(".json"))


def read(name: str) -> dict[str, Any]:
    """The schema of a shape.

    Raises:
        FileNotFoundError: there is none of this name.
    """
    text = (resources.files(__package__) / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
