"""A home, and a project, may be called anything that a folder can be called and a line can show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.waiting import wait_until, within

# What a shell, a configuration file, a pattern of files, a format or a log might take for its own.
ODD = {
    "everybody's": "sp ace$HOME`touch pwned`$(touch pwned)\"quo'te;&|<>!#~{a,b}"
    "[b]*?\\x\\%s%(x)s%2F{0}é日本=:@,",
    "an option's": "--help",
}


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    folder, home = tmp_path / f"project {ODD[request.param]}", tmp_path / ODD[request.param]
    folder.mkdir()
    (folder / "sims.py").write_text(
        "from pathlib import Path\n"
        "from simcelery import current_job, workflow\n"
        "@workflow\n"
        "def where(file: Path) -> list[str]:\n"
        "    print('here')\n"
        "    Path('out.txt').write_text(file.read_text())\n"
        "    return [str(Path.cwd()), str(current_job().workdir)]\n"
    )
    (folder / "simcelery.toml").write_text('workflows = ["sims"]\n')
    (folder / "in.txt").write_text("42")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIMCELERY_")}
    project = Project(folder, environment | {"SIMCELERY_HOME": str(home), "SIMCELERY_KILL_GRACE": "1"})
    yield project
    project.stop()
    project.run("simcelery", "down")


def ran(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_home_of_any_name_works(odd: Project) -> None:
    home = odd.environment["SIMCELERY_HOME"]
    assert home in ran(odd.run("simcelery", "up", timeout=within(180)))
    odd.worker()
    submitted = ("submit", "--wait", "--timeout", "2m")
    cwd, workdir = json.loads(
        ran(odd.run("simcelery", *submitted, "sims.where", "file=in.txt", timeout=within(150)))
    )
    assert cwd == workdir
    assert cwd.startswith(home)
    assert Path(cwd, "out.txt").read_text() == "42"
    shell = ("sh", "-c", 'pwd; cat "$1"', "sh", str(odd.folder / "in.txt"))
    ran(odd.run("simcelery", *submitted, "--", *shell, timeout=within(150)))
    ran(odd.run("simcelery", "doctor"))
    assert home in ran(odd.run("simcelery", "spool"))
    assert home in ran(odd.run("simcelery", "down"))
    # Everything is found again, and nobody has taken a name for a command.
    ran(odd.run("simcelery", "up", timeout=within(180)))
    assert ran(odd.run("simcelery", "list", "-o", "quiet")).split() == ["2", "1"]
    assert not list(odd.folder.parent.rglob("pwned"))
    assert not Path("/pwned").exists()


@pytest.mark.parametrize("odd", ["everybody's"], indirect=True)
def test_what_a_killed_worker_left_running_is_ended(odd: Project) -> None:
    ran(odd.run("simcelery", "up", timeout=within(180)))
    worker = odd.worker()
    begun = Path(odd.folder, "pid")
    ran(odd.run("simcelery", "submit", "--", "sh", "-c", 'echo $$ > "$1"; sleep 300', "sh", str(begun)))
    wait_until(lambda: begun.exists() and begun.read_text().strip(), 60)
    pid = int(begun.read_text())
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 60)


@pytest.mark.parametrize("name", ["line\nbreak", "tab\there", "\x1b[31m", os.fsdecode(b"\xff"), "\u202e"])
@pytest.mark.parametrize("variable", ["SIMCELERY_HOME", "SIMCELERY_WORKDIR_ROOT"])
def test_a_folder_that_no_line_can_show_is_refused(name: str, variable: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIMCELERY_")}
    project = Project(tmp_path, environment | {"SIMCELERY_HOME": str(tmp_path / "home")})
    for verb in ("up", "down", "list"):
        done = project.run("simcelery", verb, **{variable: str(tmp_path / name)})
        assert "in UTF-8, without line breaks" in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.returncode == 2
    assert not (tmp_path / name).exists()
