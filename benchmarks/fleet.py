"""A fleet: ten, a hundred, a thousand workers on one Postgres, through PgBouncer in transaction mode.

The workers are played: each renews its lease, settles accounts, takes turns at recovery, takes messages from
Redis, claims, and finishes durably, by the same functions and at the same intervals as a real one. A few
processes play all of them.
"""

from __future__ import annotations

import argparse
import heapq
import json
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import _bouncer
import psutil
import psycopg
import redis
from _harness import Bench, bench, percentile, wait_for
from _report import Figure, main, number
from sqlalchemy import text

from simcelery import services
from simcelery.board import engine, leases, transitions
from simcelery.board.states import Outcome
from simcelery.board.values import Claim, ClaimRequest, EndedAttempt, Registration
from simcelery.broker.lanes import lane
from simcelery.maintenance.loop import Rounds
from simcelery.settings import get_settings

EVERY = 10.0  # seconds between two jobs of a worker: a hundred jobs a second for a thousand workers
RUNS = 5.0  # seconds that a job takes
OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
PASSED_OVER = 0.2  # milliseconds: a tick that asked nothing, since others do
STOCK = 100  # Postgres' own max_connections


@dataclass
class Player:
    """Plays some of the workers. `took` has milliseconds for each act."""

    redis: redis.Redis
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    running: dict[int, Claim] = field(default_factory=dict)
    turns: dict[int, Rounds] = field(default_factory=dict)
    registrations: dict[int, Registration] = field(default_factory=dict)

    def renew(self, worker: int) -> None:
        """As `worker.lease` does."""
        held = [self.running[worker].job_id] if worker in self.running else []
        told = leases.renew_and_ask(
            self.registrations[worker], get_settings().lease, succeeded=["bench.single"], job_ids=held
        )
        assert told.known

    def tick(self, worker: int) -> None:
        """As `worker`'s recovery thread does."""
        self.turns[worker].round()

    def claim(self, worker: int) -> None:
        """As a pool child does with a message; where there is none, nothing."""
        message = self.redis.rpop(f"{lane('default', 'bench.single')}\x06\x165")
        if message is None or worker in self.running:
            return
        task_id = uuid.UUID(json.loads(message)["headers"]["id"])  # type: ignore[arg-type]
        wanted = ClaimRequest(task_id, "bench.single", uuid.uuid4(), self.registrations[worker], worker)
        for claim in transitions.claim(wanted):
            self.running[worker] = claim

    def finish(self, worker: int) -> None:
        """The same."""
        claim = self.running.pop(worker, None)
        if claim:
            report = EndedAttempt(outcome=Outcome.SUCCEEDED, result=1, cpu_seconds=RUNS, peak_memory=10**8)
            transitions.finish_at_once([report.of(claim)])

    def play(self, workers: list[int], began: float, seconds: float) -> None:
        """Do what is due, until the time is up."""
        settings = get_settings()
        self.turns = {worker: Rounds(settings, f"w{worker}", worker) for worker in workers}
        every: dict[str, float] = {
            "renew": settings.renew_every,
            "tick": settings.tick_every / 2,
            "claim": EVERY,
            "finish": EVERY,
        }
        acts: dict[str, Callable[[int], None]] = {name: getattr(self, name) for name in every}
        serial = count()
        due = []
        for position, worker in enumerate(workers):
            share = position / len(workers)
            for name, period in every.items():
                # Nobody starts a thousand workers within a second.
                first = share * max(period, settings.renew_every) + (RUNS if name == "finish" else 0.0)
                due.append((began + first, next(serial), name, worker))
        heapq.heapify(due)
        while due[0][0] < began + seconds:
            moment, _, name, worker = heapq.heappop(due)
            now = time.monotonic()
            if now > began + seconds:
                break
            time.sleep(max(0.0, moment - now))
            now = time.monotonic()
            acts[name](worker)
            milliseconds = 1000 * (time.monotonic() - now)
            if name != "tick" or milliseconds > PASSED_OVER:
                self.took[name].append(milliseconds)
            # A player who cannot keep up slows all acts down alike.
            heapq.heappush(due, (max(moment, now - every[name]) + every[name], next(serial), name, worker))


def play() -> None:
    """One player, in a process of its own: told on its command line, answers in a file."""
    go, ready, answer = map(Path, sys.argv[1:4])
    workers, seconds = json.loads(sys.argv[4])
    player = Player(redis.Redis.from_url(get_settings().redis_url()))
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT id, registration FROM workers"))
        player.registrations = {row.id: Registration(*row) for row in rows}
        leases.renew(connection, player.registrations[workers[0]], get_settings().lease)
    ready.touch()
    wait_for(go.exists, 120)
    player.play(workers, float(go.read_text()), seconds)
    answer.write_text(json.dumps(player.took))


@dataclass
class Load:
    """What the servers did meanwhile: seconds of CPU, and connections at most."""

    postgres: float = 0.0
    bouncer: float = 0.0
    connections: int = 0


@contextmanager
def watching(on: Bench) -> Iterator[Load]:
    """Measure the servers during the block."""
    load, over = Load(), Event()

    def look() -> None:
        with psycopg.connect(on.database_url, autocommit=True) as direct:
            while not over.wait(0.2):
                load.connections = max(load.connections, (direct.execute(OTHERS).fetchone() or (0,))[0])

    thread = Thread(target=look)
    before = cpu(on)
    thread.start()
    try:
        yield load
    finally:
        after = cpu(on)
        over.set()
        thread.join()
        load.postgres, load.bouncer = after[0] - before[0], after[1] - before[1]


