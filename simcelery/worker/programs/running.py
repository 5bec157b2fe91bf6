"""Run a program in the attempt's folder: write its input, run it, judge it, and read what it wrote."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcelery.errors import ParametersError
from simcelery.execution import capture
from simcelery.execution import command as execution
from simcelery.execution.usage import Meter
from simcelery.settings import SETTINGS_FILE, get_settings
from simcelery.worker import slots
from simcelery.worker.context import CurrentJob, current_job
from simcelery.worker.programs import verdict
from simcelery.worker.slots.layout import OUTPUT_FILE
from simcelery.worker.stopping import warned_by
from simcelery.workflows.outcomes import Fail
from simcelery.workflows.paths import inside

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


_LONGEST_VARIABLE = 128 * 1024 - 100  # bytes of one, with its name, on Linux

log = logging.getLogger(__name__)


class SetupOnly(BaseException):
    """The input of a program is written, and no more was wanted."""

    def __init__(self, argv: Sequence[str], names: Sequence[str]) -> None:
        super().__init__("only the input was wanted")
        self.argv = argv
        self.names = names


# Whether `run_command` only writes the input.
setup_only = False


@dataclass(frozen=True)
class CommandResult:
    """A command that succeeded.

    Attributes:
        exit_code: 0.
        output: the last 200 lines of stdout and stderr together, at most 64 KiB.
        workdir: the folder in which it ran; its complete output is in ``output.txt`` there.
        elapsed: how long it ran, in seconds.
        cpu_seconds: of the command and its processes.
        peak_memory: bytes of its largest process, or of the worker's, if that is larger.
        files: the size in bytes of each file that it was expected to write.
        values: what was read from its JSON file; on the board they stand beside the others.
    """

    exit_code: int
    output: str
    workdir: str
    elapsed: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    files: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """One of the values, or of what every result has."""
        return self.as_dict()[name]

    def as_dict(self) -> dict[str, Any]:
        """The form of it on the board."""
        own = {name: value for name, value in self.__dict__.items() if name != "values"}
        return self.values | own

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CommandResult:
        """From its form on the board."""
        own = {name: stored[name] for name in OWN if name in stored}
        return cls(**own, values={name: value for name, value in stored.items() if name not in OWN})


OWN = frozenset(CommandResult.__dataclass_fields__) - {"values"}


def run_command(
    argv: Sequence[str],
    *,
    files: Mapping[str, str] | None = None,
    stdin: str | None = None,
    expect: Sequence[str] = (),
    ok: str | None = None,
    json: str | None = None,
    env: Mapping[str, str] | None = None,
    keep_urls: bool = False,
) -> CommandResult:
    """Run a program within a workflow, in the attempt's own folder, and wait for its end.

    Whatever ends the attempt, a cancel, a time limit or the end of the worker, also ends the program and all
    that it started. Before the worker shuts down the program gets SIGTERM.

    Parameters:
        argv: the program and its arguments. No shell is involved; to use one, write ``["sh", "-c", "…"]``.
        files: the text of each file to write before, by its name in the folder.
        stdin: the name of a file in the folder to read from.
        expect: names of files that it has to write.
        ok: a text that has to be in what it prints, or in one of these files.
        json: the name of a JSON file that it writes: its values are those of the result.
        env: variables to add to the worker's environment.
        keep_urls: also pass on the variables with the URLs of board and broker, and their passwords.

    Raises:
        CommandError: it did not succeed; the message says why, quotes the end of the output and says where
            that is.
        Fail: there is no such program on this node.
        ParametersError: a file's name leads out of the folder, or a name in the JSON file is one of the
            result's own.
    """
    job, settings = current_job(), get_settings()
    folder = job.workdir
    written = dict(files or {})
    for name in [*written, *expect, *filter(None, [stdin, json])]:
        try:
            inside(name)
        except ValueError as error:
            raise ParametersError(f"run_command: {error}") from None
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if setup_only:
        raise SetupOnly(argv, list(written))
    # As JSON it may be six times as long.
    most = min(execution.TAIL_BYTES, settings.max_payload // 16)
    meter, began = Meter(), time.monotonic()
    try:
        with ExitStack() as stack:
            stack.enter_context(_output_in_log(job))
            completed = execution.run(
                argv,
                folder,
                environment(job, env or {}, keep_urls),
                stdin=folder / stdin if stdin else None,
                tail_bytes=most,
                grace=settings.kill_grace,
                on_started=lambda process: stack.enter_context(
                    warned_by(lambda: execution.terminate(process))
                ),
            )
    except (FileNotFoundError, PermissionError) as error:
        raise Fail(f"cannot run {argv[0]!r} here: {error.strerror}") from None
    elapsed, usage = time.monotonic() - began, meter.read()
    wanted = [*expect, *([json] if json and json not in expect else [])]
    verdict.check(completed, folder, execution.OUTPUT, wanted, ok)
    return CommandResult(
        0,
        completed.output,
        str(folder),
        round(elapsed, 3),
        round(usage.cpu_seconds, 3),
        usage.peak_memory,
        {name: (folder / name).stat().st_size for name in wanted},
        _values(folder / json) if json else {},
    )


def environment(job: CurrentJob, added: Mapping[str, str], keep_urls: bool) -> dict[str, str]:
    """The worker's environment without its passwords, and with the variables added for this command."""
    inherited = {name: value for name, value in os.environ.items() if keep_urls or name not in SECRETS}
    own = {"SIMCELERY_JOB_ID": str(job.id or ""), "PWD": str(job.workdir)}
    folders = os.pathsep.join(map(str, job.parent_dirs))
    if len(os.fsencode(folders)) < _LONGEST_VARIABLE:
        own["SIMCELERY_PARENT_DIRS"] = folders
    else:
        log.warning("job %s: its parents' folders are too many for SIMCELERY_PARENT_DIRS", job.id)
    return {**inherited, **own, **added}


@contextmanager
def _output_in_log(job: CurrentJob) -> Iterator[None]:
    """What the command prints is the log of its attempt; within another job, its end is added to that log."""
    if job.workflow == "command" and capture.read_instead(job.workdir / execution.OUTPUT):
        slots.mine.printing(OUTPUT_FILE)
        yield
        return
    try:
        yield
    finally:
        if job.id is not None and (text := execution.tail(job.workdir)):
            sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _values(file: Path) -> dict[str, Any]:
    """What a program has written for us."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable(file, f"is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise _unusable(file, 'is not a JSON object: write one, such as {"energy": -3.2}')
    if taken := sorted(OWN & read.keys()):
        raise _unusable(file, f"has {taken[0]!r}, which every result has already: give it another name")
    return read


def _unusable(file: Path, why: str) -> verdict.CommandError:
    return verdict.CommandError(f"{file.name} {why}\nit is in {file}")
