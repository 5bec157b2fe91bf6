"""Overhead: a backlog of jobs that do nothing, claimed and finished one by one (slices off)."""

from __future__ import annotations

import argparse
import os
import signal

from _harness import Bench, bench, middle_rate, wait_for
from _report import Figure, main, medians

NO_BACKEND, DATABASE = "plain Celery, no result backend", "plain Celery, its database backend"
MARKS = 20  # so many of plain Celery's tasks note when they ran


def ours(on: Bench, jobs: int) -> float:
    """Jobs per second of simcelery."""
    from _sims import single

    on.empty()
    single.submit_many({"n": n} for n in range(jobs))
    on.worker()
    on.drained()
    on.stop()
    rows = on.sql("SELECT extract(epoch FROM finished_at) FROM jobs WHERE state = 'succeeded'")
    assert len(rows) == jobs
    return middle_rate([float(moment) for (moment,) in rows])


def plain(on: Bench, jobs: int, backend: str) -> float:
    """Jobs per second of plain Celery, with a result backend or without."""
    os.environ["PLAIN_BROKER_URL"] = on.peer_broker_url
    from _plain import noop

    on.empty()
    marks = on.folder / f"marks{len(on.processes)}"
    every = jobs // MARKS
    with noop.app.producer_pool.acquire() as producer, producer.batch():
        for n in range(jobs):
            noop.apply_async((n, None if n % every else str(marks)), producer=producer)
    on.worker(app="_plain", PLAIN_BACKEND_URL=backend)
    wait_for(lambda: marks.exists() and len(marks.read_text().splitlines()) == MARKS, 600)
    on.stop(signal.SIGKILL)  # its polite end takes 30 s now and then
    moments = sorted(map(float, marks.read_text().splitlines()))
    first, last = MARKS // 10, MARKS * 9 // 10
    return (last - first) * every / (moments[last] - moments[first])


def run(on: Bench, jobs: int) -> dict[str, float]:
    """All three, one after the other."""
    stock = on.peer_database_url.replace("postgresql://", "db+postgresql+psycopg://")
    return {
        "simcelery": ours(on, jobs),
        NO_BACKEND: plain(on, jobs, ""),
        DATABASE: plain(on, max(200, jobs // 5), stock),
    }


def measure(given: argparse.Namespace) -> list[Figure]:
    """The row."""
    with bench() as on:
        found = medians([run(on, given.jobs) for _ in range(given.repeat)])
    return [
        Figure(
            "no-op jobs one by one, prefork -c 2",
            found.pop("simcelery"),
            "jobs/s",
            target=800,
            peers=found,
            ratios={NO_BACKEND: 0.8, DATABASE: 5},
        )
    ]


if __name__ == "__main__":
    main("overhead", __doc__ or "", measure, {"jobs": (10_000, 300, "jobs of the backlog")})
