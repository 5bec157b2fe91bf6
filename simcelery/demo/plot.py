"""The plot of the demo: the equations of state, and how they compare with experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from simcelery.demo.results import EquationOfState
from simcelery.demo.table import Row, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart also by the colour-blind; markers tell the curves apart without colour.
_COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#56B4E9", "#CC79A7", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot(fits: Mapping[str, EquationOfState], path: Path) -> Path:
    """Draw the equations of state and their comparison with experiment into one PNG.

    Parameters:
        fits: equation of state by metal; metals that have not been measured appear on the left only.
        path: the file to write; its folder is made if need be.

    Returns:
        `path`.
    """
    # Figures made without pyplot need no display and leave the caller's plots alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.6, 1))
    styles = {metal: (_COLOURS[i % 7], _MARKERS[i % 7]) for i, metal in enumerate(fits)}
    compared = rows(fits)
    _curves(figure.add_subplot(grid[:, 0]), fits, styles)
    _lattice_constants(figure.add_subplot(grid[0, 1]), compared, styles)
    _bulk_moduli(figure.add_subplot(grid[1, 1]), compared, styles)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")
    return path


def _curves(axes: Axes, fits: Mapping[str, EquationOfState], styles: Mapping[str, tuple[str, str]]) -> None:
    import numpy as np
    from ase.eos import birchmurnaghan
    from ase.units import GPa

    for metal, fit in fits.items():
        colour, marker = styles[metal]
        volumes = np.linspace(min(fit.volumes), max(fit.volumes), 200)
        energies = birchmurnaghan(
            volumes, fit.e0, fit.bulk_modulus * GPa, fit.bulk_modulus_derivative, fit.v0
        )
        axes.plot(volumes / fit.v0, energies - fit.e0, color=colour, linewidth=1.2)
        axes.plot(
            np.array(fit.volumes) / fit.v0,
            np.array(fit.energies) - fit.e0,
            linestyle="none", marker=marker, color=colour, markersize=6, label=metal,
        )  # fmt: skip
    axes.set_xlabel("volume V / V₀")
    axes.set_ylabel("energy E − E₀ (eV/atom)")
    axes.set_title("EMT: computed points and Birch–Murnaghan fits")
    axes.legend(title="metal", ncols=2, frameon=False)


def _lattice_constants(axes: Axes, compared: list[Row], styles: Mapping[str, tuple[str, str]]) -> None:
    for row in compared:
        colour, marker = styles[row.metal]
        axes.plot(row.a0_measured, row.a0, marker=marker, color=colour, linestyle="none", label=row.metal)
    _finish(axes, "lattice constant a₀ (Å)")


def _bulk_moduli(axes: Axes, compared: list[Row], styles: Mapping[str, tuple[str, str]]) -> None:
    for row in compared:
        colour, marker = styles[row.metal]
        axes.plot(
            row.bulk_modulus_measured, row.bulk_modulus,
            marker=marker, color=colour, linestyle="none", label=row.metal,
        )  # fmt: skip
    _finish(axes, "bulk modulus B (GPa)")


def _finish(axes: Axes, title: str) -> None:
    """Equal ranges on both axes and the line on which computed equals measured."""
    low, high = min(axes.dataLim.min), max(axes.dataLim.max)
    margin = 0.08 * (high - low) or 1.0
    low, high = low - margin, high + margin
    axes.plot([low, high], [low, high], color="0.6", linewidth=1, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=title)
    axes.set_xlabel("measured")
    axes.set_ylabel("computed")
