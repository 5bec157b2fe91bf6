"""What is submitted during a soak, and what must become of it."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import simcelery
from simcelery import Job
from simcelery.errors import ServiceError
from simcelery.worker.builtin import command

T = TypeVar("T")
MOST_WAITING = 150


@dataclass(frozen=True)
class Expected:
    """What must become of a submitted job. `result` only for a success."""

    kind: str
    state: str
    result: Any = None
    max_attempts: int = 1


@dataclass
class Load(threading.Thread):
    """Submits until it is stopped. Each job has a token, which is its key: a repeated submission finds it.

    Attributes:
        turn: held while something is submitted or cancelled; whoever holds it has the load rest.
        undone: the tokens of jobs that a restored backup does not know.
        repeated: the tokens of jobs that may have been executed again after a backup was restored.
    """

    sims: Any
    executions: Path
    random: random.Random
    expected: dict[str, Expected] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    undone: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    _tokens: dict[int, str] = field(default_factory=dict)
    _cancels: list[tuple[float, Job]] = field(default_factory=list)
    _to_cancel: dict[str, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(name="load", daemon=True)
        self._stopped = threading.Event()
        self.turn = threading.Lock()

    __hash__ = threading.Thread.__hash__

    def stop(self) -> None:
        """Submit nothing more; returns when all that was begun is recorded."""
        self._stopped.set()
        self.join()

    def submit_long(self, count: int, seconds: float) -> list[str]:
        """Jobs that an outage of Postgres must not cost a second attempt; their tokens."""
        before = set(self.expected)
        for _ in range(count):
            self._submit(self.sims.work, Expected("outage", "succeeded"), seconds=seconds)
        return sorted(self.expected.keys() - before)

    def run(self) -> None:
        """The loop."""
        try:
            while not self._stopped.is_set():
                with self.turn:
                    self._cancel_what_is_due(time.monotonic())
                    if self._waiting() < MOST_WAITING:
                        self._submit_some()
                self._stopped.wait(self.random.uniform(0.05, 0.3))
            self._cancel_what_is_due(float("inf"))
        except Exception as error:
            self.faults.append(f"the client failed: {type(error).__name__}: {error}")

    def restored(self, at_backup: set[str]) -> None:
        """The board is as it was when these tokens were all that had been submitted. To be called in turn."""
        self.undone |= self.expected.keys() - at_backup
        self.repeated |= at_backup
        self.expected = {token: wanted for token, wanted in self.expected.items() if token in at_backup}
        self._cancels = [(0.0, job) for token, job in self._to_cancel.items() if token in at_backup]

    def _new_token(self, kind: str, further: int = 0) -> str:
        return f"{len(self.expected) + len(self.undone) + further:06}-{kind}"

    def _waiting(self) -> int:
        active = ("pending", "scheduled", "blocked", "running")
        return self._insist(lambda: len(simcelery.jobs(state=active)))

    def _insist(self, action: Callable[[], T]) -> T:
        """As a user's client would: again until the board answers."""
        while True:
            with contextlib.suppress(ServiceError):
                return action()
            time.sleep(0.5)

    def _cancel_what_is_due(self, now: float) -> None:
        due = [job for at, job in self._cancels if at <= now]
        self._cancels = [(at, job) for at, job in self._cancels if at > now]
        for job in due:
            self._insist(job.cancel)

    # --- kinds of jobs ---

    def _submit_some(self) -> None:
        kinds = {
            self._short: 45,
            self._long: 12,
            self._flaky: 8,
            self._hopeless: 3,
            self._late: 4,
            self._chain: 8,
            self._diamond: 4,
            self._doomed: 3,
            self._cancelled: 4,
            self._command: 6,
            self._many: 3,
        }
        [kind] = self.random.choices(list(kinds), list(kinds.values()))
        kind()

    def _submit(self, workflow: Any, expected: Expected, /, **given: Any) -> Job:
        token = given.setdefault("token", self._new_token(expected.kind))
        if expected.state == "succeeded" and expected.result is None:
            expected = Expected(expected.kind, "succeeded", f"{token} is done", expected.max_attempts)
        self.expected[token] = expected
        options = {"key": token, "on_failed": "keep", "priority": self.random.choice([2, 5, 5, 5, 8])}
        job = self._insist(lambda: workflow.submit(**given, **options))
        self._tokens[job.id] = token
        return job

    def _short(self) -> Job:
        return self._submit(self.sims.work, Expected("short", "succeeded"))

    def _long(self) -> Job:
        return self._submit(
            self.sims.work, Expected("long", "succeeded"), seconds=self.random.uniform(1.0, 7.0)
        )

    def _late(self) -> Job:
        delay = self.random.uniform(0.5, 5.0)
        return self._submit(self.sims.work, Expected("late", "succeeded"), delay=delay)

    def _flaky(self) -> Job:
        expected = Expected("flaky", "succeeded", max_attempts=4)
        return self._submit(self.sims.flaky, expected, succeed_at=self.random.randint(2, 4))

    def _hopeless(self) -> Job:
        return self._submit(self.sims.hopeless, Expected("hopeless", "failed", max_attempts=2))

    def _join(self, parents: list[Job]) -> Job:
        token = self._new_token("join")
        parts = [self.expected[self._tokens[parent.id]].result for parent in parents]
        result = f"{token}: " + ", ".join(parts)
        return self._submit(
            self.sims.join, Expected("join", "succeeded", result), token=token, parts=list(parents)
        )

    def _chain(self) -> None:
        self._join([self._join([self._short()])])

    def _diamond(self) -> None:
        self._join([self._long(), self._flaky(), self._short()])

    def _doomed(self) -> None:
        first = Expected("doomed", "upstream_failed")
        child = self._submit(self.sims.join, first, parts=[self._hopeless()])
        self._submit(self.sims.join, first, parts=[child])

    def _cancelled(self) -> None:
        job = self._submit(self.sims.work, Expected("cancelled", "cancelled"), seconds=120.0)
        self._submit(self.sims.join, Expected("of-cancelled", "upstream_failed"), parts=[job])
        self._to_cancel[self._tokens[job.id]] = job
        self._cancels.append((time.monotonic() + self.random.uniform(0.0, 12.0), job))

    def _many(self) -> None:
        given = [{"token": self._new_token("many", i)} for i in range(40)]
        for one in given:
            self.expected[one["token"]] = Expected("many", "succeeded", f"{one['token']} is done")
        # Its own keys come from the parameters, so that a repetition finds what was recorded.
        self._insist(lambda: self.sims.work.submit_many(given, dedupe=True, on_failed="keep"))

    def _command(self) -> None:
        token = self._new_token("command")
        self.expected[token] = Expected("command", "succeeded", {"exit_code": 0, "output": "done\n"})
        seconds = self.random.uniform(0.0, 3.0)
        script = (
            f"echo $SIMCELERY_ATTEMPT >> {self.executions / token}; sleep {seconds:.2f} & wait; echo done"
        )
        self._insist(
            lambda: command.submit(["sh", "-c", script, token], key=token, on_failed="keep", max_losses=1000)
        )
