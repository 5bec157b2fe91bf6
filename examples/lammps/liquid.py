"""The pressure and the energy of a Lennard-Jones liquid, by LAMMPS: in reduced units throughout."""

from __future__ import annotations

import os
import re
from pathlib import Path
from statistics import fmean

import simcelery

LMP = os.environ.get("LMP", "lmp")
TIMESTEP = re.compile(r"(?m)^(variable +dt +equal +)(\S+)")


def samples(folder: Path) -> dict[int, list[float]]:
    """What the log has of each step: temperature, energy per atom, pressure.

    What was computed twice, since an attempt was killed after its last restart file, is replaced.
    """
    rows = (line.split() for line in (folder / "log.liquid").read_text().splitlines())
    return {
        int(row[0]): [float(word) for word in row[1:]] for row in rows if len(row) == 4 and row[0].isdigit()
    }


def averages(folder: Path) -> dict[str, float]:
    """Averages after the equilibration."""
    text = (folder / "in.liquid").read_text()
    # By steps: the time that LAMMPS counts begins anew at a restart file.
    begin = float(re.search(r"ceil\(\((\S+?)\+", text)[1]) / float(TIMESTEP.search(text)[2])
    rows = [values for step, values in samples(folder).items() if step > begin]
    temperature, energy, pressure = map(fmean, zip(*rows, strict=True))
    return {"temperature": temperature, "energy": energy, "pressure": pressure, "samples": len(rows)}


def lost_atoms(folder: Path) -> str | None:
    """LAMMPS's own words, if atoms have left the box."""
    found = re.search(r"ERROR: (Lost atoms: .*?) \(", (folder / "output.txt").read_text())
    return found and found[1]


class SmallerStep(simcelery.Handler):
    """A quarter of the timestep, from the beginning: what ran with the larger one is worth nothing."""

    changes = "numerics"

    def check(self, folder: Path) -> str | None:
        return lost_atoms(folder)

    def correct(self, folder: Path) -> bool:
        text = (folder / "in.liquid").read_text()
        step = float(TIMESTEP.search(text)[2])
        if step < 0.002:
            return False  # then that is not the reason
        (folder / "in.liquid").write_text(TIMESTEP.sub(rf"\g<1>{step / 4:g}", text))
        for name in ("log.liquid", "liquid.restart"):
            (folder / name).unlink(missing_ok=True)
        return True


class IgnoreLost(simcelery.Handler):
    """Go on without the atoms that were lost: often advised, but from then on it is another liquid."""

    changes = "physics"

    def check(self, folder: Path) -> str | None:
        return lost_atoms(folder)

    def correct(self, folder: Path) -> None:
        text = (folder / "in.liquid").read_text()
        (folder / "in.liquid").write_text(text.replace("\nrun ", "\nthermo_modify lost ignore\nrun "))


@simcelery.code(
    command=[LMP, "-in", "in.liquid", "-log", "none"],
    inputs={"in.liquid": Path("in.liquid.tmpl")},
    outputs=["log.liquid"],
    ok="Total wall time",
    parse=averages,
    handlers=[IgnoreLost(), SmallerStep()],
    max_corrections=3,
    restart=["liquid.restart", "log.liquid"],
)
def liquid(
    temperature: float,
    density: float,
    timestep: float = 0.005,
    seed: int = 4711,
    equilibration: float = 10.0,
    production: float = 40.0,
) -> None:
    """Average temperature, energy and pressure."""
