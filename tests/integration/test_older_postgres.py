"""The board keeps its word on a Postgres older than the embedded one: the oldest that Debian has put here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chosen_postgres import BIN
from tests.waiting import within

FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda program: int(program.parts[-3]))
# What depends most on the version: infinite times, plans without statistics, and the way of a job to its end.
CHOSEN = (
    "tests/integration/test_hostile_rows.py",
    "tests/integration/test_infinite_times.py",
    "tests/integration/test_measures.py",
    "tests/integration/test_plans_of_fan_outs.py",
    "tests/races/test_claim_and_finish.py",
)
OF_PLANS = "not test_nothing_reads_a_table_for_each_child or none and (settle or prune)"


@pytest.mark.skipif(not FOUND, reason="Debian's package postgresql is not installed")
@pytest.mark.skipif(BIN in os.environ, reason=f"all tests run on the Postgres that {BIN} names")
@pytest.mark.timeout(400)
def test_what_depends_on_the_version_holds_on_an_older_one() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", OF_PLANS, *CHOSEN],
        cwd=Path(__file__).parents[2],
        env=environment | {BIN: str(FOUND[0].parent)},
        capture_output=True,
        text=True,
        timeout=within(390),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
