"""A workflow's Celery task: made by a layer above, and found by whoever asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.waiting import within

OWN = """
from simcelery import workflow
@workflow(name="own")
def found(n: int) -> int: return n
"""


def printed(code: str) -> str:
    """What a fresh process prints, which asks no server."""
    nowhere = {
        "SIMCELERY_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "SIMCELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=within(60), env=os.environ | nowhere, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("source", "name"), [(OWN, "own"), ("from simcelery.worker.builtin import command as found", "command")]
)
def test_the_app_is_made_when_the_first_task_is_asked_for(source: str, name: str) -> None:
    code = f"""{source}
import sys
assert "simcelery.celery" not in sys.modules
print(found.task.name, found.s(1).task, type(found.task).__name__)
"""
    assert printed(code).split() == [name, name, "WorkflowTask"]


def test_without_the_package_there_is_one_line() -> None:
    code = """
from simcelery.errors import CanvasError
from simcelery.submission import tasks
try:
    tasks.of("own")
except CanvasError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=within(60))
    assert done.stdout == "there is no Celery app with tasks of workflows: import simcelery.workflow first\n"
