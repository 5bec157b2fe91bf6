"""The EMT workflows: energies, relaxations and equations of state with ASE's effective medium theory.

EMT is a semi-empirical potential, fast enough that a whole demonstration takes seconds: K. W. Jacobsen,
P. Stoltze and J. K. Nørskov, Surf. Sci. 366, 394 (1996), as implemented in `ase.calculators.emt`. It is
meant for Al, Ni, Cu, Pd, Ag, Pt, Au and their alloys; its parameters for H, C, N and O are only for fun.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from simcelery import current_job, workflow
from simcelery.demo import equation_of_state as physics
from simcelery.demo.results import (
    EquationOfState,
    Point,
    Relaxation,
    SinglePoint,
    SubmittedEquationOfState,
)
from simcelery.demo.structures import Geometry, Structure, read_structure

if TYPE_CHECKING:
    from ase import Atoms

    from simcelery import Job

Positive = Annotated[float, Field(gt=0)]
Steps = Annotated[int, Field(ge=0)]
Strain = Annotated[float, Field(ge=-physics.MAX_SPAN, le=physics.MAX_SPAN)]
Points = Annotated[int, Field(ge=physics.MIN_POINTS)]
Span = Annotated[float, Field(gt=0, le=physics.MAX_SPAN)]


@workflow(name="emt.energy")
def energy(structure: Structure) -> SinglePoint:
    """Energy and forces of a structure as it is.

    Parameters:
        structure: a structure file, an fcc metal such as ``"Cu"``, or `ase.Atoms`.

    Raises:
        ValueError: the structure cannot be read, or EMT has no parameters for it.
    """
    atoms = _with_emt(structure)
    total = float(atoms.get_potential_energy())
    volume = _volume(atoms)
    return SinglePoint(
        energy=total,
        energy_per_atom=total / len(atoms),
        max_force=_max_force(atoms),
        volume_per_atom=None if volume is None else volume / len(atoms),
    )


@workflow(name="emt.relax", time_limit="24h")
def relax(
    structure: Structure, fmax: Positive = 0.01, steps: Steps = 200, relax_cell: bool = True
) -> Relaxation:
    """Relax the positions of a structure and, by default, its cell, to the minimum of energy.

    Uses BFGS, for the cell with `ase.filters.FrechetCellFilter`. Running out of steps is no error: the result
    then says ``converged=False`` and holds the last structure, which may be submitted again.

    Parameters:
        structure: a structure file, an fcc metal such as ``"Cu"``, or `ase.Atoms`.
        fmax: largest force allowed at the end, eV/Å, with `relax_cell` also on the cell's degrees of
            freedom; above 0.
        steps: maximum number of optimisation steps.
        relax_cell: also relax the cell; needs a structure that is periodic in three dimensions.

    Raises:
        ValueError: the structure cannot be read, EMT has no parameters for it, or it has no cell to relax.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms = _with_emt(structure)
    if relax_cell:
        physics.require_crystal(atoms, "relax_cell=True")
    job = current_job()
    target: Any = FrechetCellFilter(atoms) if relax_cell else atoms
    # A job has a log that people follow; a plain call should not print.
    optimizer = BFGS(target, logfile=None if job.id is None else "-")
    optimizer.attach(lambda: job.progress(optimizer.nsteps, steps, f"max force {_max_force(atoms):.4f} eV/Å"))
    converged = bool(optimizer.run(fmax=fmax, steps=steps))
    total, volume = float(atoms.get_potential_energy()), _volume(atoms)
    return Relaxation(
        energy=total,
        energy_per_atom=total / len(atoms),
        max_force=_max_force(atoms),
        volume=volume,
        a0=None if volume is None else physics.lattice_constant(atoms, volume / len(atoms)),
        steps=int(optimizer.nsteps),
        converged=converged,
        structure=Geometry.of(atoms),
    )


