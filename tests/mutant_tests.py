"""Which tests have to notice a change of a transition: those of files that are about it, the quickest first.

Every test puts jobs on the board, so hundreds of tests reach some of the lines. What only they would notice
is not what they are for, and to run them all for each change takes minutes.
"""

from __future__ import annotations

import sys
from functools import _lru_cache_wrapper

_TRANSITIONS = "simcelery.board.transitions"
# By the module; a module that is not named is everybody's.
TESTS = {
    "simcelery.board.copying": ("record", "dedupe"),
    "simcelery.board.rows": ("record", "dedupe"),
    "simcelery.board.submitting": ("record", "republish", "locks", "clock"),
    f"{_TRANSITIONS}.admit": ("limits",),
    f"{_TRANSITIONS}.cancel": ("cancel_and_retry", "clock", "dependencies", "locks", "continuing"),
    f"{_TRANSITIONS}.claim": (
        "claim_and_finish",
        "slices",
        "registrations",
        "locks",
        "room",
        "host_limits",
        "fit",
    ),
    f"{_TRANSITIONS}.continuing": ("continuing",),
    f"{_TRANSITIONS}.finish": ("finish", "claim_and_finish", "slices", "rescue", "registrations", "clock"),
    f"{_TRANSITIONS}.finish_and_claim": ("finish_and_claim",),
    f"{_TRANSITIONS}.gates": ("gates", "by_hand", "limits"),
    f"{_TRANSITIONS}.record": ("record", "dedupe", "dependencies", "gates", "prune", "renews"),
    f"{_TRANSITIONS}.release": ("claim_and_finish", "slices", "locks", "registrations", "cancel_and_retry"),
    f"{_TRANSITIONS}.rescue": ("rescue", "clock", "locks"),
    f"{_TRANSITIONS}.retry": (
        "cancel_and_retry",
        "quarantine",
        "registrations",
        "gone",
        "dependencies",
        "continuing",
        "after_any",
        "locks",
    ),
    f"{_TRANSITIONS}.revise": ("revise",),
    f"{_TRANSITIONS}.settle": (
        "dependencies",
        "clock",
        "cancel_and_retry",
        "turns",
        "after_any",
        "continuing",
        "locks",
    ),
    f"{_TRANSITIONS}.stage": ("turns", "claim_and_finish"),
}


def choose(tests: list[str], mutant: str) -> None:
    """Leave of these tests only those that have to notice this change."""
    if files := TESTS.get(mutant.rpartition(".")[0]):
        tests[:] = [test for test in tests if test.partition("::")[0] in _paths(files)] or tests


def forget() -> None:
    """What transitions remember from test to test: it hides who needs a function, or meets its change."""
    for name in [name for name in sys.modules if name.startswith(_TRANSITIONS)]:
        for value in vars(sys.modules[name]).values():
            if isinstance(value, _lru_cache_wrapper):
                value.cache_clear()


def _paths(files: tuple[str, ...]) -> set[str]:
    return {f"tests/races/test_{name}.py" for name in files}
