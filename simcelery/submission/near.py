"""Which job comes closest to one that is new: all the same but for one parameter or two.

For each job and each choice of what may differ there is an entry: a hash of all the rest. So a new job is
looked up, not compared with each, and the work for many stays bounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from simcelery.board.reads.same import Known

MOST_ENTRIES = 150_000  # some 100 bytes each
MOST_LOOKUPS = 20_000_000  # some seconds
_MOST_PAIRS = 30  # of more parameters only one may differ
_REST, _VERSION = "the rest", "the version"  # no parameter is called so


class Near:
    """Finds the closest job for new ones of a workflow.

    Parameters:
        names: of the workflow's parameters.
        read: gives the newest jobs of the workflow, the newest first, no more than asked.
    """

    def __init__(self, names: Sequence[str], read: Callable[[int], Sequence[Known]]) -> None:
        self._names = (*names, _REST, _VERSION)
        one = [(name,) for name in self._names]
        two = list(combinations(self._names, 2)) if len(self._names) <= _MOST_PAIRS else []
        self._choices = [*one, *two]
        self._entries: dict[int, Known] = {}
        self._left = MOST_LOOKUPS
        for job in read(MOST_ENTRIES // len(self._choices)):
            for entry in self._without(job.version, job.parameters):
                self._entries.setdefault(entry, job)

    @property
    def is_spent(self) -> bool:
        """Whether it has looked as often as it may."""
        return self._left <= 0

    def to(self, version: str, parameters: Mapping[str, Any]) -> Known | None:
        """The closest job: as few differences as possible, and then the newest."""
        self._left -= len(self._choices)
        found = (self._entries.get(entry) for entry in self._without(version, parameters))
        return next((job for job in found if job is not None), None)

    def _without(self, version: str, parameters: Mapping[str, Any]) -> Iterator[int]:
        """For each choice of what may differ, a hash of all the rest."""
        rest = {name: value for name, value in parameters.items() if name not in self._names}
        values = {**parameters, _REST: rest, _VERSION: version}
        hashes = {
            name: hash((name, json.dumps(values[name], sort_keys=True) if name in values else ""))
            for name in self._names
        }
        whole = 0
        for each in hashes.values():
            whole ^= each
        for number, names in enumerate(self._choices):
            left = whole
            for name in names:
                left ^= hashes[name]
            yield hash((number, left))