@workflow(name="emt.strained")
def strained(structure: Structure, strain: Strain) -> Point:
    """One point of the equation of state: the energy with all lengths changed by the factor 1 + strain.

    Parameters:
        structure: a crystal: a structure file, an fcc metal such as ``"Cu"``, or `ase.Atoms`.
        strain: relative change of length, from -0.2 to 0.2; the volume changes by (1 + strain)³.

    Raises:
        ValueError: the structure cannot be read, is no crystal, or EMT has no parameters for it.
    """
    atoms = _with_emt(physics.strained(structure, strain))
    return Point(
        strain=strain,
        volume=float(atoms.get_volume()) / len(atoms),
        energy=float(atoms.get_potential_energy()) / len(atoms),
    )


@workflow(name="emt.fit_eos")
def fit_eos(points: list[Point], structure: Structure) -> EquationOfState:
    """Fit the third-order Birch-Murnaghan equation of state, F. Birch, Phys. Rev. 71, 809 (1947).

    Parameters:
        points: at least 5 results of ``emt.strained``, in any order.
        structure: the structure they were computed for; only an fcc crystal gets a lattice constant.

    Raises:
        ValueError: too few points, or no minimum of energy within their volumes.
    """
    return physics.fit(points, structure)


@workflow(name="emt.eos")
def eos(
    structure: Structure, points: Points = 9, span: Span = 0.05
) -> EquationOfState | SubmittedEquationOfState:
    """Equation of state of a crystal: volume, energy and bulk modulus at equilibrium.

    As a job, it submits one ``emt.strained`` job per volume and an ``emt.fit_eos`` job that depends on
    them, and returns their ids at once: if it waited for them, it would hold a slot that they may need.
    A further attempt reuses the jobs that the first one submitted. A plain call computes everything itself.

    Parameters:
        structure: a crystal: a structure file, an fcc metal such as ``"Cu"``, or `ase.Atoms`.
        points: number of volumes, at least 5.
        span: largest relative change of length, above 0 and at most 0.2.

    Returns:
        `SubmittedEquationOfState` as a job, `EquationOfState` as a plain call.

    Raises:
        ValueError: the structure cannot be read, is no crystal, EMT has no parameters for it, or (as a
            plain call) there is no minimum of energy within the span.
    """
    if current_job().id is None:
        return physics.fit(
            [strained(structure, strain) for strain in physics.strains(points, span)], structure
        )
    jobs, fit = _submit(structure, points, span, tags=(), dedupe=True)
    return SubmittedEquationOfState(points=[job.id for job in jobs], fit=fit.id)


def submit_equation_of_state(
    structure: Any, points: int = 9, span: float = 0.05, tags: Iterable[str] = ()
) -> Job:
    """Submit an equation of state: one ``emt.strained`` job per volume, and a fit that depends on them.

    Parameters:
        structure: a crystal: a structure file, an fcc metal such as ``"Cu"``, or `ase.Atoms`.
        points: number of volumes, at least 5.
        span: largest relative change of length, above 0 and at most 0.2.
        tags: put on every job.

    Returns:
        The job of the fit; its result is an `EquationOfState`.

    Raises:
        ValueError: the structure cannot be read, is no crystal, EMT has no parameters for it, or `points`
            or `span` is out of range. Nothing has been submitted then.
    """
    return _submit(read_structure(structure), points, span, tags, dedupe=False)[1]


def _submit(
    structure: Atoms, points: int, span: float, tags: Iterable[str], dedupe: bool
) -> tuple[list[Job], Job]:
    physics.require_crystal(structure, "an equation of state")
    tags = list(tags)
    jobs = list(
        strained.submit_many(
            [{"structure": structure, "strain": strain} for strain in physics.strains(points, span)],
            tags=tags,
            dedupe=dedupe,
        )
    )
    return jobs, fit_eos.submit(points=jobs, structure=structure, tags=tags, dedupe=dedupe)


def _with_emt(structure: Atoms) -> Atoms:
    from ase.calculators.emt import EMT

    atoms: Atoms = structure.copy()
    atoms.calc = EMT()
    return atoms


def _max_force(atoms: Atoms) -> float:
    return float((atoms.get_forces() ** 2).sum(axis=1).max() ** 0.5)


def _volume(atoms: Atoms) -> float | None:
    return float(atoms.get_volume()) if atoms.cell.rank == 3 else None
