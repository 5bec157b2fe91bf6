"""H₂ pulled apart, by PySCF: where Hartree-Fock goes wrong, and full configuration interaction does not."""

from __future__ import annotations

from typing import Literal

import simcelery
from simcelery import workflow


@workflow
def energy(distance: float, method: Literal["rhf", "fci"] = "fci", basis: str = "cc-pvdz") -> float:
    """The energy of H₂.

    Parameters:
        distance: between the nuclei, in Å.
        basis: any that PySCF knows.

    Returns:
        Hartree.
    """
    from pyscf import fci, gto, scf

    molecule = gto.M(atom=f"H 0 0 0; H 0 0 {distance}", basis=basis, verbose=0)
    field = scf.RHF(molecule).run()
    return float(field.e_tot if method == "rhf" else fci.FCI(field).kernel()[0])


def curves(tag: str) -> dict[str, list[tuple[float, float]]]:
    """What has succeeded so far: for each method distances and energies, in their order."""
    found: dict[str, list[tuple[float, float]]] = {}
    for job in simcelery.jobs(tags=[tag], state="succeeded"):
        given = job.parameters
        found.setdefault(given["method"], []).append((given["distance"], job.result()))
    return {method: sorted(points) for method, points in found.items()}


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    for method, points in curves("h2").items():
        plt.plot(*zip(*points, strict=True), "o-", label=method.upper())
    plt.xlabel("distance (Å)")
    plt.ylabel("energy (Hartree)")
    plt.legend()
    plt.savefig("h2.png")
    print("h2.png")
