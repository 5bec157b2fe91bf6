"""A large board: what people ask of it, and what every job needs, at ten thousand jobs and at a million."""

from __future__ import annotations

import argparse
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import psycopg
from _harness import Bench, bench
from _report import Figure, main
from sqlalchemy import Connection

from simcelery import settings
from simcelery.board import engine, leases, migrate, reads, transitions
from simcelery.board.reads import summaries
from simcelery.board.reads.jobs import Filter, JobRow
from simcelery.board.states import Outcome
from simcelery.board.values import ClaimRequest, EndedAttempt
from simcelery.cli.verbs.stats import intervals_of
from simcelery.conditions import reading

# As a board looks after a while: nearly all succeeded, a few did not, the newest wait.
FILL = """
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, tags,
  max_attempts, max_losses, submitted_by, submitted_at, published_at, publish_count,
  attempt, started_at, finished_at, worker_id, pid, claim_id, result,
  error_type, error_message)
SELECT uuidv7(), workflow, jsonb_build_object('n', n), state, 'default', n %% 10,
  ARRAY['tag' || n %% 50], 1, 5, 'bench', at, at, 1,
  coalesce(one, 0), at + one * interval '1 s', at + one * interval '3 s', one, one, gen_random_uuid(),
  to_jsonb(result), CASE state WHEN 'failed' THEN 'ValueError' END,
  CASE state WHEN 'failed' THEN 'no convergence after ' || n || ' cycles' END
FROM (
  SELECT n, state, now() - interval '50 ms' * (%(jobs)s - n) - interval '10 s' AS at,
    'bench.' || CASE state WHEN 'pending' THEN 0 ELSE n %% 3 END AS workflow,
    CASE WHEN state <> 'pending' THEN 1 END AS one, CASE state WHEN 'succeeded' THEN n END AS result
  FROM (
    SELECT n, CASE WHEN n > %(jobs)s - %(waiting)s THEN 'pending'
      WHEN n %% 100 = 0 THEN 'failed' ELSE 'succeeded' END AS state
    FROM generate_series(1, %(jobs)s) AS n
  ) AS numbers
) AS given
"""
FILL_ATTEMPTS = """
INSERT INTO attempts (job_id, attempt, claim_id, outcome, cause, error_type, error_message,
  worker_id, nodename, host, pid, started_at, finished_at, cpu_seconds, peak_memory)
SELECT id, 1, claim_id, state, CASE state WHEN 'failed' THEN 'error' END, error_type, error_message,
  1, 'w@node', 'node', 1, started_at, finished_at, 1.5, 100000000
FROM jobs WHERE finished_at IS NOT NULL
"""
DAY = 86_400.0
WAITING = 3000  # pending jobs, on either board
SLICES, JOBS_OF_A_SLICE = 10, 100
LONGER = {"list --where 'n = 7'": 1000}  # ms, for what reads every job
NO_SLOWER = 0.8  # what two runs of the same differ by


class Board:
    """A board of so many jobs, as autovacuum leaves it; `took` has seconds for each thing done."""

    def __init__(self, url: str, jobs: int) -> None:
        self.url = url
        self.took: dict[str, list[float]] = defaultdict(list)
        self.use()
        migrate.upgrade()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL, {"jobs": jobs, "waiting": WAITING})
            connection.execute(FILL_ATTEMPTS)
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")  # the filling's, not the measurement's
        with engine.begin() as connection_:
            self.worker = leases.register(
                connection_,
                nodename="w@bench",
                host="bench",
                pid=1,
                queues=["default"],
                concurrency=1,
                scheduler_job_id=None,
                version="0",
                lease=3600.0,
            )
            self.waiting = reads.jobs(connection_, Filter(states=["pending"]), newest=False)

    def use(self) -> None:
        """From now on `simcelery` in this process means this board."""
        settings.override({"database_url": self.url})
        settings.get_settings()

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """How long the block takes."""
        began = time.perf_counter()
        yield
        self.took[what].append(time.perf_counter() - began)

    def ask(self) -> None:
        """Every question once."""
        with engine.begin() as connection:
            for name, question in QUESTIONS.items():
                with self.timed(name):
                    question(connection)

    def work(self, more: int, what: str) -> None:
        """Claim a job, and so many more of its workflow, and finish them."""
        job: JobRow = self.waiting.pop()
        claim_id = uuid.uuid4()
        wanted = ClaimRequest(
            job.task_id, job.workflow, claim_id, self.worker, 1, job.queue, more=more, durable=False
        )
        with self.timed(f"claim{what}"):
            claimed = transitions.claim(wanted)
        report = EndedAttempt(outcome=Outcome.SUCCEEDED, result=1)
        outcomes = [report.of(one) for one in claimed]
        with self.timed(f"finish{what}"):
            done = transitions.finish_at_once(outcomes)
        taken = {claim.job_id for claim in claimed}
        assert {job.id for job in done} == taken
        assert len(taken) == more + 1
        self.waiting = [one for one in self.waiting if one.id not in taken]


def stats(connection: Connection) -> None:
    """What ``simcelery stats`` asks."""
    summaries.throughput(connection, Filter(), DAY, intervals_of(DAY))
    summaries.times(connection, Filter(), DAY, 20_000)


ONE_OF_ALL = Filter(where=reading.condition("n = 7"))
QUESTIONS: dict[str, Callable[[Connection], object]] = {
    "list": lambda connection: reads.jobs(connection, Filter(), limit=20),
    "list --state failed": lambda connection: reads.jobs(connection, Filter(states=["failed"]), limit=20),
    "list --tag": lambda connection: reads.jobs(connection, Filter(tags=["tag7"]), limit=20),
    "list --where 'n = 7'": lambda connection: reads.jobs(connection, ONE_OF_ALL, limit=20),
    "status": lambda connection: reads.counts_by_workflow(connection, Filter()),
    "stats": stats,
}


def run(on: Bench, given: argparse.Namespace) -> tuple[Board, Board]:
    """Both boards, in turns: whatever else the machine does meets both."""
    large, small = Board(on.database_url, given.jobs), Board(on.peer_database_url, given.small)
    for n in range(given.times + 1):
        for board in (large, small):
            board.use()
            board.ask()
            board.work(0, "")
            if n < SLICES:
                board.work(JOBS_OF_A_SLICE - 1, " of a slice")
            if n == 0:
                board.took.clear()  # connections are made and plans are read
    return large, small


def measure(given: argparse.Namespace) -> list[Figure]:
    """The row, as one figure for each question and each transition."""
    with bench() as on:
        large, small = run(on, given)
    found = []
    for name, values in large.took.items():
        transition = name.startswith(("claim", "finish"))
        few = f"with {given.small:,}"
        found.append(
            Figure(
                f"{name}, {given.jobs:,} jobs",
                1000 * median(values),
                "ms",
                higher=False,
                target=None if transition else LONGER.get(name, 150),
                peers={few: 1000 * median(small.took[name])},
                ratios={few: NO_SLOWER} if transition else {},
            )
        )
    return found


if __name__ == "__main__":
    sizes = {
        "jobs": (1_000_000, 20_000, "jobs of the large board"),
        "small": (10_000, 5_000, "jobs of the small one"),
        "times": (50, 2, "how often each is done"),
    }
    main("board", __doc__ or "", measure, sizes)
