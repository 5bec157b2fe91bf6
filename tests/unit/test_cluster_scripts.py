"""The scripts that start workers, run by real shells, with a stand-in for Python that tells what it got."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from simcelery.cluster.profile import Profile, from_json
from simcelery.cluster.script import script
from simcelery.schedulers.launchers import LAUNCHERS
from tests.waiting import wait_until, within

NAME = "simcelery-gpu-1f2e3d4c"
PASSWORD = "hunter2"
# In the middle and at both ends, what a shell would not leave as it is.
HOSTILE = " a  'b' \"c\" $HOME $(touch pwned) `touch pwned` \\ \n; touch pwned # * ~ é \n"
# It tells what it was given in a file beside it.
STAND_IN = f"""#!{sys.executable} -I
import json, os, signal, sys, time
from pathlib import Path
mine = Path(__file__).with_name(f"told.{{os.getpid()}}.json")
told = {{"argv": sys.argv, "cwd": os.getcwd(), "environ": dict(os.environ), "pid": os.getpid()}}
if "--wait" in sys.argv:
    def end(*_):
        mine.with_suffix(".ended").touch()
        sys.exit(int(sys.argv[-1]))
    signal.signal(signal.SIGTERM, end)
mine.with_suffix(".part").write_text(json.dumps(told))
mine.with_suffix(".part").rename(mine)
while "--wait" in sys.argv:
    time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stand-in for Python; nothing that is started here reads anybody's start-up files."""
    (tmp_path / "python").write_text(STAND_IN)
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    return tmp_path


def profile(place: Path, **given: Any) -> Profile:
    here = {"python": str(place / "python"), "folder": str(place / "project"), "environment": {}}
    return from_json({"name": "gpu", "launcher": "local", **here, **given})


def written(place: Path, made: Profile) -> Path:
    file = place / "script"
    file.write_text(script(made, NAME))
    file.chmod(0o755)
    return file


def run(place: Path, made: Profile, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [written(place, made)],
        env={**os.environ, **extra},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within(60),
        check=False,
    )


def told(place: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(place.glob("told.*.json"))]


def only(place: Path) -> dict[str, Any]:
    """What the only worker was given; nothing else has happened."""
    assert not [*place.rglob("pwned")]
    assert not Path("/pwned").exists()
    [found] = told(place)
    return found


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_it_starts_a_worker_of_the_allocations_name_in_the_folder(place: Path, launcher: str) -> None:
    done = run(place, profile(place, launcher=launcher, worker=["-Q", "cpu"]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = only(place)
    assert found["argv"][1:] == [
        *("-m", "celery", "-A", "simcelery", "worker", "-n", f"{NAME}@%h", "-Q", "cpu")
    ]
    assert found["cwd"] == str(place / "project")
    assert found["environ"]["SIMCELERY_ALLOCATION"] == NAME
    assert not [name for name in found["environ"] if name.startswith("simcelery")]


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_what_a_user_wrote_arrives_as_it_was_written(place: Path, launcher: str) -> None:
    folder = place / f"project {HOSTILE.replace('/', '')}"
    folder.mkdir()
    python = folder / "py thon$(touch pwned)'"
    shutil.copy(place / "python", python)
    secrets = folder / "settings '.env"
    secrets.write_text("export SIMCELERY_BROKER_URL=x\n")
    made = profile(
        place,
        launcher=launcher,
        folder=str(folder),
        python=str(python),
        secrets=str(secrets),
        worker=["--startup", HOSTILE, "-I", "", "$(touch pwned)"],
        environment={"SIMCELERY_WORKFLOWS": HOSTILE, "SIMCELERY_SETTINGS_FILE": "", "SIMCELERY_HOME": "~"},
        setup=["export SHOWN='a  b'"],
    )
    done = run(place, made)
    assert (done.returncode, done.stderr) == (0, "")
    found = only(folder)
    assert found["argv"][8:] == ["--startup", HOSTILE, "-I", "", "$(touch pwned)"]
    assert found["cwd"] == str(folder)
    expected = {"SIMCELERY_WORKFLOWS": HOSTILE, "SIMCELERY_SETTINGS_FILE": "", "SIMCELERY_HOME": "~"}
    expected |= {"SHOWN": "a  b", "SIMCELERY_BROKER_URL": "x"}
    assert {name: found["environ"].get(name) for name in expected} == expected
    assert not [*place.rglob("pwned")]


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_the_setup_changes_what_the_worker_finds(place: Path, launcher: str) -> None:
    setup = [
        "PATH=/opt/mine:$PATH",
        "export TOY='two words' LATE=$SIMCELERY_ALLOCATION",
        "load() { export LOADED=$1; }",
        "load gcc; false || true",
        'if [ -n "$LOADED" ]\nthen\n  export MORE=yes\nfi',
        "cd /tmp",
        "export SIMCELERY_WORKDIR_ROOT=/scratch/$LOADED",
        "set -u; IFS=/",
    ]
    environment = {"SIMCELERY_WORKDIR_ROOT": "/home/x", "SIMCELERY_LEASE": "30"}
    done = run(place, profile(place, launcher=launcher, setup=setup, environment=environment))
    assert (done.returncode, done.stderr) == (0, "")
    found = only(place)
    expected = {"TOY": "two words", "LATE": NAME, "LOADED": "gcc", "MORE": "yes", "SIMCELERY_LEASE": "30"}
    assert {name: found["environ"].get(name) for name in expected} == expected
    assert found["environ"]["PATH"].startswith("/opt/mine:")
    assert found["environ"]["SIMCELERY_WORKDIR_ROOT"] == "/scratch/gcc"
    assert found["cwd"] == str(place / "project")


@pytest.mark.parametrize("launcher", ["local", "slurm"])
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("sh -c 'exit 7'", 7),
        ("no-such-program gcc", 127),
        ("cd /no/such/folder", None),
        ("false; true", 1),
        ("load() { false; true; }; load gcc", 1),
        ("exit 3", 3),
        ("exit 0", 0),
        ("echo 'it", None),
        ("if true", None),
        ("A=$(false)", 1),
    ],
)
def test_a_line_of_the_setup_that_fails_is_named_and_no_worker_starts(
    place: Path, launcher: str, line: str, code: int | None
) -> None:
    # What comes behind an open quotation mark would be code, if that were in the script itself.
    given = {"setup": ["true", line, "touch pwned"], "worker": ["-Q", "; touch pwned #"]}
    done = run(place, profile(place, launcher=launcher, **given))
    assert f"of this line of setup: {line}\n" in done.stderr
    assert f"simcelery: exit code {done.returncode} of" in done.stderr
    assert (done.returncode == code) if code is not None else done.returncode > 0
    assert told(place) == []
    assert not [*place.rglob("pwned")]


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_a_folder_that_is_not_on_the_node_is_named(place: Path, launcher: str) -> None:
    (place / "project").rmdir()
    done = run(place, profile(place, launcher=launcher, setup=["touch pwned"]))
    assert done.returncode == 2
    assert f"simcelery: cannot go to {place}/project: all nodes must see the same files\n" in done.stderr
    assert told(place) == []
    assert not [*place.rglob("pwned")]


