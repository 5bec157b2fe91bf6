"""What a job changes of the process that runs it is put back, for the sake of the next job."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

_SIGNALS = [
    number
    for name in ("TERM", "INT", "HUP", "QUIT", "ALRM", "CHLD", "PIPE", "USR1", "USR2")
    if (number := getattr(signal, f"SIG{name}", None)) is not None
]


@contextmanager
def preserved() -> Iterator[None]:
    """After the block all is as before: folder, masks, environment, signal handlers, stdout and stderr.

    Threads that the block left behind go on; nobody can end them.
    """
    folder = _folder()
    mask = _mask()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    environment = dict(os.environ)
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    streams = sys.stdout, sys.stderr
    leave, sys.exit = sys.exit, _exit  # the pool's own would take the argument for the status of its process
    try:
        yield
    finally:
        sys.exit = leave
        sys.stdout, sys.stderr = streams
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                with suppress(ValueError):  # only the main thread may
                    signal.signal(number, handler)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.umask(mask)
        if folder is not None and _folder() != folder:
            with suppress(OSError):
                os.chdir(folder)


def _exit(status: Any = None, /) -> NoReturn:
    raise SystemExit(status)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _mask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
