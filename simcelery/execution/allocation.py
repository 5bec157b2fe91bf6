"""The batch job of a scheduler in which this worker runs, according to its environment."""

from __future__ import annotations

import math
import os
import subprocess
import time

from simcelery.quantities import parse_duration
from simcelery.settings import Settings

NAME = "SIMCELERY_ALLOCATION"  # the variable
_MARGIN = 10.0  # seconds for the last writes before it ends
_TIMEOUT = 20.0  # seconds
_ID_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")


def scheduler_job_id() -> str | None:
    """The scheduler's number of the allocation, or None outside of one."""
    return next(filter(None, map(os.environ.get, _ID_VARIABLES)), None)


def name() -> str | None:
    """The name under which a cluster has submitted the allocation, or None: somebody else started this."""
    return os.environ.get(NAME) or None


def seconds_left() -> float | None:
    """How long the allocation still lasts, or None where no scheduler says so.

    Slurm gives the Unix time of the end (``SLURM_JOB_END_TIME``); versions that do not are asked. PBS gives
    the length of the allocation (``PBS_WALLTIME``, seconds), which is counted from now: a worker is the first
    thing that a job script starts.
    """
    if end := _number("SLURM_JOB_END_TIME"):
        return max(0.0, end - time.time())
    if "SLURM_JOB_ID" in os.environ:
        return _ask_slurm(os.environ["SLURM_JOB_ID"])
    return _number("PBS_WALLTIME")


def before_warning(walltime: float, settings: Settings) -> float:
    """Seconds from the start until the jobs must be warned; at least half of the walltime."""
    return max(walltime - settings.shutdown_grace - settings.kill_grace - _MARGIN, walltime / 2)


def _ask_slurm(job_id: str) -> float | None:
    """Once, when the worker starts: a thousand workers that ask again would burden the scheduler."""
    command = ["squeue", "--noheader", "--jobs", job_id, "--format", "%L"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    left = asked.stdout.strip()
    try:
        return parse_duration(left if left.count(":") != 1 else f"0:{left}")
    except ValueError:  # UNLIMITED
        return None


def _number(name: str) -> float | None:
    try:
        number = float(os.environ[name])
    except (KeyError, ValueError):
        return None
    return number if math.isfinite(number) else None
