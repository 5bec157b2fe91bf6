"""Ask a scheduler: one command, no shell, no input, and an answer in time or none."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from simcelery.errors import ServiceError, UsageError
from simcelery.readable import line

TIMEOUT = 30.0  # seconds
_LONGEST = 500  # characters of a message

# What filters or formats the answers of the commands according to somebody's taste.
_TASTES = ("SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_", "SLURM_TIME_FORMAT")
# Schedulers keep the environment of what is submitted in their records, where no password may be; and what is
# submitted in an attempt does not belong to it. The script has what workers need.
_OURS = "SIMCELERY_"


class Refused(UsageError):
    """The scheduler said no; the message says why.

    Nothing runs or will. Slurm may nevertheless list a batch job of that name, which has failed at once.
    """


class Unknown(ServiceError):
    """The scheduler did not answer in time, or not properly: what was asked of it may be done or not."""


@dataclass(frozen=True)
class Answer:
    """What a command said until its end."""

    command: str
    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """What it says is wrong, in one line, without its name before each sentence."""
        said = self.err.splitlines() + self.out.splitlines()
        lines = [line(text).strip() for text in said if text.strip()]
        begin = re.compile(rf"({re.escape(self.command)}: )?((error|fatal): )?")
        return (
            "; ".join(begin.sub("", text, count=1) for text in lines)[:_LONGEST] or f"exit code {self.code}"
        )


def ask(*command: str, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Answer:
    """Start the command and wait for its end.

    It runs in a session of its own, of which nothing is left when the time is over.

    Parameters:
        environment: by default `for_questions`.
        folder: in which it runs; this process stays in its own.

    Raises:
        Unknown: it cannot be started, or has not answered in time.
    """
    name = command[0]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=for_questions() if environment is None else environment,
            cwd=folder,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise Unknown(f"cannot run {name}: {error}") from None
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        out, err = _late(process, name)
    except BaseException:
        _end(process)
        raise
    return Answer(name, process.returncode, _text(out), _text(err))


def _late(process: subprocess.Popen[bytes], name: str) -> tuple[bytes, bytes]:
    """End it; what it left behind may have held its output open, though it had answered."""
    answered = _has_ended(process.pid)
    _end(process)
    # One that is stuck in the kernel, on a file system that is away, does not even end now.
    with suppress(subprocess.TimeoutExpired):
        answer = process.communicate(timeout=1)
        if answered:
            return answer
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    raise Unknown(f"{name} has not answered within {TIMEOUT:g} s")


def _has_ended(pid: int) -> bool:
    """Looked at without collecting it, so that its number stays its own; not everywhere can that be done."""
    return (
        hasattr(os, "waitid") and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(output: bytes) -> str:
    return output.decode(errors="backslashreplace")


def for_questions() -> dict[str, str]:
    """The environment in which answers are read by us: plain words, times in UTC, nothing left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_TASTES)}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def for_new_jobs(*without: str, keeping: tuple[str, ...] = ()) -> dict[str, str]:
    """The environment from which a batch job inherits: the caller's, but nothing of its own place or of ours.

    Parameters:
        without: how the names of further variables begin that are not handed on.
        keeping: those of them that are.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((_OURS, *without)) or name in keeping
    }
