"""Paths mean a file on the machine where they are given; elsewhere a relative one would mean another.

So what exists when a job is recorded is recorded as an absolute path. What does not exist may be the name of
a file that is yet to be written, and stays as it is: in a job it is relative to the folder of the attempt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_FORMATS = ("path", "file-path", "directory-path")
_DEEPEST = 100


def absolute(path: str) -> str:
    """The path of what exists here, from the root on; any other as it is."""
    if os.path.isabs(path) or not path or "\0" in path:
        return path
    if not os.path.lexists(path):
        home = os.path.expanduser(path)
        return home if os.path.isabs(home) and os.path.lexists(home) else path
    plain = os.path.abspath(path)
    try:
        same = os.path.samefile(path, plain)
    except OSError:  # a link that leads nowhere
        same = ".." not in path.split(os.sep)
    return plain if same else os.path.join(os.getcwd(), path)  # "link/.." is not where it seems to be


class Finder:
    """Makes the paths in encoded parameters absolute, where their JSON schema says that they are paths.

    Parameters:
        schema: that of all parameters.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._defs = schema.get("$defs", {})
        properties = schema.get("properties", {})
        self._of = {name: about for name, about in properties.items() if self._mentions_path(about, set())}

    def __call__(self, encoded: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters, with absolute paths."""
        return {
            name: self._made_absolute(value, self._of[name], 0) if name in self._of else value
            for name, value in encoded.items()
        }

    def _mentions_path(self, about: Any, seen: set[str]) -> bool:
        if isinstance(about, list):
            return any(self._mentions_path(part, seen) for part in about)
        if not isinstance(about, Mapping):
            return False
        if about.get("format") in _FORMATS:
            return True
        if (reference := about.get("$ref")) is not None and reference not in seen:
            return self._mentions_path(self._followed(about), seen | {reference})
        return any(self._mentions_path(part, seen) for part in about.values())

    def _followed(self, about: Any) -> Mapping[str, Any]:
        reference = about.get("$ref") if isinstance(about, Mapping) else None
        found = self._defs.get(str(reference).rpartition("/")[2]) if reference else about
        return found if isinstance(found, Mapping) else {}

    def _made_absolute(self, value: Any, about: Any, depth: int) -> Any:
        about = self._followed(about)
        if depth > _DEEPEST:
            return value
        if isinstance(value, str) and about.get("format") in _FORMATS:
            return absolute(value)
        if isinstance(value, list):
            first, rest = about.get("prefixItems", []), about.get("items", {})
            value = [
                self._made_absolute(item, first[i] if i < len(first) else rest, depth + 1)
                for i, item in enumerate(value)
            ]
        elif isinstance(value, dict):
            known, others = about.get("properties", {}), about.get("additionalProperties", {})
            value = {
                name: self._made_absolute(item, known.get(name, others), depth + 1)
                for name, item in value.items()
            }
        choices = [
            self._followed(choice) for kind in ("anyOf", "oneOf", "allOf") for choice in about.get(kind, ())
        ]
        if any(value in choice.get("enum", ()) or value == choice.get("const", choice) for choice in choices):
            return value  # a word and not a path, whatever files there are
        for choice in choices:
            value = self._made_absolute(value, choice, depth + 1)
        return value


def inside(name: str) -> str:
    """The name, if it is one of a file in a folder, or in one below it.

    Raises:
        ValueError: it leads elsewhere.
    """
    path = PurePath(name)
    if not name or path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
        raise ValueError(f"{name!r} is not the name of a file in the attempt's folder, such as in.melt")
    return name
