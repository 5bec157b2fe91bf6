"""Recovery: Redis is wiped; a worker is killed."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from statistics import median

import redis
from _harness import Bench, bench, wait_for
from _report import Figure, main


def wiped(on: Bench, jobs: int) -> float:
    """Seconds until messages flow again; then all jobs succeed, each once."""
    from _sims import tally

    on.empty()
    folder = on.folder / f"tally{len(on.processes)}"
    folder.mkdir()
    tally.submit_many({"n": n, "folder": str(folder)} for n in range(jobs))
    on.worker()
    wait_for(lambda: on.sql("SELECT count(*) > 0 FROM jobs WHERE state = 'succeeded'") == [(True,)], 60)
    redis.Redis.from_url(on.broker_url).flushall()
    began = time.monotonic()
    wait_for(on.messages, 60, 0.01)
    took = time.monotonic() - began
    on.drained()
    on.stop()
    succeeded = on.sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'")
    assert succeeded == [(jobs,)], f"lost: {succeeded}"
    ran = Counter(line for file in folder.iterdir() for line in file.read_text().split())
    assert len(ran) == ran.total() == jobs, f"run twice: {ran.most_common(3)}"
    return took


def killed(on: Bench, lease: float) -> float:
    """Seconds from ``kill -9`` of a worker until another one runs its young job."""
    from _sims import sleep

    on.empty()
    first = on.worker("-c", "1")
    on.worker("-c", "1")
    # The other one has lived for a lease when it judges, as most have.
    time.sleep(lease + 2)
    # One each; the other worker's will have ended when this one is rescued.
    pair = [sleep.submit(seconds=lease / 2) for _ in range(2)]
    wait_for(lambda: {job.state for job in pair} == {"running"}, 30)
    began = time.monotonic()
    first.kill()
    again = "SELECT count(*) FROM jobs WHERE attempt = 2 AND state IN ('running', 'succeeded')"
    wait_for(lambda: on.sql(again) == [(1,)], 120)
    took = time.monotonic() - began
    on.stop()
    return took


def measure(given: argparse.Namespace) -> list[Figure]:
    """Both rows."""
    with bench({"lease": float(given.lease), "shutdown_grace": 1.0, "kill_grace": 1.0}) as on:
        feeding = median(wiped(on, given.jobs) for _ in range(given.repeat))
        again = median(killed(on, given.lease) for _ in range(given.repeat))
    return [
        Figure(
            f"feeding resumes after Redis is wiped with {given.jobs:,} pending",
            feeding,
            "s",
            higher=False,
            target=5,
            note="none lost and none executed twice: checked",
        ),
        Figure(
            "a young job runs again after kill -9 of its worker",
            again,
            "s",
            higher=False,
            target=given.lease + 5,
            note="plain Celery: never; with late acknowledgement after an hour (visibility timeout)",
        ),
    ]


if __name__ == "__main__":
    sizes = {"jobs": (100_000, 5000, "jobs pending"), "lease": (20, 6, "seconds; 20 is the default")}
    main("recovery", __doc__ or "", measure, sizes)
