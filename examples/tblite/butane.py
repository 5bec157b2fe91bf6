"""The torsion of n-butane, relaxed at each angle, by GFN2-xTB: gauche, cis and the barriers between them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from simcelery import workflow

KCAL_PER_MOL = 23.060548  # per eV


@workflow
def at(angle: float, fmax: float = 0.02) -> dict[str, float]:
    """Relax butane with its carbon chain held at an angle.

    Parameters:
        angle: of the dihedral, in degrees; 180 is trans.
        fmax: the largest force that is left, in eV/Å.

    Returns:
        The angle, and the energy in eV.
    """
    from ase.build import molecule
    from ase.constraints import FixInternals
    from ase.optimize import BFGS
    from tblite.ase import TBLite

    butane = molecule("trans-butane")
    chain, turned = _chain(butane)
    butane.set_dihedral(*chain, angle, indices=turned)
    butane.set_constraint(FixInternals(dihedrals_deg=[[angle, chain]]))
    butane.calc = TBLite(method="GFN2-xTB", verbosity=0)
    if not BFGS(butane, logfile=None).run(fmax=fmax, steps=300):
        raise RuntimeError(f"not relaxed after 300 steps at {angle}°")
    butane.write("butane.xyz")
    return {"angle": angle, "energy": float(butane.get_potential_energy())}


@workflow
def profile(points: list[dict[str, float]]) -> dict[str, float]:
    """Energies by angle, above the lowest one, in kcal/mol."""
    lowest = min(point["energy"] for point in points)
    points = sorted(points, key=lambda point: point["angle"])
    return {f"{point['angle']:g}": (point["energy"] - lowest) * KCAL_PER_MOL for point in points}


def _chain(butane: Any) -> tuple[list[int], list[int]]:
    """The carbon atoms from end to end, and what turns with the last two."""
    carbons = [atom.index for atom in butane if atom.symbol == "C"]
    apart = butane.get_all_distances()
    first, last = max(combinations(carbons, 2), key=lambda pair: apart[pair])
    second, third = sorted(set(carbons) - {first, last}, key=lambda n: apart[first, n])
    turned = [n for n in range(len(butane)) if apart[n, third] < apart[n, second]]
    return [first, second, third, last], turned


if __name__ == "__main__":
    angles = [{"angle": float(angle)} for angle in range(0, 181, 15)]
    scan = profile.submit(points=list(at.submit_many(angles, tags=["butane"], dedupe=True)), tags=["butane"])
    for angle, energy in scan.result().items():
        print(f"{angle:>4s}° {energy:6.2f} kcal/mol")
