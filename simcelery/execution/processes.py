"""Which processes belong to an attempt."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# The variable that every program of an attempt inherits: "<job>.<attempt>@<worker's token>".
MARK = "SIMCELERY_ATTEMPT"
# The variable that every program of one command of an attempt inherits.
COMMAND_MARK = "SIMCELERY_COMMAND"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37


def become_subreaper() -> bool:
    """From now on, descendants whose parent dies become children of this process instead of init's.

    A daemon that forked twice thus stays findable. A forked child does not inherit the property.

    Returns:
        Whether it worked: False where the operating system has no such thing.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0


def is_subreaper() -> bool:
    """Whether this process has become a subreaper."""
    import ctypes

    answer = ctypes.c_int(0)
    return _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer)) == 0 and answer.value == 1


def end_with_parent(number: int) -> None:
    """From now on this process gets the signal `number` when its parent ends, where the system has that."""
    _prctl(_PR_SET_PDEATHSIG, number)


def be_called(name: str) -> None:
    """Give this process a short name that is one word.

    Where setproctitle is installed, Celery's begins with a blank in it, and Slurm's proctrack/linuxproc then
    does not find the process: neither it nor what it started would be told of the end of its allocation.
    """
    with suppress(OSError):  # not Linux
        Path("/proc/self/comm").write_text(name)


def _prctl(option: int, argument: object) -> int:
    if sys.platform != "linux":
        return -1
    import ctypes  # here, since the reaper process imports this module and is to stay small

    return int(ctypes.CDLL(None).prctl(option, argument, 0, 0, 0))


def childless() -> bool:
    """Whether this process has no children at all, not even zombies. Takes a microsecond."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def children() -> set[int]:
    """The pids of this process's direct children, zombies included.

    A child that another thread reaps at this very moment may hide one of its siblings.
    """
    if childless():
        return set()
    found: set[int] = set()
    try:
        for thread in os.listdir("/proc/self/task"):
            found.update(map(int, Path("/proc/self/task", thread, "children").read_bytes().split()))
    except OSError:  # not Linux, a kernel built without it, or a thread that ended meanwhile
        return {child.pid for child in psutil.Process().children()}
    return found


def reap_adopted(known: Container[int] = ()) -> set[int]:
    """Collect the children of this process that have ended, except those in `known`.

    A subreaper becomes the parent of orphans and nobody else waits for them. Each is waited for by its own
    pid and never longer than it takes to ask, so a child that lives is left alone. A child that somebody
    *does* wait for (a `subprocess.Popen`, a `multiprocessing.Process`) must be in `known`, or its owner
    would read exit code 0. At the end of an attempt, once its leftovers have been ended, nothing of the
    user's waits any more, and the children from before the attempt are what is known.

    Returns:
        The pids that were collected.
    """
    reaped = set()
    for pid in children():
        if pid not in known:
            with suppress(ChildProcessError):
                reaped.add(os.waitpid(pid, os.WNOHANG)[0])
    return reaped - {0}


def members(root: int, mark: str | None = None) -> list[psutil.Process]:
    """The processes that belong to the pool child with the pid `root`, a session leader.

    They are its descendants, the processes whose session is `root`, those of our user that were started
    with `MARK` equal to `mark`, and the descendants of all these. Never `root` itself, the caller or a
    zombie; some may have ended since they were seen. What exists but cannot be looked at is not among them.

    A process that was forked by Python without starting a program shows the environment its parent was
    *started* with: it has no mark, and is found by descent or by session.

    Raises:
        ValueError: `root` is no process that could lead a session of ours.
    """
    return _found({root}, None if mark is None else lambda environment: environment.get(MARK) == mark)


def members_of_worker(roots: Collection[int], token: str) -> list[psutil.Process]:
    """As `members`, for all pool children of a worker: any mark that ends with ``@`` and its `token`.

    Raises:
        ValueError: a root could not lead a session of ours, or the token is empty.
    """
    if not token:
        raise ValueError("a worker's token is not empty")
    return _found(roots, lambda environment: environment.get(MARK, "").partition("@")[2] == token)


def members_of_command(leader: int, mark: str) -> list[psutil.Process]:
    """The processes of a command: its process group or session `leader`, `COMMAND_MARK`, and descendants.

    `leader` itself is among them while it lives. 0 stands for a leader that is not known.
    """
    table = _table()
    seeds = {pid for pid, entry in table.items() if leader and leader in (pid, entry.group, entry.session)}
    return _complete(table, seeds, lambda environment: environment.get(COMMAND_MARK) == mark)


def is_over(process: psutil.Process) -> bool:
    """Whether a process has ended: it is gone, or a zombie of which no thread runs any more."""
    try:
        return not process.is_running() or _is_dead_zombie(process)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def living(pids: Iterable[int]) -> list[psutil.Process]:
    """Those of the pids that are processes which have not ended."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return [process for process in found if not is_over(process)]


Chosen = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True)
class _Entry:
    """A line of the table of processes. `session` and `group` are 0 where they are not known."""

    process: psutil.Process
    parent: int
    session: int
    group: int
    over: bool


def _found(roots: Collection[int], chosen: Chosen | None) -> list[psutil.Process]:
    for root in roots:
        # Session 0 is that of the kernel's threads, and everything descends from 1.
        if root < 1 or (root == 1 and os.getpid() != 1):
            raise ValueError(f"process {root} has no members of its own")
    table = _table()
    seeds = {pid for pid, entry in table.items() if entry.session in roots or entry.parent in roots}
    return _complete(table, seeds - set(roots), chosen, set(roots))


def _complete(
    table: Mapping[int, _Entry], seeds: set[int], chosen: Chosen | None, without: Iterable[int] = ()
) -> list[psutil.Process]:
    """The seeds, those whose environment is `chosen`, and all their descendants, but none of `without`."""
    # Nor does anything come in by way of the caller: its other children are not the attempt's.
    barred = {os.getpid(), *without}
    found = _with_descendants(table, seeds - barred, barred)
    if chosen is not None:
        # To read an environment is what costs, so only where it can still change the answer.
        rest = table.keys() - found - barred
        marked = {pid for pid in rest if chosen(_environment(table[pid].process))}
        found = _with_descendants(table, found | marked, barred)
    return [table[pid].process for pid in sorted(found) if not table[pid].over]


def _table() -> dict[int, _Entry]:
    table = {}
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                table[pid] = _Entry(
                    process,
                    parent=process.ppid(),
                    session=_of(os.getsid, pid),
                    group=_of(os.getpgid, pid),
                    over=_is_dead_zombie(process),
                )
    return table


def _of(ask: Callable[[int], int], pid: int) -> int:
    try:
        return ask(pid)
    except PermissionError:  # some systems tell it of the own session only
        return 0


def _with_descendants(table: Mapping[int, _Entry], seeds: set[int], barred: set[int]) -> set[int]:
    children_of = defaultdict(list)
    for pid, entry in table.items():
        children_of[entry.parent].append(pid)
    found: set[int] = set()
    waiting = list(seeds)
    while waiting:
        pid = waiting.pop()
        if pid not in found and pid not in barred:
            found.add(pid)
            waiting += children_of[pid]
    return found


def _environment(process: psutil.Process) -> Mapping[str, str]:
    """What it was started with; empty for a process of another user or one that may not be read."""
    try:
        return process.environ() if process.uids().real == os.getuid() else {}
    except (psutil.Error, OSError):
        return {}


def _is_dead_zombie(process: psutil.Process) -> bool:
    # The main thread of a process may end before the others do: it then looks like a zombie and runs on.
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
