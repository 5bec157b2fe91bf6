"""Slices: a backlog of short jobs, each with a durable row and attempt of its own."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

import _pgqueuer
from _harness import HERE, Bench, bench, middle_rate
from _report import Figure, main, medians

ONE_DONE = """
SELECT count(*), count(*) FILTER (WHERE state = 'succeeded' AND attempt = 1),
  (SELECT count(*) FROM attempts WHERE outcome = 'succeeded' AND attempt = 1), (SELECT count(*) FROM attempts)
FROM jobs
"""
BATCHES = (100, 1000)


def ours(on: Bench, jobs: int) -> float:
    """Jobs per second of one worker with two children; every job succeeded at its first and only attempt."""
    from _sims import noop

    on.empty()
    noop.submit_many({"n": n} for n in range(jobs))
    on.worker()
    on.drained()
    on.stop()
    assert on.sql(ONE_DONE) == [(jobs, jobs, jobs, jobs)], on.sql(ONE_DONE)
    moments = on.sql("SELECT extract(epoch FROM finished_at) FROM jobs")
    return middle_rate([float(moment) for (moment,) in moments])


def pgqueuer(on: Bench, jobs: int, batch: int) -> float:
    """Jobs per second of two of its workers."""
    script, url = str(HERE / "_pgqueuer.py"), on.peer_database_url
    on.run(sys.executable, script, "fill", str(jobs), PEER_DATABASE_URL=url)
    workers = [
        on.start(
            [sys.executable, script, "drain", str(batch)],
            on.folder / f"pgqueuer{n}.log",
            PEER_DATABASE_URL=url,
        )
        for n in range(2)
    ]
    for worker in workers:
        assert worker.wait(600) == 0
    rows = on.sql("SELECT extract(epoch FROM created) FROM pgqueuer_log WHERE status = 'successful'", url=url)
    assert len(rows) == jobs
    return middle_rate([float(moment) for (moment,) in rows])


def run(on: Bench, given: argparse.Namespace) -> dict[str, float]:
    """Both, one after the other."""
    found = {"simcelery": ours(on, given.jobs)}
    if not _pgqueuer.MISSING:
        found |= {f"batches of {size}": pgqueuer(on, given.peer_jobs, size) for size in BATCHES}
    return found


def measure(given: argparse.Namespace) -> list[Figure]:
    """The row. Of pgqueuer's batches the faster one counts."""
    with bench() as on:
        found = medians([run(on, given) for _ in range(given.repeat)])
    ours = found.pop("simcelery")
    peers = {}
    with suppress(ValueError):
        peers["pgqueuer, batched"] = max(found.values())
    return [
        Figure(
            f"a backlog of {given.jobs:,} short jobs, in slices",
            ours,
            "jobs/s",
            target=15_000,
            peers=peers,
            ratios={"pgqueuer, batched": 1},
            note=_pgqueuer.MISSING
            or "one worker, -c 2; pgqueuer: two workers, the better of two batch sizes",
        )
    ]


if __name__ == "__main__":
    sizes = {
        "jobs": (50_000, 1000, "jobs of the backlog"),
        "peer-jobs": (20_000, 1000, "the same for pgqueuer"),
    }
    main("slices", __doc__ or "", measure, sizes)
