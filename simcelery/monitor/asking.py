"""Ask the board for a page: in a thread, since the event loop waits for nobody, and never for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from simcelery.board import engine, faults
from simcelery.errors import BoardUnreachableError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

# The connections that all who look at the board cost it at most.
_THREADS = ThreadPoolExecutor(4, "board")
LONGEST = 10.0  # seconds, of a statement


# Seconds that Postgres has taken for the questions of this task: neither what they waited for a thread,
# nor what that computed.
taken: ContextVar[float] = ContextVar("taken", default=0.0)


async def ask(question: Callable[[Connection], T]) -> T:
    """What a question to the board returns, which may change nothing.

    Raises:
        UsageError: it takes too long.
        BoardUnreachableError, SchemaError: as `engine.begin`.
    """
    seconds: list[float] = []
    try:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, _answer, question, seconds)
    finally:
        taken.set(taken.get() + sum(seconds))


async def do(act: Callable[[], T]) -> T:
    """What an act returns, which begins its own transactions."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, act)


def _answer(question: Callable[[Connection], T], seconds: list[float]) -> T:
    began, computed = time.monotonic(), time.thread_time()
    try:
        with engine.look(LONGEST) as connection:
            return question(connection)
    except BoardUnreachableError as error:
        if faults.took_too_long(error):
            raise UsageError(f"this takes longer than {LONGEST:g} s: ask for less") from None
        raise
    finally:
        seconds.append(max(0.0, time.monotonic() - began - (time.thread_time() - computed)))
