"""Whether a program has done what it was run for, and if not, why: in its own words."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from pathlib import Path

from simcelery.errors import ITS_OUTPUT
from simcelery.execution import command as execution
from simcelery.worker.programs.outputs import Outputs

_ERROR_LINES, _ERROR_LENGTH = 20, 2000
_LINE_LENGTH = 500
_AT_ONCE = 1 << 20
_BY_SIGNAL = 128  # and its number: what a shell exits with, if a program of its was ended
_NOT_FOUND = 127  # what a shell, env, srun and mpirun exit with

# What MPI's launchers and Slurm say when a process of theirs has failed, whatever the reason.
_NOISE = re.compile(
    r"""^\W*$                                                     # rules of dashes and equals signs
    | \bMPI_ABORT\b | \bMPI_Abort\( | \bMPI_COMM_WORLD\b
    | ^(srun|slurmstepd|slurmd|prterun|prun|hydra_pmi_proxy)\b
    | ^(mpirun|mpiexec|orterun)\b.*(exited|exit\ code|noticed|non-zero|killed|terminated)
    | ^(Primary\ job|Per\ user-direction|a\ non-zero\ exit|the\ job\ to\ be|exactly\ when\ Open\ MPI)
    | ^(NOTE:\ invoking|You\ may\ or\ may\ not|\[.*\]\ \d+\ more\ process)
    | ^\s*(Process\ name:|Exit\ code:|Node:|with\ errorcode)
    | ^=\s+(BAD\ TERMINATION|PID|EXIT\ CODE|CLEANING\ UP|YOU\ CAN\ IGNORE|RANK|KILLED)
    | ^(YOUR\ APPLICATION\ TERMINATED|This\ typically\ refers|Please\ see\ the\ FAQ)
    | ^\[(mpiexec|proxy)[@:]""",
    re.VERBOSE | re.IGNORECASE,
)

# ERROR: …, KeyError: …; but no number, which is a measure of convergence.
_NAMES_ERROR = re.compile(r"^\W*(fatal )?error\b(?!\W*\d)|^\w*(Error|Exception)(:|$)", re.IGNORECASE)


class CommandError(Exception):
    """A command did not do what it was run for."""


class CommandMemoryError(CommandError, MemoryError):
    """The kernel killed a command, or a program that it had started, because memory ran out."""


def check(completed: execution.Completed, where: Path, outputs: Outputs, ok: str | None) -> None:
    """See that it succeeded.

    Parameters:
        where: the file with what it has printed.
        outputs: what it should have written.
        ok: a text that must be in what it has printed, or in one of these files.

    Raises:
        CommandError: it did not; the message says why, quotes the end of the output, and says where it is.
    """
    if completed.exit_code != 0:
        kind = CommandMemoryError if completed.killed_for_memory else CommandError
        raise kind(_exited(completed, where))
    if faults := outputs.faults():
        raise CommandError(_with_end("; ".join(faults), completed, where))
    files = [where, *outputs.files]
    if ok is not None and not any(_holds(file, ok.encode()) for file in files):
        named = " or ".join([where.name, *outputs.sizes()])
        raise CommandError(_with_end(f"there is no {ok!r} in {named}", completed, where))


def reason(lines: Iterable[str]) -> str:
    """The last line that names an error; if none does, the last one that says something.

    Some programs, LAMMPS for one, say what they were doing after they have said what is wrong.
    """
    said = [line.strip() for line in lines if line.strip()]
    own = [line for line in said if not _NOISE.search(line)] or said or [""]
    last = own[-_ERROR_LINES:]
    named = [n for n, line in enumerate(last) if _NAMES_ERROR.search(line)] or [len(last) - 1]
    found = last[named[-1]]
    if found.endswith(":") and last[-1] is not found:  # it says so on the next line
        found = f"{found} {last[named[-1] + 1]}"
    return found[-_LINE_LENGTH:]


def _exited(completed: execution.Completed, where: Path) -> str:
    last = reason(completed.output.splitlines())
    first = _end(completed.exit_code) + (f": {last}" if last else "")
    if completed.killed_for_memory:
        first += " (the kernel killed it because memory ran out: give it more, or its worker fewer slots)"
    if completed.exit_code == _NOT_FOUND:
        first += " (a program that it runs is not installed on this node, or not on its PATH)"
    return _with_end(first, completed, where)


def _end(code: int) -> str:
    if code < 0:
        return f"ended by {_signal(-code) or f'signal {-code}'}"
    name = _signal(code - _BY_SIGNAL)
    return f"exit code {code}" + (f" ({name})" if name else "")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _with_end(first: str, completed: execution.Completed, where: Path) -> str:
    """The error message; its first line says what happened, for those who read only that."""
    lines = completed.output.rstrip().splitlines()
    end = "\n".join(lines[-_ERROR_LINES:])[-_ERROR_LENGTH:]
    return f"{first}{ITS_OUTPUT}{where}" + (f", and ends:\n{end}" if len(lines) > 1 else "")


def _holds(file: Path, text: bytes) -> bool:
    """Whether a file, of any size, has a text in it."""
    try:
        with file.open("rb") as opened:
            kept = b""
            while read := opened.read(_AT_ONCE):
                if text in kept + read:
                    return True
                kept = read[-len(text) :]
    except OSError:
        pass
    return False
