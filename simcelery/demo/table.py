"""Computed and measured values: the rows of the demo's final table, which the command line renders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simcelery.demo.reference import MEASURED
from simcelery.demo.results import EquationOfState

COLUMNS = (
    "metal",
    "a0 (Å)",
    "a0 measured (Å)",
    "a0 deviation (%)",
    "B (GPa)",
    "B measured (GPa)",
    "B deviation (%)",
)


@dataclass(frozen=True)
class Row:
    """One metal.

    Attributes:
        metal: its symbol.
        a0, a0_measured: lattice constant, Å.
        a0_deviation: of the computed from the measured value, percent.
        bulk_modulus, bulk_modulus_measured: GPa.
        bulk_modulus_deviation: likewise, percent.
    """

    metal: str
    a0: float
    a0_measured: float
    a0_deviation: float
    bulk_modulus: float
    bulk_modulus_measured: float
    bulk_modulus_deviation: float

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each of `COLUMNS`."""
        return (
            self.metal,
            f"{self.a0:.3f}",
            f"{self.a0_measured:.2f}",
            f"{self.a0_deviation:+.1f}",
            f"{self.bulk_modulus:.1f}",
            f"{self.bulk_modulus_measured:.1f}",
            f"{self.bulk_modulus_deviation:+.1f}",
        )


def rows(fits: Mapping[str, EquationOfState]) -> list[Row]:
    """One row per fcc metal in `fits` that has been measured, in the order of `fits`."""
    return [
        Row(
            metal=metal,
            a0=fit.a0,
            a0_measured=MEASURED[metal].a0,
            a0_deviation=_percent(fit.a0, MEASURED[metal].a0),
            bulk_modulus=fit.bulk_modulus,
            bulk_modulus_measured=MEASURED[metal].bulk_modulus,
            bulk_modulus_deviation=_percent(fit.bulk_modulus, MEASURED[metal].bulk_modulus),
        )
        for metal, fit in fits.items()
        if fit.a0 is not None and metal in MEASURED
    ]


def _percent(computed: float, measured: float) -> float:
    return 100 * (computed - measured) / measured
