"""The Lennard-Jones liquid of examples/lammps, with LAMMPS itself where it is installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import simcelery
from simcelery import Job
from simcelery.services import Services
from tests.acceptance.test_corrections import failure, ledger, submitted
from tests.board_helpers import attempts
from tests.conftest import Project, empty, make_project
from tests.waiting import wait_until, within

EXAMPLE = Path(__file__).parents[2] / "examples" / "lammps"
LMP = shutil.which("lmp")

# At T = 0.85 and a density of 0.82, cut at 3 sigma with tail corrections: the benchmarks of the Lennard-Jones
# fluid of NIST's Standard Reference Simulation Website.
ENERGY, PRESSURE = -5.7947, 0.55355

# Where there is no LAMMPS: it fails, goes on and prints as LAMMPS does, and has the numbers above.
STAND_IN = """#!/usr/bin/env python3
import os, pathlib, re, sys, time
text = pathlib.Path(sys.argv[sys.argv.index("-in") + 1]).read_text()
step, = re.findall(r"variable +dt +equal +(\\S+)", text)
warm, run = re.findall(r"ceil\\(\\((\\S+?)\\+(\\S+?)\\)", text)[0]
begin = int(open("liquid.restart").read()) if os.path.exists("liquid.restart") else 0
for number in range(begin, int((float(warm) + float(run)) / float(step)) + 1):
    if float(step) > 0.02:
        print("ERROR: Lost atoms: original 500 current 496 (src/thermo.cpp:439)")
        sys.exit("Last command: run")
    if number % 20 == 0:
        energy = -6.9627679 if number == 0 else -5.7947
        print(number, 0.85, energy, 0.55355, file=open("log.liquid", "a"))
    if number % 200 == 0:
        open("new.restart", "w").write(str(number))
        os.replace("new.restart", "liquid.restart")
        time.sleep(0.1)
