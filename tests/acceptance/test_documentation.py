"""What the documentation says is what happens: its pages are followed, command by command."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from celery.bin.worker import worker as celery_worker

from simcelery.board.states import State
from simcelery.cli import root
from simcelery.settings import FIELDS, Settings
from tests.acceptance.helpers import controllers
from tests.conftest import Project
from tests.documented import GENERATED, PAGES, TOP, agrees, blocks
from tests.programs import BIN
from tests.waiting import wait_until, within

DOCS = TOP / "docs"
OWN = pytest.mark.timeout(300)

# What no test can run, and why.
ELSEWHERE = {
    "python3 -m venv": "installs simcelery: the tests are in such an environment",
    "source ~/sims-venv": "as above",
    "pip install": "as above",
    "make ": "runs the tests, among others",
    "docker ": "needs Docker",
    "kubectl ": "needs Kubernetes",
    "cp docker/env.example": "for Docker",
    "export SIMCELERY_": "names servers of somebody's",
    "simcelery --home /shared": "a home of somebody's",
    ".venv/bin/python benchmarks": "measures for minutes",
}


def runs_elsewhere(command: str) -> bool:
    return any(command.startswith(start) for start in ELSEWHERE)


def follow(project: Project, page: Path) -> None:
    """Write the page's files and type its commands, in order."""
    for block in blocks(page):
        if block.file:
            (project.folder / block.file).write_text(block.text)
        elif block.language == "python":
            done = project.python(block.text)
            assert done.returncode == 0, f"{page.name}:{block.line}: {done.stderr}"
        elif block.language == "shell":
            for command, shown in block.commands():
                if not runs_elsewhere(command):
                    type_in(project, command, shown, f"{page.name}:{block.line}")


def type_in(project: Project, command: str, shown: list[str], where: str) -> None:
    if command.startswith("celery -A simcelery worker"):
        project.worker()
        return
    if " list " in command and shown:  # people type it when the jobs have ended
        wait_until(lambda: not unfinished(project))
    done = typed(project, command)
    refused = any(line.startswith("simcelery: ") for line in shown)
    assert done.returncode == (2 if refused else 0), f"{where}: {command}\n{done.stdout}"
    if shown:
        assert agrees(shown, done.stdout), f"{where}: {command}\n{done.stdout}"


def unfinished(project: Project) -> list[str]:
    waiting = [f"-s{state}" for state in State if not state.is_terminal]
    return project.run("simcelery", "list", *waiting, "-o", "quiet").stdout.split()


