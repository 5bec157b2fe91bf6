"""End processes reliably: SIGTERM, a grace period, then SIGKILL until none is found."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

import psutil

from simcelery.execution.processes import is_over

# How long `end` goes on with SIGKILL (seconds): only a process that is stuck in the kernel outlives it.
LONGEST_WAIT = 10.0

_TICK, _PAUSE, _FREEZES, _NAMES = 0.01, 0.25, 20, 6

Find = Callable[[], Iterable[psutil.Process]]


@dataclass(frozen=True)
class EndedProcesses:
    """What `end` did.

    Attributes:
        processes: how many distinct processes were found.
        killed: how many of them were sent SIGKILL.
        left: how many of them could not be ended.
        names: the names of their programs, each with how many there were, the most frequent last.
    """

    processes: int = 0
    killed: int = 0
    left: int = 0
    names: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        """For a message: ``4 processes ended (sh, sleep ×3), 1 of them killed``."""
        if not self.processes:
            return "no processes"
        shown = [name if count == 1 else f"{name} ×{count}" for name, count in self.names[-_NAMES:]]
        text = f"{self.processes} process{'es' if self.processes > 1 else ''} ended"
        text += f" ({', '.join(['…'] * (len(self.names) > _NAMES) + shown)})"
        if self.killed:
            text += f", {self.killed} of them killed" if self.processes > 1 else ", killed"
        return text + (f"; {self.left} could not be ended" if self.left else "")


def end(
    find: Find, grace: float, longest: float = LONGEST_WAIT, hurry: threading.Event | None = None
) -> EndedProcesses:
    """End all processes that `find` gives, and those that it gives while this goes on.

    Parameters:
        find: gives the processes; called again and again. What has ended may be among them, once.
        grace: seconds between SIGTERM and SIGKILL; not waited for any longer than needed.
        longest: seconds after which it gives up, counted from the first SIGKILL.
        hurry: takes away the rest of the grace once it is set.
    """
    hunt = _Hunt(find)
    alive = _terminate(hunt, time.monotonic() + grace, hurry or threading.Event())
    left = _kill(hunt, longest) if alive else 0
    names = Counter(hunt.names.values())
    return EndedProcesses(
        processes=len(hunt.names),
        killed=len(hunt.killed),
        left=left,
        names=tuple(sorted(names.items(), key=lambda item: (item[1], item[0]))),
    )


def end_for_certain(find: Find, grace: float, longest: float = LONGEST_WAIT) -> EndedProcesses:
    """As `end`, in a thread of its own: exceptions that signals' handlers raise do not interrupt it.

    They take away the rest of the grace, and the last of them is raised when the processes have been ended.
    """
    ended: Future[EndedProcesses] = Future()
    hurry = threading.Event()

    def hunt() -> None:
        with suppress(InvalidStateError):  # two ran, see below
            try:
                ended.set_result(end(find, grace, longest, hurry))
            except BaseException as error:  # else nobody would be told
                ended.set_exception(error)

    started: list[int] = []
    interruption: BaseException | None = None
    while not ended.done():
        try:
            if not started:  # it may begin twice, which is harmless, but never not at all
                started.append(_thread.start_new_thread(hunt, ()))
            ended.exception()  # only waits
        except BaseException as error:
            interruption = error
            hurry.set()
    if interruption is not None:
        raise interruption
    return ended.result()


class _Hunt:
    """What has been found so far.

    A process once found is followed even when `find` no longer gives it: its parent may have ended, and
    with it the way on which it was found.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._seen: set[psutil.Process] = set()
        self.names: dict[psutil.Process, str] = {}
        self.terminated: set[psutil.Process] = set()
        self.killed: set[psutil.Process] = set()
        self.pause = _PAUSE

    def look(self) -> list[psutil.Process]:
        """All that live or are new; nothing only if two looks in a row find nothing.

        A process that forks and ends while the table is read hides its child from one look. For the same
        reason one that is new but has ended already is no proof that nothing is left.
        """
        return self._look() or self._look()

    def _look(self) -> list[psutil.Process]:
        start = time.monotonic()
        new = {process for process in self._find() if process not in self._seen}
        self._seen |= new
        for process in new:
            with suppress(psutil.Error):
                self.names[process] = _printable(process.name())
        # On a node with thousands of processes a look takes long: many hunts at once must not fill its cores.
        self.pause = max(_PAUSE, 10 * (time.monotonic() - start))
        return [process for process in self._seen if process in new or not is_over(process)]


def _terminate(hunt: _Hunt, until: float, hurry: threading.Event) -> bool:
    """Whether some live when the grace is over."""
    while living := hunt.look():
        for process in living:
            if process not in hunt.terminated:
                hunt.terminated.add(process)
                _signal(process, signal.SIGTERM)
                _resume(process)
        if hurry.is_set() or time.monotonic() >= until:
            return True
        _wait(living, min(until, time.monotonic() + hunt.pause))
    return False


def _kill(hunt: _Hunt, longest: float) -> int:
    """How many are left when it gives up: 0 if none."""
    until = time.monotonic() + longest
    while found := _freeze(hunt):
        for process in found:
            if not is_over(process):
                hunt.killed.add(process)
                _signal(process, signal.SIGKILL)
        _wait(found, min(until, time.monotonic() + hunt.pause))
        if time.monotonic() >= until:
            return len(hunt.look())
    return 0


def _freeze(hunt: _Hunt) -> set[psutil.Process]:
    """Stop all that live: what is stopped cannot fork a successor before the SIGKILL comes."""
    stopped: set[psutil.Process] = set()
    for _ in range(_FREEZES):
        moving = set(hunt.look()) - stopped
        if not moving:
            break
        for process in moving:
            _signal(process, signal.SIGSTOP)
        stopped |= moving
    return stopped


def _wait(processes: Iterable[psutil.Process], until: float) -> None:
    for process in processes:
        while time.monotonic() < until and not is_over(process):
            time.sleep(_TICK)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.Error):  # psutil compares the start time: a pid that was reused gets nothing
        process.send_signal(number)


def _resume(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        if process.status() == psutil.STATUS_STOPPED:
            process.send_signal(signal.SIGCONT)


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)
