"""Run a program in the attempt's folder: write its input, run it, judge it, and read what it wrote."""

from __future__ import annotations

import inspect
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from simcelery.errors import ParametersError, UsageError
from simcelery.execution import capture, environment_modules
from simcelery.execution import command as execution
from simcelery.execution.usage import Meter
from simcelery.readable import short
from simcelery.settings import FIELDS, PREFIX, SETTINGS_FILE, get_settings, is_secret
from simcelery.worker import slots
from simcelery.worker.context import CurrentJob, current_claim, current_job
from simcelery.worker.programs import begun, restarting, verdict
from simcelery.worker.programs.correcting import Corrections
from simcelery.worker.programs.following import Follower
from simcelery.worker.programs.handlers import of_job
from simcelery.worker.programs.outputs import Outputs
from simcelery.worker.programs.program import Program
from simcelery.worker.programs.result import OWN, CommandResult
from simcelery.worker.programs.watching import Watch
from simcelery.worker.slots.layout import OUTPUT_FILE
from simcelery.worker.stopping import warned_by
from simcelery.workflows.outcomes import Fail
from simcelery.workflows.reading import Misread, strict

if TYPE_CHECKING:
    from simcelery.board.values import Claim

P = ParamSpec("P")

# What the worker itself may have its passwords from. A command that prints its environment, or hands it on to
# another service, is common; one that submits jobs is rare, and says so.
SECRETS = (
    *(PREFIX + name.upper() for name in FIELDS if is_secret(name)),
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


class WouldOverwriteError(UsageError):
    """A file of the input is there already, with something else in it."""


# Whether `run_command` only writes the input.
setup_only = False

# Whether the input may take the place of other files: the folder of an attempt is its own.
overwrite = True


def _takes(
    prepare: Callable[P, Program],
) -> Callable[[Callable[[Program], CommandResult]], Callable[P, CommandResult]]:
    """Makes a function of a program one of the program's own arguments, which so stand in one place only."""

    def decorate(function: Callable[[Program], CommandResult]) -> Callable[P, CommandResult]:
        @wraps(function)
        def prepared(*args: P.args, **kwargs: P.kwargs) -> CommandResult:
            try:
                program = prepare(*args, **kwargs)
            except ValueError as error:
                raise ParametersError(f"{function.__name__}: {error}") from None
            return function(program)

        signature = inspect.signature(prepare).replace(return_annotation="CommandResult")
        prepared.__signature__ = signature  # type: ignore[attr-defined]
        return prepared

    return decorate


@_takes(Program)
def run_command(program: Program) -> CommandResult:
    """Run a program within a workflow, in the attempt's own folder, and wait for its end.

    Whatever ends the attempt, a cancel, a time limit or the end of the worker, also ends the program and all
    that it started. Before the worker shuts down the program gets SIGTERM.

    Parameters:
        argv: the program and its arguments. No shell is involved; to use one, write ``["sh", "-c", "…"]``.
        files: the text of each file to write before, by its name in the folder.
        stdin: the name of a file in the folder to read from.
        expect: names of files that it has to write: each with something in it, in this run of the program.
        ok: a text that has to be in what it prints, or in one of these files.
        json: the name of a JSON file that it writes: its values are those of the result.
        env: variables to add to the worker's environment.
        keep_urls: also pass on the variables with the URLs of board and broker, and their passwords.
        handlers: what recognises errors, corrects the input, and lets the program run again: instances of
            subclasses of `Handler`, or handlers of custodian's.
        max_corrections: how many corrections the job may have, in all its attempts.
        allow: what corrections may change: ``"numerics"``, ``"physics"``.
        restart: names of files that are copied from the last attempt's folder, after `files` are written and
            if they are there: ``"WAVECAR"``, or ``"CONTCAR -> POSCAR"`` under another name. What that attempt
            did not write is taken as it began with it.
        stop_file: the name of a file that makes the program end. It is written when the worker is about to
            shut down, instead of sending SIGTERM. A program that was stopped so has not finished, whatever
            its exit code: the job is released.
        stop_text: what is in that file.
        modules: names of environment modules that are loaded for it, as `module load` does: ``gcc/12.2``.
            `env` is added afterwards.

    Raises:
        CommandError: it did not succeed; the message says why, quotes the end of the output and says where
            that is.
        Fail: there is no such program or no such module on this node, or no such file for its stdin.
        ParametersError: no program is named, a file's name leads out of the folder, or a handler cannot be
            used.
    """
    return run(program)


def run(program: Program) -> CommandResult:
    """Run it until it works, or nobody can correct it; raises as `run_command`."""
    job, claim = current_job(), current_claim()
    folder = job.workdir
    files = program.files or {}
    _write(files, folder)
    if setup_only:
        raise SetupOnly(program.argv, list(files))
    corrections = Corrections(claim, folder, program.max_corrections, program.allow)
    kept = _go_on(program, claim, folder, corrections)
    handlers = of_job(program.handlers)
    if handlers:
        corrections.begin()
    while True:
        watch, failure = Watch(handlers, folder, corrections.correct), None
        try:
            result = _run_once(program, job, folder, watch)
        except verdict.CommandError as error:
            failure = error
        stopped = job.should_stop()  # a program that was told to end has no error of its own
        if not stopped:
            watch.end()
        if watch.corrected and not stopped:
            _keep_output(folder)
        elif watch.refused and not stopped:
            raise verdict.CommandError("\n".join([*watch.refused, *([str(failure)] if failure else [])]))
        elif failure is not None:
            raise failure from watch.broken
        elif watch.broken is not None:
            raise watch.broken
        else:
            return replace(result, corrections=kept + corrections.made)


def _go_on(program: Program, claim: Claim | None, folder: Path, corrections: Corrections) -> int:
    """Go on from an earlier attempt, if one has left what is needed; how many corrections that one had.

    Whoever continues a corrected run needs its input: what is as it was submitted would fail in the same way
    again, or, worse, would not fit the state that is continued.
    """
    wanted = restarting.parsed(program.restart)
    found = restarting.continued(claim, wanted)
    kept = 0
    if found is not None:
        assert claim is not None
        attempt, source, files = found
        kept = corrections.kept_from(attempt)
        corrected: Sequence[str] = ()
        if kept:
            files, corrected = restarting.with_corrected(source, program.files or (), files)
        restarting.go_on(claim, attempt, source, files, folder, corrected)
    if claim is not None and wanted:
        begun.begins(folder, wanted)
    return kept


def _keep_output(folder: Path) -> None:
    """The next run writes its own."""
    number = 1
    while (kept := folder / f"output.{number}.txt").exists():
        number += 1
    (folder / execution.OUTPUT).rename(kept)


def _write(files: Mapping[str, str], folder: Path) -> None:
    if not overwrite:
        different = [name for name, text in files.items() if _is_other(folder / name, text)]
        if different:
            raise WouldOverwriteError(
                f"{', '.join(map(short, different))} in this folder would be overwritten: "
                "run in another folder, or add --force"
            )
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _is_other(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() != text.encode()
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _run_once(program: Program, job: CurrentJob, folder: Path, watch: Watch) -> CommandResult:
    settings = get_settings()
    if program.stdin and not (folder / program.stdin).is_file():
        raise Fail(f"stdin: there is no file {short(program.stdin)} in {folder}")
    variables = environment(job, program)
    outputs = Outputs(folder, program.wanted)
    meter, began = Meter(), time.monotonic()
    try:
        with ExitStack() as stack:
            follow = stack.enter_context(_output_in_log(job))

            def look(seconds: float) -> bool:
                follow()
                return watch.look(seconds)

            completed = execution.run(
                program.argv,
                folder,
                variables,
                stdin=folder / program.stdin if program.stdin else None,
                # As JSON it may be six times as long.
                tail_bytes=min(execution.TAIL_BYTES, settings.max_payload // 16),
                grace=settings.kill_grace,
                on_started=lambda process: stack.enter_context(
                    warned_by(lambda: _stop(program, folder, process))
                ),
                look=look,
            )
    except (FileNotFoundError, PermissionError) as error:
        raise Fail(f"cannot run {program.argv[0]!r} here: {error.strerror}") from None
    elapsed, usage = time.monotonic() - began, meter.read()
    if program.stop_file is not None and job.should_stop():
        raise SystemExit(f"it was stopped by {program.stop_file}")
    verdict.check(completed, folder / execution.OUTPUT, outputs, program.ok)
    return CommandResult(
        0,
        completed.output,
        str(folder),
        elapsed=round(elapsed, 3),
        cpu_seconds=round(usage.cpu_seconds, 3),
        peak_memory=usage.peak_memory,
        files=outputs.sizes(),
        values=_values(folder / program.json) if program.json else {},
    )


def _stop(program: Program, folder: Path, process: subprocess.Popen[bytes]) -> None:
    """The worker is about to shut down: have the program save its work and end."""
    if program.stop_file is None:
        execution.terminate(process)
    else:
        (folder / program.stop_file).write_text(program.stop_text, encoding="utf-8")


def environment(job: CurrentJob, program: Program) -> dict[str, str]:
    """The worker's environment without its passwords, with the program's modules, and with its own variables.

    Raises:
        Fail: a module cannot be loaded here.
    """
    inherited = {
        name: value for name, value in os.environ.items() if program.keep_urls or name.upper() not in SECRETS
    }
    if program.modules:
        try:
            inherited = environment_modules.loaded(program.modules, inherited)
        except environment_modules.ModulesError as error:
            raise Fail(str(error)) from None
    own = {"SIMCELERY_JOB_ID": str(job.id or ""), "PWD": str(job.workdir)}
    parents = job.parents
    told = {
        "SIMCELERY_PARENT_DIRS": os.pathsep.join(one.workdir for one in parents if one.workdir),
        "SIMCELERY_PARENT_STATES": " ".join(f"{one.id}={one.state}" for one in parents),
    }
    for name, text in told.items():
        if len(os.fsencode(text)) < _LONGEST_VARIABLE:
            own[name] = text
        else:
            log.warning("job %s: its parents are too many for %s", job.id, name)
    return {**inherited, **own, **(program.env or {})}


@contextmanager
def _output_in_log(job: CurrentJob) -> Iterator[Callable[[], None]]:
    """What the command prints is in the log of its attempt, as it prints it; gives what is called to look on.

    The log of a job that is a command is the file to which it prints; others print to theirs what is in it.
    """
    output = job.workdir / execution.OUTPUT
    if job.id is None:
        yield lambda: None
    elif job.workflow == "command" and capture.read_instead(output):
        slots.mine.printing(OUTPUT_FILE)
        yield lambda: None
    else:
        follower = Follower(output, get_settings().max_log)
        try:
            yield follower.follow
        finally:
            follower.end()


def _values(file: Path) -> dict[str, Any]:
    """What a program has written for us."""
    try:
        read = strict(file.read_text(encoding="utf-8"))
    except Misread as error:
        raise _unusable(file, f"cannot be used: {error}") from None
    except (OSError, ValueError) as error:
        raise _unusable(file, f"is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise _unusable(file, 'is not a JSON object: write one, such as {"energy": -3.2}')
    if taken := sorted(OWN & read.keys()):
        raise _unusable(file, f"has {taken[0]!r}, which every result has already: give it another name")
    return read


def _unusable(file: Path, why: str) -> verdict.CommandError:
    return verdict.CommandError(f"{file.name} {why}\nit is in {file}")
