"""The source of functions as it was when a worker loaded them, whatever becomes of their files."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from typing import Any


def file_of(function: Callable[..., Any]) -> list[str]:
    """The lines of the file that a function is in, as they are now. Functions of one file share them.

    To take a few lines out of them takes longer than to read them: only what runs needs that.
    """
    plain: Any = inspect.unwrap(function)
    name = plain.__code__.co_filename
    linecache.checkcache(name)
    return linecache.getlines(name, plain.__globals__)


def source(function: Callable[..., Any], lines: list[str]) -> str:
    """The source of a function, as `inspect.getsource` finds it in these lines of its file.

    Raises:
        Exception: of any kind: there is none, or the lines are no Python.
    """
    plain: Any = inspect.unwrap(function)
    below = lines[plain.__code__.co_firstlineno - 1 :]
    if not below:
        raise OSError(f"the source of {function!r} is not available")
    return "".join(inspect.getblock(below))
