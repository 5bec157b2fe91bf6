"""The composition root: the Celery app with its tasks, its backend and what it adds to a stock worker.

``celery -A simcelery worker`` finds ``simcelery.app``, which is `app` here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from celery import signals
from celery.app.base import Celery
from kombu.entity import Queue

from simcelery import broker
from simcelery.errors import SimceleryError
from simcelery.settings import get_settings
from simcelery.worker import bootsteps
from simcelery.worker.task import WorkflowTask
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition

app: Celery = broker.app()


def _add_task(definition: Definition) -> None:
    app.register_task(WorkflowTask(definition))


def _load_workflows(**_: Any) -> None:
    """Import the workflows' modules when a worker starts; one that does not import stops it with one line."""
    context = click.get_current_context(silent=True)
    concurrency = context.params.get("concurrency") if context else None
    bootsteps.share_cores(int(str(concurrency)) if str(concurrency).isdecimal() else None)
    for error in registry.load(get_settings()).values():
        bootsteps.refuse(str(error))
    _consume_all_queues()


def _consume_all_queues() -> None:
    """A worker without -Q serves the default queue and those that its workflows name."""
    if app.conf.task_queues is None:
        names = {known.queue for known in registry.definitions() if known.queue}
        app.conf.task_queues = [Queue(name) for name in sorted(names | {app.conf.task_default_queue})]


def _end_lease(sender: Any = None, **_: Any) -> None:
    lease = getattr(sender, "lease", None)
    if lease is not None:
        lease.give_up()


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Our own errors end Celery's command line with one line instead of a traceback."""
    if isinstance(error, SimceleryError):
        print(f"simcelery: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)  # an exception that is not caught would make it 1
    else:
        sys.__excepthook__(kind, error, trace)


def _compose() -> None:
    app.task_cls = "simcelery.worker.task:PlainTask"
    app.control_cls = "simcelery.worker.control:BoardControl"
    registry.subscribe(_add_task)
    app.steps["worker"].update([bootsteps.LeaseStep, bootsteps.RecoveryStep])
    app.user_options["worker"].add(
        click.Option(
            ["--unsafe-pool"], is_flag=True, help="Allow a pool other than prefork (debugging only)."
        )
    )
    signals.import_modules.connect(_load_workflows, sender=app, weak=False)
    signals.worker_process_init.connect(bootsteps.prepare_child, weak=False)
    signals.worker_shutdown.connect(_end_lease, weak=False)
    if Path(sys.argv[0]).name == "celery" or sys.argv[0].endswith("celery/__main__.py"):
        sys.excepthook = _one_line


_compose()
