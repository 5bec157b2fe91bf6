"""The parent's side: it reads what its pool children are doing; only it gives orders."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Iterator

from simcelery.execution import identity
from simcelery.worker.slots.layout import Memory, Order, Phase, token_of
from simcelery.worker.slots.reading import History, Running, history_of, running_in


class Slots:
    """The slots of one worker. Made before the pool forks.

    Parameters:
        max_jobs: how many jobs the children may claim, all together; None: no limit.

    Attributes:
        memory: what is shared with the children.
        token: marks every process that this worker's jobs start.
    """

    def __init__(self, max_jobs: int | None = None) -> None:
        self.token = token_of(identity.identity(), os.getpid())
        self.memory = Memory(max_jobs, self.token)
        self._header = self.memory.header

    # --- whether anything may be claimed ---

    @property
    def closed(self) -> bool:
        """Whether no more jobs may be claimed."""
        return bool(self._header.closed)

    def close(self) -> None:
        """Let no more jobs be claimed; running ones continue."""
        self._header.closed = 1

    def reopen(self) -> None:
        """Let jobs be claimed again, unless the worker is exiting; failures are counted from 0 again."""
        for fields in self.memory.used():
            fields.failures = 0
        header = self._header
        header.closed = header.draining or header.broken or header.unusable

    @property
    def unusable(self) -> bool:
        """Whether a child has found that no files can be written on this node."""
        return bool(self._header.unusable)

    def usable(self) -> None:
        """Files can be written again; `reopen` lets jobs be claimed."""
        self._header.unusable = 0

    @property
    def draining(self) -> bool:
        """Whether the worker is about to exit, so that attempts should save their work."""
        return bool(self._header.draining)

    def drain(self) -> None:
        """Let no more jobs be claimed, and tell the running ones."""
        self._header.closed = self._header.draining = 1

    @property
    def broken(self) -> bool:
        """Whether a child could not start, and none of its successors will either."""
        return bool(self._header.broken)

    @property
    def acquitted_until(self) -> float:
        """Until when, by the monotonic clock, failures here are taken to be the jobs' own fault."""
        return float(self._header.acquitted_until)

    def acquit(self, until: float) -> None:
        """Take failures to be the jobs' own fault for a while."""
        self._header.acquitted_until = until

    @property
    def claims(self) -> int:
        """How many jobs have been claimed here so far."""
        return self.memory.claims()

    @property
    def jobs_used_up(self) -> bool:
        """Whether as many jobs were claimed as may be."""
        return self.memory.max_jobs is not None and self.claims >= self.memory.max_jobs

    # --- what the children do ---

    def busy(self) -> Iterator[Running]:
        """All attempts that are running here now."""
        read = (running_in(index, fields) for index, fields in enumerate(self.memory.used()))
        return (running for running in read if running is not None)

    def of_claim(self, claim_id: uuid.UUID) -> Running | None:
        """The attempt with this claim, while it runs here."""
        return next((running for running in self.busy() if running.claim_id == claim_id), None)

    def of_pid(self, pid: int) -> Running | None:
        """The attempt of this pool child, or the last one before its death."""
        of_dead = (running_in(index, will) for index, will in enumerate(self.memory.used_wills()))
        both = itertools.chain(self.busy(), filter(None, of_dead))
        return next((running for running in both if running.pid == pid), None)

    def histories(self) -> list[History]:
        """How the last jobs of each child that has run any went."""
        return [history_of(fields) for fields in self.memory.used() if fields.claims]

    def holders(self) -> set[int]:
        """The pids of the children that may hold, or held when they died, more than their slots tell of."""
        return {one.pid for one in (*self.memory.used(), *self.memory.used_wills()) if one.holding}

    def progress(self, running: Running) -> bytes:
        """What the attempt has reported, as JSON; nothing if it has not, or is just doing so."""
        fields = self.memory.fields[running.index]
        version, found = fields.progress_version, fields.progress
        unchanged = version % 2 == 0 and fields.progress_version == version
        return bytes(found) if unchanged and fields.claim_id == running.claim_id.hex.encode() else b""

    # --- what it does about them ---

    def sent(self, running: Running, chunks: int) -> None:
        """So many chunks of the attempt's output are on the board for good; its child need not write them."""
        fields = self.memory.fields[running.index]
        fields.sent_claim = b""
        fields.sent = chunks
        fields.sent_claim = running.claim_id.hex.encode()

    def measured(self, running: Running, used: int, peak: int) -> None:
        """So many bytes the processes of the attempt use together, and so many they have used at most."""
        fields = self.memory.fields[running.index]
        fields.measured_claim = b""
        fields.used, fields.peak = used, peak
        fields.measured_claim = running.claim_id.hex.encode()

    def give(self, running: Running, order: Order, processes: int = 0) -> None:
        """Give an order to an attempt. It has no effect if the child has moved on.

        Parameters:
            processes: how many processes of the attempt, besides the child, are ended with it.
        """
        fields = self.memory.fields[running.index]
        fields.order = Order.NONE
        fields.order_claim = running.claim_id.hex.encode()
        fields.order_processes = processes
        fields.order_at = time.monotonic()
        fields.order = order

    def clear(self, running: Running) -> None:
        """Forget an attempt whose child is dead, unless another child has the slot by now."""
        fields = self.memory.fields[running.index]
        if fields.pid == running.pid and fields.claim_id == running.claim_id.hex.encode():
            fields.phase = Phase.IDLE
            fields.holding = 0
            fields.permits = 0

    def freed(self) -> None:
        """What a job needed of the node is free: the parent has written its end to the board."""
        self._header.freed += 1

    def bury(self, pid: int) -> None:
        """Forget a dead child, once everything that it held has been taken care of."""
        for fields in (*self.memory.used(), *self.memory.used_wills()):
            if fields.pid == pid:
                fields.holding = 0

    def mark(self, job_id: int, attempt: int) -> str:
        """The mark in the environment of every process of an attempt."""
        return self.memory.mark(job_id, attempt)
