"""The physics of an equation of state: which strains to compute, how to fit, and how to recognise fcc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcelery.demo.results import EquationOfState, Point

if TYPE_CHECKING:
    from ase import Atoms

MIN_POINTS = 5  # four parameters are fitted, and a residual needs one point more
MAX_SPAN = 0.2  # beyond it no equation of state of this form holds


def strains(points: int, span: float) -> list[float]:
    """`points` evenly spaced relative changes of length from -`span` to +`span`."""
    if points < MIN_POINTS:
        raise ValueError(f"an equation of state needs at least {MIN_POINTS} points, not {points}")
    if not 0 < span <= MAX_SPAN:
        raise ValueError(f"the span of the strains must be above 0 and at most {MAX_SPAN}, not {span}")
    # Divide last, so that the middle strain is exactly 0.
    return [span * (2 * i - points + 1) / (points - 1) for i in range(points)]


def strained(atoms: Atoms, strain: float) -> Atoms:
    """A copy with all lengths changed by the factor 1 + `strain`; fractional coordinates stay."""
    require_crystal(atoms, "an equation of state")
    copy: Atoms = atoms.copy()
    # Constraints would hold atoms back while the cell is scaled.
    copy.set_constraint()
    copy.set_cell(copy.cell * (1 + strain), scale_atoms=True)
    return copy


def require_crystal(atoms: Atoms, what: str) -> None:
    """Raise a one-line ValueError unless the structure is periodic in three dimensions."""
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise ValueError(f"{what} needs a crystal: a cell that repeats in all three directions")


def lattice_constant(atoms: Atoms, volume: float) -> float | None:
    """Lattice constant (Å) of the cubic cell, for an fcc crystal of `volume` Å³/atom; None for any other."""
    return float((4 * volume) ** (1 / 3)) if is_fcc(atoms) else None


def is_fcc(atoms: Atoms, tolerance: float = 0.01) -> bool:
    """Whether the atoms form an fcc crystal of one element, in whatever cell, within a relative tolerance.

    Each atom must have twelve neighbours at the distance that its share of the volume implies, and
    opposite each neighbour another one, which is what tells fcc from hcp.
    """
    import numpy as np
    from ase.neighborlist import neighbor_list

    if len(set(atoms.symbols)) != 1 or not atoms.pbc.all() or atoms.cell.rank < 3:
        return False
    nearest = (2**0.5 * atoms.get_volume() / len(atoms)) ** (1 / 3)
    # Halfway to the second shell, which lies at 1.41 times the nearest distance.
    origin, vectors = neighbor_list("iD", atoms, 1.2 * nearest)
    for atom in range(len(atoms)):
        mine = vectors[origin == atom] / nearest
        if len(mine) != 12 or np.abs(np.linalg.norm(mine, axis=1) - 1).max() > tolerance:
            return False
        opposite = np.linalg.norm(mine[:, None] + mine[None, :], axis=2).min(axis=1)
        if opposite.max() > 2 * tolerance:
            return False
    return True


def fit(points: Sequence[Point], atoms: Atoms) -> EquationOfState:
    """The Birch-Murnaghan equation of state through `points`, computed for `atoms`.

    Third order, F. Birch, Phys. Rev. 71, 809 (1947), as fitted by `ase.eos.EquationOfState`.

    Raises:
        ValueError: too few points, or no minimum of energy within their volumes.
    """
    import numpy as np
    from ase import eos, units

    if len(points) < MIN_POINTS:
        raise ValueError(f"an equation of state needs at least {MIN_POINTS} points, not {len(points)}")
    ordered = sorted(points, key=lambda point: point.volume)
    volumes, energies = [p.volume for p in ordered], [p.energy for p in ordered]
    model = eos.EquationOfState(volumes, energies, eos="birchmurnaghan")
    try:
        model.fit(warn=False)
    except RuntimeError:
        raise ValueError(_no_minimum(volumes)) from None
    e0, modulus, derivative, v0 = (float(value) for value in model.eos_parameters)
    if not volumes[0] < v0 < volumes[-1] or modulus <= 0:
        raise ValueError(_no_minimum(volumes))
    errors = np.array(energies) - eos.birchmurnaghan(np.array(volumes), *model.eos_parameters)
    return EquationOfState(
        formula=atoms.get_chemical_formula(mode="metal", empirical=True),
        a0=lattice_constant(atoms, v0),
        v0=v0,
        e0=e0,
        bulk_modulus=modulus / units.GPa,
        bulk_modulus_derivative=derivative,
        residual=float(np.sqrt(np.mean(errors**2))),
        volumes=volumes,
        energies=energies,
    )


def _no_minimum(volumes: Sequence[float]) -> str:
    return (
        f"no minimum of energy between {volumes[0]:.2f} and {volumes[-1]:.2f} Å³/atom; relax the structure "
        "first (emt.relax) or widen the span"
    )
