"""One job, and its news: what keeps it from running, how it ended, and what it prints."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any
from weakref import WeakValueDictionary

from simcelery.errors import JobNotFoundError, SimceleryError
from simcelery.monitor import access, job_details
from simcelery.monitor.asking import ask
from simcelery.monitor.job_details import Details
from simcelery.monitor.live import Live
from simcelery.monitor.page import Page
from simcelery.monitor.rendering import part
from simcelery.monitor.stream import Stream
from simcelery.quantities import LARGEST

_PARTS = ("now", "times", "family", "facts", "attempts", "log")


class Watched:
    """The jobs that somebody looks at: one look for all who look at the same."""

    def __init__(self) -> None:
        self._lives: WeakValueDictionary[int, Live[Details]] = WeakValueDictionary()

    def of(self, number: str) -> Live[Details]:
        """What is seen of a job, as long as somebody keeps it.

        Raises:
            JobNotFoundError: no job can have that number.
        """
        found = int(number) if len(number) < 20 else LARGEST + 1
        if found > LARGEST:
            raise JobNotFoundError(f"there is no job {number[:20]}")
        live = self._lives.get(found)
        if live is None:
            live = self._lives[found] = Live(partial(ask, partial(job_details.read, number=found)))
        return live


class Job(Page):
    """A job."""

    place = "jobs"

    def initialize(self, watched: Watched) -> None:
        """From the list of addresses."""
        self._watched = watched

    async def get(self, number: str) -> None:
        """The page."""
        seen = await self._watched.of(number).recent()
        found = parts(self.application, seen)
        self.render("board/job.html", seen=seen, parts=found, may_act=access.may_act(self))


class JobLive(Stream):
    """What has changed of it since."""

    def initialize(self, watched: Watched) -> None:
        """From the list of addresses."""
        self._watched = watched

    def begin(self, *path: str) -> None:
        """Keep what is seen of this job for as long as the stream lasts."""
        [number] = path
        self._live = self._watched.of(number)

    async def look(self) -> dict[str, str]:
        """The newest of all parts."""
        try:
            return parts(self.application, await self._live.newest())
        except SimceleryError as error:  # all but that stays as it was
            return {"now": part(self.application, "away", said=str(error))}

    def pause(self) -> float:
        """Until there may be something new."""
        return self._live.pause()


@lru_cache(maxsize=16)
def parts(application: Any, seen: Details) -> dict[str, str]:
    """The parts of the page, by name."""
    return {name: part(application, f"job/{name}", seen=seen) for name in _PARTS}
