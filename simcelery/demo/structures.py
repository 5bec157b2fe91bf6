"""The type `Structure`: what the EMT workflows accept as a structure. It is read where the job is submitted.

The board gets the content of the file, not its path, so that a worker on another machine does not need it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from simcelery.demo.reference import FCC_METALS, MEASURED

if TYPE_CHECKING:
    from ase import Atoms  # elsewhere in functions: every worker and every `submit` imports this module

EMT_ELEMENTS = (*FCC_METALS, "H", "C", "N", "O")


@dataclass(frozen=True)
class Geometry:
    """A structure as plain numbers: part of results, and accepted as a `Structure` again.

    Attributes:
        symbols: element of each atom, length n.
        positions: Cartesian positions, n x 3, Å.
        cell: cell vectors, 3 x 3, one per row, Å.
        pbc: whether the structure repeats along each cell vector, length 3.
    """

    symbols: list[str]
    positions: list[list[float]]
    cell: list[list[float]]
    pbc: list[bool]

    @classmethod
    def of(cls, atoms: Atoms) -> Geometry:
        return cls(
            symbols=list(atoms.symbols),
            positions=atoms.positions.tolist(),
            cell=atoms.cell.tolist(),
            pbc=atoms.pbc.tolist(),
        )

    def atoms(self) -> Atoms:
        """The structure as `ase.Atoms`."""
        from ase import Atoms

        return Atoms(**asdict(self))


def read_structure(given: Any) -> Atoms:
    """Atoms from whatever a person or another workflow gives as a structure.

    Parameters:
        given: one of

            - a path to a CIF, POSCAR/CONTCAR, xyz or any other file that `ase.io.read` can read; of several
              images the last is used;
            - the symbol of an fcc metal that EMT knows (Al Ni Cu Pd Ag Pt Au): its primitive cell at the
              measured lattice constant. For a file of that name, write ``./Cu``;
            - `ase.Atoms` or its dictionary, a `Geometry`, or a result with one as ``structure``, such as
              that of ``emt.relax``.

    Returns:
        Atoms with elements, positions, cell, periodicity and constraints. Everything else is dropped:
        EMT does not use it, and equal structures should look equal on the board.

    Raises:
        ValueError: it cannot be read, or EMT has no parameters for it. One line says what to do.
    """
    from ase import Atoms

    given = getattr(given, "structure", given)
    if isinstance(given, str | os.PathLike):
        atoms = _from_name(os.fspath(given))
    elif isinstance(given, Atoms):
        atoms = given
    elif isinstance(given, Geometry):
        atoms = given.atoms()
    elif isinstance(given, Mapping):
        atoms = _from_dict(given.get("structure", given))
    else:
        raise ValueError(f"a structure is a file, an fcc metal or Atoms, not of type {type(given).__name__}")
    return _checked(atoms)


# `Any` stands for `ase.Atoms`, which is what `read_structure` makes of whatever is given.
Structure = Annotated[
    Any,
    BeforeValidator(read_structure),
    WithJsonSchema(
        {
            "anyOf": [{"enum": list(FCC_METALS)}, {"type": "string", "format": "path"}, {"type": "object"}],
            "description": f"a structure file, an fcc metal ({' '.join(FCC_METALS)}) or Atoms",
        }
    ),
]


def _from_name(name: str) -> Atoms:
    from ase.data import chemical_symbols

    if name in FCC_METALS:
        from ase.build import bulk

        return bulk(name, "fcc", a=MEASURED[name].a0)
    if not name.strip():
        raise ValueError("the name of the structure file is empty")
    path = Path(name).expanduser()
    if path.is_dir():
        raise ValueError(f"{name} is a folder; give a structure file in it")
    if path.is_file():
        return _from_file(path)
    if name in chemical_symbols:
        raise ValueError(_no_parameters([name]))
    raise ValueError(f"{name} is neither a file nor an fcc metal that EMT knows ({' '.join(FCC_METALS)})")


def _from_file(path: Path) -> Atoms:
    from ase import Atoms
    from ase.io import read

    vasp = any(word in path.name.upper() for word in ("POSCAR", "CONTCAR"))
    try:
        atoms = read(path, format="vasp" if vasp else None)
    except Exception as error:  # every reader of ASE fails in its own way
        reason = " ".join(str(error).split())
        raise ValueError(
            f"could not read {path} as a structure{f' ({reason})' if reason else ''}; use CIF, POSCAR, "
            "xyz or another format that ASE reads"
        ) from error
    assert isinstance(atoms, Atoms)
    occupancies = atoms.info.get("occupancy") or {}
    if any(sum(site.values()) < 1 or len(site) > 1 for site in occupancies.values()):
        raise ValueError(f"{path} has partially occupied sites; give an ordered structure")
    return atoms


def _from_dict(given: Mapping[str, Any]) -> Atoms:
    from ase import Atoms

    try:
        if "symbols" in given:
            return Geometry(**given).atoms()
        atoms: Atoms = Atoms.fromdict(dict(given))
    except Exception as error:  # a dictionary can be wrong in as many ways as a file
        raise ValueError(
            f"could not read the dictionary as a structure ({type(error).__name__}: {error}); give what "
            "Atoms.todict() returns"
        ) from error
    return atoms


def _checked(atoms: Atoms) -> Atoms:
    import numpy as np
    from ase import Atoms

    if len(atoms) == 0:
        raise ValueError("the structure has no atoms")
    unknown = [str(symbol) for symbol in dict.fromkeys(atoms.symbols) if symbol not in EMT_ELEMENTS]
    if unknown:
        raise ValueError(_no_parameters(unknown))
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise ValueError("the structure has positions or cell vectors that are not finite numbers")
    return Atoms(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell,
        pbc=atoms.pbc,
        constraint=[*atoms.constraints],
    )


def _no_parameters(symbols: list[str]) -> str:
    return f"EMT has no parameters for {' '.join(symbols)}; use only {' '.join(EMT_ELEMENTS)}"
