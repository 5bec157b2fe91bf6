"""From a metal to its bulk modulus, in three stages: relax its lattice, strain it twenty times, fit.

The energies are those of ASE's effective medium theory (see simcelery.demo): Al, Ni, Cu, Pd, Ag, Pt, Au.
"""

from __future__ import annotations

import sys
from typing import Any

from simcelery import current_job, workflow

STRAINS = [0.003 * n for n in range(-10, 11) if n]
GOLDEN = 0.6180339887498949  # (√5 − 1) / 2
EV_PER_A3 = 160.21766208  # GPa


def energy(metal: str, a: float) -> float:
    """The energy of a primitive fcc cell with the lattice constant a (Å), in eV."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    atoms = bulk(metal, "fcc", a=a)
    atoms.calc = EMT()
    return float(atoms.get_potential_energy())


@workflow(max_losses=50)
def relax(metal: str, low: float = 3.0, high: float = 5.0, tolerance: float = 1e-4) -> float:
    """The lattice constant of an fcc metal in Å, by golden-section search.

    Each iteration is saved: a kill costs one at most, and the next attempt takes the same way.
    """
    me = current_job()
    while True:
        low, high = me.last_checkpoint or (low, high)
        if high - low < tolerance:
            return (low + high) / 2
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        me.checkpoint((low, right) if energy(metal, left) < energy(metal, right) else (left, high))
        me.progress(1.0, None, f"{high - low:.4f} Å to go")


@workflow(max_losses=50)
def strain(metal: str, a: float, by: float) -> dict[str, float]:
    """Volume (Å³) and energy (eV) of a primitive cell whose lattice constant is strained."""
    length = a * (1 + by)
    return {"volume": length**3 / 4, "energy": energy(metal, length)}


@workflow(max_losses=50)
def fit(metal: str, points: list[dict[str, float]]) -> dict[str, Any]:
    """The bulk modulus (GPa), from a Birch-Murnaghan equation of state."""
    from ase.eos import EquationOfState

    eos = EquationOfState([p["volume"] for p in points], [p["energy"] for p in points], eos="birchmurnaghan")
    volume, minimum, modulus = eos.fit()
    return {"metal": metal, "a": (4 * volume) ** (1 / 3), "energy": minimum, "modulus": modulus * EV_PER_A3}


def submit(metal: str) -> Any:
    """Submit all three stages; the job of the fit."""
    cell = relax.submit(metal, tags=["campaign"], dedupe=True)
    points = strain.submit_many(
        [{"metal": metal, "a": cell, "by": by} for by in STRAINS], tags=["campaign"], dedupe=True
    )
    return fit.submit(metal, points=list(points), tags=["campaign"], dedupe=True)


if __name__ == "__main__":
    for job in [submit(metal) for metal in sys.argv[1:] or ["Cu", "Ag", "Au"]]:
        found = job.result()
        print(f"{found['metal']}: a = {found['a']:.4f} Å, B = {found['modulus']:.1f} GPa")
