"""Dependents: many jobs into one, and one after the other; and the submission of both."""

from __future__ import annotations

import argparse

from _harness import Bench, bench, middle_rate, seconds_of
from _report import Figure, main, medians

FINISHED = "SELECT extract(epoch FROM finished_at) FROM jobs WHERE workflow = %s"
ALL_SUCCEEDED = "SELECT bool_and(state = 'succeeded' AND attempt = 1), count(*) FROM jobs"
# Of what is waited for: from the last end to the beginning of the job that waited.
WAITED = """
SELECT extract(epoch FROM min(started_at) FILTER (WHERE workflow = 'bench.total')
    - max(finished_at) FILTER (WHERE workflow = 'bench.noop')) FROM jobs
"""


def drain(on: Bench, jobs: int) -> None:
    """Let one worker with two children run all that is on the board: each job once."""
    on.worker()
    on.drained()
    on.stop()
    assert on.sql(ALL_SUCCEEDED) == [(True, jobs)], on.sql(ALL_SUCCEEDED)


def rate(on: Bench) -> float:
    """How many of the parents finished in a second."""
    return middle_rate([float(moment) for (moment,) in on.sql(FINISHED, "bench.noop")])


def fan_in(on: Bench, parents: int) -> dict[str, float]:
    """Jobs that another one waits for, beside as many that none waits for."""
    from _sims import noop, total

    on.empty()
    noop.submit_many({"n": n} for n in range(parents))
    drain(on, parents)
    found = {"alone": rate(on)}
    on.empty()
    jobs = noop.submit_many({"n": n} for n in range(parents))
    found["submit fan-in"] = seconds_of(lambda: total.submit(numbers=list(jobs)))
    drain(on, parents + 1)
    [(waited,)] = on.sql(WAITED)
    [(result,)] = on.sql("SELECT result FROM jobs WHERE workflow = 'bench.total'")
    assert result == parents * (parents - 1) // 2
    return {**found, "fan-in": rate(on), "fan-in waited": float(waited)}


def chain(on: Bench, links: int) -> dict[str, float]:
    """Jobs each of which takes the result of the one before."""
    from _sims import link
    from celery import chain as chained

    on.empty()
    signatures = [link.s(0), *(link.s() for _ in range(links - 1))]
    found = {"submit chain": seconds_of(lambda: chained(*signatures).apply_async())}
    drain(on, links)
    moments = [float(moment) for (moment,) in on.sql(FINISHED, "bench.link")]
    assert on.sql("SELECT result FROM jobs ORDER BY id DESC LIMIT 1") == [(links,)]
    return {**found, "chain": max(moments) - min(moments)}


def run(on: Bench, given: argparse.Namespace) -> dict[str, float]:
    """Both, one after the other."""
    return fan_in(on, given.parents) | chain(on, given.links)


def measure(given: argparse.Namespace) -> list[Figure]:
    """The rows."""
    with bench() as on:
        found = medians([run(on, given) for _ in range(given.repeat)])
    return [
        Figure(
            f"{given.parents:,} short jobs that another one waits for",
            found["fan-in"],
            "jobs/s",
            target=1000,
            peers={"without dependents": found["alone"]},
            note="one worker, -c 2",
        ),
        Figure(
            "from the end of the last of them to the beginning of that one",
            found["fan-in waited"],
            "s",
            higher=False,
            target=1,
        ),
        Figure(
            f"submission of a job that waits for {given.parents:,}",
            found["submit fan-in"],
            "s",
            higher=False,
            target=5,
        ),
        Figure(
            f"a chain of {given.links:,} short jobs, each with the result of the one before",
            found["chain"],
            "s",
            higher=False,
            target=given.links / 100,
            note="one worker, -c 2",
        ),
        Figure(
            f"submission of a chain of {given.links:,}", found["submit chain"], "s", higher=False, target=5
        ),
    ]


if __name__ == "__main__":
    sizes = {
        "parents": (20_000, 1000, "jobs that one waits for"),
        "links": (3000, 200, "jobs of the chain"),
    }
    main("dependents", __doc__ or "", measure, sizes)
