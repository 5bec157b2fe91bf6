"""A module that is imported when something of it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Late:
    """Stands for a module that takes long to import, and that many processes never need."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self._name), name)
        setattr(self, name, found)
        return found
