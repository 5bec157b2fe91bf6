"""Python's `multiprocessing` inside a pool child: it works as in any process, and ends with the job."""

from __future__ import annotations

import itertools
import multiprocessing.process
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Any

from simcelery.execution import processes

# Processes that a library starts for itself and keeps: the module and the object that know of one, and its
# names for the pipe that keeps the process alive, and for its pid.
_HELPERS = (
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_alive_fd", "_forkserver_pid"),
    ("multiprocessing.resource_tracker", "_resource_tracker", "_fd", "_pid"),
    ("joblib.externals.loky.backend.resource_tracker", "_resource_tracker", "_fd", "_pid"),
    ("loky.backend.resource_tracker", "_resource_tracker", "_fd", "_pid"),
)
_EXECUTORS = ("joblib.externals.loky.reusable_executor", "loky.reusable_executor")
_AUTHENTICATION: Any = multiprocessing.process.AuthenticationString  # type: ignore[attr-defined]
_LONGEST_WAIT = 2.0  # seconds until a helper that does not end is killed

_of_the_worker: set[int] = set()


class _PoolChild(BaseProcess):
    """The current process, as a process that nobody has started with `multiprocessing` sees itself."""

    def __init__(self, name: str) -> None:
        self._identity: tuple[int, ...] = ()
        self._name = name
        self._parent_pid = self._popen = None
        self._closed = False
        self._config = {"authkey": _AUTHENTICATION(os.urandom(32)), "semprefix": "/mp"}


def be_python() -> None:
    """Make this process one that may have children by every start method of `multiprocessing`.

    The pool's own library puts an object of its own in the place of the current process, which refuses to be
    sent to children that do not fork. And such children import the main module again, which here is that
    of the worker: they are told of none.
    """
    module: Any = multiprocessing.process
    module._current_process = _PoolChild(module._current_process.name)
    module._children = set()
    module._process_counter = itertools.count(1)
    main = sys.modules["__main__"]
    main.__spec__ = None
    vars(main).pop("__file__", None)


def note() -> None:
    """What runs now is no job's."""
    global _of_the_worker
    _of_the_worker = processes.children()


def of_the_worker() -> set[int]:
    """The children that were there before the first job."""
    return _of_the_worker


def of_libraries() -> set[int]:
    """The children that libraries keep for themselves."""
    return {getattr(keeper, pid) or 0 for keeper, _, pid in _keepers()}


def close_executors() -> None:
    """End the pool of processes that joblib keeps for the next call: what it keeps is this job's."""
    for name in _EXECUTORS:
        executor = getattr(sys.modules.get(name), "_executor", None)
        if executor is not None:
            with suppress(Exception):
                executor.shutdown(wait=True, kill_workers=True)


def stop_monitor() -> None:
    """End the thread by which tqdm looks after its bars; the next bar starts another."""
    monitor = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "monitor", None)
    if monitor is not None:
        with suppress(Exception):
            monitor.exit()


def stop() -> None:
    """End those that libraries keep: they have the folder, the environment and the output of this job."""
    known = processes.children()
    for keeper, descriptor, pid in _keepers():
        number = getattr(keeper, pid)
        if number not in known or number in _of_the_worker:
            continue
        with suppress(OSError):
            os.close(getattr(keeper, descriptor))
        setattr(keeper, descriptor, None)
        setattr(keeper, pid, None)
        _await(number)
    folder = multiprocessing.process.current_process()._config.pop("tempdir", None)  # type: ignore[attr-defined]
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _keepers() -> list[tuple[Any, str, str]]:
    found = [
        (getattr(sys.modules.get(module), name, None), descriptor, pid)
        for module, name, descriptor, pid in _HELPERS
    ]
    return [one for one in found if one[0] is not None and getattr(one[0], one[1], None) is not None]


def _await(pid: int) -> None:
    until = time.monotonic() + _LONGEST_WAIT
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
