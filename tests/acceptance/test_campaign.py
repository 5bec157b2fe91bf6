"""The campaign of examples/campaign on real workers that are killed at random: the numbers stay."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import simcelery
from tests.conftest import Project
from tests.waiting import within

EXAMPLE = Path(__file__).parents[2] / "examples" / "campaign"
METALS = ("Cu", "Ag")
KILLS = 6

# The example as it is, except that each energy takes a moment, and leaves a line.
SLOWED = """
import os, time
import campaign

_energy = campaign.energy

def energy(metal, a):
    found = _energy(metal, a)
    with open(os.environ["ENERGIES"], "a") as file:
        file.write(f"{metal} {a!r}\\n")
    time.sleep(float(os.environ["PAUSE"]))
    return found

campaign.energy = energy
"""

# What it gives where nothing disturbs it.
UNDISTURBED = """
import json, sys
import campaign

def relaxed(metal, low=3.0, high=5.0):
    energies = 0
    while high - low >= 1e-4:
        left, right = high - campaign.GOLDEN * (high - low), low + campaign.GOLDEN * (high - low)
        lower = campaign.energy(metal, left) < campaign.energy(metal, right)
        low, high = (low, right) if lower else (left, high)
        energies += 2
    return (low + high) / 2, energies

found = {}
for metal in sys.argv[1:]:
    a, energies = relaxed(metal)
    points = [campaign.strain(metal, a, by) for by in campaign.STRAINS]
    fit = campaign.fit(metal, points)
    fit = {name: value if name == "metal" else float(value) for name, value in fit.items()}
    found[metal] = [a, energies, points, fit]
print(json.dumps(found))
"""


def test_a_campaign_under_kills_ends_with_the_numbers_of_an_undisturbed_one(
    project: Project, tmp_path: Path
) -> None:
    shutil.copy(EXAMPLE / "campaign.py", project.folder)
    (project.folder / "slowed.py").write_text(SLOWED)
    done = project.run("python", "-c", UNDISTURBED, *METALS)
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout)

    energies = tmp_path / "energies"
    more = {"SIMCELERY_WORKFLOWS": "slowed", "ENERGIES": str(energies), "PAUSE": "0.1"}
    workers = [project.worker("-c", "2", **more) for _ in range(2)]
    submitted = project.python(
        f"import campaign; print(*(campaign.submit(metal).id for metal in {METALS!r}))",
        SIMCELERY_WORKFLOWS="campaign",
    )
    assert submitted.returncode == 0, submitted.stderr
    jobs = [simcelery.get_job(int(number)) for number in submitted.stdout.split()]

    choice = random.Random(11)
    for _ in range(KILLS):
        time.sleep(choice.uniform(0.3, 1.5))
        number = choice.randrange(2)
        workers[number].kill()
        workers[number].wait()
        workers[number] = project.worker("-c", "2", **more)

    for metal, job in zip(METALS, jobs, strict=True):
        cell, iterations, points, fit = expected[metal]
        assert job.result(timeout=within(120)) == fit
        mine = [one for one in simcelery.jobs(tags=["campaign"]) if one.parameters["metal"] == metal]
        assert [one.row().result for one in mine if one.workflow == "campaign.relax"] == [cell]
        assert [one.row().result for one in mine if one.workflow == "campaign.strain"] == points
        computed = Counter(line for line in energies.read_text().splitlines() if line.startswith(f"{metal} "))
        # Neither an iteration that was saved nor a point that had ended is computed again: a kill costs what
        # was just being computed in two slots, two energies each at most.
        assert sum(computed.values()) <= iterations + len(points) + KILLS * 2 * 2