# --- passwords --------------------------------------------------------------------------------------


def with_password(place: Path) -> Path:
    file = place / "settings.env"
    file.write_text(f"export SIMCELERY_DATABASE_URL='postgresql://me:{PASSWORD}@h/d'\n")
    return file


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_a_password_is_in_the_workers_environment_and_nowhere_else(place: Path, launcher: str) -> None:
    file = with_password(place)
    made = profile(place, launcher=launcher, setup=["env"], secrets=str(file), worker=["--wait", "0"])
    assert PASSWORD not in script(made, NAME)
    with subprocess.Popen([written(place, made)], stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: told(place))
            words = ["ps", "-ww", "-A", "-o", "args="]
            shown = subprocess.run(words, capture_output=True, text=True, check=True)
        finally:
            process.terminate()
        assert process.stdout is not None
        printed = process.stdout.read()
    assert only(place)["environ"]["SIMCELERY_DATABASE_URL"] == f"postgresql://me:{PASSWORD}@h/d"
    assert f"worker -n {NAME}@%h" in shown.stdout
    assert PASSWORD not in shown.stdout
    assert "SIMCELERY_ALLOCATION=" in printed
    assert PASSWORD not in printed


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_a_file_with_passwords_that_is_not_on_the_node_is_named(place: Path, launcher: str) -> None:
    done = run(place, profile(place, launcher=launcher, secrets=str(place / "gone.env")))
    assert done.returncode == 2
    assert done.stderr == f"simcelery: cannot read {place}/gone.env: all nodes must see the same files\n"
    assert told(place) == []


# --- what the worker is told of its share -----------------------------------------------------------


def share(found: Mapping[str, Any]) -> tuple[str, str]:
    return found["environ"]["SIMCELERY_CORES"], found["environ"]["SIMCELERY_MEMORY"]


def test_what_was_asked_for_is_what_jobs_may_ask_for(place: Path) -> None:
    environment = {"SIMCELERY_CORES": "64"}
    run(place, profile(place, launcher="slurm", cores=4, memory="8G", environment=environment))
    found = only(place)
    assert share(found) == ("4", str(8 * 2**30))
    assert found["argv"][8:] == ["-c", "4"]


