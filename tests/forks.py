"""A process that has imported everything a program begins with; its forks are that program. See `programs`.

A byte on its socket, with open files, is an order: the order as JSON, the program's input, output and errors,
and where to answer with its pid and, when it has ended, with its exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pydantic

from simcelery import failpoints
from simcelery.settings import get_settings
from tests.programs import BIN

WORKFLOWS = {one.value for one in metadata.entry_points(group="simcelery.workflows")}
_CLIENT = (
    *("celery.app.events", "encodings.idna", "pydantic.dataclasses"),
    *("simcelery.celery", "simcelery.submission.*", "simcelery.worker.*"),
)
IMPORTED = {
    "python": _CLIENT,
    "simcelery": (*_CLIENT, "simcelery.cli.*", "simcelery.describe.*"),
    "celery": (
        "celery.bin.celery",
        "celery.apps.worker",
        "celery.backends.database",
        "celery.concurrency.prefork",
        "celery.worker.*",
        "celery.events.state",
        "pydantic.dataclasses",
        "kombu.transport.redis",
        "billiard.heap",
        "billiard.pool",
        "billiard.sharedctypes",
        "simcelery.celery",
        "simcelery.execution.command",
        "simcelery.submission.*",
        "simcelery.worker.*",
    ),
}

_answers: dict[int, int] = {}


def load(program: str) -> None:
    """Import what it begins with, as if it were that program."""
    sys.argv[0] = str(BIN / program)
    for name in IMPORTED[program]:
        package = importlib.import_module(name.removesuffix(".*"))
        if name.endswith(".*"):
            for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                if found.name not in WORKFLOWS:
                    importlib.import_module(found.name)
    pydantic.create_model("First")  # it looks for plug-ins of all that is installed
    assert not get_settings.cache_info().currsize, "settings are read in the folder that a program starts in"
    assert "numpy" not in sys.modules, "NumPy reads the environment when it is imported"
    assert threading.active_count() == 1, "a fork has one thread"


def serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order; the order, in the fork. None: there are no more."""
    signal.signal(signal.SIGCHLD, _tell_ends)
    while True:
        byte, files, _, _ = socket.recv_fds(orders, 1, 5)
        if not byte:
            return None
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            return _begin(orders, files)
        _answers[pid] = files.pop()
        os.write(_answers[pid], b"%d\n" % pid)
        for file in files:
            os.close(file)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def _tell_ends(*_: object) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            answer = _answers.pop(ended[0])
            with suppress(BrokenPipeError):  # nobody asks any more
                os.write(answer, b"%d\n" % os.waitstatus_to_exitcode(ended[1]))
            os.close(answer)


def _begin(orders: socket.socket, files: list[int]) -> dict[str, Any]:
    """Be what a new interpreter would be."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    orders.close()
    order, *standard, answer = files
    with open(order, "rb") as stream:
        told: dict[str, Any] = json.load(stream)
    for number, file in enumerate(standard):
        os.dup2(file, number)
    for file in [*standard, answer, *_answers.values()]:
        os.close(file)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv = told["argv"]
    with suppress(OSError):  # Linux: the name that `ps` shows
        Path("/proc/self/comm").write_text(Path(sys.argv[0]).name if told["code"] is None else "python")
    importlib.reload(failpoints)  # it reads the environment
    return told


def main_module(order: dict[str, Any]) -> CodeType:
    """Its main module, and what runs there."""
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.path[0] = str(BIN) if order["code"] is None else ""
    if order["code"] is not None:
        return compile(order["code"], "<string>", "exec")
    script = main.__file__ = order["argv"][0]
    return compile(Path(script).read_text(), script, "exec")


def end(status: object) -> None:
    """End as Python does, but leave what was there before the fork: to take it apart takes 60 ms of CPU time.

    That is more than most programs need for all else. Returns where Python has something to say at the end.
    """
    if not isinstance(status, int | None):
        return
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    vars(sys.modules["__main__"]).clear()
    gc.collect()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it, or it is closed
        return
    os._exit((status or 0) & 0xFF)


if __name__ == "__main__":
    load(sys.argv[1])
    gc.collect()
    # A worker freezes its own, and how many they are tells its children something.
    if sys.argv[1:] != ["celery"]:
        gc.freeze()  # whoever ends looks through all that is left for garbage
    # Not in a function: what the program leaves is its own, and nothing else holds it.
    if (order := serve(socket.socket(fileno=os.dup(0)))) is not None:
        try:
            exec(main_module(order), vars(sys.modules["__main__"]))
        except SystemExit as leaving:
            end(leaving.code)
            raise
        end(0)