print("Total wall time: 0:00:01")
"""


@pytest.fixture(scope="module")
def project(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One worker for all of these tests."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("lammps"))
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy(file, made.folder)
    made.environment["SIMCELERY_WORKFLOWS"] = "liquid"
    if LMP is None:
        (made.folder / "lmp").write_text(STAND_IN)
        (made.folder / "lmp").chmod(0o755)
        made.environment["PATH"] = f"{made.folder}:{made.environment['PATH']}"
    yield made
    made.end()


TOO_LONG = ("liquid.liquid", "temperature=0.85", "density=0.82", "timestep=0.04")


def test_atoms_are_lost_the_timestep_is_corrected_and_the_numbers_are_those_of_the_literature(
    project: Project,
) -> None:
    project.worker("-c", "2")
    job = submitted(project, *TOO_LONG)
    result = job.result(timeout=within(60))
    assert result["energy"] == pytest.approx(ENERGY, abs=0.03)
    assert result["pressure"] == pytest.approx(PRESSURE, abs=0.1)
    assert result["temperature"] == pytest.approx(0.85, abs=0.02)
    assert (result["samples"], result["corrections"], job.row().attempt) == (200, 1, 1)
    [(*_, handler, error, changes)] = ledger(job)
    assert (handler, changes) == ("SmallerStep", "numerics")
    assert error.startswith("Lost atoms: original 500 current ")
    assert (
        "-variable    dt    equal 0.04\n+variable    dt    equal 0.01\n" in job.corrections()[0]["difference"]
    )
    assert "IgnoreLost found: Lost atoms" in job.log()  # and was not allowed


def test_the_physics_is_changed_only_where_that_is_allowed(project: Project) -> None:
    allowed = submitted(project, *TOO_LONG, "production=5", "equilibration=1", "--allow", "physics")
    stuck = submitted(project, *TOO_LONG[:-1], "timestep=0.1", "production=5", "--max-attempts", "1")
    allowed.wait(within(60))
    assert [(one[2], one[4]) for one in ledger(allowed)][:1] == [("IgnoreLost", "physics")]
    assert allowed.parameters["allow"] == ["numerics", "physics"]  # it is marked
    stuck.wait(within(60))
    assert "physics" not in [one[-1] for one in ledger(stuck)]


def test_a_sweep_on_the_command_line_needs_no_python(project: Project) -> None:
    options = ("--file", "in.liquid.tmpl", "--expect", "log.liquid", "--ok", "Total wall time", "-o", "quiet")
    values = ("--grid", "density=0.82,0.86", "temperature=0.85", "timestep=0.005", "seed=1")
    times = ("equilibration=1", "production=1")
    command = ("lmp", "-in", "in.liquid", "-log", "none")
    done = project.run("simcelery", "submit", *values, *times, *options, "--", *command)
    assert done.returncode == 0, done.stderr
    jobs = [simcelery.get_job(int(number)) for number in done.stdout.split()]
    first = [_samples(job)["0"] for job in jobs]
    assert first[0] == pytest.approx(_crystal(0.82), abs=1e-5)
    if LMP:
        assert first[1] == pytest.approx(_crystal(0.86), abs=1e-5)
    [failing] = [
        simcelery.get_job(int(number))
        for number in project.run(
            "simcelery", "submit", "timestep=0.04", "density=0.82", *values[2:3], "seed=1", *times, *options,
            "--", *command,
        ).stdout.split()
    ]  # fmt: skip
    assert "CommandError: exit code 1: ERROR: Lost atoms: original 500 current" in failure(failing)


def _samples(job: Job) -> dict[str, float]:
    """The energy of each step."""
    folder = Path(job.result(timeout=within(60))["workdir"])
    rows = [line.split() for line in (folder / "log.liquid").read_text().splitlines()]
    return {row[0]: float(row[2]) for row in rows if len(row) == 4 and row[0].isdigit()}


def _crystal(density: float) -> float:
    """The energy per atom of the crystal that it begins from: a sum over neighbours, and what lies beyond."""
    edge, cut = (4 / density) ** (1 / 3), 3.0
    cells = range(-8, 9)
    squares = [
        (x * x + y * y + z * z) * edge**2 / 4
        for x in cells for y in cells for z in cells
        if (x + y + z) % 2 == 0 and (x, y, z) != (0, 0, 0)
    ]  # fmt: skip
    pairs = sum(2 * (r2**-6 - r2**-3) for r2 in squares if r2 < cut**2)
    return pairs + 8 / 3 * 3.141592653589793 * density * (cut**-9 / 3 - cut**-3)


def test_after_a_kill_it_goes_on_with_the_corrected_input_and_nothing_is_corrected_again(
    project: Project,
) -> None:
    project.end()
    worker = project.worker("-c", "1")
    job = submitted(project, *TOO_LONG, "production=60")
    home = Path(project.environment["SIMCELERY_HOME"])
    restart = f"{job.id}.1-*/liquid.restart"
    wait_until(lambda: bool(ledger(job) and list(home.rglob(restart))), 60)
    worker.kill()
    worker.wait()
    project.worker("-c", "1")
    result = job.result(timeout=within(90))
    assert [one["outcome"] for one in attempts(job.id)] == ["lost", "succeeded"]
    assert [(attempt, handler) for _, attempt, handler, *_ in ledger(job)] == [(1, "SmallerStep")]
    assert result["corrections"] == 1  # of the attempt that it continues
    assert result["samples"] == 300
    assert result["energy"] == pytest.approx(ENERGY, abs=0.03)
    assert result["pressure"] == pytest.approx(PRESSURE, abs=0.1)
    said = "attempt 2 continues attempt 1: in.liquid, liquid.restart, log.liquid"
    assert said in project.run("simcelery", "show", str(job.id)).stdout
    assert said in job.log()
    details = json.loads(project.run("simcelery", "show", str(job.id), "-o", "json").stdout)
    assert [(one["attempt"], one["continues"]) for one in details["restarts"]] == [(2, 1)]
