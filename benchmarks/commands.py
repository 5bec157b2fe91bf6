"""Everyday commands on a large board, each as a whole process, from its start to its end."""

from __future__ import annotations

import argparse
import shlex

from _harness import bench
from _report import Figure, main
from board import Board
from startup import measured

LONGEST = 1.0  # seconds
COMMANDS = (
    *("list", "list -t tag7", "list --where 'n = 7'", "list -o quiet -n 1000"),
    *("status", "status -t tag7", "status --where 'n < 1000'", "show last", "explain -t tag7"),
    *("errors", "errors -n 100000", "stats", "stats -t tag7", "stats --where 'n < 1000'"),
    *("results -t tag7 -n 20", "results --where 'n < 1000'", "logs -s failed -t tag7 --tail 5"),
    *("retry --dry-run -t tag7", "retry --dry-run --error 1", "cancel --dry-run -w bench.0"),
    *("prune --older-than 1m --dry-run", "graph last", "workers", "doctor", "notify list"),
    *("submit bench.noop n=1", "submit bench.noop n=2 --dedupe", "release -t tag7 --dry-run"),
    *("wait -s succeeded -t tag7", "watch 1-20000"),
)


def measure(given: argparse.Namespace) -> list[Figure]:
    """The rows: the commands that take longest, and how long the others do at most."""
    with bench() as on:
        Board(on.database_url, given.jobs)
        found = {}
        for command in COMMANDS:
            wall, cpu = measured(on, given.times, "simcelery", *shlex.split(command))
            found[command] = wall
            print(f"{wall:6.2f} s, {cpu:.2f} s of CPU time here: {command}")
    slowest = sorted(found, key=lambda name: -found[name])
    shown, others = slowest[: given.shown], slowest[given.shown :]
    rows = {f"simcelery {name}": found[name] for name in shown}
    rows[f"each of {len(others)} other commands at most"] = max((found[name] for name in others), default=0.0)
    return [
        Figure(f"{name}, {given.jobs:,} jobs", wall, "s", higher=False, target=LONGEST)
        for name, wall in rows.items()
    ]


if __name__ == "__main__":
    sizes = {
        "jobs": (1_000_000, 5_000, "jobs of the board"),
        "times": (5, 1, "runs of each command"),
        "shown": (6, 6, "commands with a row of their own: the slowest"),
    }
    main("commands", __doc__ or "", measure, sizes)
