"""Whether a program has worked, and the reason in its own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcelery.execution.command import OUTPUT, Completed
from simcelery.worker.programs import verdict
from simcelery.worker.programs.outputs import Outputs
from simcelery.worker.programs.verdict import CommandError

OPEN_MPI = """\
ERROR: Lost atoms: original 4000 current 3998 (src/thermo.cpp:488)
Last command: run 1000
--------------------------------------------------------------------------
MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD
with errorcode 1.

NOTE: invoking MPI_ABORT causes Open MPI to kill all MPI processes.
You may or may not see output from other processes, depending on
exactly when Open MPI kills them.
--------------------------------------------------------------------------
[node1:12345] 3 more processes have sent help message help-mpi-api.txt / mpi-abort
"""
OPEN_MPI_EXIT = """\
Error in routine cdiaghg (1): S matrix not positive definite
--------------------------------------------------------------------------
Primary job  terminated normally, but 1 process returned
a non-zero exit code. Per user-direction, the job has been aborted.
--------------------------------------------------------------------------
--------------------------------------------------------------------------
mpirun detected that one or more processes exited with non-zero status, thus causing
the job to be terminated. The first process to do so was:

  Process name: [[61374,1],0]
  Exit code:    2
--------------------------------------------------------------------------
"""
MPICH = """\
VERY BAD NEWS! internal error in subroutine SGRCON: Found some non-integer element
application called MPI_Abort(MPI_COMM_WORLD, 1) - process 0

===================================================================================
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   PID 4242 RUNNING AT node1
=   EXIT CODE: 1
=   CLEANING UP REMAINING PROCESSES
=   YOU CAN IGNORE THE BELOW CLEANUP MESSAGES
===================================================================================
YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Hangup (signal 1)
"""
SLURM = """\
 Error: convergence NOT achieved after 100 iterations: stopping
srun: error: node1: task 0: Exited with exit code 3
srun: Terminating StepId=4.0
slurmstepd: error: *** STEP 4.0 ON node1 CANCELLED AT 2026-01-01T00:00:00 ***
"""


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (OPEN_MPI, "ERROR: Lost atoms: original 4000 current 3998 (src/thermo.cpp:488)"),
        (OPEN_MPI_EXIT, "Error in routine cdiaghg (1): S matrix not positive definite"),
        (MPICH, "VERY BAD NEWS! internal error in subroutine SGRCON: Found some non-integer element"),
        (SLURM, "Error: convergence NOT achieved after 100 iterations: stopping"),
        ("one\ntwo\n\n", "two"),
        (
            "Fatal error:\nThe box is too small\nFor more information see the website\n",
            "Fatal error: The box is too small",
        ),
        ("ERROR:root:bad input\nTraceback (most recent call last):\nKeyError: 'x'\n", "KeyError: 'x'"),
        ("error = 0.01\nerror 1e-3\ngiving up\n", "giving up"),
        (
            "srun: error: node1: task 0: Exited with exit code 3\n",
            "srun: error: node1: task 0: Exited with exit code 3",
        ),
        ("", ""),
    ],
)
def test_the_reason_is_the_programs_own(printed: str, reason: str) -> None:
    assert verdict.reason(printed.splitlines()) == reason


def judged(
    folder: Path,
    code: int = 0,
    printed: str = "",
    written: dict[str, str] | None = None,
    ok: str | None = None,
) -> str:
    """The message of the error, or nothing; what it writes is what it has to write."""
    (folder / OUTPUT).write_text(printed)
    outputs = Outputs(folder, written or {})
    for name, text in (written or {}).items():
        (folder / name).write_text(text)
    try:
        verdict.check(Completed(code, printed), folder / OUTPUT, outputs, ok)
    except CommandError as error:
        return str(error)
    return ""


def test_an_exit_code_is_told_with_the_last_line_and_the_end(tmp_path: Path) -> None:
    said = judged(tmp_path, 2, "first\nsecond\n")
    assert said == f"exit code 2: second\nits output is in {tmp_path / OUTPUT}, and ends:\nfirst\nsecond"


def test_a_program_within_a_script_that_is_not_there_is_named_as_missing(tmp_path: Path) -> None:
    said = judged(tmp_path, 127, "sh: 1: lmp: not found\n")
    assert said.startswith(
        "exit code 127: sh: 1: lmp: not found "
        "(a program that it runs is not installed on this node, or not on its PATH)\n"
    )


def test_the_text_may_be_in_the_output_or_in_a_file(tmp_path: Path) -> None:
    assert judged(tmp_path, printed="x\nTotal wall time: 0:01\n", ok="Total wall time") == ""
    log = {"log": "Total wall time"}
    assert judged(tmp_path, written=log, ok="Total wall time") == ""
    said = judged(tmp_path, printed="x", written=log, ok="JOB DONE")
    assert said.startswith("there is no 'JOB DONE' in output.txt or log\n")


@pytest.mark.parametrize("at", [0, (1 << 20) - 4, (1 << 20) - 1, 3_000_000])
def test_the_text_is_found_wherever_it_stands_in_a_large_file(tmp_path: Path, at: int) -> None:
    log = {"log": "x" * at + "JOB DONE" + "x" * 2_000_000}
    assert judged(tmp_path, written=log, ok="JOB DONE") == ""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-11, "ended by SIGSEGV"),
        (-9, "ended by SIGKILL"),
        (-35, "ended by signal 35"),
        (139, "exit code 139 (SIGSEGV)"),
        (137, "exit code 137 (SIGKILL)"),
        (128, "exit code 128"),
        (250, "exit code 250"),
        (1, "exit code 1"),
    ],
)
def test_a_signal_is_named(tmp_path: Path, code: int, said: str) -> None:
    """A shell exits with 128 and its number."""
    assert judged(tmp_path, code, "x\n") == f"{said}: x\nits output is in {tmp_path / OUTPUT}"
    assert judged(tmp_path, code).splitlines()[0] == said
