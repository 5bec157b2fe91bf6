"""Where workflows find their Celery tasks. These run jobs too, so that a layer above makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simcelery.errors import CanvasError

if TYPE_CHECKING:
    from celery import Celery

_app: Callable[[], Celery] | None = None


def are_in(app: Callable[[], Celery]) -> None:
    """Say which app has the tasks of all workflows. It is asked for when the first task is."""
    global _app
    _app = app


def app() -> Celery:
    """The app that has the tasks of all workflows, with its backend.

    Raises:
        CanvasError: nobody has said which one it is.
    """
    if _app is None:
        raise CanvasError("there is no Celery app with tasks of workflows: import simcelery.workflow first")
    return _app()


def of(workflow: str) -> Any:
    """The task of a workflow.

    Raises:
        CanvasError: as `app`.
    """
    return app().tasks[workflow]
