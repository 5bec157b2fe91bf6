"""What the parent process says of a pool child that died."""

from __future__ import annotations

from billiard.exceptions import WorkerLostError

from simcelery.worker.parent.request import why


def test_the_number_that_billiard_gives_a_job_is_left_out() -> None:
    error = WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 1.")
    assert why(error) == "Worker exited prematurely: signal 9 (SIGKILL)"
    assert why(SystemExit(3)) == "3"
