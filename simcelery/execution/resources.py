"""What this node, or the allocation that this process runs in, has for jobs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psutil

from simcelery.execution import memory
from simcelery.needs import Room
from simcelery.settings import Settings

_PATIENCE = 20.0  # seconds
_MIB = 2**20
# What schedulers, containers and people set; the first that is there counts.
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_ALLOCATED = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "GPU_DEVICE_ORDINAL")


def room(settings: Settings) -> Room:
    """What settings say of it, else what this process may use."""
    return Room(
        cores=settings.cores or cores(),
        memory=settings.memory or total_memory(),
        gpus=gpus() if settings.gpus is None else _devices(settings.gpus),
    )


def cores() -> int:
    """How many cores this process may use: by its affinity, its control group and Slurm."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([known, *_quotas(), *_numbers("SLURM_CPUS_ON_NODE")])))


def total_memory() -> int:
    """Bytes of memory that this process may use: of the node, its control group and Slurm's allocation."""
    allocated = [_MIB * number for number in _numbers("SLURM_MEM_PER_NODE")]
    for each in _numbers("SLURM_MEM_PER_CPU"):
        allocated += [_MIB * each * count for count in _numbers("SLURM_CPUS_ON_NODE")]
    return int(min([psutil.virtual_memory().total, *_memory_limits(), *allocated]))


def gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    for name in (*_VISIBLE, *_ALLOCATED):
        if name in os.environ:
            return _devices(os.environ[name])
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        return _devices(",".join(told.stdout.split()))
    return []


def _devices(text: str) -> list[str]:
    """``0,1`` or ``0-3``; a device that is none, such as -1, hides those behind it, as for CUDA."""
    found: list[str] = []
    for word in filter(None, re.split(r"[,\s]+", text)):
        if span := re.fullmatch(r"([0-9]{1,4})-([0-9]{1,4})", word):
            found += map(str, range(int(span[1]), int(span[2]) + 1))
        elif word.startswith("-") or word in ("NoDevFiles", "none", "void"):
            break
        else:
            found.append(word)
    return list(dict.fromkeys(found))


def _numbers(name: str) -> list[float]:
    """The number in a variable of the environment, if it is one; 0 is Slurm's word for all."""
    with suppress(ValueError):
        return [float(os.environ.get(name, "0"))] if float(os.environ.get(name, "0")) > 0 else []
    return []


def _quotas() -> Iterator[float]:
    """The cores that control groups allow, from the own one up."""
    for text in _in_groups("cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdecimal() and period.isdecimal():
            yield int(quota) / int(period)


def _memory_limits() -> Iterator[int]:
    for name in ("memory.max", "memory.limit_in_bytes"):
        for text in _in_groups(name):
            if text.isdecimal():  # version 1 without a limit gives a number that no node has
                yield int(text)


def _in_groups(name: str) -> Iterable[str]:
    """What the files of this name say in the own control group and those above it."""
    for folder in memory.groups():
        for group in (folder, *folder.parents):
            with suppress(OSError):
                yield (group / name).read_text().strip()
