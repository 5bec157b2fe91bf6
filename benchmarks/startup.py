"""Start-up: how long a person waits for the command line."""

from __future__ import annotations

import argparse
import resource
from statistics import median

from _harness import BIN, Bench, bench, seconds_of
from _report import Figure, main

LOOKS = ("list", "status", "show 1")  # what people type most


def measured(on: Bench, times: int, *command: str) -> tuple[float, float]:
    """Until a command of the package's environment has ended: seconds (median), and seconds of CPU (least).

    The CPU time is that of the command alone, and hardly depends on what else the machine does.
    """
    path = str(BIN / command[0])
    on.run(path, *command[1:])  # compiles and caches
    wall, cpu = [], []
    for _ in range(times):
        before = cpu_of_children()
        wall.append(seconds_of(lambda: on.run(path, *command[1:])))
        cpu.append(cpu_of_children() - before)
    return median(wall), min(cpu)


def cpu_of_children() -> float:
    """Seconds of CPU that ended processes of this one have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(given: argparse.Namespace) -> list[Figure]:
    """The rows: the help, which asks nobody, and what looks at the board."""
    with bench() as on:
        on.run(str(BIN / "simcelery"), "submit", "bench.noop", "n=1")
        commands = {name: name.split() for name in ("celery --help", "python -c pass", "simcelery --help")}
        commands |= {f"simcelery {name}": ["simcelery", *name.split()] for name in LOOKS}
        found = {name: measured(on, given.times, *command) for name, command in commands.items()}
    peers = {name: found.pop(name)[0] for name in ("celery --help", "python -c pass")}
    return [
        Figure(
            name,
            wall,
            "s",
            higher=False,
            target=0.2 if name.endswith("--help") else 0.25,
            peers=peers,
            note=f"{cpu:.2f} s of CPU time",
        )
        for name, (wall, cpu) in found.items()
    ]


if __name__ == "__main__":
    main("startup", __doc__ or "", measure, {"times": (11, 1, "runs of each command")})
