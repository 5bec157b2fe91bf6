"""The script of `simcelery demo`: what is submitted, and what becomes of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from simcelery.demo.plot import plot
from simcelery.demo.reference import FCC_METALS
from simcelery.demo.results import EquationOfState
from simcelery.demo.table import COLUMNS, Row, rows
from simcelery.demo.workflows import submit_equation_of_state

if TYPE_CHECKING:
    from simcelery import Job

__all__ = ["COLUMNS", "FCC_METALS", "Row", "collect", "plot", "rows", "submit"]

TAG = "demo"


def submit(points: int = 9, span: float = 0.05) -> dict[str, Job]:
    """Submit the equations of state of the seven metals.

    Returns:
        The job of the fit by metal. Each depends on `points` jobs of ``emt.strained``; all carry the tag
        ``demo`` and the metal's symbol.
    """
    return {
        metal: submit_equation_of_state(metal, points=points, span=span, tags=(TAG, metal))
        for metal in FCC_METALS
    }


def collect(jobs: Mapping[str, Job], timeout: float | None = None) -> dict[str, EquationOfState]:
    """Wait for the fits, at most `timeout` seconds for each, and return them by metal.

    Raises:
        JobError: a job did not succeed, or not in time.
    """
    return {metal: job.result(timeout=timeout) for metal, job in jobs.items()}
