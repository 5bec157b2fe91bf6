"""The composition root: the Celery app with its tasks, its backend and what it adds to a stock worker.

``celery -A simcelery worker`` finds ``simcelery.app``, which is `app` here.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from celery import signals
from celery.app.base import Celery
from kombu.entity import Queue

from simcelery import broker, log_records
from simcelery.errors import SimceleryError
from simcelery.execution import entropy
from simcelery.quantities import parse_duration
from simcelery.readable import ReadableRecords, line
from simcelery.settings import get_settings
from simcelery.submission import tasks
from simcelery.worker import bootsteps
from simcelery.worker.child import calling, setup
from simcelery.worker.child.threads import limit_threads
from simcelery.worker.outcomes import endings
from simcelery.worker.parent import inherited, log, not_preloaded
from simcelery.worker.parent.refusals import refuse
from simcelery.worker.task import WorkflowTask
from simcelery.workflows import models as models  # all jobs need it: imported before the pool forks
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition

_DEFAULT = click.core.ParameterSource.DEFAULT

app: Celery = broker.app()


def _add_task(definition: Definition) -> None:
    app.register_task(WorkflowTask(definition))


def _load_workflows(**_: Any) -> None:
    """Import the workflows' modules when a worker starts; one that does not import stops it with one line."""
    context = click.get_current_context(silent=True)
    concurrency = context.params.get("concurrency") if context else None
    limit_threads(int(str(concurrency)) if str(concurrency).isdecimal() else None)
    is_worker = context is not None and context.info_name == "worker"
    if is_worker:
        setup.freeze_imported()
    if is_worker and not get_settings().preload:
        errors = not_preloaded.learn()
    else:
        with inherited.noticed():
            errors = [str(error) for error in registry.load(get_settings()).values()]
        registry.keep_code_versions()
        calling.note_loaded(*{known.function.__module__ for known in registry.definitions()})
        entropy.kept()
    for error in errors:
        refuse(error)
    _consume_all_queues()


def _consume_all_queues() -> None:
    """A worker without -Q serves the default queue and those that its workflows name."""
    if app.conf.task_queues is None:
        names = {known.queue for known in registry.definitions() if known.queue}
        app.conf.task_queues = [Queue(name) for name in sorted(names | {app.conf.task_default_queue})]


class _Duration(click.ParamType):  # type: ignore[type-arg]
    """``90``, ``1h30m`` or ``HH:MM:SS``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _worker_options() -> list[click.Option]:
    """What ``celery -A simcelery worker`` understands besides Celery's own options."""
    duration = _Duration()
    return [
        click.Option(["--max-idle"], type=duration, help="Exit after this long without a job, such as 10m."),
        click.Option(["--max-jobs"], type=click.IntRange(1), help="Exit after this many jobs."),
        click.Option(
            ["--walltime"],
            type=duration,
            help="How long the worker may run, such as 2h; its jobs are warned in time. "
            "Under Slurm and PBS it finds out by itself.",
        ),
        click.Option(["--drain"], is_flag=True, help="Exit when no jobs are left that the worker can run."),
        click.Option(
            ["--startup"],
            metavar="MODULE:FUNCTION",
            help="Function to call once in each pool child before its first job, to load a model, say.",
        ),
        click.Option(
            ["--unsafe-pool"], is_flag=True, help="Allow a pool other than prefork (debugging only)."
        ),
    ]


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Our own errors end Celery's command line with one line instead of a traceback."""
    if isinstance(error, SimceleryError):
        print(line(f"simcelery: {error}"), file=sys.stderr, flush=True)
        os._exit(error.exit_code)  # an exception that is not caught would make it 1
    else:
        sys.__excepthook__(kind, error, trace)


def _log_readably(logger: logging.Logger, **_: Any) -> None:
    """What jobs and messages say begins no line of the log, and steers no terminal that shows it."""
    for handler in logger.handlers:
        handler.addFilter(ReadableRecords())


def _log_news(loglevel: int | None, **_: Any) -> None:
    """What a worker says of itself and its jobs."""
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "worker":
        return
    log.set_up(loglevel or logging.WARNING, chosen=context.get_parameter_source("loglevel") is not _DEFAULT)


def _say_ready(sender: Any, **_: Any) -> None:
    log.ready(sender)


def _say_last_ends(**_: Any) -> None:
    endings.flush(last=True)


def _compose() -> None:
    log_records.install()
    app.task_cls = "simcelery.worker.task:PlainTask"
    app.control_cls = "simcelery.worker.parent.control:BoardControl"
    registry.subscribe(_add_task)
    tasks.are_in(lambda: app)
    app.steps["worker"].update(bootsteps.STEPS)
    app.user_options["worker"].update(_worker_options())
    signals.import_modules.connect(_load_workflows, sender=app, weak=False)
    signals.after_setup_logger.connect(_log_readably, weak=False)
    signals.after_setup_task_logger.connect(_log_readably, weak=False)
    signals.after_setup_logger.connect(_log_news, weak=False)
    signals.worker_ready.connect(_say_ready, weak=False)
    signals.worker_process_shutdown.connect(_say_last_ends, weak=False)
    signals.worker_process_init.connect(setup.prepare, weak=False)
    signals.worker_shutdown.connect(bootsteps.worker_ended, weak=False)
    if Path(sys.argv[0]).name == "celery" or sys.argv[0].endswith("celery/__main__.py"):
        sys.excepthook = _one_line


_compose()