def cpu(on: Bench) -> tuple[float, float]:
    """Seconds of CPU that Postgres and PgBouncer have used so far."""
    [postmaster] = [one.pid for one in services.status(get_settings()) if one.name == "postgres"]
    assert postmaster
    postgres = psutil.Process(postmaster)
    bouncers = [one for one in psutil.Process().children() if one.name() == "pgbouncer"]
    ended = postgres.cpu_times().children_user + postgres.cpu_times().children_system
    return ended + sum(map(used, [postgres, *postgres.children()])), sum(map(used, bouncers))


def used(process: psutil.Process) -> float:
    """Seconds of CPU of one process; of one that has just ended, none."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def register(workers: int) -> list[int]:
    """Enter the fleet on the board."""
    with engine.begin() as connection:
        return [
            leases.register(
                connection,
                nodename=f"w{number}@node{number}",
                host=f"node{number}",
                pid=number + 1,
                queues=["default"],
                concurrency=1,
                scheduler_job_id=None,
                version="0",
                lease=get_settings().lease,
                workflows=["bench.single"],
            ).worker_id
            for number in range(workers)
        ]


@contextmanager
def idle(url: str, connections: int) -> Iterator[None]:
    """So many clients that have connected and said nothing since, as workers whose jobs run long."""
    opened = [psycopg.connect(url, autocommit=True, prepare_threshold=None) for _ in range(connections)]
    try:
        yield
    finally:
        for connection in opened:
            connection.close()


def run(on: Bench, url: str, workers: int, given: argparse.Namespace) -> list[Figure]:
    """The figures of a fleet of this size."""
    from _sims import single

    on.empty()
    jobs = int(workers * (given.seconds + 10) / EVERY)
    single.submit_many({"n": n} for n in range(jobs))
    fleet = register(workers)
    shares = [share for n in range(given.players) if (share := fleet[n :: given.players])]
    folder = on.folder / f"fleet{workers}"
    folder.mkdir()
    with idle(url, workers if url != on.database_url else 0):
        players = [
            start(on, url, folder, str(n), json.dumps([share, given.seconds]))
            for n, share in enumerate(shares)
        ]
        wait_for(lambda: len(list(folder.glob("ready*"))) == len(players), 120)
        begin(folder / "go")
        with watching(on) as load:
            for player in players:
                if player.wait(given.seconds + 60):
                    raise RuntimeError(next(folder.glob("log*")).read_text())
    said = [json.loads(answer.read_text()) for answer in folder.glob("answer*")]
    return figures(workers, given.seconds, load, said)


def start(on: Bench, url: str, folder: Path, name: str, told: str) -> subprocess.Popen[bytes]:
    """Start a player."""
    files = [str(folder / file) for file in ("go", f"ready{name}", f"answer{name}")]
    command = [sys.executable, "-c", "import fleet; fleet.play()", *files, told]
    return on.start(command, folder / f"log{name}", SIMCELERY_DATABASE_URL=url)


def begin(go: Path) -> None:
    """Let all players begin at the same moment."""
    moment = time.monotonic() + 0.5
    go.with_suffix(".new").write_text(str(moment))
    go.with_suffix(".new").rename(go)
    time.sleep(0.5)


def figures(workers: int, seconds: int, load: Load, said: list[dict[str, Any]]) -> list[Figure]:
    """What was seen, as rows."""
    took: dict[str, list[float]] = defaultdict(list)
    for one in said:
        for act, values in one.items():
            took[act] += values
    fleet = f"{workers:,} workers"
    acts = sum(map(len, took.values()))
    cores = load.postgres / seconds
    note = f"{acts / seconds:,.0f} acts/s, {1000 * load.postgres / acts:.2f} ms of CPU each"
    asked = workers * (seconds / get_settings().renew_every + (2 * seconds - RUNS) / EVERY)
    share = (acts - len(took["tick"])) / asked
    if share < 0.9:
        note += f"; the players kept up with {share:.0%}: all would take {cores / share:.2f} cores"
    shown = [
        Figure(f"Postgres' CPU, {fleet}", cores, "cores", higher=False, note=note),
        Figure(f"PgBouncer's CPU, {fleet}", load.bouncer / seconds, "cores", higher=False),
        Figure(
            f"connections to Postgres, {fleet}",
            load.connections,
            "connections",
            higher=False,
            target=STOCK - 3,
        ),
    ]
    for act in [act for act in ("renew", "tick", "claim", "finish") if took[act]]:
        p50, p99 = percentile(took[act], 0.5), percentile(took[act], 0.99)
        shown.append(Figure(f"{act}, p99, {fleet}", p99, "ms", higher=False, note=f"p50: {number(p50)} ms"))
    return shown


def measure(given: argparse.Namespace) -> list[Figure]:
    """A fleet of each size; without PgBouncer its players connect to Postgres themselves."""
    sizes = [size for size in (10, 100, 1000) if size <= given.most]
    with bench({"renew_every": float(given.renew), "lease": 4.0 * given.renew}) as on:
        through = _bouncer.bouncer(on.database_url) if not _bouncer.MISSING else nullcontext(on.database_url)
        with through as url:
            return [figure for workers in sizes for figure in run(on, url, workers, given)]


if __name__ == "__main__":
    if _bouncer.MISSING:
        print(f"without PgBouncer: {_bouncer.MISSING}")
    sizes = {
        "most": (1000, 10, "workers of the largest fleet"),
        "seconds": (30, 7, "seconds that each fleet is played"),
        "players": (4, 1, "processes that play it"),
        "renew": (5, 5, "seconds between two renewals of a lease: the setting renew_every"),
    }
    main("fleet", __doc__ or "", measure, sizes)