def typed(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    """Type it in, and read what is printed; without a shell where none is needed, since it starts slowly."""
    words = shlex.split(command, comments=True)
    if words[0] != "simcelery" or re.search(r"[|&<>$~*]", command):
        words = ["/bin/bash", "-c", command]
    done = project.run(*words, timeout=within(120), PATH=f"{BIN}:/usr/bin:/bin", COLUMNS="120")
    done.stdout += done.stderr
    return done


@OWN
@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_a_newcomer_can_follow(own: tuple[Settings, Project], page: str) -> None:
    _, project = own
    for left in ("sims.py", "simcelery.toml"):
        (project.folder / left).unlink()
    follow(project, TOP / page)


@OWN
def test_the_tutorial_can_be_followed(own: tuple[Settings, Project]) -> None:
    _, project = own
    first, *_ = [block for block in blocks(DOCS / "tutorial.md") if block.language == "python"]
    assert first.file == "ising.py"
    (project.folder / "ising.py").write_text(first.text)
    (project.folder / "simcelery.toml").write_text('workflows = ["ising"]\n')
    project.worker()
    follow(project, DOCS / "tutorial.md")


MY_PROJECT = """
from pathlib import Path

from simcelery import workflow

@workflow
def scan(structure: Path, fmax: float = 0.05) -> float:
    return fmax

@workflow
def fit(energies: list[float]) -> float:
    return min(energies)

@workflow
def report() -> None:
    pass

@workflow
def next() -> None:
    pass

@workflow
def write(size: int) -> None:
    raise OSError(f"No space left on device: /scratch/{size}")

@workflow
def scf(mixing: float = 0.4, kpts: list[int] = [2, 2, 2]) -> float:
    if mixing > 0.2:
        raise RuntimeError("no convergence after 1000 steps")
    return mixing
"""
SCAN = """

@workflow
def scan(samples: int, seed: int = 0) -> int:
    return samples
"""
MD = """
def diffusion(structure: str, temperature: float) -> float:
    return temperature / 1000
"""
# Jobs with the numbers that the page names: 1 to 60, and 1178 to 1187.
BEFORE = """
import my_project, sims
import psycopg, os

for number in range(1, 61):
    if number in (20, 30, 42, 57):
        my_project.write.submit(number, tags=["scan", "oxides"])
    elif number == 60:
        my_project.scf.submit(tags=["scan"])
    else:
        sims.pi.submit(10, seed=number, tags=["scan"])
with psycopg.connect(os.environ["SIMCELERY_DATABASE_URL"]) as connection:
    connection.execute("SELECT setval(pg_get_serial_sequence('jobs', 'id'), 1177)")
sims.pi.submit_many([{"samples": 10}] * 10)
"""


@pytest.fixture
def as_in_the_howto(own: tuple[Settings, Project]) -> Project:
    """The workflows, files and jobs that the short answers speak of, and a worker."""
    _, project = own
    folder = project.folder
    code = {
        block.file: block.text for page in ("quickstart", "tutorial") for block in blocks(DOCS / f"{page}.md")
    }
    for name in ("sims.py", "ising.py"):
        (folder / name).write_text(code[name])
    with (folder / "sims.py").open("a") as file:
        file.write(SCAN)
    (folder / "my_project").mkdir()
    (folder / "my_project" / "__init__.py").write_text(MY_PROJECT)
    (folder / "my_project" / "md.py").write_text(MD)
    (folder / "simcelery.toml").write_text('workflows = ["sims", "ising", "my_project"]\n')
    (folder / "points.csv").write_text("samples,seed\n" + "".join(f"{10 * n},{n}\n" for n in range(1, 7)))
    (folder / "in.melt.j2").write_text("{% for n in range(steps) %}\nrun {{ n }} at {{ T }}\n{% endfor %}\n")
    (folder / "in.melt.tmpl").write_text("variable T equal {T}\nrun {steps}\n")
    (folder / "points.jsonl").write_text('{"samples": 10}\n')
    maker = folder / "make_points.py"
    maker.write_text(f"#!{sys.executable}\nprint('{{\"samples\": 30}}')\n")
    maker.chmod(0o755)
    (folder / "structures").mkdir()
    for copy in ("structures/Cu.cif", "NaCl.cif"):
        shutil.copy(TOP / "examples" / "emt" / "Cu.cif", folder / copy)
    project.worker("-Q", "default,cpu")
    done = project.python(BEFORE)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not unfinished(project))
    return project


# Commands of the how-to that work, but not with the jobs of these tests.
OTHER_JOBS = {
    "simcelery submit --each points.csv -- lmp": "its table has columns T and P",
    "simcelery notify remove 3": "there is no such subscription",
    "simcelery logs 42 --file": "job 42 has no such file",
    "simcelery submit vasp.relax": "there is no VASP here",
    "simcelery files 42 get": "nor has it registered any",
}
# Programs and addresses of somebody's.
NOT_HERE = re.compile(r"https?://|mailto:|\./judge\.py|\bjq\b|notify-send|notify test")


@OWN
def test_every_command_of_the_howto_works(as_in_the_howto: Project) -> None:
    failures = []
    for block in blocks(DOCS / "howto.md"):
        for command, _ in block.commands() if block.language == "shell" else ():
            known = [reason for start, reason in OTHER_JOBS.items() if command.startswith(start)]
            if command.startswith(("simcelery cluster", "simcelery up --workers")):
                continue  # below, and in test_clusters.py
            if command.startswith("celery ") or runs_elsewhere(command) or known or NOT_HERE.search(command):
                continue
            if command.startswith(("simcelery errors", "simcelery retry")):
                wait_until(lambda: not unfinished(as_in_the_howto))
            answer = re.match(r"simcelery (retry|cancel)\b(?!.*( -y\b|--dry-run))", command)
            done = typed(as_in_the_howto, command + (" -y" if answer else ""))
            if done.returncode not in (0, 1):  # 1: a job did not succeed, and some of these cannot
                failures.append(f"howto.md:{block.line}: {command}\n{done.stdout}")
    assert not failures, "\n".join(failures)


