"""A profile of the settings, its script, and the workers that it starts where no variable names the board."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from simcelery import settings
from tests import slurm
from tests.acceptance.helpers import submit
from tests.board_helpers import sql
from tests.conftest import Project
from tests.waiting import wait_until, within

NAME = "simcelery-here-1f2e3d4c"
NAMES = {f"{NAME}-1", f"{NAME}-2"}
LOOK = "sees.submit(['SIMCELERY_ALLOCATION', 'TOY'])"
SEEN = {"SIMCELERY_ALLOCATION": NAME, "TOY": "two words"}
ALL = "SELECT nodename FROM workers"
LIVE = f"{ALL} WHERE ended_at IS NULL"
TABLE = """
[clusters.here]
walltime = "1h"
setup = ["export TOY='two words'"]
"""
WRITE = f"""
from pathlib import Path
from simcelery.cluster import environment
from simcelery.cluster.profile import of_settings
from simcelery.cluster.script import script
from simcelery.settings import get_settings

profile = of_settings(get_settings(), "here")
environment.hand_over(get_settings(), profile.name, profile.launcher)
Path("script").write_text(script(profile, {NAME!r}))
"""


def written(project: Project, launcher: str, each: int, *worker: str) -> Path:
    """The script for so many workers."""
    table = f"{TABLE}launcher = {launcher!r}\neach_node = {each}\ncores = {each}\n"
    with (project.folder / "simcelery.toml").open("a") as file:
        file.write(f"{table}worker = {['-l', 'INFO', *worker]}\n")
    home = str(project.folder / "home")  # what workers leave there is nobody else's
    done = project.python(WRITE, SIMCELERY_HOME=home)
    assert done.returncode == 0, done.stderr
    return project.folder / "script"


def names(statement: str) -> set[str]:
    """Of workers, without their host."""
    return {one.nodename.partition("@")[0] for one in sql(statement)}


def without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SIMCELERY_")}


@pytest.mark.parametrize("each", [1, 2])
def test_the_script_of_a_profile_starts_workers_that_run_jobs_until_they_are_told_to_end(
    project: Project, each: int
) -> None:
    script, log = written(project, "local", each), project.folder / "script.out"
    job = submit(project, LOOK)
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", script], cwd="/", env=without_settings(), stdout=output, stderr=subprocess.STDOUT
        )
    project.processes.append(process)
    wait_until(lambda: log.read_bytes().count(b" ready.") == each or process.poll() is not None)
    assert process.poll() is None, log.read_text()
    assert job.result(timeout=within(60)) == SEEN
    assert names(LIVE) == (NAMES if each == 2 else {NAME})
    process.send_signal(signal.SIGTERM)
    assert process.wait(within(60)) == 0, log.read_text()
    assert names(LIVE) == set()

    url = settings.get_settings().database_url
    assert url is not None
    for shown in (log, script):
        assert url.get_secret_value() not in shown.read_text()
    secrets = project.folder / "home/clusters/here/settings.env"
    assert url.get_secret_value() in secrets.read_text()


no_slurm = not slurm.answers()


@pytest.mark.skipif(no_slurm, reason="no Slurm runs here")
@pytest.mark.parametrize("each", [1, 2])
def test_in_an_allocation_of_slurm(project: Project, each: int) -> None:
    script, log = written(project, "slurm", each, "--drain"), project.folder / "script.out"
    job = submit(project, LOOK)
    words = ["sbatch", "--parsable", f"--output={log}", "--ntasks-per-node=1", f"--cpus-per-task={each}"]
    done = subprocess.run(
        [*words, "--time=5", script], env=without_settings(), capture_output=True, text=True, check=True
    )
    try:
        assert job.result(timeout=within(60)) == SEEN
        wait_until(lambda: not queued(done.stdout.strip()))
    finally:
        subprocess.run(["scancel", done.stdout.strip()], check=False)
    assert names(ALL) == ({f"{NAME}-0", f"{NAME}-1"} if each == 2 else {NAME}), log.read_text()
    assert names(LIVE) == set()


def queued(number: str) -> bool:
    listed = subprocess.run(["squeue", "-h", "-j", number], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip())
