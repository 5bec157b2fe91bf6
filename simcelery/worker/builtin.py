"""The workflow that comes with simcelery: run a command."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass

from simcelery.execution import command as execution
from simcelery.settings import get_settings
from simcelery.submission.workflow import workflow
from simcelery.worker.context import current_job
from simcelery.worker.stopping import warned_by
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

    When its worker is about to end, the command gets SIGTERM and the grace period to save its work; however
    it ends then, short of an exit code of 0, it is released and runs again elsewhere.

    Parameters:
        argv: the program and its arguments. No shell is involved; ask for one with ``["sh", "-c", "…"]``.
        env: variables added to the worker's environment.

    Raises:
        CommandError: the exit code is not 0; the message ends with the last line of output.
        Fail: there is no such program on this node.
    """
    job = current_job()
    environment = {**os.environ, "SIMCELERY_JOB_ID": str(job.id or ""), **(env or {})}
    grace = get_settings().kill_grace
    try:
        with ExitStack() as stack:
            completed = execution.run(
                argv,
                job.workdir,
                environment,
                grace=grace,
                on_started=lambda process: stack.enter_context(
                    warned_by(lambda: execution.terminate(process))
                ),
            )
    except (FileNotFoundError, PermissionError) as error:
        raise Fail(f"cannot run {argv[0]!r} here: {error.strerror}") from None
    if completed.exit_code != 0:
        lines = completed.output.strip().splitlines()
        raise CommandError(f"exit code {completed.exit_code}" + (f": {lines[-1]}" if lines else ""))
    return CommandResult(0, completed.output, str(job.workdir))


class CommandError(Exception):
    """A command ended with an exit code other than 0."""
