"""How many threads numerical libraries may start in each pool child."""

from __future__ import annotations

import os


def limit_threads(concurrency: int | None) -> None:
    """Give each pool child its share of the cores, before numpy is imported and starts its threads.

    As many threads as cores in every child would make small linear algebra many times slower. If
    ``OMP_NUM_THREADS`` (or a library's own variable) is set, it is left alone.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "OMP_NUM_THREADS" in os.environ:
        return
    share = str(max(1, cores // (concurrency or cores)))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, share)
