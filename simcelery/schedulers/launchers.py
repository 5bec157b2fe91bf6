"""The schedulers by the names that they have in the settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from simcelery.schedulers.local import GRACE, Local
from simcelery.schedulers.options import value_of
from simcelery.schedulers.pbs import Pbs
from simcelery.schedulers.scheduler import Scheduler
from simcelery.schedulers.sge import Sge
from simcelery.schedulers.slurm import Slurm

LAUNCHERS = (Local.launcher, Slurm.launcher, Pbs.launcher, Sge.launcher)

_CLUSTER = ("-M", "--clusters", "--cluster")


def scheduler(launcher: str, folder: Path, options: Sequence[str] = (), *, grace: float = GRACE) -> Scheduler:
    """The scheduler of that name.

    Parameters:
        folder: where ``local`` keeps account of what it started.
        grace: seconds that ``local`` gives what it ends; others have settings of their own.
        options: those of all requests to it; for Slurm they may name one of several clusters.

    Raises:
        ValueError: there is no such launcher, or several clusters are named: a number says nothing then.
    """
    match launcher:
        case Local.launcher:
            return Local(folder, grace)
        case Slurm.launcher:
            return Slurm(_cluster(options))
        case Pbs.launcher:
            return Pbs()
        case Sge.launcher:
            return Sge()
    raise ValueError(f"{launcher!r} is no launcher: choose one of {', '.join(LAUNCHERS)}")


def _cluster(options: Sequence[str]) -> str | None:
    found, called = value_of(options, *_CLUSTER), "--clusters"
    if found is None:  # all of its commands but one obey this
        found, called = os.environ.get("SLURM_CLUSTERS") or None, "SLURM_CLUSTERS"
    if found is not None and (not found or "," in found or found == "all"):
        raise ValueError(f"{called}={found} does not name one cluster")
    return found
