"""Memory and connections: what a million jobs cost, and a worker whose jobs run long."""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median

import redis
from _harness import BIN, Bench, bench, seconds_of, wait_for
from _report import Figure, main

PLAIN = 20_000  # messages of plain Celery; each takes as much as the next
THEIRS = """
SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'simcelery %%' AND application_name <> %s
"""
CLIENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def submit(on: Bench, jobs: int) -> float:
    """Submit so many lines of a file from the command line; the most memory that it took, MiB."""
    on.empty()
    lines = on.folder / "jobs.jsonl"
    with lines.open("w") as file:
        file.writelines(f'{{"n": {n}}}\n' for n in range(jobs))
    command = [str(BIN / "simcelery"), "submit", "bench.noop", "--each", str(lines)]
    return float(on.run(sys.executable, "-c", CLIENT, *command))


def pending(on: Bench) -> float:
    """MiB of Redis now."""
    return float(redis.Redis.from_url(on.broker_url).info("memory")["used_memory"]) / 2**20


def drain(on: Bench, jobs: int) -> float:
    """Jobs per second of two workers that run them to the end, each row and attempt counted."""
    took = seconds_of(lambda: (on.worker("-c", "1"), on.worker("-c", "1"), on.drained(3600)))
    on.stop()
    [rows] = on.sql("SELECT count(*) FILTER (WHERE state = 'succeeded' AND attempt = 1), count(*) FROM jobs")
    [attempts] = on.sql("SELECT count(*) FILTER (WHERE outcome = 'succeeded'), count(*) FROM attempts")
    assert rows == attempts == (jobs, jobs), (rows, attempts)
    return jobs / took


def plain(on: Bench, jobs: int) -> float:
    """MiB of Redis with as many messages of plain Celery."""
    redis.Redis.from_url(on.broker_url).flushall()
    empty = pending(on)
    on.run(sys.executable, "-c", f"from _plain import noop\nfor n in range({PLAIN}): noop.delay(n)")
    return empty + (pending(on) - empty) * jobs / PLAIN


def connections(on: Bench, seconds: int) -> tuple[float, float]:
    """Connections to Postgres of a worker whose four jobs run long: the median and the most."""
    from _sims import sleep

    on.empty()
    sleep.submit_many({"seconds": 600.0} for _ in range(4))
    on.worker("-c", "4")
    running = "SELECT count(*) FROM jobs WHERE state = 'running'"
    wait_for(lambda: on.sql(running) == [(4,)], 60)
    time.sleep(min(seconds, 5))  # the children have put down what they do not need
    counts = []
    for _ in range(seconds * 4):
        counts.append(float(on.sql(THEIRS, f"simcelery {os.getpid()}")[0][0]))
        time.sleep(0.25)
    on.sql("UPDATE jobs SET cancel_requested_at = now()")
    on.stop()
    return median(counts), max(counts)


def measure(given: argparse.Namespace) -> list[Figure]:
    """Once: memory does not vary from run to run."""
    with bench({"shutdown_grace": 1.0, "kill_grace": 1.0}) as on:
        small = submit(on, given.jobs // 10)
        client = submit(on, given.jobs)
        memory = pending(on)
        rate = drain(on, given.jobs)
        messages = plain(on, given.jobs)
        usual, most = connections(on, given.seconds)
    return [
        Figure(
            f"Redis with {given.jobs:,} pending jobs",
            memory,
            "MiB",
            higher=False,
            target=40,
            peers={"plain Celery": messages},
            note=f"plain Celery: from {PLAIN:,} messages",
        ),
        Figure(
            "the command line that submitted them, peak",
            client,
            "MiB",
            higher=False,
            note=f"{small:.0f} MiB for a tenth of them",
        ),
        Figure(
            f"{given.jobs:,} jobs drained by two workers, -c 1", rate, "jobs/s", note="each counted in SQL"
        ),
        Figure(
            "connections of a worker while its jobs run long",
            usual,
            "connections",
            higher=False,
            target=1,
            note=f"at most {most:.0f} at once; -c 4, four jobs",
        ),
    ]


if __name__ == "__main__":
    sizes = {
        "jobs": (1_000_000, 2000, "pending jobs"),
        "seconds": (15, 1, "of counting connections"),
    }
    main("memory", __doc__ or "", measure, sizes)
