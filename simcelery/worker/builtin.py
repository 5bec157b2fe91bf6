"""The workflows that come with simcelery: run a command, and call a function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from simcelery import workflow
from simcelery.execution import environment_modules
from simcelery.worker.context import current_job
from simcelery.worker.programs import CommandError, CommandResult, run_command
from simcelery.workflows import functions, project
from simcelery.workflows.paths import inside

FileName = Annotated[str, AfterValidator(inside)]
ModuleName = Annotated[str, AfterValidator(environment_modules.named)]


@workflow(name="command")
def command(
    argv: list[str],
    env: dict[str, str] | None = None,
    keep_urls: bool = False,
    files: dict[FileName, str] | None = None,
    stdin: FileName | None = None,
    expect: list[FileName] | None = None,
    ok: str | None = None,
    json: FileName | None = None,
    artifacts: list[FileName] | None = None,
    modules: list[ModuleName] | None = None,
) -> CommandResult:
    """Run a command in the job's own folder. An exit code other than 0 is a failure.

    If its worker is about to shut down, the command gets SIGTERM and has the grace period to save its work.
    Unless it then exits with 0, it is released and runs again elsewhere.

    Parameters:
        argv: the program and its arguments. No shell is involved; to use one, write ``["sh", "-c", "…"]``.
        env: variables to add to the worker's environment.
        keep_urls: also pass on the variables with the URLs of board and broker, and their passwords: for a
            command that itself submits jobs.
        files: the text of each file to write into the folder before, by its name.
        stdin: the name of one of these files, for the command to read from.
        expect: names of files that it has to write: each with something in it, in this run.
        ok: a text that has to be in what it prints, or in one of these files.
        json: the name of a JSON file that it writes, whose values become part of the result.
        artifacts: files that it leaves, to be registered: names, or patterns such as ``*.nc``, each of which
            has to match some file.
        modules: names of environment modules to load for it, as `module load` does, before `env` is added.

    Raises:
        CommandError: it did not succeed; the message quotes the end of the output and says where it is.
        Fail: there is no such program, or no such module, on this node.
    """
    result = run_command(
        argv,
        files=files,
        stdin=stdin,
        expect=expect or (),
        ok=ok,
        json=json,
        env=env,
        keep_urls=keep_urls,
        modules=modules or (),
    )
    for pattern in artifacts or ():
        found = sorted(one for one in Path(result.workdir).glob(pattern) if one.is_file())
        if not found:
            raise CommandError(f"it left no file {pattern}; its folder is {result.workdir}")
        for one in found:
            current_job().artifact(one)
    return result


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
