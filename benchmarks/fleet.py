"""A fleet: ten to ten thousand workers on one Postgres, through PgBouncer in transaction mode.

The workers are played: each renews its lease, settles accounts, takes turns at recovery, takes messages from
Redis, claims, and finishes durably, by the same functions and at the same intervals as a real one. A few
processes play all of them. What no machine can keep up with is added up: in the largest fleet every worker
also does each act once, all of them the same one at a time, which tells what that act costs.
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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event, Thread

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

LARGE = 10_000  # workers
IDLE = 1000  # clients of PgBouncer at most that say nothing: ten thousand more would take a minute to connect
OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
LIKES = """
INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, workflows)
SELECT 'w' || n || '@node' || n, 'node' || n, n + 1, queues, concurrency, version, lease_expires_at, workflows
FROM workers, generate_series(1, :more) AS n
"""
LEASE = 600.0  # seconds: nobody is lost for want of players
STOCK = 100  # Postgres's own max_connections


def every(workers: int) -> float:
    """Seconds between two jobs of a worker: a hundred jobs a second for 1,000, and 167 for 10,000."""
    return 60.0 if workers >= LARGE else 10.0


def runs(workers: int) -> float:
    """Seconds that a job takes. In the largest fleet everybody has one from the beginning."""
    return 0.0 if workers >= LARGE else every(workers) / 2


def phases(workers: int) -> tuple[str, ...]:
    """What is played one after the other: single acts, or all as they are due."""
    return ("renew", "tick", "claim", "all", "finish") if workers >= LARGE else ("all",)


@dataclass
class Player:
    """Plays some of the workers. `took` has milliseconds for each act that came to something."""

    redis: redis.Redis
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    running: dict[int, Claim] = field(default_factory=dict)
    turns: dict[int, Rounds] = field(default_factory=dict)
    registrations: dict[int, Registration] = field(default_factory=dict)

    @contextmanager
    def timed(self, act: str) -> Iterator[None]:
        """Note how long the block takes."""
        began = time.monotonic()
        yield
        self.took[act].append(1000 * (time.monotonic() - began))

    def renew(self, worker: int) -> None:
        """As `worker.lease` does."""
        held = [self.running[worker].job_id] if worker in self.running else []
        with self.timed("renew"):
            told = leases.renew_and_ask(
                self.registrations[worker], LEASE, succeeded=["bench.single"], job_ids=held
            )
        assert told.known
        if told.turns_due:
            self.turns[worker].hurry()
            self.tick(worker)

    def tick(self, worker: int) -> None:
        """As `worker`'s recovery thread does."""
        if self.turns[worker].until_next <= 0:
            with self.timed("tick"):
                self.turns[worker].round()

    def claim(self, worker: int) -> None:
        """As a pool child does with a message; where there is none, nothing."""
        message = self.redis.rpop(f"{lane('default', 'bench.single')}\x06\x165")
        if message is None or worker in self.running:
            return
        task_id = uuid.UUID(json.loads(message)["headers"]["id"])  # type: ignore[arg-type]
        wanted = ClaimRequest(task_id, "bench.single", uuid.uuid4(), self.registrations[worker], worker)
        with self.timed("claim"):
            for claim in transitions.claim(wanted):
                self.running[worker] = claim

    def finish(self, worker: int) -> None:
        """The same."""
        claim = self.running.pop(worker, None)
        if claim:
            report = EndedAttempt(outcome=Outcome.SUCCEEDED, result=1, cpu_seconds=5.0, peak_memory=10**8)
            with self.timed("finish"):
                transitions.finish_at_once([report.of(claim)])

    def play_one(self, act: str, workers: list[int], began: float, seconds: float) -> None:
        """Do one act for each worker, until the time is up."""
        time.sleep(max(0.0, began - time.monotonic()))
        for worker in workers:
            if time.monotonic() > began + seconds:
                break
            getattr(self, act)(worker)

    def play(self, workers: list[int], fleet: int, began: float, seconds: float) -> None:
        """Do what is due, until the time is up."""
        settings = get_settings()
        periods: dict[str, float] = {
            "renew": settings.renew_every,
            "tick": settings.tick_every / 2,
            "finish": every(fleet),  # before the next claim, if both are due
            "claim": every(fleet),
        }
        acts: dict[str, Callable[[int], None]] = {name: getattr(self, name) for name in periods}
        serial = count()
        due = []
        for position, worker in enumerate(workers):
            share = position / len(workers)
            for name, period in periods.items():
                # Nobody starts a thousand workers within a second.
                first = share * max(period, settings.renew_every) + (runs(fleet) if name == "finish" else 0.0)
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
            # A player who cannot keep up slows all acts down alike.
            after = max(moment, now - periods[name]) + periods[name]
            if name == "tick":
                after = max(after, now + self.turns[worker].until_next)
            heapq.heappush(due, (after, next(serial), name, worker))


