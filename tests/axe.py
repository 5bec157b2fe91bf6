"""What axe-core, from npm, finds on a page in a browser: faults that keep people from reading or using it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.browsers import Tab

_PACKAGE = "axe-core@4.14.1"
_SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
_RUN = "axe.run().then((found) => JSON.stringify(found.violations))"


def script(folder: Path) -> str:
    """Its script, by way of a folder; where npm cannot get it, the test is skipped."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    packed = subprocess.run(
        ["npm", "pack", _PACKAGE], cwd=folder, capture_output=True, text=True, timeout=120
    )
    if packed.returncode != 0:
        pytest.skip(f"npm has no {_PACKAGE}: {packed.stderr[-200:]}")
    [archive] = folder.glob("axe-core-*.tgz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == _SHA256
    with tarfile.open(archive) as opened:
        file = opened.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


def serious(page: Tab, axe: str) -> list[str]:
    """The serious and critical faults of a page, a line each."""
    page.evaluate(f"{axe}; null")
    found: list[dict[str, Any]] = json.loads(page.evaluate(_RUN))
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
