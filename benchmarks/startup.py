"""Start-up: how long a person waits for the command line."""

from __future__ import annotations

import argparse
from statistics import median

from _harness import BIN, Bench, bench, seconds_of
from _report import Figure, main


def wall(on: Bench, times: int, *command: str) -> float:
    """Seconds (median) until a command of the package's environment has ended."""
    path = str(BIN / command[0])
    on.run(path, *command[1:])  # compiles and caches
    return median(seconds_of(lambda: on.run(path, *command[1:])) for _ in range(times))


def measure(given: argparse.Namespace) -> list[Figure]:
    """The row, as two figures."""
    with bench() as on:
        bare = wall(on, given.times, "python", "-c", "pass")
        celery = wall(on, given.times, "celery", "--help")
        help_ = wall(on, given.times, "simcelery", "--help")
        status = wall(on, given.times, "simcelery", "status")
    peers = {"celery --help": celery, "python -c pass": bare}
    return [
        Figure("simcelery --help", help_, "s", higher=False, target=0.2, peers=peers),
        Figure("simcelery status", status, "s", higher=False, target=0.7, peers=peers),
    ]


if __name__ == "__main__":
    main("startup", __doc__ or "", measure, {"times": (11, 1, "runs of each command")})
