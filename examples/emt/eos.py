"""Equation of state of a crystal: nine jobs, one per volume, and the fit that depends on them.

Needs running workers: `celery -A simcelery worker`.
"""

import sys
from pathlib import Path

from simcelery.demo.workflows import submit_equation_of_state

structure = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("Cu.cif")
job = submit_equation_of_state(structure, tags=["eos"])
print(f"submitted; the fit is job {job.id}")

eos = job.result(timeout=600)
if eos.a0 is not None:
    print(f"{eos.formula}: a0 = {eos.a0:.3f} Å")
print(f"{eos.formula}: V0 = {eos.v0:.3f} Å³/atom, B = {eos.bulk_modulus:.1f} GPa")
