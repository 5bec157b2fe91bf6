"""Show on a terminal how far something is, while it passes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from simcelery.cli.output import console

T = TypeVar("T")


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[Iterable[T]], Iterable[T]]]:
    """Passes things on, and counts them where stderr is a terminal.

    Parameters:
        what: is counted, such as ``jobs read``.
        total: how many there are, if that is known.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda things: things
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    looks = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*looks, console=console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)

        def counted(things: Iterable[T]) -> Iterator[T]:
            for thing in things:
                yield thing
                shown.advance(task)

        yield counted
