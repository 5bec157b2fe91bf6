"""The workflow that comes with simcelery: run a command."""

from __future__ import annotations

import os
from dataclasses import dataclass

from simcelery.execution import command as execution
from simcelery.submission.workflow import workflow
from simcelery.worker.context import current_job
from simcelery.workflows.outcomes import Fail


@dataclass(frozen=True)
class CommandResult:
    """A command that succeeded.

    Attributes:
        exit_code: 0.
        output: the last 200 lines that it printed, both streams together.
        workdir: the folder in which it ran; its whole output is in ``output.txt`` there.
    """

    exit_code: int
    output: str
    workdir: str


@workflow(name="command")
def command(argv: list[str], env: dict[str, str] | None = None) -> CommandResult:
    """Run a command in the job's own folder. An exit code other than 0 is a failure.

    Parameters:
        argv: the program and its arguments. No shell is involved; ask for one with ``["sh", "-c", "…"]``.
        env: variables added to the worker's environment.

    Raises:
        CommandError: the exit code is not 0; the message ends with the last line of output.
        Fail: there is no such program on this node.
    """
    job = current_job()
    environment = {**os.environ, "SIMCELERY_JOB_ID": str(job.id or ""), **(env or {})}
    try:
        completed = execution.run(argv, job.workdir, environment)
    except (FileNotFoundError, PermissionError) as error:
        raise Fail(f"cannot run {argv[0]!r} here: {error.strerror}") from None
    if completed.exit_code != 0:
        lines = completed.output.strip().splitlines()
        raise CommandError(f"exit code {completed.exit_code}" + (f": {lines[-1]}" if lines else ""))
    return CommandResult(0, completed.output, str(job.workdir))


class CommandError(Exception):
    """A command ended with an exit code other than 0."""
