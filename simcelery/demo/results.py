"""What the EMT workflows return: plain numbers that the board can hold. Energies in eV, lengths in Å."""

from __future__ import annotations

from dataclasses import dataclass

from simcelery.demo.structures import Geometry


@dataclass(frozen=True)
class SinglePoint:
    """Energy and forces of a structure as it is.

    Attributes:
        energy: potential energy, eV.
        energy_per_atom: eV/atom.
        max_force: largest force on an atom, eV/Å.
        volume_per_atom: Å³/atom; None if there is no three-dimensional cell.
    """

    energy: float
    energy_per_atom: float
    max_force: float
    volume_per_atom: float | None


@dataclass(frozen=True)
class Relaxation:
    """A structure at its minimum of energy, or as near as the steps allowed.

    Attributes:
        energy: potential energy, eV.
        energy_per_atom: eV/atom.
        max_force: largest force on an atom, eV/Å.
        volume: volume of the cell, Å³; None if there is no three-dimensional cell.
        a0: lattice constant of the cubic cell, Å, if the relaxed structure is an fcc crystal, else None.
        steps: optimisation steps done.
        converged: whether forces (and stress, if the cell was relaxed) fell below ``fmax``.
        structure: the relaxed structure.
    """

    energy: float
    energy_per_atom: float
    max_force: float
    volume: float | None
    a0: float | None
    steps: int
    converged: bool
    structure: Geometry


@dataclass(frozen=True)
class Point:
    """One point of an equation of state.

    Attributes:
        strain: relative change of all lengths of the structure given.
        volume: Å³/atom.
        energy: eV/atom.
    """

    strain: float
    volume: float
    energy: float


@dataclass(frozen=True)
class EquationOfState:
    """A fitted equation of state.

    Attributes:
        formula: chemical formula of the structure.
        a0: lattice constant of the cubic cell at equilibrium, Å, if the structure is fcc, else None.
        v0: volume at equilibrium, Å³/atom.
        e0: energy at equilibrium, eV/atom.
        bulk_modulus: GPa.
        bulk_modulus_derivative: with respect to pressure, no unit.
        residual: root mean square of computed minus fitted energies, eV/atom.
        volumes: of the n computed points, ascending, Å³/atom.
        energies: of the same points, eV/atom.
    """

    formula: str
    a0: float | None
    v0: float
    e0: float
    bulk_modulus: float
    bulk_modulus_derivative: float
    residual: float
    volumes: list[float]
    energies: list[float]


@dataclass(frozen=True)
class SubmittedEquationOfState:
    """The jobs that ``emt.eos`` submitted.

    Attributes:
        points: ids of the ``emt.strained`` jobs, one per volume.
        fit: id of the ``emt.fit_eos`` job, which depends on them; its result is the equation of state.
    """

    points: list[int]
    fit: int
