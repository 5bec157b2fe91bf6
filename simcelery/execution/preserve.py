"""What a job changes of the process that runs it is put back, for the sake of the next job."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

_SIGNALS = [
    int(number)
    for name in ("TERM", "INT", "HUP", "QUIT", "ALRM", "CHLD", "PIPE", "USR1", "USR2")
    if (number := getattr(signal, f"SIG{name}", None)) is not None
]
# Without the detour through an enumeration, which costs more than the question.
_getsignal: Callable[[int], Any] = getattr(_signal, "getsignal", signal.getsignal)


@contextmanager
def preserved() -> Iterator[None]:
    """After the block all is as before: masks, environment, signal handlers, stdout and stderr.

    Threads that the block left behind go on; nobody can end them.
    """
    mask = _mask()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    environment = os.environ._data.copy()  # type: ignore[attr-defined]  # decoding it all would cost more
    handlers = [_getsignal(number) for number in _SIGNALS]
    streams = sys.stdout, sys.stderr
    leave, sys.exit = sys.exit, _exit  # the pool's own would take the argument for the status of its process
    try:
        yield
    finally:
        sys.exit = leave
        sys.stdout, sys.stderr = streams
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            if handler is not None and _getsignal(number) is not handler:
                with suppress(ValueError):  # only the main thread may
                    signal.signal(number, handler)
        _restore(environment)
        os.umask(mask)


def _restore(environment: dict[bytes, bytes]) -> None:
    if os.environ._data != environment:  # type: ignore[attr-defined]
        os.environb.clear()
        os.environb.update(environment)


def _exit(status: Any = None, /) -> NoReturn:
    raise SystemExit(status)


def _mask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
