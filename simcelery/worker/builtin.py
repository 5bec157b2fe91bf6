"""The workflows that come with simcelery: run a command, and call a function."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcelery import workflow
from simcelery.execution import capture
from simcelery.execution import command as execution
from simcelery.settings import SETTINGS_FILE, get_settings
from simcelery.worker import slots
from simcelery.worker.context import CurrentJob, current_job
from simcelery.worker.slots.layout import OUTPUT_FILE
from simcelery.worker.stopping import warned_by
from simcelery.workflows import functions, project
from simcelery.workflows.outcomes import Fail

# What the worker itself may have its passwords from. A command that prints its environment, or hands it on to
# another service, is common; one that submits jobs is rare, and says so.
SECRETS = (
    "SIMCELERY_DATABASE_URL",
    "SIMCELERY_BROKER_URL",
    SETTINGS_FILE,
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "PGPASSWORD",
)
_ERROR_LINES, _ERROR_LENGTH = 20, 2000
_LINE_LENGTH = 500


@dataclass(frozen=True)
class CommandResult:
    """A command that succeeded.

    Attributes:
        exit_code: 0.
        output: the last 200 lines of stdout and stderr together, at most 64 KiB.
        workdir: the folder in which it ran; its complete output is in ``output.txt`` there.
    """

    exit_code: int
    output: str
    workdir: str


@workflow(name="command")
def command(argv: list[str], env: dict[str, str] | None = None, keep_urls: bool = False) -> CommandResult:
    """Run a command in the job's own folder. An exit code other than 0 is a failure.

    If its worker is about to shut down, the command gets SIGTERM and has the grace period to save its work.
    Unless it then exits with 0, it is released and runs again elsewhere.

    Parameters:
        argv: the program and its arguments. No shell is involved; to use one, write ``["sh", "-c", "…"]``.
        env: variables to add to the worker's environment.
        keep_urls: also pass on the variables with the URLs of board and broker, and their passwords: for a
            command that itself submits jobs.

    Raises:
        CommandError: the exit code is not 0; the message quotes the end of the output and says where it is.
        Fail: there is no such program on this node.
    """
    job = current_job()
    settings = get_settings()
    most = min(execution.TAIL_BYTES, settings.max_payload // 16)  # as JSON it may be six times as long
    try:
        with ExitStack() as stack:
            stack.enter_context(_output_in_log(job))
            completed = execution.run(
                argv,
                job.workdir,
                environment(job, env or {}, keep_urls),
                tail_bytes=most,
                grace=settings.kill_grace,
                on_started=lambda process: stack.enter_context(
                    warned_by(lambda: execution.terminate(process))
                ),
            )
    except (FileNotFoundError, PermissionError) as error:
        raise Fail(f"cannot run {argv[0]!r} here: {error.strerror}") from None
    if completed.exit_code != 0:
        raise CommandError(_failure(completed, job.workdir))
    return CommandResult(0, completed.output, str(job.workdir))


@workflow(name=functions.WORKFLOW)
def function(function: str, arguments: dict[str, Any], source: str = "") -> Any:
    """Call a function of the project that is not declared as a workflow. `simcelery.Executor` submits it.

    Parameters:
        function: its name, ``module:function``. The module must be below the project's folder, or be named
            in the settings.
        arguments: values by the names of its parameters.
        source: the fingerprint of the source that it was submitted with.
    """
    called = functions.defined(project.load(function), function, frozenset(arguments))
    return called(**arguments)


class CommandError(Exception):
    """A command exited with a code other than 0."""


def environment(job: CurrentJob, added: dict[str, str], keep_urls: bool) -> dict[str, str]:
    """The worker's environment without its passwords, and with the variables added for this command."""
    inherited = {name: value for name, value in os.environ.items() if keep_urls or name not in SECRETS}
    return {**inherited, "SIMCELERY_JOB_ID": str(job.id or ""), "PWD": str(job.workdir), **added}


@contextmanager
def _output_in_log(job: CurrentJob) -> Iterator[None]:
    """What the command prints is the log of its attempt; within another job, its end is added to that log."""
    if job.workflow == command.name and capture.read_instead(job.workdir / execution.OUTPUT):
        slots.mine.printing(OUTPUT_FILE)
        yield
        return
    try:
        yield
    finally:
        if job.id is not None and (text := execution.tail(job.workdir)):
            sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _failure(completed: execution.Completed, folder: Path) -> str:
    """The error message; its first line says what happened, for those who read only that."""
    lines = completed.output.rstrip().splitlines()
    last = f": {lines[-1].strip()[-_LINE_LENGTH:]}" if lines else ""
    where = f"its output is in {folder / execution.OUTPUT}"
    end = "\n".join(lines[-_ERROR_LINES:])[-_ERROR_LENGTH:]
    return f"exit code {completed.exit_code}{last}\n{where}" + (
        f", and ends:\n{end}" if len(lines) > 1 else ""
    )
