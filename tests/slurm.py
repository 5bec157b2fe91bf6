"""Slurm, where a machine has it."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache


@cache  # one that is installed and does not run is waited for, for seconds
def answers() -> bool:
    """Whether there is a Slurm here, and it runs."""
    if shutil.which("sinfo") is None or shutil.which("sbatch") is None:
        return False
    return subprocess.run(["sinfo"], capture_output=True).returncode == 0
