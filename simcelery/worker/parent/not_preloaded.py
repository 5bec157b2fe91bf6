"""Workflows that are imported in each pool child, and not in the worker that forks them (`preload = false`).

For libraries that do not survive a fork. The worker learns which workflows there are from a separate
process that imports the modules, reports and exits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from celery import Celery
from celery.app.trace import build_tracer

from simcelery.board.catalogue import Entry
from simcelery.errors import DefinitionError
from simcelery.execution import entropy
from simcelery.settings import get_settings
from simcelery.worker.parent.announced import Told, entry
from simcelery.workflows import registry
from simcelery.workflows.origin import collect

# Where their code comes from; None until `learn` is told.
origin: dict[str, Any] | None = None


def learn() -> list[str]:
    """Register the workflows that the modules define, without importing them here.

    Returns:
        The modules that cannot be imported, one line each.
    """
    global origin
    # Its own line: what modules print while they are imported goes where the worker's own goes.
    answer, ours = os.pipe()
    try:
        asked = subprocess.Popen([sys.executable, "-m", __name__, str(ours)], pass_fds=[ours])
    finally:
        os.close(ours)
    with open(answer, "rb") as stream:
        told = stream.read()
    if asked.wait() or not told:
        return [f"the process that imports the workflows ended with status {asked.returncode}"]
    content = json.loads(told)
    origin = content["origin"]
    for known, source in content["workflows"]:
        if registry.find(known["name"]) is None:
            registry.register(Told(Entry(**known), source))
    return list(content["errors"])


def _tell(descriptor: int) -> None:
    """Report the workflows, for `learn`."""
    errors = [str(error) for error in registry.load(get_settings()).values()]
    known = [(asdict(entry(one, get_settings())), one.source) for one in registry.definitions()]
    with open(descriptor, "w", encoding="utf-8") as stream:
        whence = collect(registry.definitions())
        json.dump({"errors": errors, "workflows": known, "origin": whence}, stream)


def load(app: Celery, hostname: Any) -> None:
    """Import the modules, in a pool child.

    Raises:
        DefinitionError: a module cannot be imported any more.
    """
    registry.forget(Told)
    for error in registry.load(get_settings()).values():
        raise DefinitionError(str(error))
    registry.keep_code_versions()
    entropy.kept()
    for known in registry.definitions():
        task = app.tasks[known.name]
        task.__trace__ = build_tracer(known.name, task, app.loader, hostname, app=app)


if __name__ == "__main__":
    _tell(int(sys.argv[1]))
