"""What is asked of a scheduler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Request:
    """One allocation that is to be submitted: a script on some nodes.

    Attributes:
        name: holds what nobody else's name does, so that it can be found by it: ``simcelery-gpu-1f2e3d4c``.
        script: the file to submit; absolute.
        folder: where its output goes, to ``<name>.out``, stdout and stderr together; absolute. The script
            runs in it; only with PBS it begins in the home folder, and ``PBS_O_WORKDIR`` names this one.
        walltime: seconds; None: as long as the scheduler gives by itself.
        nodes: how many.
        cores, memory, gpus: on each of them; memory in bytes. None: what the scheduler gives by itself.
        partition: or queue.
        account: or project.
        exclude: hosts on which it must not run, as the scheduler calls them, where it has such a thing.
        options: more options for the command that submits, verbatim; they come last, so they win.

    Raises:
        ValueError: schedulers do not keep such a name as it is, or a number is not positive.
    """

    name: str
    script: Path
    folder: Path
    walltime: float | None = None
    nodes: int = 1
    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    partition: str | None = None
    account: str | None = None
    exclude: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no scheduler would take."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a batch job: letters, digits, '_', '.' and '-'")
        if any(number is not None and number <= 0 for number in self._numbers()):
            raise ValueError("walltime, nodes, cores, memory and gpus are positive numbers")

    def _numbers(self) -> tuple[float | None, ...]:
        return self.walltime, self.nodes, self.cores, self.memory, self.gpus

    @property
    def output(self) -> Path:
        """The file of its output."""
        return self.folder / f"{self.name}.out"


def clock(seconds: float) -> str:
    """``HH:MM:SS``, as all schedulers read it, rounded up; there may be more than 99 hours."""
    whole = int(-(-seconds // 1))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def mebibytes(count: int) -> int:
    """Bytes in MiB, rounded up."""
    return -(-count // 2**20)
