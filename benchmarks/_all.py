"""All benchmarks, one after the other, and then the page and the plot: what ``make bench`` runs.

Options are passed on to each script: ``--quick`` for small sizes, which change neither page nor plot.
"""

from __future__ import annotations

import subprocess
import sys

from _harness import HERE

ORDER = (
    "startup",
    "latency",
    "submit",
    "overhead",
    "slices",
    "dependents",
    "board",
    "commands",
    "monitor",
    "memory",
    "idle",
    "recovery",
    "walltime",
    "fleet",
)


def main() -> int:
    """How many scripts failed."""
    failed = []
    for name in ORDER:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / f"{name}.py"), *sys.argv[1:]], check=False).returncode:
            failed.append(name)
    if "--quick" not in sys.argv and "--results" not in sys.argv:
        subprocess.run([sys.executable, str(HERE / "plot.py")], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
