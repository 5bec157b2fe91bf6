"""Submit: many jobs at once, and one."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median

import _pgqueuer
import psycopg
from _harness import HERE, Bench, bench, seconds_of
from _report import Figure, main, medians


def bulk(on: Bench, jobs: int) -> dict[str, float]:
    """Jobs per second of each way."""
    from _plain import noop as plain
    from _sims import noop

    on.empty()
    looped = max(200, jobs // 50)
    rates = {
        "simcelery": jobs / seconds_of(lambda: noop.submit_many({"n": n} for n in range(jobs))),
        "plain Celery, a loop": looped / seconds_of(lambda: [plain.apply_async((n,)) for n in range(looped)]),
    }
    assert on.sql("SELECT count(*) FROM jobs WHERE state = 'pending'") == [(jobs,)]
    if not _pgqueuer.MISSING:
        rates["pgqueuer, bulk"] = jobs / _pgqueuers(on, "fill", jobs)
    return rates


def loop(on: Bench, jobs: int) -> dict[str, float]:
    """Jobs per second of a loop of single submissions."""
    from _plain import noop as plain
    from _sims import noop

    on.empty()

    def rate(submit: Callable[[int], object]) -> float:
        submit(0)
        return jobs / seconds_of(lambda: [submit(n) for n in range(jobs)])

    rates = {
        "simcelery": rate(lambda n: noop.submit(n=n)),
        "delay": rate(noop.delay),
        "plain Celery, a loop": rate(lambda n: plain.apply_async((n,))),
    }
    assert on.sql("SELECT count(*) FROM jobs WHERE state = 'pending'") == [(2 * (jobs + 1),)]
    if not _pgqueuer.MISSING:
        rates["pgqueuer, a loop"] = jobs / _pgqueuers(on, "loop", jobs)
    return rates


def _pgqueuers(on: Bench, verb: str, jobs: int) -> float:
    """Seconds that pgqueuer takes."""
    script = str(HERE / "_pgqueuer.py")
    took = on.run(sys.executable, script, verb, str(jobs), PEER_DATABASE_URL=on.peer_database_url)
    return float(json.loads(took))


def one_by_one(on: Bench, jobs: int) -> dict[str, float]:
    """Milliseconds (median) of a submission, of two bare commits to the same disk, and of plain Celery's."""
    from _plain import noop as plain
    from _sims import noop

    on.empty()
    on.sql("DROP TABLE IF EXISTS bare")
    on.sql("CREATE TABLE bare (n bigint)")
    took: dict[str, list[float]] = {"simcelery": [], "two commits": [], "plain Celery": []}
    noop.submit(n=0)
    with psycopg.connect(on.database_url) as connection:
        # In turns, so that all meet the same disk.
        for n in range(jobs):
            took["simcelery"].append(seconds_of(lambda n=n: noop.submit(n=n)))  # type: ignore[misc]
            began = time.perf_counter()
            for _ in range(2):
                connection.execute("INSERT INTO bare VALUES (%s)", (n,))
                connection.commit()
            took["two commits"].append(time.perf_counter() - began)
            took["plain Celery"].append(seconds_of(lambda n=n: plain.apply_async((n,))))  # type: ignore[misc]
    return {name: 1000 * median(values) for name, values in took.items()}


def measure(given: argparse.Namespace) -> list[Figure]:
    """All rows."""
    with bench() as on:
        os.environ["PLAIN_BROKER_URL"] = on.peer_broker_url
        many = medians([bulk(on, given.jobs) for _ in range(given.repeat)])
        looped = medians([loop(on, given.loop) for _ in range(given.repeat)])
        one = medians([one_by_one(on, given.single) for _ in range(given.repeat)])
    return [
        Figure(
            f"bulk submit of {given.jobs:,} jobs",
            many.pop("simcelery"),
            "jobs/s",
            target=30_000,
            peers=many,
            ratios={"plain Celery, a loop": 30, "pgqueuer, bulk": 1},
            note=_pgqueuer.MISSING or "validated, recorded and published",
        ),
        *(
            Figure(
                work,
                looped.pop(name),
                "jobs/s",
                target=1400,
                peers={peer: rate for peer, rate in looped.items() if peer.endswith("a loop")},
                ratios={"pgqueuer, a loop": 0.6},
                note="from one process, each durable when the call returns",
            )
            for name, work in (("simcelery", "a loop of single submits"), ("delay", "a loop of .delay()"))
        ),
        Figure(
            "single submit, p50",
            one["simcelery"],
            "ms",
            higher=False,
            target=one["two commits"] + 3,
            peers={"plain Celery": one["plain Celery"], "two commits": one["two commits"]},
            note="the target is two commits + 3 ms",
        ),
    ]


if __name__ == "__main__":
    main(
        "submit",
        __doc__ or "",
        measure,
        {
            "jobs": (100_000, 1000, "jobs of the bulk"),
            "loop": (900, 20, "jobs of a loop: the window takes them all"),
            "single": (300, 10, "single jobs"),
        },
    )
