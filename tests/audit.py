"""`make check`: whether a hole is known in any package that is installed here.

The list of holes is asked for over the network. Where that does not answer, nothing is known, and so nothing
fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main() -> int:
    """Print what is known; 1: of some package a hole is."""
    asked = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*asked, "--skip-editable", "--timeout", "5"], capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"no audit of packages: {said[:100]}")
        return 0
    found = holes(json.loads(done.stdout))
    print("\n".join(found) or "no hole is known in what is installed")
    return int(bool(found))


def holes(report: dict[str, Any]) -> list[str]:
    """A line for each package with holes: its version, their names, and where they are mended."""
    return [
        f"{one['name']} {one['version']}: "
        + ", ".join(
            f"{hole['id']} (mended in {' '.join(hole['fix_versions']) or 'no version'})" for hole in known
        )
        for one in report["dependencies"]
        if (known := one.get("vulns"))
    ]


if __name__ == "__main__":
    sys.exit(main())
