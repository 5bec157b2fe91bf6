"""The benchmarks start, and their figures find their way into the pages. They are run by ``make bench``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.waiting import within

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))


def run(script: str, *options: object) -> str:
    """A script of the folder, to its end."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{script}.py", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=within(120),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# In one process: what each of them imports takes a second.
START_ALL = """
import runpy, sys
folder, *scripts = sys.argv[1:]
sys.path.insert(0, folder)
for script in scripts:
    sys.argv = [script, "--help"]
    try:
        runpy.run_path(f"{folder}/{script}.py", run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, script
"""


def test_every_script_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START_ALL, str(ROOT / "benchmarks"), *SCRIPTS],
        capture_output=True,
        text=True,
        timeout=within(120),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage:") == len(SCRIPTS) > 8


def test_small_sizes_are_measured_and_written_into_the_page(tmp_path: Path) -> None:
    docs, results = tmp_path / "docs", tmp_path / "results"
    docs.mkdir()
    for page in ("performance.md", "scale.md"):
        (docs / page).write_bytes((ROOT / "docs" / page).read_bytes())
    for script in ("submit", "board"):
        assert "jobs" in run(script, "--quick", "--results", results)
    run("plot", "--results", results, "--docs", docs)
    page = (docs / "performance.md").read_text()
    assert "| bulk submit of 1,000 jobs" in page
    assert "| list, 20,000 jobs" in page
    assert (docs / "performance.png").stat().st_size > 10_000


def test_make_bench_runs_every_script() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from _all import ORDER
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    assert {*ORDER, "plot"} == set(SCRIPTS)
