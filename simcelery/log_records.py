"""Every log record says of which job, attempt, claim and worker it tells, for who wants to show it.

In the format of a log these are ``%(job)s``, ``%(attempt)s``, ``%(claim)s`` and ``%(worker)s``. Each is None
where there is none: between two jobs, or in a process that is no worker. A field that the caller gives in
``extra`` under one of these names is the caller's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class About(NamedTuple):
    """What a record tells of."""

    job: int | None = None
    attempt: int | None = None
    claim: str | None = None


NOTHING = About()
FIELDS = ("job", "attempt", "claim", "worker")

_told: ContextVar[About | None] = ContextVar("about", default=None)
_worker: str | None = None


def _nothing_runs() -> About:
    return NOTHING


_running: Callable[[], About] = _nothing_runs


def of_worker(name: str, running: Callable[[], About]) -> None:
    """This process and those that it forks from now on are of that worker.

    Parameters:
        running: what the process runs now.
    """
    global _worker, _running
    _worker, _running = name, running


@contextmanager
def about(job: int | None = None, attempt: int | None = None, claim: object = None) -> Iterator[None]:
    """What this thread logs in the block tells of that attempt, whatever the process runs."""
    token = _told.set(About(job or None, attempt or None, None if claim is None else str(claim)))
    try:
        yield
    finally:
        _told.reset(token)


def _now() -> dict[str, Any]:
    try:
        found = _told.get() or _running()
    except Exception:  # no line of a log is worth an error
        found = NOTHING
    return {**found._asdict(), "worker": _worker}


class JobRecord(logging.LogRecord):
    """A record with these fields.

    They are attributes from the start, and items of its dictionary when it is formatted: `logging` refuses an
    ``extra`` that would overwrite an item.
    """

    _about: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._about = _now()

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS:
            return self._about[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def getMessage(self) -> str:
        """Called by every formatter before it looks at the items."""
        for name in FIELDS:
            self.__dict__.setdefault(name, getattr(self, name))
        return super().getMessage()


def install() -> None:
    """Have all records of this process made so, also by a factory that somebody else has set."""
    former = logging.getLogRecordFactory()
    if former is logging.LogRecord:
        logging.setLogRecordFactory(JobRecord)
    elif former is not JobRecord and not isinstance(former, _Factory):
        logging.setLogRecordFactory(_Factory(former))


class _Factory:
    def __init__(self, former: Callable[..., logging.LogRecord]) -> None:
        self._former = former
        self._kinds: dict[type, type] = {}

    def __call__(self, *args: Any, **options: Any) -> logging.LogRecord:
        record = self._former(*args, **options)
        if not isinstance(record, JobRecord):
            record.__class__ = self._with_fields(type(record))
            record.__dict__["_about"] = _now()
        return record

    def _with_fields(self, kind: type) -> type:
        if kind not in self._kinds:
            self._kinds[kind] = type(kind.__name__, (JobRecord, kind), {})
        return self._kinds[kind]
