"""Latency: from the call of submit to the first line of the job, on an idle worker."""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from _harness import Bench, bench, percentile, wait_for
from _report import Figure, main, medians

PAUSE = (0.02, 0.1)  # seconds between two submissions: the worker is idle, and not in step with us


def delays(submit: Callable[[str], object], path: Path, jobs: int) -> list[float]:
    """Milliseconds for each job."""
    found = []
    for n in range(jobs + 5):
        path.unlink(missing_ok=True)
        time.sleep(random.uniform(*PAUSE))
        began = time.monotonic()
        submit(str(path))
        wait_for(lambda: path.exists() and path.stat().st_size, 30, 0.002)
        if n >= 5:  # the first ones load code
            found.append(1000 * (float(path.read_text()) - began))
    return found


def run(on: Bench, jobs: int) -> dict[str, float]:
    """Both, one after the other."""
    os.environ["PLAIN_BROKER_URL"] = on.peer_broker_url
    from _plain import stamp as plain
    from _sims import stamp

    on.empty()
    on.worker()
    ours = delays(lambda path: stamp.submit(path=path), on.folder / "stamp", jobs)
    on.stop()
    on.worker(app="_plain")
    theirs = delays(lambda path: plain.apply_async((path,)), on.folder / "stamp", jobs)
    on.stop(signal.SIGKILL)
    return {
        "p50": percentile(ours, 0.5),
        "p99": percentile(ours, 0.99),
        "plain p50": percentile(theirs, 0.5),
        "plain p99": percentile(theirs, 0.99),
    }


def measure(given: argparse.Namespace) -> list[Figure]:
    """The row, as two figures."""
    with bench() as on:
        found = medians([run(on, given.jobs) for _ in range(given.repeat)])
    return [
        Figure(
            f"submit → start on an idle worker, {share}",
            found[share],
            "ms",
            higher=False,
            target=target,
            peers={"plain Celery": found[f"plain {share}"]},
        )
        for share, target in (("p50", 5), ("p99", 10))
    ]


if __name__ == "__main__":
    main("latency", __doc__ or "", measure, {"jobs": (300, 15, "jobs, one at a time")})
