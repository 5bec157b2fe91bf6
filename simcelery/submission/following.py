"""Follow what a job prints, through the board, to its end and over all its attempts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from simcelery.board import engine
from simcelery.board.reads import logs
from simcelery.board.reads.logs import Look, Place
from simcelery.board.states import State
from simcelery.chunks import joined
from simcelery.pauses import growing
from simcelery.submission.outages import Outages
from simcelery.submission.presence import Handle, gone

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


@dataclass(frozen=True)
class Heard:
    """What one look at the board brought.

    Attributes:
        printed: the attempts, and what each has printed since the last look.
        state: of the job.
        attempt: the job's last one, which may not have printed anything.
        host: where that runs, or ran.
        over: whether nothing more will come.
    """

    printed: Sequence[tuple[int, str]]
    state: State
    attempt: int
    host: str | None
    over: bool


def follow(job: Handle, attempt: int | None = None, board: Outages | None = None) -> Iterator[Heard]:
    """Look at the job again and again, at most a second apart, until it has ended.

    Parameters:
        attempt: only that one, until it has ended.
        board: how outages are waited out.

    Raises:
        JobNotFoundError: it is no longer on the board.
        ServiceError: Postgres does not answer at the beginning.
    """
    place, board = Place(attempt or 0), board or Outages()
    pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE)
    while True:
        look = board.ask(partial(_look, job, place))
        chunks = [one for one in look.chunks if attempt in (None, one[0])]
        printed, place = _read(chunks, place)
        over = look.state.is_terminal or (attempt is not None and look.attempt > attempt)
        yield Heard(printed, look.state, look.attempt, look.host, over)
        if over:
            return
        if printed:
            pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE)
        time.sleep(next(pauses))


def _look(job: Handle, place: Place) -> Look:
    with engine.begin() as connection:
        found = logs.look(connection, job.task_id, place)
    if found is None or found.job_id != job.id:
        raise gone(job.id)
    return found


def _read(chunks: Sequence[tuple[int, int, str]], place: Place) -> tuple[list[tuple[int, str]], Place]:
    """What is new in these chunks, by attempt, and the place behind it."""
    printed: dict[int, str] = {}
    for attempt, number, text in chunks:
        if attempt != place.attempt:
            place = Place(attempt)
        if number == place.number:
            new = text[place.seen :]
        else:
            new = "".join(joined([(number, text)], place.number))
        place = Place(attempt, number, max(len(text), place.seen if number == place.number else 0))
        if new:
            printed[attempt] = printed.get(attempt, "") + new
    return list(printed.items()), place
