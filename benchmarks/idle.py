"""Idle: what workers cost that have nothing to do, in CPU time and connections."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from dataclasses import dataclass
from statistics import median

import psutil
import psycopg
import redis
from _harness import Bench, bench, cpu_of
from _report import Figure, main, medians

from simcelery import services
from simcelery.settings import get_settings

SETTLE = 35.0  # seconds: a pool child closes a connection that has rested for 30
THEIRS = """
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND application_name <> %s
"""


@dataclass
class Used:
    """Seconds of CPU so far."""

    workers: float
    postgres: float
    redis: float

    def since(self, before: Used) -> Used:
        """What has been added."""
        return Used(self.workers - before.workers, self.postgres - before.postgres, self.redis - before.redis)


def used(workers: list[psutil.Process]) -> Used:
    """By all workers with their children, and by the servers."""
    servers = {one.name: psutil.Process(one.pid) for one in services.status(get_settings()) if one.pid}
    return Used(sum(map(cpu_of, workers)), cpu_of(servers["postgres"]), cpu_of(servers["valkey"]))


def clients(url: str) -> Counter[str]:
    """The clients of one database of Redis, by the command that each sent last."""
    database = url.rsplit("/", 1)[1]
    connection = redis.Redis.from_url(url)
    try:
        own = connection.client_id()
        listed = connection.client_list()
    finally:
        connection.close()
    return Counter(one["cmd"] for one in listed if one["db"] == database and int(one["id"]) != own)


def run(on: Bench, app: str, url: str, given: argparse.Namespace) -> dict[str, float]:
    """For each of so many idle workers."""
    workers = [psutil.Process(on.worker("-c", "1", app=app).pid) for _ in range(given.workers)]
    time.sleep(SETTLE if given.seconds >= SETTLE else 0.0)
    connections: list[int] = []
    with psycopg.connect(on.database_url, autocommit=True) as direct:
        before, began = used(workers), time.monotonic()
        while time.monotonic() < began + given.seconds:
            time.sleep(1.0)
            [[count]] = direct.execute(THEIRS, [f"simcelery {os.getpid()}"]).fetchall()
            connections.append(count)
        spent, seconds = used(workers).since(before), time.monotonic() - began
    seen = clients(url)
    print(app, dict(seen), f"load {os.getloadavg()[0]:.1f}", flush=True)
    on.stop()
    each = 100 / seconds / given.workers
    return {
        "worker": spent.workers * each,
        "postgres": spent.postgres * each,
        "redis": spent.redis * each,
        "connections": median(connections) / given.workers,
        "clients": sum(seen.values()) / given.workers,
    }


def measure(given: argparse.Namespace) -> list[Figure]:
    """Both, one after the other."""
    with bench() as on:
        runs = []
        for _ in range(given.repeat):
            on.empty()
            ours = run(on, "simcelery", on.broker_url, given)
            theirs = run(on, "_plain", on.peer_broker_url, given)
            runs.append({**ours, **{f"plain {name}": value for name, value in theirs.items()}})
    found = medians(runs)
    rows = {
        "worker": ("CPU of an idle worker", "% of a core"),
        "postgres": ("CPU of Postgres for an idle worker", "% of a core"),
        "redis": ("CPU of Redis for an idle worker", "% of a core"),
        "connections": ("connections to Postgres of an idle worker", "connections"),
        "clients": ("clients of Redis of an idle worker", "clients"),
    }
    return [
        Figure(
            work,
            found[name],
            unit,
            higher=False,
            peers={"plain Celery": found[f"plain {name}"]},
            note=f"{given.workers} workers, -c 1, {given.seconds} s",
        )
        for name, (work, unit) in rows.items()
    ]


if __name__ == "__main__":
    sizes = {
        "workers": (16, 2, "idle workers"),
        "seconds": (60, 3, "of measuring"),
    }
    main("idle", __doc__ or "", measure, sizes)
