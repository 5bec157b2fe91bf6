"""The reaper process itself: it waits for its worker's death, and then ends all its processes.

Started by `simcelery.execution.reaper` as ``python -I reaping.py TOKEN GRACE FOLDER…`` with one end of a
socket pair as its standard input. Lines arrive there: ``+PID`` when a pool child started, ``-PID`` when it
exited normally, and ``bye`` when the worker exits normally. If the stream ends without a ``bye``, the
worker has died.
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    sys.path += sys.argv[3:]

# Everything is imported now: when it is needed, the folder it lies in may be gone with the allocation.
import psutil

from simcelery.execution import ending, processes

# Schedulers send these to every process of an allocation before it ends; the terminal sends some.
IGNORED = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGXCPU,
        signal.SIGALRM,
        signal.SIGPIPE,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
)

# With the grace, how long it may take at most (seconds).
_LONGEST_WAIT = 25.0


def main(token: str, grace: float) -> None:
    """Wait for the end of the worker `token`, and end what it leaves unless it said goodbye."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    pool = _listen(0)
    if pool is None:
        return
    ended = ending.end(lambda: _leftovers(pool, token), grace, _LONGEST_WAIT)
    if ended.processes:
        _say(f"simcelery: the worker is gone and left its jobs running: {ended}\n")


def _listen(descriptor: int) -> dict[int, psutil.Process | None] | None:
    """The pool children there were when the stream ended, by pid; None after a goodbye."""
    pool: dict[int, psutil.Process | None] = {}
    rest = b""
    while data := _read(descriptor):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == b"bye":
                return None
            if line.startswith(b"+"):
                pool[int(line[1:])] = _process(int(line[1:]))
            elif line.startswith(b"-"):
                pool.pop(int(line[1:]), None)
    return pool


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the line broke
        return b""


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _leftovers(pool: dict[int, psutil.Process | None], token: str) -> list[psutil.Process]:
    """The pool children that live, and the members of those whose pid still means what it meant."""
    roots = [pid for pid, process in pool.items() if _process(pid) in (None, process)]
    living = [process for pid in roots if (process := pool[pid]) is not None]
    return living + processes.members_of_worker(roots, token)


def _say(text: str) -> None:
    try:
        os.write(2, text.encode(errors="replace"))
    except OSError:
        return  # nobody listens any more


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
