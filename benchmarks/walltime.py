"""Core-seconds lost to walltime: jobs of two kinds in short allocations, with the fit and without it.

All times are a hundredth of what they stand for: jobs of 30 s and 5 min, in allocations of an hour. An
allocation is a worker to which its environment says when it ends; whenever one has, the next begins, until
all jobs are done.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from subprocess import Popen

from _harness import ANYTHING_LEFT, BIN, Bench, bench
from _report import Figure, main

from simcelery.board import engine, sql
from simcelery.board.reads import Filter
from simcelery.board.reads.expected import lost_to_walltime

SHORT, LONG = 0.3, 3.0  # seconds
TOGETHER = 10  # jobs of a kind that are submitted one after the other
SLOTS = 8
# Ten seconds are for the last writes: see `limits.before`.
ALLOCATION, OF_IT_FOR_JOBS = 46.2, 36.0
LONGEST = 900.0
NO_FIT = (
    "CREATE OR REPLACE FUNCTION fits_in_time(p_left double precision, p_fresh boolean, p_job_id bigint) "
    "RETURNS boolean LANGUAGE sql AS 'SELECT true'"
)


def submit(jobs: int) -> None:
    """As many of one kind as of the other, mixed."""
    from _sims import sleep

    for begin in range(0, jobs // 2, TOGETHER):
        count = min(TOGETHER, jobs // 2 - begin)
        for kind, seconds in (("short", SHORT), ("long", LONG)):
            sleep.submit_many([{"seconds": seconds}] * count, tags=[kind], max_losses=1000)


def allocation(on: Bench, number: int) -> Popen[bytes]:
    """Start the next one."""
    command = [str(BIN / "celery"), "-A", "simcelery", "worker", "-n", f"a{number}@%h", "-c", str(SLOTS)]
    end = {"SLURM_JOB_ID": str(number), "SLURM_JOB_END_TIME": str(time.time() + ALLOCATION)}
    return on.start(command, on.folder / f"allocation{number}.log", **end)


def lost(on: Bench, jobs: int, side_by_side: int) -> tuple[float, float, float]:
    """Core-seconds that were lost, seconds until all was done, and how many allocations that took."""
    on.empty()
    on.sql("TRUNCATE durations")
    submit(jobs)
    began, number = time.monotonic(), 0
    running: list[Popen[bytes]] = []
    while on.sql(ANYTHING_LEFT) == [(True,)]:
        if time.monotonic() - began > LONGEST:
            raise TimeoutError(f"{jobs} jobs are not done after {LONGEST:g} s")
        running = [process for process in running if process.poll() is None]
        if len(running) < side_by_side:
            number += 1
            running.append(allocation(on, number))
        time.sleep(0.25)
    took = time.monotonic() - began
    on.stop()
    assert on.sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == [(jobs,)]
    with engine.begin() as connection:
        return lost_to_walltime(connection, Filter(), LONGEST).core_seconds, took, float(number)


def measure(given: argparse.Namespace) -> list[Figure]:
    """The same jobs with the fit and without it, in turns."""
    settings = {"shutdown_grace": 0.1, "kill_grace": 0.1}
    found: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    with bench(settings) as on:
        for _ in range(given.repeat):
            for fits in (False, True):
                if not fits:
                    on.sql(NO_FIT)
                else:
                    with engine.begin() as connection:
                        sql.install(connection, "fits_in_time")
                found[fits].append(lost(on, given.jobs, given.allocations))
    with_it, without = ([median(each) for each in zip(*found[fits], strict=True)] for fits in (True, False))
    useful = given.jobs / 2 * (SHORT + LONG)
    return [
        Figure(
            f"lost to walltime by {given.jobs:,} jobs of two kinds, of {useful:,.0f} core-seconds",
            max(with_it[0], 1.0),
            "s",
            higher=False,
            peers={"without the fit": without[0]},
            ratios={"without the fit": 5},
            note="less than 1 counts as 1; "
            f"allocations of {OF_IT_FOR_JOBS:g} s, {SLOTS} jobs at once in each: "
            f"{with_it[2]:g} and {without[2]:g} of them",
        ),
        Figure(
            "until all of them are done",
            with_it[1],
            "s",
            higher=False,
            peers={"without the fit": without[1]},
        ),
    ]


if __name__ == "__main__":
    sizes = {
        "jobs": (1000, 60, "jobs, half of them of each kind"),
        "allocations": (2, 1, "side by side"),
    }
    main("walltime", __doc__ or "", measure, sizes)
