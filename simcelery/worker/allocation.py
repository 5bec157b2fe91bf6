"""The batch job of a scheduler inside which this worker runs, as its environment tells of it."""

from __future__ import annotations

import os
import time

_ID_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")


def scheduler_job_id() -> str | None:
    """The scheduler's number of the allocation, or None outside of one."""
    return next(filter(None, map(os.environ.get, _ID_VARIABLES)), None)


def seconds_left() -> float | None:
    """How long the allocation still lasts, where the scheduler says so in the environment.

    Slurm gives the Unix time of the end (``SLURM_JOB_END_TIME``), PBS the length of the allocation
    (``PBS_WALLTIME``, seconds), which is counted from now: a worker is the first thing that a job script
    starts.
    """
    if end := _number("SLURM_JOB_END_TIME"):
        return max(0.0, end - time.time())
    return _number("PBS_WALLTIME")


def _number(name: str) -> float | None:
    try:
        return float(os.environ[name])
    except (KeyError, ValueError):
        return None
