"""ASE's structures keep the energies and forces that their calculator has computed for them."""

from __future__ import annotations

from typing import Any

_KEY = "calculator"


def is_atoms(kind: type) -> bool:
    """Whether a class is ASE's `Atoms`, or made from it; without importing ASE."""
    return any(base.__module__ == "ase.atoms" and base.__name__ == "Atoms" for base in kind.__mro__)


def results(atoms: Any) -> dict[str, Any]:
    """What to store beside what `todict` says, where the calculator's results are those of this structure."""
    calculator: Any = getattr(atoms, "calc", None)
    if not getattr(calculator, "results", None) or calculator.check_state(atoms):
        return {}
    return {_KEY: {"name": calculator.name, "results": dict(calculator.results)}}


def without_results(encoded: Any) -> Any:
    """An encoded value without what calculators have computed for the structures in it."""
    if isinstance(encoded, list):
        return [without_results(item) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    structure = {"numbers", "positions"} <= encoded.keys()
    return {name: without_results(item) for name, item in encoded.items() if not structure or name != _KEY}


def rebuilt(kind: Any, build: str, stored: dict[str, Any]) -> Any:
    """The structure, with a calculator that knows those results and computes nothing."""
    described = {name: item for name, item in stored.items() if name != _KEY}
    atoms = getattr(kind, build)(described)
    if (known := stored.get(_KEY)) is not None:
        from ase.calculators.singlepoint import SinglePointCalculator

        atoms.calc = SinglePointCalculator(atoms)
        atoms.calc.name = known["name"]
        atoms.calc.results = known["results"]
    return atoms
