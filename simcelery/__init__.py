"""simcelery: submit simulation jobs, walk away, come back to a complete record.

::

    from simcelery import workflow

    @workflow(max_attempts=3, time_limit="2h")
    def relax(structure: str, fmax: float = 0.05) -> float: ...

    job = relax.submit("NaCl.cif", fmax=0.01)
    job.result(timeout=60)

Everything is loaded when it is first used: ``import simcelery`` costs next to nothing.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    from simcelery.submission.executor import Executor
    from simcelery.submission.handle import Job, Jobs, as_completed, get_job
    from simcelery.submission.limits import limits
    from simcelery.submission.manage import JobQuery, jobs, release
    from simcelery.submission.schedules import schedules
    from simcelery.submission.shares import shares
    from simcelery.submission.workflow import Workflow, workflow
    from simcelery.worker.context import CurrentJob, artifact, current_job, step
    from simcelery.worker.programs import CommandError, CommandResult, Handler, code, run_command
    from simcelery.workflows.continuing import then
    from simcelery.workflows.outcomes import Fail, Retry

    app: Celery

__version__ = "0.1.0"

_HOMES = {
    "app": "simcelery.celery",
    "workflow": "simcelery.submission.workflow",
    "Workflow": "simcelery.submission.workflow",
    "Executor": "simcelery.submission.executor",
    "Job": "simcelery.submission.handle",
    "Jobs": "simcelery.submission.handle",
    "as_completed": "simcelery.submission.handle",
    "get_job": "simcelery.submission.handle",
    "jobs": "simcelery.submission.manage",
    "JobQuery": "simcelery.submission.manage",
    "release": "simcelery.submission.manage",
    "limits": "simcelery.submission.limits",
    "schedules": "simcelery.submission.schedules",
    "shares": "simcelery.submission.shares",
    "current_job": "simcelery.worker.context",
    "CurrentJob": "simcelery.worker.context",
    "artifact": "simcelery.worker.context",
    "step": "simcelery.worker.context",
    "run_command": "simcelery.worker.programs",
    "code": "simcelery.worker.programs",
    "CommandResult": "simcelery.worker.programs",
    "Handler": "simcelery.worker.programs",
    "CommandError": "simcelery.worker.programs",
    "then": "simcelery.workflows.continuing",
    "Retry": "simcelery.workflows.outcomes",
    "Fail": "simcelery.workflows.outcomes",
}

__all__ = [
    "CommandError",
    "CommandResult",
    "CurrentJob",
    "Executor",
    "Fail",
    "Handler",
    "Job",
    "JobQuery",
    "Jobs",
    "Retry",
    "Workflow",
    "app",
    "artifact",
    "as_completed",
    "code",
    "current_job",
    "get_job",
    "jobs",
    "limits",
    "release",
    "run_command",
    "schedules",
    "shares",
    "step",
    "then",
    "workflow",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'simcelery' has no attribute {name!r}")
    if name in ("workflow", "Workflow"):
        import_module("simcelery.submission.tasks").are_in(lambda: __getattr__("app"))
    # Imports make a hundred thousand objects that stay. To look for garbage among them, again and again,
    # would take up to a sixth of their time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        import_module("simcelery.log_records").install()
        return getattr(import_module(_HOMES[name]), name)
    finally:
        if collecting:
            gc.enable()


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
