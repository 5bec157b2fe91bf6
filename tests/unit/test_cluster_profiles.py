"""How the workers of a cluster are started: what the settings may say, and what a mistake in them says."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simcelery import settings
from simcelery.cluster import environment
from simcelery.cluster.profile import Profile, as_json, checked, from_json, of_settings
from simcelery.cluster.script import script
from simcelery.errors import SettingsError, UsageError
from simcelery.schedulers.launchers import LAUNCHERS
from simcelery.settings import get_settings

PASSWORD = "hunter2"
FULL = """
[clusters.gpu]
launcher = "slurm"
partition = "gpu"
account = "chem/42"
walltime = "1h30m"
memory = "8G"
cores = 4
gpus = 2
nodes = 3
each_node = 2
setup = ["module load gcc", "export A=1"]
worker = "-c 4 -Q 'cpu,a b'"
options = ["--qos", "long"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder with a home, no flags, and nothing remembered."""
    monkeypatch.setattr(settings, "_overrides", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def of_file(text: str, name: str = "gpu") -> Profile | None:
    Path("simcelery.toml").write_text(text)
    settings.override({})
    return of_settings(get_settings(), name)


def made(**given: Any) -> Profile:
    settings.override({})
    return checked(get_settings(), "gpu", {"launcher": "slurm", **given})


def refused(call: Callable[[], object]) -> str:
    """The one line that it fails with."""
    with pytest.raises(UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_of_the_settings_is_a_profile(folder: Path) -> None:
    assert of_file(FULL) == Profile(
        name="gpu",
        launcher="slurm",
        partition="gpu",
        account="chem/42",
        walltime=5400.0,
        memory=8 * 2**30,
        cores=4,
        gpus=2,
        nodes=3,
        each_node=2,
        setup=("module load gcc", "export A=1"),
        worker=("-c", "4", "-Q", "cpu,a b"),
        options=("--qos", "long"),
        python=sys.executable,
        folder=str(folder),
        environment={},
        secrets=None,
    )


def test_what_is_left_out_is_left_to_the_scheduler() -> None:
    found = of_file("[clusters.gpu]\nlauncher = 'pbs'")
    assert found is not None
    assert (found.walltime, found.cores, found.memory, found.gpus) == (None, None, None, None)
    assert (found.nodes, found.each_node, found.setup, found.worker, found.options) == (1, 1, (), (), ())


def test_a_cluster_that_the_settings_do_not_have_is_none() -> None:
    assert of_file(FULL, "cpu") is None


def test_a_mistake_in_another_cluster_does_no_harm() -> None:
    assert of_file(f"{FULL}\n[clusters.bad]\nlauncher = 3") is not None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("launchr = 'slurm'", "there is no 'launchr'; did you mean 'launcher'?"),
        ("each-node = 2", "there is no 'each-node'; did you mean 'each_node'?"),
        ("zzz = 2", "there is no 'zzz'; there are: launcher, partition, account, walltime, nodes, cores, "),
        ("python = '/x'", "there is no 'python'; there are: "),
        ("environment = {}", "there is no 'environment'; there are: "),
        ("launcher = 'lsf'", "launcher: must be 'local', 'slurm', 'pbs' or 'sge'"),
        ("launcher = 1", "launcher: must be 'local', 'slurm', 'pbs' or 'sge'"),
        ("cores = 0", "cores: must be at least 1"),
        ("cores = 'many'", "cores: must be an integer"),
        ("cores = true", "cores: must be an integer"),
        ("cores = 1000000", "cores: must be at most 100000"),
        ("gpus = 1.5", "gpus: must be an integer"),
        ("nodes = -1", "nodes: must be at least 1"),
        ("each_node = 0", "each_node: must be at least 1"),
        ("memory = '8X'", "memory: '8X' is not a size: write 8G, 512M or a number of bytes"),
        ("memory = '1K'", "memory: must be at least 1048576"),
        ("walltime = 'soon'", "walltime: 'soon' is not a duration: write 90, 1h30m or HH:MM:SS"),
        ("walltime = 0", "walltime: must be greater than 0"),
        ("partition = 3", "partition: must be a string"),
        ("partition = ''", "partition: must be one word, such as short"),
        ("partition = 'a b'", "partition: must be one word, such as short"),
        ("partition = '--wrap=x'", "partition: must be one word, such as short"),
        ('account = "a\\nb"', "account: must be one word, such as short"),
        ("setup = 3", "setup: must be a string or a list of strings"),
        ("setup = [3]", "setup: must be a string"),
        ('setup = "a\\u0000b"', "setup: must not contain NUL"),
        ("options = {}", "options: must be a string or a list of strings"),
        ("options = '--qos \"x'", "options: cannot be taken apart: no closing quotation"),
        ("worker = ['-c', 4]", "worker: must be a string"),
        ("worker = '-n me@%h'", "worker: -n cannot be given: the worker's name tells its allocation"),
        ("worker = '-nme'", "worker: -n cannot be given: "),
        ("worker = '-En me'", "worker: -n cannot be given: "),
        ("worker = '--hostname=me'", "worker: --hostname cannot be given: "),
        ("worker = '-c 2 -D'", "worker: -D cannot be given: the worker stays in its allocation"),
        ("worker = ['--detach']", "worker: --detach cannot be given: the worker stays in its allocation"),
        ("worker = '--pidfile /x'", "worker: --pidfile cannot be given: the worker stays in its allocation"),
        ("worker = '--uid 0'", "worker: --uid cannot be given: the worker stays in its allocation"),
        ("worker = '-b redis://:x@h'", "worker: -b cannot be given: it belongs to celery, before the word"),
        ("worker = '-A other'", "worker: -A cannot be given: it belongs to celery, before the word"),
        ("worker = '-- broker.url=x'", "worker: -- cannot be given: what follows it would change"),
        ("each_node = 2", "each_node: 2 workers on a node need cores = 2, or more"),
        ("each_node = 2\ncores = 1", "each_node: 2 workers on a node need cores = 2, or more"),
        ("launcher = 'pbs'\nnodes = 2", "nodes: pbs starts workers on one node only: start more batch jobs"),
        ("launcher = 'sge'\nnodes = 2", "nodes: sge starts workers on one node only: start more batch jobs"),
        ("launcher = 'local'\nnodes = 2", "nodes: local starts workers on one node only: "),
        ("launcher = 'local'\npartition = 'x'", "partition: the launcher local has no such thing"),
        ("launcher = 'local'\noptions = 'x'", "options: the launcher local has no such thing"),
        ("launcher = 'local'\ngpus = 1", "gpus: the launcher local has no such thing"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(line: str, reason: str) -> None:
    launcher = "" if line.startswith("launch") else "launcher = 'slurm'\n"
    said = refused(lambda: of_file(f"[clusters.gpu]\n{launcher}{line}"))
    assert said.startswith(f"setting 'clusters': 'gpu': {reason}")


def test_a_launcher_is_needed() -> None:
    said = refused(lambda: of_file("[clusters.gpu]\ncores = 3"))
    assert said == f"setting 'clusters': 'gpu': launcher is missing: write one of {', '.join(LAUNCHERS)}"


@pytest.mark.parametrize("name", ["", "a b", "-gpu", "a/b", "../x", "a" * 41, "gpü", "a\nb", "a.b", "a%h"])
def test_a_name_that_no_batch_job_can_have_is_refused(name: str) -> None:
    said = refused(lambda: checked(get_settings(), name, {"launcher": "slurm"}))
    assert said.startswith("name: must have at most 40 letters, digits, '-' and '_'")


@pytest.mark.parametrize("text", ["clusters = 3", "clusters = ['slurm']", "[clusters]\ngpu = 'slurm'"])
def test_clusters_that_are_no_tables_are_refused_where_settings_are_read(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^setting 'clusters': must be a table of tables \(from "):
        of_file(text)


def test_the_variable_is_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCELERY_CLUSTERS", '{"gpu": {"launcher": "sge", "cores": null}}')
    settings.override({})
    found = of_settings(get_settings(), "gpu")
    assert found is not None
    assert (found.launcher, found.cores) == ("sge", None)


@pytest.mark.parametrize("worker", ["-Q cpu", "-Ec4", "--drain --max-idle 10m", "-Q no-n", "-c 4 -Qa-D"])
def test_options_that_are_a_profiles_to_give_are_taken(worker: str) -> None:
    assert made(worker=worker).worker == made(worker=worker.split()).worker == tuple(worker.split())


def test_a_setup_of_one_text_is_one_line() -> None:
    assert made(setup="if true\nthen export A=1; fi").setup == ("if true\nthen export A=1; fi",)


def test_a_deleted_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    assert refused(made).startswith("the current folder was deleted")


# --- what is kept of it -----------------------------------------------------------------------------


def test_a_profile_is_kept_as_json_and_read_as_it_was() -> None:
    found = of_file(FULL)
    assert found is not None
    assert from_json(json.loads(json.dumps(as_json(found)))) == found


def test_what_a_later_version_has_added_is_left_out() -> None:
    assert from_json({**as_json(made()), "colour": "red"}) == made()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "None is no profile of a cluster"),
        ([], "[] is no profile of a cluster"),
        ({}, "name is missing"),
        ({"folder": "x"}, "folder: must be an absolute path"),
        ({"python": 3}, "python: must be a string"),
        ({"python": None}, "python is missing"),
        ({"environment": ["A"]}, "environment: must be a table"),
        ({"environment": {"PATH": "/x"}}, "environment: 'PATH' is no variable of simcelery"),
        ({"environment": {"SIMCELERY_A;id": "x"}}, "environment: 'SIMCELERY_A;id' is no variable"),
        ({"environment": {"SIMCELERY_A": 3}}, "environment: must be a string"),
        ({"secrets": "x"}, "secrets: must be an absolute path"),
        ({"worker": ["-n", "x"]}, "worker: -n cannot be given"),
    ],
)
def test_what_is_no_profile_is_refused_in_one_line(value: Any, reason: str) -> None:
    forged = {**as_json(made()), **value} if value else value
    assert refused(lambda: from_json(forged)).startswith(reason)


# --- the environment of who submits it --------------------------------------------------------------


def test_variables_and_flags_are_handed_on_with_absolute_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "a b,'$(id)'"
    monkeypatch.setenv("SIMCELERY_WORKFLOWS", hostile)
    monkeypatch.setenv("simcelery_lease", "30s")
    monkeypatch.setenv("SIMCELERY_WORKDIR_ROOT", "scratch")
    monkeypatch.setenv("SIMCELERY_SETTINGS_FILE", "deep/my.toml")
    monkeypatch.setenv("SIMCELERY_TICK_EVERY", "")
    monkeypatch.setenv("SIMCELERY_JOB_ID", "7")
    Path("deep").mkdir()
    Path("deep/my.toml").write_text("kill_grace = 3")
    settings.override({"home": folder / "mine"})
    assert environment.shown(get_settings()) == {
        "SIMCELERY_WORKFLOWS": hostile,
        "SIMCELERY_LEASE": "30s",
        "SIMCELERY_WORKDIR_ROOT": str(folder / "scratch"),
        "SIMCELERY_SETTINGS_FILE": str(folder / "deep/my.toml"),
        "SIMCELERY_HOME": str(folder / "mine"),
    }


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and URLs with passwords in variables and flags."""
    monkeypatch.setenv("SIMCELERY_HOME", "my home")
    monkeypatch.setenv("SIMCELERY_DATABASE_URL", f"postgresql://me:{PASSWORD}@h/d")
    monkeypatch.setenv("SIMCELERY_MAIL_VIA", f"smtp://me:{PASSWORD}@h:587")
    settings.override({"broker_url": f"redis://:{PASSWORD}@h"})
    return folder / "my home"


def test_what_may_hold_a_password_goes_into_a_file_of_its_owner_alone(home: Path) -> None:
    before = os.umask(0)
    try:
        environment.hand_over(get_settings(), "gpu", "slurm")
    finally:
        os.umask(before)
    file = home / "clusters/gpu/settings.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text().count(PASSWORD) == 3
    assert [*file.parent.iterdir()] == [file]
    profile = checked(get_settings(), "gpu", {"launcher": "slurm"})
    shown = f"{profile} {json.dumps(as_json(profile))} {script(profile, 'simcelery-gpu-1')}"
    assert profile.secrets == str(file)
    assert PASSWORD not in shown


def test_a_new_password_replaces_the_old_one_for_those_that_still_wait(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.hand_over(get_settings(), "gpu", "slurm")
    monkeypatch.setenv("SIMCELERY_DATABASE_URL", "postgresql://me:new@h/d")
    settings.override({"broker_url": "redis://:new@h"})
    environment.hand_over(get_settings(), "gpu", "slurm")
    file = home / "clusters/gpu/settings.env"
    assert "export SIMCELERY_DATABASE_URL=postgresql://me:new@h/d\n" in file.read_text()
    assert file.read_text().count(PASSWORD) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_urls_of_the_settings_file_are_read_there(folder: Path) -> None:
    urls = f"database_url = 'postgresql://me:{PASSWORD}@h/d'\nbroker_url = 'redis://:{PASSWORD}@h'"
    profile = of_file(f"{urls}\nhome = 'x'\n[clusters.gpu]\nlauncher = 'slurm'")
    environment.hand_over(get_settings(), "gpu", "slurm")
    assert profile is not None
    assert (profile.secrets, profile.environment) == (None, {})
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    ("url", "missing"),
    [
        ({}, "without database_url and broker_url,"),
        ({"database_url": "postgresql://h/d"}, "without broker_url,"),
        ({"broker_url": "redis://h"}, "without database_url,"),
    ],
)
def test_servers_of_this_machine_are_for_its_own_workers(url: dict[str, str], missing: str) -> None:
    settings.override({"home": Path("x"), **url})
    environment.hand_over(get_settings(), "gpu", "local")
    said = refused(lambda: environment.hand_over(get_settings(), "gpu", "pbs"))
    assert said == (
        f"cluster gpu: {missing} the servers of 'simcelery up' are used, "
        "which nodes of pbs cannot reach: set both to servers on the network"
    )


def test_a_home_that_cannot_be_written_is_named(home: Path) -> None:
    home.write_text("no folder")
    said = refused(lambda: environment.hand_over(get_settings(), "gpu", "slurm"))
    assert said == f"cluster gpu: cannot write {home}/clusters/gpu: Not a directory"
