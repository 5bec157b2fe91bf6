"""The variables of modules that steps use: they count by value, but not with what steps change in them.

So do those that the decorators of a module's functions keep. A step that fills a cache changes it for the
steps after it; a later attempt, which takes the first step from the board, would find it unchanged, and make
all others again. So a variable counts as it was before the steps, unless something else has changed it since.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from simcelery.workflows.code import Code, Variable, is_plain


@dataclass
class _Watched:
    """A variable: what counts, what the last step left there, and how many steps are using it now."""

    variable: Variable  # with its namespace, so that the id of that stays its own
    counts: bytes
    left: bytes
    running: int = 0


_watched: dict[tuple[int, str], _Watched] = {}
_lock = threading.Lock()


def counted(code: Code) -> str:
    """The hash of the code and of what it uses."""
    found = hashlib.sha256(code.text.encode())
    with _lock:
        each = [(f"{one.module}.{one.name}", _counts(code, one)) for one in code.variables.values()]
    for name, counts in sorted(each):
        found.update(f"{name}\n".encode() + counts + b"\n")
    return found.hexdigest()[:32]


@contextmanager
def changing(code: Code) -> Iterator[None]:
    """Within the block a step runs, and what changes in variables that steps use does not count."""
    with _lock:
        for variable in code.variables.values():
            _counts(code, variable)
        used = list(_watched.values())  # also what it only finds while it runs
        for one in used:
            one.running += 1
    try:
        yield
    finally:
        with _lock:
            for one in used:
                one.running -= 1
                one.left = code.now(one.variable)


def _counts(code: Code, variable: Variable) -> bytes:
    known = _watched.get(variable.key) or _same_object(variable)
    if known is not None and known.running:
        return known.counts
    now = code.now(variable)
    if known is None:
        known = _Watched(variable, now, now)
    elif now != known.left:
        known.counts = known.left = now
    _watched[variable.key] = known
    return known.counts


def _same_object(variable: Variable) -> _Watched | None:
    """What is known of it under another name: modules import variables from one another."""
    if is_plain(value := variable.value):
        return None
    return next((one for one in _watched.values() if one.variable.value is value), None)
