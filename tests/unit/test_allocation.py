"""What the environment tells of the allocation that a worker runs in."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from simcelery.execution import allocation


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "PBS_", "LSB_")) or name == "JOB_ID":
            monkeypatch.delenv(name)


def squeue(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A program of that name, the first on the path."""
    program = folder / "squeue"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("name", "value"),
    [("SLURM_JOB_ID", "41"), ("PBS_JOBID", "42.head"), ("LSB_JOBID", "43"), ("JOB_ID", "44")],
)
def test_each_schedulers_number_is_known(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert allocation.scheduler_job_id() is None
    monkeypatch.setenv(name, value)
    assert allocation.scheduler_job_id() == value


def test_the_name_that_a_cluster_gave_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(allocation.NAME, raising=False)
    assert allocation.name() is None
    monkeypatch.setenv(allocation.NAME, "sim-1")
    assert allocation.name() == "sim-1"
    monkeypatch.setenv(allocation.NAME, "")
    assert allocation.name() is None


def test_an_empty_number_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "")
    monkeypatch.setenv("PBS_JOBID", "42.head")
    assert allocation.scheduler_job_id() == "42.head"


def test_outside_of_an_allocation_there_is_no_end() -> None:
    assert allocation.seconds_left() is None


@pytest.mark.parametrize("left", [3600.0, 60.0])
def test_slurm_says_when_it_ends(monkeypatch: pytest.MonkeyPatch, left: float) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time() + left)))
    found = allocation.seconds_left()
    assert found is not None
    assert left - 5.0 < found <= left


def test_an_end_that_has_passed_leaves_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time() - 60)))
    assert allocation.seconds_left() == 0.0


def test_pbs_says_how_long_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBS_WALLTIME", "7200")
    assert allocation.seconds_left() == 7200.0


@pytest.mark.parametrize("value", ["soon", "", "nan", "inf"])
def test_what_is_no_number_is_no_end(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PBS_WALLTIME", value)
    monkeypatch.setenv("SLURM_JOB_END_TIME", value)
    assert allocation.seconds_left() is None


@pytest.mark.parametrize(
    ("says", "seconds"),
    [
        ("12:34", 754.0),  # minutes and seconds, not hours and minutes
        ("1:00:00", 3600.0),
        ("2-03:00:00", 183_600.0),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("", None),
    ],
)
def test_a_slurm_that_does_not_say_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, seconds: float | None
) -> None:
    squeue(monkeypatch, tmp_path, f'echo "$@" > {tmp_path}/asked; echo "{says}"')
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    assert allocation.seconds_left() == seconds
    assert (tmp_path / "asked").read_text() == "--noheader --jobs 41 --format %L\n"


def test_a_slurm_that_cannot_be_asked_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert allocation.seconds_left() is None
    squeue(monkeypatch, tmp_path, "echo 1:00:00; exit 1")
    assert allocation.seconds_left() is None


def test_a_slurm_that_does_not_answer_holds_no_worker_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(allocation, "_TIMEOUT", 0.1)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    squeue(monkeypatch, tmp_path, "sleep 2 >&- 2>&-; echo 1:00:00")
    assert allocation.seconds_left() is None
