"""The faults of a soak, and the fleet that suffers them."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from simcelery import services
from simcelery.settings import Settings
from tests import hostile
from tests.conftest import BIN
from tests.soak import postgres
from tests.soak.answers import ANSWERS

# What a worker says that ends by itself, for its supervisor to start it anew. Celery does so where a pool
# child was killed before the worker was up; we do where no message reaches it any more, or where a restored
# board does not know it.
GAVE_WAY = (
    b"Could not start worker processes",
    b"no message reaches this worker any more",
    b"the board no longer knows this worker",
)
LONGEST_START = 60.0
LONGEST_STOP = 60.0  # seconds from SIGTERM to the end of a worker, grace included

_starts = itertools.count(1)  # of the workers of all fleets: each start has a log of its own


@dataclass
class Member:
    """One worker of the fleet, through all its restarts. Times are of the monotonic clock."""

    number: int
    process: subprocess.Popen[bytes]
    log: Path
    start_at: float | None = None  # when it is started again; None: it is meant to run
    stopping_since: float | None = None
    frozen: list[psutil.Process] = field(default_factory=list)
    thaw_at: float = 0.0

    def children(self) -> list[psutil.Process]:
        """Its pool children."""
        with suppress(psutil.Error):
            return [one for one in psutil.Process(self.process.pid).children() if "celery" in one.name()]
        return []

    def is_ready(self) -> bool:
        """Whether it has said that it is up."""
        return b" ready." in self.log.read_bytes()

    def freeze(self, until: float, whole: bool) -> None:
        """Stop it, or only its parent process, until then."""
        self.frozen = [psutil.Process(self.process.pid), *(self.children() if whole else [])]
        self.thaw_at = until
        for process in self.frozen:
            with suppress(psutil.Error):
                process.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        for process in self.frozen:
            with suppress(psutil.Error):
                process.resume()
        self.frozen = []


class Fleet:
    """Workers and servers, and what happens to them.

    Parameters:
        environment: of the workers.
        slots: of each worker.
    """

    def __init__(
        self, settings: Settings, folder: Path, environment: dict[str, str], size: int, slots: int = 2
    ) -> None:
        self.settings, self.folder, self.environment, self.slots = settings, folder, environment, slots
        self.lease = float(environment["SIMCELERY_LEASE"])
        self.problems: list[str] = []
        self.gave_way = 0
        self.faults: Counter[str] = Counter()
        self.kills: list[tuple[int, float]] = []  # pid and Unix time of each kill -9 of a worker
        self.outages: list[tuple[str, float, float]] = []  # server, Unix times
        self._down: dict[str, tuple[float, float]] = {}  # server → when it is back (monotonic), since (Unix)
        self._frozen_redis: tuple[float, psutil.Process] | None = None
        self._ahead: tuple[float, float, subprocess.Popen[bytes]] | None = (
            None  # until (monotonic), since (Unix)
        )
        self._answer: tuple[float, str] | None = None  # until when (monotonic) Redis answers with which error
        self.members = [self._member(number) for number in range(size)]

    def _member(self, number: int) -> Member:
        process, log = self._start(number)
        return Member(number, process, log)

    def _start(self, number: int) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.folder / f"worker{number}.{next(_starts)}.log"
        options = ["-l", "INFO", "-n", f"w{number}@%h", "-c", str(self.slots)]
        with log.open("xb") as file:
            process = subprocess.Popen(
                [str(BIN / "celery"), "-A", "simcelery", "worker", *options],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return process, log

    # --- time passes ---

    def look(self) -> None:
        """Bring back what is due, as a supervisor would."""
        now = time.monotonic()
        if self._frozen_redis and self._frozen_redis[0] <= now:
            self._thaw_redis()
        if self._ahead and self._ahead[0] <= now:
            self._set_clock_right()
        if any(at <= now for at, _ in self._down.values()):
            self._bring_servers_back()
        if self._answer and self._answer[0] <= now:
            self._end_answer()
        for member in self.members:
            if member.frozen and member.thaw_at <= now:
                member.thaw()
            if member.process.poll() is None:
                self._end_if_it_hangs(member, now)
            elif member.start_at is None:
                self._note_exit(member, now)
            elif member.start_at <= now:
                member.process, member.log = self._start(member.number)
                member.start_at = member.stopping_since = None

    def _note_exit(self, member: Member, now: float) -> None:
        log = member.log.read_bytes()
        if any(words in log for words in GAVE_WAY):  # perhaps before it was told to end
            self.gave_way += 1
        elif member.stopping_since is None:
            self.problems.append(
                f"worker {member.number} ended by itself with {member.process.returncode}: {member.log}"
            )
        elif member.process.returncode != 0:
            self.problems.append(f"SIGTERM ended a worker with {member.process.returncode}: {member.log}")
        member.start_at = now + 0.5

    def _end_if_it_hangs(self, member: Member, now: float) -> None:
        since = member.stopping_since
        if since is not None and not member.frozen and now - since > LONGEST_STOP:
            self.problems.append(f"worker {member.number} did not end in {LONGEST_STOP:g} s: {member.log}")
            member.process.kill()
            member.process.wait()

    def _thaw_redis(self) -> None:
        if self._frozen_redis:
            with suppress(psutil.Error):
                self._frozen_redis[1].resume()
        self._frozen_redis = None

    def _bring_servers_back(self) -> None:
        self._thaw_redis()  # who brings servers up waits for those that run
        services.up(self.settings)
        for server, (_, since) in self._down.items():
            self.outages.append((server, since, time.time()))
        self._down.clear()

    def all_back(self) -> None:
        """No more faults: everything runs again."""
        self.stop_faults_of_servers()
        for member in self.members:
            member.thaw()
            if member.start_at is not None:
                member.start_at = 0.0
        self.look()

    def shut_down(self) -> None:
        """SIGTERM for all, and the end of all."""
        running = [member for member in self.members if member.process.poll() is None]
        for member in running:
            member.thaw()
            self._await_ready(member)
            member.stopping_since = time.monotonic()
            member.process.terminate()
        for member in running:
            try:
                code = member.process.wait(LONGEST_STOP)
                if code != 0:
                    self.problems.append(f"SIGTERM ended a worker with {code}: {member.log}")
            except subprocess.TimeoutExpired:
                self.problems.append(f"worker {member.number} did not end: {member.log}")
                member.process.kill()
                member.process.wait()

    def _await_ready(self, member: Member) -> None:
        """Before a worker is up a signal ends it as it ends any program."""
        deadline = time.monotonic() + LONGEST_START
        while not member.is_ready() and member.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)

    # --- faults ---

    def postgres_away(self, seconds: float) -> None:
        """Kill it, and bring it back after so long; nothing else happens meanwhile."""
        self._kill_server("postgres", seconds)
        time.sleep(seconds)
        self._bring_servers_back()

    def stop_faults_of_servers(self) -> None:
        """Servers run as they should; what has befallen workers goes on."""
        while self._answer:
            self._end_answer()
            time.sleep(0.1)
        if self._ahead:
            self._set_clock_right()
        if self._down or self._frozen_redis:
            self._bring_servers_back()

    def note_outage(self, since: float) -> None:
        """Postgres was away from then (Unix time) until now."""
        self.outages.append(("postgres", since, time.time()))

    def one_fault(self, dice: random.Random) -> str | None:
        """Something breaks; what. None: what was drawn is broken already."""
        kinds = {
            "kill -9 of a worker": 20,
            "kill -9 of a pool child": 20,
            "SIGTERM of a worker": 12,
            "freeze of a worker": 10,
            "freeze of a worker's parent": 6,
            "kill -9 of Redis": 12,
            "kill -9 of Postgres": 12,
            "freeze of Redis": 5,
            "FLUSHALL": 8,
            "hostile messages": 8,
            "clock of Postgres ahead": 4 if postgres.clock_library() else 0,
            **{f"Redis answers {name}": 3 for name in ANSWERS},
        }
        [kind] = dice.choices(list(kinds), list(kinds.values()))
        member = dice.choice(self.members)
        pause = dice.choice([0.0, 1.0, dice.uniform(0.0, 20.0)])
        if self._strike(kind, member, pause, dice):
            self.faults[kind] += 1
            return f"{kind} {member.number if 'worker' in kind or 'child' in kind else ''} ({pause:.1f} s)"
        return None

    def _strike(self, kind: str, member: Member, pause: float, dice: random.Random) -> bool:
        now = time.monotonic()
        if kind == "kill -9 of Redis":
            return self._kill_server("valkey", pause)
        if kind == "kill -9 of Postgres":
            return self._kill_server("postgres", pause)
        if kind == "freeze of Redis":
            return self._freeze_redis(now + pause)
        if kind == "FLUSHALL":
            return self._flush()
        if kind == "hostile messages":
            return self._send_hostile_messages(dice)
        if kind == "clock of Postgres ahead":
            return self._run_ahead(now + pause, dice.choice([10.0, 60.0]))
        if kind.startswith("Redis answers"):
            return self._begin_answer(kind.split()[-1], now + pause)
        if member.process.poll() is not None or member.stopping_since is not None:
            return False
        if kind == "kill -9 of a worker":
            self.kills.append((member.process.pid, time.time()))
            member.process.kill()
            member.process.wait()
            member.thaw()
            member.start_at = now + pause
        elif kind == "kill -9 of a pool child":
            children = member.children()
            if not children:
                return False
            with suppress(psutil.Error):
                dice.choice(children).kill()
        elif kind == "SIGTERM of a worker":
            if member.frozen or not member.is_ready():
                return False
            member.stopping_since = now
            member.process.terminate()
        else:
            if member.frozen:
                return False
            member.freeze(now + self.lease * dice.uniform(1.1, 3.0), whole=kind.endswith("worker"))
        return True

    def _freeze_redis(self, until: float) -> bool:
        pid = self._pid_of("valkey")
        if pid is None or self._frozen_redis:
            return False
        self._frozen_redis = until, psutil.Process(pid)
        self._frozen_redis[1].suspend()
        return True

    def _pid_of(self, name: str) -> int | None:
        [pid] = [one.pid for one in services.status(self.settings) if one.name == name]
        return pid

    def _kill_server(self, name: str, pause: float) -> bool:
        pid = self._pid_of(name)
        if pid is None or name in self._down:
            return False
        os.kill(pid, signal.SIGKILL)
        self._down[name] = (time.monotonic() + pause, time.time())
        return True

    def _flush(self) -> bool:
        return not self._frozen_redis and self._ask_redis(lambda client: client.flushall())

    def _run_ahead(self, until: float, seconds: float) -> bool:
        if self._ahead or "postgres" in self._down:
            return False
        since = time.time()
        process = postgres.run_ahead(self.settings, seconds)
        if process is not None:
            self._ahead = until, since, process
        return process is not None

    def _set_clock_right(self) -> None:
        """As a host does that starts anew, with a clock that is right again."""
        if self._ahead:
            _, since, process = self._ahead
            process.kill()
            process.wait()
            self._ahead = None
            self._down.setdefault("postgres", (time.monotonic(), since))

    @property
    def trap(self) -> Path:
        """A file that exists if anything was made to run by a message alone."""
        return self.folder / "trap"

    def _send_hostile_messages(self, dice: random.Random) -> bool:
        """Some into the lanes in which messages wait, some to remote control."""
        if self._frozen_redis or self._answer:
            return False
        workflow = dice.choice(["sims.work", "sims.flaky", "sims.join", "command"])
        victim = str(uuid.uuid4())
        messages = dice.sample(list(hostile.for_lane(self.trap, victim, workflow)), 20)
        commands = dice.sample(list(hostile.for_control(self.trap, victim)), 20)

        def send(client: redis.Redis) -> None:
            for _, raw in messages:
                client.lpush(f"default:{workflow}\x06\x16{dice.randrange(10)}", raw)
            for _, raw in commands:
                client.publish(hostile.CONTROL, raw)

        return self._ask_redis(send)

    def _begin_answer(self, name: str, until: float) -> bool:
        if self._frozen_redis or self._answer:
            return False
        self._answer = until, name  # also where it has begun by half
        return self._ask_redis(ANSWERS[name].begin)

    def _end_answer(self) -> None:
        """Again at the next look, while Redis is away."""
        if self._answer and self._ask_redis(ANSWERS[self._answer[1]].end):
            self._answer = None

    def _ask_redis(self, action: Callable[[redis.Redis], object]) -> bool:
        with redis.Redis.from_url(self.settings.redis_url(), socket_timeout=5) as client:
            try:
                action(client)
            except redis.RedisError:
                return False
        return True
