"""The memory that a worker's parent process shares with its pool children, field by field."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import tempfile
from enum import IntEnum
from pathlib import Path

CAPACITY = 1024  # pool children; more than any worker has
FAILURES_KEPT = 16  # task ids, per child
NAME_BYTES = 200  # of a workflow's name
NO_SEED = -1
PROGRESS_BYTES = 8192  # of what a job reports, as JSON
OUTPUT_FILE = -1  # instead of the number of a file: the attempt prints to the file of its command


class Phase(IntEnum):
    """What a child is doing with its job."""

    IDLE = 0
    WARMING = 5  # --startup runs
    CLAIMING = 1  # the claim id is chosen; whether the board grants it is not known yet
    STARTING = 2  # claimed
    RUNNING = 3  # the workflow's own code runs
    FINISHING = 4  # its outcome is known, and is on its way to the board


class Order(IntEnum):
    """What the parent tells an attempt. All orders but the first two end it, and say why."""

    NONE = 0
    WARN = 1  # the worker will end soon: save what you can
    SHUTDOWN = 2
    WALLTIME = 3
    CANCEL = 4
    TIME_LIMIT = 5
    GIVEN_UP = 6  # the job was given to another worker, or is no longer on the board
    OUT_OF_MEMORY = 7  # its processes use more memory than it asked for

    @property
    def ends(self) -> bool:
        """Whether the attempt must end."""
        return self > Order.WARN


class Fields(ctypes.Structure):
    """The fields of one child. Only the child writes them; only the parent, its orders, what it sent
    and what it measured.
    """

    _fields_ = [
        ("pid", ctypes.c_int64),
        ("job_id", ctypes.c_int64),
        ("attempt", ctypes.c_int64),
        ("seed", ctypes.c_int64),
        ("holding", ctypes.c_int64),
        ("started", ctypes.c_double),
        ("deadline", ctypes.c_double),
        ("retry_in", ctypes.c_double),
        ("memory", ctypes.c_int64),
        ("memory_retry_in", ctypes.c_double),
        ("memory_left", ctypes.c_int64),
        ("used", ctypes.c_int64),
        ("peak", ctypes.c_int64),
        ("measured_claim", ctypes.c_char * 33),
        ("order_processes", ctypes.c_int64),
        ("order_at", ctypes.c_double),
        ("claim_id", ctypes.c_char * 33),
        ("task_id", ctypes.c_char * 33),
        ("order_claim", ctypes.c_char * 33),
        ("workflow", ctypes.c_char * NAME_BYTES),
        ("claims", ctypes.c_uint64),
        ("permits", ctypes.c_int64),
        ("freed", ctypes.c_uint64),
        ("succeeded_at", ctypes.c_double),
        ("failures", ctypes.c_uint64),
        ("failed", (ctypes.c_char * 33) * FAILURES_KEPT),
        ("output", ctypes.c_int64),
        ("sent", ctypes.c_int64),
        ("sent_claim", ctypes.c_char * 33),
        ("progress_version", ctypes.c_uint64),
        ("progress", ctypes.c_char * PROGRESS_BYTES),
        ("phase", ctypes.c_uint8),
        ("order", ctypes.c_uint8),
        ("warned", ctypes.c_uint8),
    ]


class Header(ctypes.Structure):
    """What holds for a whole worker."""

    _fields_ = [
        ("acquitted_until", ctypes.c_double),
        # A byte for each slot that a child has ever taken. Of one number for all, a write may be lost.
        ("taken", ctypes.c_uint8 * CAPACITY),
        ("freed", ctypes.c_uint64),
        ("closed", ctypes.c_uint8),
        ("draining", ctypes.c_uint8),
        ("broken", ctypes.c_uint8),
        ("unusable", ctypes.c_uint8),
        ("crowded", ctypes.c_uint8),
    ]


class Memory:
    """Made before the pool forks, and the same in every process that is forked afterwards.

    Parameters:
        max_jobs: how many jobs may be claimed, all together; None: no limit.
        token: marks every process that the worker's jobs start.

    Attributes:
        maker: the pid of the process that made it.
        fields: what the children are doing.
        wills: for each slot, what the last child that died with a job in it was doing: its successor may be
            at work before anybody says that it died.
        own: the slot of the process that made it, where jobs run only with ``--unsafe-pool``.
    """

    def __init__(self, max_jobs: int | None, token: str = "", slots: int = CAPACITY) -> None:  # nosec B107
        self.max_jobs = max_jobs
        self.token = token
        self.maker = os.getpid()
        head, each = ctypes.sizeof(Header), slots * ctypes.sizeof(Fields)
        shared = mmap.mmap(-1, head + 2 * each)
        self.header = Header.from_buffer(shared)
        self.fields = (Fields * slots).from_buffer(shared, head)
        self.wills = (Fields * slots).from_buffer(shared, head + each)
        self.own = Fields()
        # Who counts locks it. The kernel undoes that when the process dies.
        self.lock = tempfile.TemporaryFile() if max_jobs else None  # noqa: SIM115  # as long as the worker

    def used(self) -> list[Fields]:
        """The slots up to the highest that a child has ever taken."""
        return self.fields[: self._highest()]

    def used_wills(self) -> list[Fields]:
        """The wills of the same slots."""
        return self.wills[: self._highest()]

    def _highest(self) -> int:
        return bytes(self.header.taken).rfind(1) + 1

    def claims(self) -> int:
        """How many jobs have been claimed so far."""
        return sum(fields.claims for fields in (self.own, *self.used()))

    def spoken_for(self) -> int:
        """How many jobs have been claimed, or are about to be."""
        return sum(fields.claims + fields.permits for fields in (self.own, *self.used()))

    def freed(self) -> int:
        """How often something that a job needed of the node has been freed, or a place on a crowded host."""
        return int(self.header.freed + sum(fields.freed for fields in (self.own, *self.used())))

    @property
    def folder(self) -> Path:
        """Where the children keep what their jobs print."""
        return folder_of(self.token)

    def mark(self, job_id: int, attempt: int) -> str:
        """The mark in the environment of every process of an attempt."""
        return f"{job_id}.{attempt}@{self.token}"


def folder_of(token: str) -> Path:
    """Where the children of the worker with this token keep what their jobs print."""
    return Path(tempfile.gettempdir()) / f"simcelery-{token}"


def token_of(process: str, pid: int) -> str:
    """The mark of all processes of a worker's jobs, made from the identity of the worker's own process."""
    return hashlib.sha256(f"{process}|{pid}".encode()).hexdigest()[:16]