@pytest.mark.parametrize("given", ["-c 2", "-c2", "-Ec2", "--concurrency=2", "--autoscale 2,1"])
def test_slots_that_were_chosen_stay(place: Path, given: str) -> None:
    run(place, profile(place, cores=4, worker=given))
    assert only(place)["argv"][8:] == given.split()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_worker_is_told_of_its_end_where_no_scheduler_does(place: Path, launcher: str) -> None:
    took_ten_minutes = "simcelery_began=$((simcelery_began - 600))"
    run(
        place,
        profile(place, launcher=launcher, walltime="1h", setup=[took_ten_minutes]),
    )
    words = only(place)["argv"][8:]
    if launcher == "slurm":
        assert words == []
    else:
        assert words[0] == "--walltime"
        assert 2900 < int(words[1]) <= 3000


def test_a_walltime_that_was_chosen_stays(place: Path) -> None:
    run(place, profile(place, walltime="1h", worker=["--walltime", "10m"]))
    assert only(place)["argv"][8:] == ["--walltime", "10m"]


# --- several workers --------------------------------------------------------------------------------


@contextmanager
def several(place: Path, **given: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Two workers of a script that runs; nothing of it is left in the end."""
    made = profile(place, launcher="pbs", each_node=2, **given)
    with subprocess.Popen([written(place, made)], start_new_session=True) as process:
        try:
            wait_until(lambda: len(told(place)) == 2)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_each_of_several_workers_has_a_name_and_a_share(place: Path) -> None:
    queue = "a $(touch pwned) b"
    with several(place, cores=4, memory="8G", worker=["-Q", queue], setup=["IFS=1"]) as process:
        assert process.wait(within(60)) == 0
    found = sorted(told(place), key=lambda one: str(one["argv"]))
    names = [f"{NAME}-1@%h", f"{NAME}-2@%h"]
    assert [one["argv"][7:] for one in found] == [[name, "-c", "2", "-Q", queue] for name in names]
    for one in found:
        assert share(one) == ("2", str(4 * 2**30))
    assert not [*place.rglob("pwned")]


@pytest.mark.parametrize("to_all", [True, False], ids=["to all", "to the shell alone"])
def test_a_signal_ends_all_of_them_and_the_script_waits(place: Path, to_all: bool) -> None:
    with several(place, worker=["--wait", "0"]) as process:
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
        process.wait(within(60))
        assert len([*place.glob("told.*.ended")]) == 2
        assert not any(psutil.pid_exists(one["pid"]) for one in told(place))


def test_one_that_fails_leaves_the_others_and_is_told_in_the_end(place: Path) -> None:
    with several(place, worker=["--wait", "5"]) as process:
        first, second = (one["pid"] for one in told(place))
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: not psutil.pid_exists(first))
        assert process.poll() is None
        os.kill(second, signal.SIGTERM)
        assert process.wait(within(60)) == 5


SRUN = """#!/bin/sh
printf '%s\\n' "$@" >"$0.words"
while [ "${1#--}" != "$1" ]; do shift; done
for SLURM_LOCALID in $LOCAL; do
    export SLURM_LOCALID
    "$@" || exit
done
"""


@pytest.mark.parametrize(
    ("given", "local", "names", "words"),
    [
        (
            {"nodes": 2},
            "0",
            [f"{NAME}@%h"],
            ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpu-bind=none"],
        ),
        (
            {"nodes": 2, "each_node": 2, "cores": 6},
            "0 1",
            [f"{NAME}-0@%h", f"{NAME}-1@%h"],
            ["--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--cpus-per-task=3"],
        ),
    ],
)
def test_slurm_starts_several_by_itself(
    place: Path, given: Mapping[str, Any], local: str, names: list[str], words: list[str]
) -> None:
    (place / "srun").write_text(SRUN)
    (place / "srun").chmod(0o755)
    worker = ["-Q", HOSTILE]
    made = profile(place, launcher="slurm", worker=worker, setup=[f"PATH={place}:$PATH"], **given)
    done = run(place, made, LOCAL=local)
    assert (done.returncode, done.stderr) == (0, "")
    found = sorted(told(place), key=lambda one: str(one["argv"]))
    assert [one["argv"][7] for one in found] == names
    assert all(one["argv"][-2:] == worker for one in found)
    asked = (place / "srun.words").read_text().split("\n")
    assert asked[:6] == [*words, "--kill-on-bad-exit=0", "--export=ALL"]
    assert not [*place.rglob("pwned")]


@pytest.mark.parametrize("name", ["", "a b", "a%h", "a'b", "-a", "a\nb", "a@b", "$a"])
def test_what_would_be_no_name_of_a_worker_is_refused(place: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name for an allocation"):
        script(profile(place), name)
