"""What a node has for jobs: what settings, schedulers, control groups and the node itself say."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from simcelery.execution import memory, resources
from simcelery.settings import Settings

ALL = psutil.virtual_memory().total


@pytest.fixture(autouse=True)
def _nobody_says_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in (*resources._VISIBLE, *resources._ALLOCATED):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(memory, "groups", list)


def group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **files: str) -> None:
    """An own control group, below one with these files."""
    above = tmp_path / "above"
    (above / "own").mkdir(parents=True)
    (above / "own" / "cpu.max").write_text("max 100000")
    (above / "own" / "memory.max").write_text("max")
    for name, text in files.items():
        (above / name.replace("_", ".", 1)).write_text(text)
    monkeypatch.setattr(memory, "groups", lambda: [above / "own"])


def test_where_nobody_limits_it_the_whole_node_is_there() -> None:
    cores = len(os.sched_getaffinity(0))
    room = resources.room(Settings())
    assert (room.cores, room.memory, list(room.gpus)) == (cores, ALL, [])


def test_a_setting_counts_more_than_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    room = resources.room(Settings(cores=7, memory="3G", gpus="a, b"))  # type: ignore[arg-type]
    assert (room.cores, room.memory, list(room.gpus)) == (7, 3 * 2**30, ["a", "b"])
    assert list(resources.room(Settings(gpus="")).gpus) == []


@pytest.mark.parametrize(
    ("name", "told", "devices"),
    [
        ("CUDA_VISIBLE_DEVICES", "2,3", ["2", "3"]),
        ("CUDA_VISIBLE_DEVICES", "GPU-8932f937,MIG-d4", ["GPU-8932f937", "MIG-d4"]),
        ("CUDA_VISIBLE_DEVICES", "", []),
        ("CUDA_VISIBLE_DEVICES", "-1", []),
        ("CUDA_VISIBLE_DEVICES", "0,-1,1", ["0"]),
        ("CUDA_VISIBLE_DEVICES", "1,1", ["1"]),
        ("CUDA_VISIBLE_DEVICES", "NoDevFiles", []),
        ("ROCR_VISIBLE_DEVICES", "0", ["0"]),
        ("ZE_AFFINITY_MASK", "0.1", ["0.1"]),
        ("SLURM_JOB_GPUS", "4-6,1", ["4", "5", "6", "1"]),
    ],
)
def test_devices_are_those_that_somebody_has_made_visible(
    monkeypatch: pytest.MonkeyPatch, name: str, told: str, devices: list[str]
) -> None:
    monkeypatch.setenv(name, told)
    assert resources.gpus() == devices


def test_else_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    program.chmod(0o755)
    assert resources.gpus() == ["0", "1"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert resources.gpus() == []


def test_slurm_says_what_the_allocation_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "100")
    assert (resources.cores(), resources.total_memory()) == (1, 100 * 2**20)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "50")
    assert resources.total_memory() == 50 * 2**20


@pytest.mark.parametrize("value", ["", "0", "many", "-3", "nan"])
def test_what_is_no_number_counts_for_nothing(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name in ("SLURM_CPUS_ON_NODE", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"):
        monkeypatch.setenv(name, value)
    assert (resources.cores(), resources.total_memory()) == (len(os.sched_getaffinity(0)), ALL)


def test_a_control_group_above_the_own_one_limits_it_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    group(monkeypatch, tmp_path, cpu_max="150000 100000", memory_max=str(2**28))
    assert (resources.cores(), resources.total_memory()) == (1, 2**28)


def test_one_without_a_limit_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    group(monkeypatch, tmp_path, cpu_max="max 100000", memory_limit_in_bytes=str(2**63 - 4096))
    assert (resources.cores(), resources.total_memory()) == (len(os.sched_getaffinity(0)), ALL)