def play() -> None:
    """One player, in a process of its own: told on its command line, answers in a file."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    workers, fleet, seconds = json.loads(sys.argv[3])
    player = Player(redis.Redis.from_url(get_settings().redis_url()))
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT id, registration FROM workers"))
        player.registrations = {row.id: Registration(*row) for row in rows}
        leases.renew(connection, player.registrations[workers[0]], LEASE)
    settings = get_settings()
    player.turns = {worker: Rounds(settings, f"w{worker}", worker) for worker in workers}
    (folder / f"ready{name}").touch()
    for phase in phases(fleet):
        go = folder / f"go-{phase}"
        wait_for(go.exists, 300)
        player.took.clear()
        if phase == "all":
            player.play(workers, fleet, float(go.read_text()), seconds)
        else:
            player.play_one(phase, workers, float(go.read_text()), seconds)
        answer = folder / f"new{name}"
        answer.write_text(json.dumps(player.took))
        answer.rename(folder / f"answer-{phase}-{name}")


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
    """Enter the fleet on the board: one worker as any, and its likes."""
    with engine.begin() as connection:
        leases.register(
            connection,
            nodename="w0@node0",
            host="node0",
            pid=1,
            queues=["default"],
            concurrency=1,
            scheduler_job_id=None,
            version="0",
            lease=LEASE,
            workflows=["bench.single"],
        )
        connection.execute(text(LIKES), {"more": workers - 1})
        return list(connection.scalars(text("SELECT id FROM workers ORDER BY id")))


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
    # In the largest fleet everybody has one at first.
    jobs = int(workers * ((given.seconds + 10) / every(workers) + (workers >= LARGE)))
    single.submit_many({"n": n} for n in range(jobs))
    fleet = register(workers)
    shares = [share for n in range(given.players) if (share := fleet[n :: given.players])]
    folder = on.folder / f"fleet{workers}"
    folder.mkdir()
    loads: dict[str, Load] = {}
    with idle(url, min(workers, IDLE) if url != on.database_url else 0):
        players = [
            start(on, url, folder, str(n), json.dumps([share, workers, given.seconds]))
            for n, share in enumerate(shares)
        ]
        played(players, folder, "ready*")
        for phase in phases(workers):
            begin(folder / f"go-{phase}")
            with watching(on) as loads[phase]:
                played(players, folder, f"answer-{phase}-*")
    said = {phase: together(folder.glob(f"answer-{phase}-*")) for phase in loads}
    took = said.pop("all")
    shown = figures(workers, given.seconds, loads["all"], took)
    due = asked_for(workers) | {"tick": len(took["tick"]) / given.seconds}
    costs = {act: 1000 * loads[act].postgres / len(said[act][act]) for act in said}
    return shown + (prices(workers, due, costs) if costs else [])


def played(players: list[subprocess.Popen[bytes]], folder: Path, files: str) -> None:
    """Wait until each player has left such a file."""

    def done() -> bool:
        if any(player.poll() for player in players):
            raise RuntimeError("\n".join(log.read_text() for log in folder.glob("log*")))
        return len(list(folder.glob(files))) == len(players)

    wait_for(done, 300)


def together(answers: Iterable[Path]) -> dict[str, list[float]]:
    """Milliseconds for each act, of all players."""
    took: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        for act, values in json.loads(answer.read_text()).items():
            took[act] += values
    return took


def start(on: Bench, url: str, folder: Path, name: str, told: str) -> subprocess.Popen[bytes]:
    """Start a player."""
    command = [sys.executable, "-c", "import fleet; fleet.play()", str(folder), name, told]
    return on.start(command, folder / f"log{name}", SIMCELERY_DATABASE_URL=url)


def begin(go: Path) -> None:
    """Let all players begin at the same moment."""
    moment = time.monotonic() + 0.5
    go.with_suffix(".new").write_text(str(moment))
    go.with_suffix(".new").rename(go)
    time.sleep(0.5)


def asked_for(workers: int) -> dict[str, float]:
    """How many of each act are due per second, but for those of recovery."""
    return {
        "renew": workers / get_settings().renew_every,
        "claim": workers / every(workers),
        "finish": workers / every(workers),
    }


def prices(workers: int, due: dict[str, float], costs: dict[str, float]) -> list[Figure]:
    """What each act costs Postgres by itself, and all of them together.

    Parameters:
        due: how many of each per second.
        costs: milliseconds for one.
    """
    fleet = f"{workers:,} workers"
    needed = sum(due[act] * costs[act] / 1000 for act in due)
    rows = [
        Figure(
            f"Postgres's CPU for a {act}, {fleet}",
            costs[act],
            "ms",
            higher=False,
            note=f"{due[act]:,.0f} a second are due: {due[act] * costs[act] / 1000:.2f} cores",
        )
        for act in due
    ]
    return [Figure(f"Postgres's CPU for all that is due, {fleet}", needed, "cores", higher=False), *rows]


def figures(workers: int, seconds: int, load: Load, took: dict[str, list[float]]) -> list[Figure]:
    """What was seen, as rows."""
    fleet = f"{workers:,} workers"
    acts = sum(map(len, took.values()))
    cores = load.postgres / seconds
    note = f"{acts / seconds:,.0f} acts/s, {1000 * load.postgres / acts:.2f} ms of CPU each"
    asked = sum(asked_for(workers).values()) * seconds - workers * runs(workers) / every(workers)
    share = (acts - len(took["tick"])) / asked
    if share < 0.9:
        note += f"; the players kept up with {share:.0%}"
        if workers < LARGE:
            note += f": all would take {cores / share:.2f} cores"
    shown = [
        Figure(f"Postgres's CPU, {fleet}", cores, "cores", higher=False, note=note),
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
    sizes = [size for size in (10, 100, 1000, LARGE) if size <= given.most]
    sizes = [given.workers] if given.workers else sizes
    settings = {"renew_every": float(given.renew), "lease": 4.0 * given.renew, "publish_window": 2 * LARGE}
    with bench(settings) as on:
        through = _bouncer.bouncer(on.database_url) if not _bouncer.MISSING else nullcontext(on.database_url)
        with through as url:
            return [figure for workers in sizes for figure in run(on, url, workers, given)]


if __name__ == "__main__":
    if _bouncer.MISSING:
        print(f"without PgBouncer: {_bouncer.MISSING}")
    sizes = {
        "most": (LARGE, 10, "workers of the largest fleet"),
        "workers": (0, 0, "workers of the only fleet; 0: several fleets"),
        "seconds": (30, 7, "seconds that each fleet is played"),
        "players": (4, 1, "processes that play it"),
        "renew": (5, 5, "seconds between two renewals of a lease: the setting renew_every"),
    }
    main("fleet", __doc__ or "", measure, sizes)
