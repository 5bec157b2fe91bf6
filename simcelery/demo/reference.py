"""Measured lattice constants and bulk moduli of the fcc metals that EMT describes.

Source: C. Kittel, *Introduction to Solid State Physics*, 8th edition, Wiley, 2005: lattice constants at
room temperature from chapter 1, table 3; isothermal bulk moduli at room temperature from chapter 3, table 3.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "C. Kittel, Introduction to Solid State Physics, 8th edition, Wiley, 2005"


@dataclass(frozen=True)
class Measured:
    """Measured values of an fcc metal.

    Attributes:
        a0: lattice constant of the cubic cell, Å.
        bulk_modulus: isothermal bulk modulus, GPa.
    """

    a0: float
    bulk_modulus: float


MEASURED: dict[str, Measured] = {
    "Al": Measured(4.05, 72.2),
    "Ni": Measured(3.52, 186.0),
    "Cu": Measured(3.61, 137.0),
    "Pd": Measured(3.89, 180.8),
    "Ag": Measured(4.09, 100.7),
    "Pt": Measured(3.92, 278.3),
    "Au": Measured(4.08, 173.2),
}

FCC_METALS: tuple[str, ...] = tuple(MEASURED)
