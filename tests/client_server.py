"""A process with everything imported, whose forks run clients' code; see `clients`.

A line of JSON on its input is an order: the folder, the environment, the code, and the files for what it
prints. It answers with the pid, and when that process has ended, with its exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

import simcelery.celery  # noqa: F401
from simcelery import failpoints


def serve() -> dict[str, Any] | None:
    """Fork for each order; the order, in the fork. None: there are no more."""
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return order
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def become(order: dict[str, Any]) -> None:
    """Be what a new interpreter would be."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    files = (os.devnull, os.O_RDONLY), (order["stdout"], os.O_WRONLY), (order["stderr"], os.O_WRONLY)
    for number, (name, mode) in enumerate(files):
        os.dup2(os.open(name, mode), number)
    sys.argv, sys.path[0] = ["-c"], ""
    importlib.reload(failpoints)  # it reads the environment


if (order := serve()) is not None:
    become(order)
    code = compile(order["code"], "<string>", "exec")
    for name in [name for name in globals() if not name.startswith("__") and name != "code"]:
        del globals()[name]
    exec(code)
