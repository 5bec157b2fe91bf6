"""The EMT workflows and the script of `simcelery demo`.

This package does small but real physics: energies, relaxations and equations of state with ASE's EMT, as
workflows that anybody may submit (``emt.relax``, ``emt.eos`` …) and that the demo runs from start to finish.
It is the entry point ``emt`` of ``simcelery.workflows``, so every worker imports it; without ASE (the extra
``simcelery[demo]``) it defines no workflows, which is no error. Only the command line calls `script`.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("ase") is not None:
    from simcelery.demo import workflows as workflows
