"""What a job has of its node: how many threads numerical libraries may start, and which GPUs it sees."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcelery.board.values import Claim

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# HIP counts only what ROCm shows it.
_DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_AMONG_THESE = "HIP_VISIBLE_DEVICES"


def limit_threads(concurrency: int | None) -> None:
    """Give each pool child its share of the cores, before numpy is imported and starts its threads.

    As many threads as cores in every child would make small linear algebra many times slower. If
    ``OMP_NUM_THREADS`` (or a library's own variable) is set, it is left alone.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "OMP_NUM_THREADS" in os.environ:
        return
    share = str(max(1, cores // (concurrency or cores)))
    for name in _THREADS:
        os.environ.setdefault(name, share)


@contextmanager
def granted(claim: Claim) -> Iterator[None]:
    """Within the block, this process and what it starts see what the job was given; the rest is as always."""
    given = _threads(claim.cores) | _devices(claim.gpus)
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        with _in_loaded_libraries(claim.cores):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _threads(cores: int | None) -> dict[str, str]:
    return dict.fromkeys(_THREADS, str(cores)) if cores else {}


def _devices(gpus: Sequence[str]) -> dict[str, str]:
    if not gpus:
        return {}
    return dict.fromkeys(_DEVICES, ",".join(gpus)) | {_AMONG_THESE: ",".join(map(str, range(len(gpus))))}


@contextmanager
def _in_loaded_libraries(cores: int | None) -> Iterator[None]:
    """What was imported before has read its variables; threadpoolctl, if it is installed, tells it anew."""
    if not cores or "numpy" not in sys.modules:
        yield
        return
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-not-found]
    except ImportError:
        yield
        return
    with threadpool_limits(cores):
        yield