@OWN
def test_every_command_of_the_howto_on_clusters_works(own: tuple[Settings, Project]) -> None:
    """With batch jobs that do nothing, on this host."""
    _, project = own
    profiles = [
        f'[clusters.{name}]\nlauncher = "local"\nsetup = ["exec sleep 600"]\n'
        for name in ("cpu", "gpu", "himem")
    ]
    (project.folder / "simcelery.toml").write_text("".join(profiles))
    commands = [
        command
        for block in blocks(DOCS / "howto.md")
        for command, _ in (block.commands() if block.language == "shell" else ())
        if command.startswith("simcelery cluster") and "--on local" not in command
    ]
    assert len(commands) > 6
    for command in commands:
        if " auto gpu " in command:  # it begins anew
            assert typed(project, "simcelery cluster stop gpu --wait").returncode == 0
        done = typed(project, command)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
    assert typed(project, "simcelery cluster stop cpu gpu himem --wait").returncode == 0
    wait_until(lambda: not controllers(project), 30)


# What the short answers take for granted.
GIVEN = """
import os
import numpy as np
import simcelery
from simcelery import current_job, workflow
from ising import peak, sample
from my_project import report

class ConvergenceError(Exception): ...

@workflow
def first(x: int) -> int: return x

@workflow
def second(x: int) -> int: return x

@workflow
def scan(n: int) -> int: return n

points = [{"n": n} for n in range(20)]
temperatures = [2.2, 2.4]
top = job = sample.submit(2.3, sweeps=10)
"""


@OWN
def test_every_python_block_of_the_howto_runs(as_in_the_howto: Project) -> None:
    python = [block for block in blocks(DOCS / "howto.md") if block.language == "python"]
    modules = ["given"]
    for block in python:
        if "pandas" in block.text and find_spec("pandas") is None:
            continue
        if block.section != "Test your workflows":  # tests/acceptance/test_testing.py runs these
            text = re.sub(r"^%.*$", "", block.text, flags=re.M)  # for a notebook only
            text += "def decorated() -> None: ...\n" if text.startswith("@") and "def " not in text else ""
            modules.append(f"howto_{block.line}")
            (as_in_the_howto.folder / f"{modules[-1]}.py").write_text("from given import *\n" + text)
    assert len(modules) > 10
    (as_in_the_howto.folder / "given.py").write_text(GIVEN)
    done = as_in_the_howto.python(f"import {', '.join(modules)}", timeout=within(120))
    assert done.returncode == 0, done.stderr


def every_command() -> list[tuple[str, str]]:
    return [
        (f"{block.page}:{block.line}", command)
        for page in PAGES
        if page.name not in GENERATED
        for block in blocks(page)
        if block.language == "shell"
        for command, _ in block.commands()
    ]


@pytest.mark.usefixtures("board")
def test_every_documented_command_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it cannot run here: its verb, its options and their values exist."""
    from simcelery.celery import _worker_options  # needs the URLs of servers

    monkeypatch.setattr("sys.stdin", io.StringIO("42"))
    parsed = 0
    for where, command in every_command():
        command = re.sub(r"(simcelery submit.*? -- ).*", r"\1true", command)
        for part in re.split(r" (?:\||&&) ", command):
            words = shlex.split(re.sub(r" >>? \S+$", "", part), comments=True)
            if words[:1] == ["simcelery"] and len(words) > 1:
                understand(where, words[1:])
                parsed += 1
            elif words[:4] == ["celery", "-A", "simcelery", "worker"]:
                options = {
                    one for option in (*celery_worker.params, *_worker_options()) for one in option.opts
                }
                assert {word for word in words[4:] if word.startswith("-")} <= options, where
    assert parsed > 80


def understand(where: str, words: list[str]) -> None:
    context = click.Context(root.root, info_name="simcelery")
    name, command, rest = root.root.resolve_command(context, words[2:] if words[0] == "--home" else words)
    try:
        while command is not None:
            context = command.make_context(name, list(rest), parent=context)
            if not isinstance(command, click.Group) or not rest:
                break
            name, command, rest = command.resolve_command(context, rest)
    except click.ClickException as error:
        if "does not exist" not in error.format_message():  # a file of the reader's
            pytest.fail(f"{where}: {' '.join(words)}: {error.format_message()}")


def test_every_toml_block_is_of_settings_that_exist() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.language == "toml"]
    assert found
    for block in found:
        if block.section not in ("Workflows in your own package", "Job files"):  # of other files
            assert set(tomllib.loads(block.text)) <= set(FIELDS), f"{block.page}:{block.line}"
