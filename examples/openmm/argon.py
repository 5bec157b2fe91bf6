"""Liquid argon by OpenMM, molecular dynamics that survives kills: with the numbers of an undisturbed run."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from simcelery import current_job, workflow

SIGMA = 0.3405  # nm
EPSILON = 119.8 * 0.00831446261815324  # kJ/mol
ATOMS, CELLS = 108, 3
EQUILIBRATION = 1000  # steps


@workflow(max_losses=20)
def argon(temperature: float, density: float, steps: int = 3000, seed: int = 1) -> float:
    """The mean potential energy per atom of a Lennard-Jones liquid.

    Every 100 steps the whole state is saved, with that of the random numbers: an attempt after a kill takes
    the same way.

    Parameters:
        temperature, density: in the units of the potential; 0.85 is 101.8 K.
        steps: of 10 fs; those after the first 1000 count.

    Returns:
        In units of the potential's depth.
    """
    context, integrator = _liquid(temperature, density, seed)
    me = current_job()
    done, energies = 0, []
    if saved := me.last_checkpoint:
        done, energies = saved["done"], saved["energies"]
        context.loadCheckpoint(saved["state"])
    while done < steps:
        integrator.step(20)
        done += 20
        if done > EQUILIBRATION:
            energies.append(context.getState(energy=True).getPotentialEnergy()._value)
        if done % 100 == 0:
            me.checkpoint({"done": done, "energies": energies, "state": context.createCheckpoint()})
            me.progress(done, steps, "steps")
    return fmean(energies) / ATOMS / EPSILON


def _liquid(temperature: float, density: float, seed: int) -> tuple[Any, Any]:
    """Atoms on the sites of a crystal, which melts."""
    import openmm
    from openmm import unit

    edge = (ATOMS / density) ** (1 / 3) * SIGMA
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors((edge, 0, 0), (0, edge, 0), (0, 0, edge))
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(2.5 * SIGMA)
    force.setUseDispersionCorrection(True)
    for _ in range(ATOMS):
        system.addParticle(39.948)
        force.addParticle(0, SIGMA, EPSILON)
    system.addForce(force)
    kelvin = temperature * 119.8 * unit.kelvin
    integrator = openmm.LangevinMiddleIntegrator(kelvin, 1 / unit.picosecond, 0.01 * unit.picosecond)
    integrator.setRandomNumberSeed(seed)
    # The only platform whose numbers do not depend on how often it was continued.
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    cell, sites = edge / CELLS, ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
    corners = [(i, j, k) for i in range(CELLS) for j in range(CELLS) for k in range(CELLS)]
    context.setPositions(
        [
            tuple((c + s) * cell for c, s in zip(corner, site, strict=True))
            for corner in corners
            for site in sites
        ]
    )
    context.setVelocitiesToTemperature(kelvin, seed)
    return context, integrator
