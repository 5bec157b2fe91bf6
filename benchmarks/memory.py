"""Memory and connections: what a million waiting jobs and a worker with long ones cost the servers."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from statistics import median

import redis
from _harness import Bench, bench, wait_for
from _report import Figure, main

PLAIN = 20_000  # messages of plain Celery; each takes as much as the next
THEIRS = """
SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'simcelery %%' AND application_name <> %s
"""
CLIENT = "import memory; memory.submit({jobs})"


def submit(jobs: int) -> None:
    """The client: submits, and says how much memory it took at most, MiB."""
    from _sims import noop

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    noop.submit_many({"n": n} for n in range(jobs))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak": after / 1024, "import": before / 1024}))


def pending(on: Bench, jobs: int) -> tuple[float, float, float]:
    """MiB of Redis with so many pending jobs, of the client, and of Redis with as many plain messages."""
    on.empty()
    client = redis.Redis.from_url(on.broker_url)
    said = json.loads(on.run(sys.executable, "-c", CLIENT.format(jobs=jobs)))
    whole = float(client.info("memory")["used_memory"]) / 2**20
    [(waiting,)] = on.sql("SELECT count(*) FROM jobs WHERE state = 'pending'")
    assert waiting == jobs
    client.flushall()
    empty = float(client.info("memory")["used_memory"]) / 2**20
    code = f"from _plain import noop\nfor n in range({PLAIN}): noop.delay(n)"
    on.run(sys.executable, "-c", code)
    plain = float(client.info("memory")["used_memory"]) / 2**20
    return whole, said["peak"], empty + (plain - empty) * jobs / PLAIN


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
    """Three figures; memory does not vary from run to run."""
    with bench({"shutdown_grace": 1.0, "kill_grace": 1.0}) as on:
        memory, client, plain = pending(on, given.jobs)
        usual, most = connections(on, given.seconds)
    return [
        Figure(
            f"Redis with {given.jobs:,} pending jobs",
            memory,
            "MiB",
            higher=False,
            target=40,
            peers={"plain Celery": plain},
            note=f"plain Celery: from {PLAIN:,} messages",
        ),
        Figure("the client that submitted them, peak", client, "MiB", higher=False),
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
