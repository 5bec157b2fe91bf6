"""A scheduler whose commands are first on the PATH."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("scheduler.py")
COMMANDS = {
    "slurm": ("sbatch", "squeue", "scancel", "sacct", "scontrol", "sinfo"),
    "pbs": ("qsub", "qselect", "qstat", "qdel"),
    "sge": ("qsub", "qstat", "qacct", "qdel"),
}


class FakeScheduler:
    """Its jobs, and what is odd about its commands."""

    def __init__(self, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self._folder = folder / "bin", folder / "scheduler"
        self.bin.mkdir()
        self._folder.mkdir()
        for command in COMMANDS[kind]:
            file = self.bin / command
            file.write_text(f'#!/bin/sh\nexec {sys.executable} -I {PROGRAM} {command} "$@"\n')
            file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{self.bin}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_SCHEDULER", str(self._folder))
        if kind == "sge":
            common = folder / "sge" / "default" / "common"
            common.mkdir(parents=True)
            (common / "act_qmaster").write_text("master\n")
            monkeypatch.setenv("SGE_ROOT", str(folder / "sge"))

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """Its batch jobs, as `tests.fakes.scheduler` describes them."""
        path = self._folder / "jobs.json"
        return json.loads(path.read_text()) if path.exists() else []

    @jobs.setter
    def jobs(self, found: list[dict[str, Any]]) -> None:
        (self._folder / "jobs.json").write_text(json.dumps(found))

    def run(self) -> None:
        """From now on run what is submitted, as processes of this host."""
        (self._folder / "runs").touch()

    def refuse(self, command: str, told: str, **odd: Any) -> None:
        """From now on a command does nothing, and says that it failed."""
        self.mood(command, deaf=True, error=told, code=1, **odd)

    def change(self, id: str, **values: Any) -> None:
        """Something has become of a job."""
        number = id.partition(".")[0]
        self.jobs = [{**job, **values} if job["id"] == number else job for job in self.jobs]

    def mood(self, command: str, **odd: Any) -> None:
        """What is odd about a command from now on; nothing: it is as it should be."""
        (self._folder / f"{command}.mood").write_text(json.dumps(odd))

    def calls(self, command: str | None = None) -> list[dict[str, Any]]:
        """How it was called; or what was."""
        path = self._folder / "calls"
        rows = map(json.loads, path.read_text().splitlines()) if path.exists() else []
        return [row for row in rows if command in (None, row["command"])]
