"""The script of `simcelery demo`: submit the jobs, follow them and collect their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from simcelery.demo.reference import FCC_METALS
from simcelery.demo.results import EquationOfState
from simcelery.demo.workers import log_of
from simcelery.errors import ServiceError, UsageError, WaitTimeoutError

if TYPE_CHECKING:
    from simcelery import Job
    from simcelery.demo.place import Place

TAG = "demo"
_LOOK_EVERY = 0.2


def require_extras() -> None:
    """Refuse to start if packages that the demo needs are missing.

    Raises:
        UsageError: ASE or matplotlib is missing.
    """
    missing = [name for name in ("ase", "matplotlib") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the demo needs {' and '.join(missing)}, not installed here: run pip install 'simcelery[demo]'"
        )


def submit(points: int = 9, span: float = 0.05) -> dict[str, Job]:
    """Submit the equations of state of the seven metals.

    Returns:
        The fit's job for each metal. Each depends on `points` jobs of ``emt.strained``; all are tagged
        ``demo`` and with the metal's symbol.
    """
    from simcelery.demo.workflows import submit_equation_of_state

    return {
        metal: submit_equation_of_state(metal, points=points, span=span, tags=(TAG, metal))
        for metal in FCC_METALS
    }


def follow(
    ids: Sequence[int],
    place: Place,
    report: Callable[[int], None],
    timeout: float,
) -> None:
    """Wait until all jobs have finished; `report` is called with the number finished so far.

    Raises:
        ServiceError: all workers ended before the jobs did.
        WaitTimeoutError: the jobs did not finish within `timeout` seconds.
    """
    from simcelery.board import engine, reads

    deadline = time.monotonic() + timeout
    while True:
        with engine.begin() as connection:
            finished = len(reads.finished_among(connection, ids))
        report(finished)
        if finished == len(ids):
            return
        if all(worker.poll() is not None for worker in place.workers):
            raise ServiceError(f"the workers have ended: {_last_line(log_of(place.home, 1))}")
        if time.monotonic() > deadline:
            raise WaitTimeoutError(f"{len(ids) - finished} jobs have not finished after {timeout:g} s")
        time.sleep(_LOOK_EVERY)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "their logs are empty")


def collect(jobs: Mapping[str, Job], timeout: float | None = None) -> dict[str, EquationOfState]:
    """Wait for the fits, at most `timeout` seconds for each, and return them by metal.

    Raises:
        JobError: a job did not succeed, or did not finish in time.
    """
    return {metal: job.result(timeout=timeout) for metal, job in jobs.items()}


def all_ids(fits: Mapping[str, Job]) -> list[int]:
    """The ids of the fits and of the jobs that they depend on."""
    from simcelery.board import engine, reads

    with engine.begin() as connection:
        parents = [number for job in fits.values() for number in reads.parents_of(connection, job.id).ids]
    return sorted({*parents, *(job.id for job in fits.values())})
