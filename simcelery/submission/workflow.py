"""``@workflow``: a definition that can be submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, overload

from simcelery.settings import Keep
from simcelery.submission import tasks
from simcelery.workflows import registry
from simcelery.workflows.continuing import here
from simcelery.workflows.definition import DEFAULT_PRIORITY, Definition

if TYPE_CHECKING:
    from celery.canvas import Signature
    from celery.result import AsyncResult

    from simcelery.submission.handle import Job, Jobs


class Workflow(Definition):
    """A registered function. Call it to run it here and now; submit it to have it run by a worker.

    See `Definition` for its options.
    """

    def _repr_html_(self) -> str:
        from simcelery.submission import notebook  # SQLAlchemy loads when the board is first needed

        title = f"workflow {self.name}"
        rows = self.parameters.describe()
        return notebook.table(title, ("parameter", "type", "default"), rows, self.description)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the workflow here and now: no board, no worker. Parameters are validated all the same.

        Where it goes on in another one (see `then`), that is run, too.
        """
        return here(super().__call__(*args, **kwargs))

    def submit(self, *args: Any, **given: Any) -> Job:
        """Record one job on the board and publish it.

        Parameters:
            args, given: the workflow's parameters (a `Job` stands for its result and is waited for), and
                options: ``queue, priority, tags, after, after_any, run_at, delay, dedupe, key, on_failed,
                max_attempts, max_losses, time_limit, time_request, cores, memory, gpus, on, keep`` (see
                `Options`). Where the workflow has a parameter of an option's name, the parameter is meant.

        Raises:
            ParametersError, EncodingError: before anything is written.
            BoardUnreachableError: nothing is recorded.
        """
        from simcelery.submission import options, submit  # as above

        values, chosen = options.split(self, given)
        return submit.submit(self, self.parameters.bind(args, values), chosen)

    def submit_many(self, items: Iterable[Mapping[str, Any]], **chosen: Any) -> Jobs:
        """Record many jobs, one for each mapping of parameters.

        Parameters:
            items: consumed as it comes; recorded in transactions of up to 10,000 jobs or 16 MB.
            chosen: options for all of them, as in `submit`, and ``canary, max_fails``.

        Returns:
            A sequence of handles; each is made when it is asked for.

        Raises:
            SubmissionInterruptedError: it stopped after some were recorded; the error knows their ids.
        """
        from simcelery.submission import bulk, options  # as above

        return bulk.submit_many(self, items, options.of(chosen))

    @property
    def task(self) -> Any:
        """The Celery task of this workflow."""
        return tasks.of(self.name)

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Celery's ``delay``; the job is recorded first."""
        return self.apply_async(args, kwargs)

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> AsyncResult:
        """Celery's ``apply_async``; the job is recorded first."""
        from simcelery import broker
        from simcelery.submission import canvas  # as above

        if broker.app().conf.task_always_eager:
            return self.task.apply_async(args, kwargs, **options)
        # As the task does, which would load all that a worker is made of.
        return canvas.apply_async(self, args, kwargs, **{"task_id": None, **options})

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Celery's signature, for ``group``, ``chain`` and ``chord``."""
        return self.task.s(*args, **kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Celery's immutable signature: it takes no results of the tasks before it."""
        return self.task.si(*args, **kwargs)


@overload
def workflow(function: Callable[..., Any], /) -> Workflow: ...
@overload
def workflow(
    *,
    name: str | None = None,
    queue: str | None = None,
    priority: int = DEFAULT_PRIORITY,
    max_attempts: int = 1,
    max_losses: int = 5,
    time_limit: float | str | timedelta | None = None,
    soft_time_limit: float | str | timedelta | None = None,
    time_request: float | str | timedelta | None = None,
    cores: int | None = None,
    memory: int | str | None = None,
    gpus: int | None = None,
    on: Mapping[str, Mapping[str, Any]] | None = None,
    retry_on: tuple[type[BaseException], ...] | type[BaseException] | None = None,
    retry_delay: float | str | timedelta = 5.0,
    slices: bool = True,
    cwd: Literal["workdir", "worker"] = "workdir",
    keep: Keep | None = None,
    version: str = "1",
) -> Callable[[Callable[..., Any]], Workflow]: ...
def workflow(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a workflow, with or without options: ``@workflow`` or ``@workflow(queue="cpu")``.

    See `Definition` for the options, their defaults and units.

    Raises:
        DefinitionError: the function or an option is not usable; one line says why.
    """
    if function is not None:
        return registry.register(Workflow(function))
    return lambda decorated: registry.register(Workflow(decorated, **options))
