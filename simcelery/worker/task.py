"""The Celery task of a workflow: submitting records a job, running claims one."""

from __future__ import annotations

import uuid
from typing import Any

from celery import Celery, Task
from celery import exceptions as celery_exceptions
from celery.exceptions import Ignore
from celery.result import AsyncResult

from simcelery.board.states import Outcome, State
from simcelery.board.values import Claim, EndedAttempt, FinishedJob, Lane
from simcelery.broker.lanes import MOST_URGENT, priority_of, queue_and_workflow
from simcelery.errors import CanvasError, JobFailedError
from simcelery.settings import get_settings
from simcelery.submission import canvas
from simcelery.worker import slots, stopping
from simcelery.worker.child import slicing
from simcelery.worker.slots.room import NoRoom
from simcelery.workflows.definition import Definition


class PlainTask(Task):  # type: ignore[misc]
    """Any other task of the app, which workers run only if the setting ``plain_tasks`` names it.

    They run it only by itself: they drop what is attached to its message, and nobody would record a workflow
    attached to it.
    """

    def apply_async(
        self, args: Any = None, kwargs: Any = None, link: Any = None, link_error: Any = None, **options: Any
    ) -> Any:
        """As in Celery.

        Raises:
            CanvasError: a workflow is attached, or mapped over; or no worker would run it as it is.
        """
        mapped = (kwargs or {}).get("task") if self.name in ("celery.map", "celery.starmap") else None
        attached = (link, link_error, options.get("chain"), options.get("chord"))
        canvas.refuse_workflows_behind(*attached, mapped)
        if not self.app.conf.task_always_eager:
            canvas.refuse_plain(self.name, any(attached), get_settings().plain_tasks)
        return super().apply_async(args, kwargs, link=link, link_error=link_error, **options)


def forget_plain_tasks(app: Celery) -> None:
    """For a worker: leave only workflows, and the plain tasks that the settings allow.

    Celery's own tasks, such as ``celery.map`` and ``celery.chord_unlock``, run whatever a message names.
    """
    allowed = get_settings().plain_tasks
    for name, task in list(app.tasks.items()):
        if not isinstance(task, WorkflowTask) and name not in allowed:
            del app.tasks[name]


class WorkflowTask(Task):  # type: ignore[misc]
    """The Celery task of one workflow; made by the composition root."""

    Request = "simcelery.worker.parent.request:JobRequest"
    typing = False  # pydantic checks the parameters, with better messages
    ignore_result = False
    acks_late = False
    track_started = False
    # A failed job is no fault of the worker: one line in its log; the traceback is on the board.
    throws = (JobFailedError,)

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.name = definition.name
        self.__doc__ = definition.description

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Called by Celery's tracer with no arguments: the message only names the job.

        Raises:
            Ignore: the job is not ours to run: a duplicate, forged or outdated message; or, as `NoRoom`, it
                needs more of the node than is free.
            JobFailedError, Retry: how Celery is told of an attempt that did not succeed. Nothing that the
                workflow raised reaches the tracer.
            CanvasError: called by other code in a pool child.
        """
        request = self.request
        if request.called_directly or request.is_eager:
            if slots.mine.in_pool_child:
                raise CanvasError(f"{self.name}: inside a job, call the workflow itself or submit it")
            return self.definition(*args, **kwargs)
        task_id = uuid.UUID(request.id)
        # Chosen and noted before the claim: whatever interrupts us after its commit can still be fenced.
        request.claim_id = uuid.uuid4()
        stopping.listen()
        try:
            job = slicing.run(self.definition, task_id, request.claim_id, _lane(self.name, request))
        except NoRoom:
            request.finished = True
            raise
        request.finished = True
        if job is None:
            raise Ignore("the claim missed")
        return _as_celery_is_told(*job)

    def apply_async(
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: Any = None,
        **options: Any,
    ) -> AsyncResult:
        """Record the job, and what Celery's canvas attached to it, then publish.

        Raises:
            CanvasError: something is attached that cannot be recorded.
            As `Workflow.submit`.
        """
        if self.app.conf.task_always_eager:
            return super().apply_async(args, kwargs, task_id=task_id, **options)
        return canvas.apply_async(
            self.definition, args, kwargs, task_id=task_id, link=link, link_error=link_error, **options
        )

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AsyncResult:
        """A handle that Celery's canvas recognises as a job's."""
        return canvas.JobResult(task_id, app=self.app, backend=self.backend, **kwargs)


def _as_celery_is_told(claim: Claim, ended: EndedAttempt, finished: FinishedJob | None) -> Any:
    """The result of an attempt that succeeded, or the exception from which the tracer makes events."""
    if ended.outcome is Outcome.SUCCEEDED:
        return ended.result
    if finished is None:
        raise Ignore("how it ended is not on the board, or had been decided before")
    reason = ": ".join(filter(None, [ended.error_type, ended.error_message]))
    error = JobFailedError(f"job {claim.job_id}, attempt {claim.attempt}: {reason}", ended.error_type or "")
    if finished.state is State.SCHEDULED:
        raise celery_exceptions.Retry(str(error), error, ended.retry_in)
    if finished.state is State.PENDING:
        raise celery_exceptions.Retry(ended.error_message or "the worker is shutting down", when=0)
    raise error


def _lane(workflow: str, request: Any) -> Lane:
    """The lane that the message came from: routing keys in Redis are the names of lanes."""
    info = request.delivery_info or {}
    queue, _ = queue_and_workflow(str(info.get("routing_key") or ""))
    rank = info.get("priority")
    return Lane(queue, workflow, priority_of(rank if isinstance(rank, int) else MOST_URGENT))
