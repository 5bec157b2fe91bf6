"""The demo, as a new user runs it: on servers of its own, whatever is set where they are."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from simcelery import services
from simcelery.settings import Settings
from tests.board_helpers import sql
from tests.conftest import BIN, Project
from tests.processes import command_of
from tests.waiting import wait_until, within

pytest.importorskip("ase")
pytest.importorskip("matplotlib")

METALS = ["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"]


@pytest.fixture
def place(project: Project, tmp_path: Path) -> Iterator[Project]:
    """A project with a board, whose modules do not even import, and a folder for temporary files."""
    (project.folder / "sims.py").write_text("import nonesuch\n")
    (tmp_path / "temporary").mkdir(mode=0o755)
    project.environment |= {"TMPDIR": str(tmp_path / "temporary"), "DEMO_MARK": uuid.uuid4().hex}
    yield project
    for home in homes(project):  # of a test that failed
        services.erase(Settings(home=home))
    for process in started(project):
        process.kill()


def homes(place: Project) -> list[Path]:
    """The temporary folders of demos that are there."""
    return sorted(Path(place.environment["TMPDIR"]).glob("simcelery-demo-*"))


def started(place: Project) -> list[psutil.Process]:
    """The demo's workers that live: they inherit its environment."""
    return [one for one in psutil.process_iter() if _has_mark(one, place.environment["DEMO_MARK"])]


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("DEMO_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def servers_of(home: Path) -> list[psutil.Process]:
    """The servers that live, by the folder of their data: root's have another than the home."""
    folders = (str(home), hashlib.sha256(os.fsencode(home)).hexdigest()[:16])
    return [one for one in psutil.process_iter() if any(folder in command_of(one) for folder in folders)]


def nothing_is_left(place: Project, home: Path) -> bool:
    return not started(place) and not servers_of(home) and not os.listdir(place.environment["TMPDIR"])


def is_untouched(place: Project) -> bool:
    """The user's own board is empty, and their home knows nothing of a demo."""
    tables = ("jobs", "workers", "workflows", "submitted_sources")
    assert not any(sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables)
    return not (Path(place.environment["SIMCELERY_HOME"]) / "demo").exists()


def test_it_computes_seven_metals_touches_no_other_board_and_leaves_the_plot(place: Project) -> None:
    before = set(os.listdir(place.folder))
    done = place.run("simcelery", "demo", timeout=within(170))
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if line[:2] in METALS] == METALS
    assert "70 jobs in " in done.stdout
    assert set(os.listdir(place.folder)) - before == {"simcelery-demo.png"}
    assert is_untouched(place)
    home = re.search(r"servers of their own in (\S+)", done.stdout)
    assert home
    assert nothing_is_left(place, Path(home[1]))


def test_what_is_kept_can_be_looked_at_and_ended_as_it_says(place: Project) -> None:
    done = place.run("simcelery", "demo", "--keep", "-o", "json", timeout=within(170))
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["metals"]) == 7
    assert is_untouched(place)
    [home] = homes(place)
    assert len(servers_of(home)) >= 2
    look = re.search(r"look at them with: (.*)", done.stderr)
    end = re.search(r"remove them with: (.*)", done.stderr)
    assert look
    assert end
    listed = shell(place, f"{look[1]} -n 200 -o quiet")
    assert len(listed.stdout.split()) == 70, listed
    ended = shell(place, end[1])
    assert ended.returncode == 0, ended
    wait_until(lambda: not started(place) and not servers_of(home), 60)


def shell(place: Project, line: str) -> subprocess.CompletedProcess[str]:
    """What a user types, where the demo was started."""
    return subprocess.run(
        line,
        shell=True,
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=within(60),
        check=False,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("when", ["at once", "under way"])
def test_whoever_interrupts_it_finds_nothing_left(
    place: Project, number: signal.Signals, code: int, when: str
) -> None:
    demo = subprocess.Popen(
        [str(BIN / "simcelery"), "demo"],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    place.processes.append(demo)  # type: ignore[arg-type]
    wait_until(lambda: homes(place), 60)
    [home] = homes(place)
    if when == "under way":
        assert demo.stderr is not None
        assert any("jobs have finished" in line for line in demo.stderr)
        assert len(started(place)) > 2
        assert len(servers_of(home)) >= 2
    demo.send_signal(number)
    demo.communicate(timeout=within(90))
    assert demo.returncode == code
    assert is_untouched(place)
    assert nothing_is_left(place, home)
