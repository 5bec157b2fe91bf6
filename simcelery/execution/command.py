"""Run a command in a folder, keep its output, and leave none of its processes running."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from simcelery.execution import memory, processes
from simcelery.execution.ending import end_for_certain

# What is kept of a command's output beside the file: its last lines, however long they are.
TAIL_LINES, TAIL_BYTES = 200, 64 * 1024
OUTPUT = "output.txt"

# SIGKILL: the command's own end, or what a shell and a launcher say of one that they had started.
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
_LONGEST_CALL = 0.25  # seconds


@dataclass(frozen=True)
class Completed:
    """A command that ended.

    Attributes:
        output: the tail of what it printed, both streams together.
        killed_for_memory: whether the kernel killed it, or a program that it had started, because memory ran
            out; as far as that can be seen.
    """

    exit_code: int
    output: str
    killed_for_memory: bool = False


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    stdin: Path | None = None,
    tail_bytes: int = TAIL_BYTES,
    grace: float = 5.0,
    on_started: Callable[[subprocess.Popen[bytes]], None] | None = None,
    look: Callable[[float], bool] = lambda seconds: False,
) -> Completed:
    """Run a command to its end; its whole output goes to ``output.txt`` in `folder`.

    It gets a process group of its own. Whatever ends this function, an exception that a signal's handler
    raises included, has first ended all that the command started: its group, its descendants, and what
    carries its mark in the environment. What hides from all three is left to the attempt's own end, which
    also collects the zombies.

    Parameters:
        stdin: a file to read from; None: nothing.
        tail_bytes: how much of its output is returned, at most.
        grace: seconds between SIGTERM and SIGKILL for what is to be ended.
        look: called a few times a second while it runs, with the seconds since its start; True ends it.
        on_started: called with the running command; it must not wait for it.

    Raises:
        OSError: it cannot be started.
    """
    mark = uuid4().hex
    before, kills = processes.children(), memory.oom_kills()
    process: subprocess.Popen[bytes] | None = None
    with (folder / OUTPUT).open("wb") as output, (stdin or Path(os.devnull)).open("rb") as given:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**environment, processes.COMMAND_MARK: mark},
                stdin=given,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            if on_started is not None:
                on_started(process)
            _await(process, look)
        finally:
            _end_all(process, mark, before, grace)
    code = process.wait()
    return Completed(code, tail(folder, tail_bytes), code in KILLED and memory.killed_since(kills))


def tail(folder: Path, most: int = TAIL_BYTES) -> str:
    """The last lines of what the command in a folder has printed: 200, and `most` bytes, at most."""
    return last_lines(folder / OUTPUT, TAIL_LINES, most)


def last_lines(path: Path, count: int, most: int) -> str:
    """The last lines of a file: so many, and `most` bytes, at most; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - most)
            file.seek(begin)
            data = file.read(most)
    except OSError:
        return ""
    lines = data.decode(errors="backslashreplace").replace("\0", "\\0").splitlines(keepends=True)
    whole = lines[1:] if begin and len(lines) > 1 else lines
    return "".join(whole[-count:])


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the command's process group: a warning, which it may use to save its work."""
    if process.returncode is None:  # collected: the number may be a stranger's
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)


def _await(process: subprocess.Popen[bytes], look: Callable[[float], bool]) -> None:
    """Wait for its end, without collecting it: as a zombie it keeps its number, and its group's.

    A signal that comes just before a blocking call does not interrupt it, and its handler runs only after
    the call. So no call here blocks for long.
    """
    began = time.monotonic()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or a container that does not allow it
        while process.returncode is None and not look(time.monotonic() - began):
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LONGEST_CALL)
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(1000 * _LONGEST_CALL) and not look(time.monotonic() - began):
            pass
    finally:
        os.close(descriptor)


def _end_all(process: subprocess.Popen[bytes] | None, mark: str, before: set[int], grace: float) -> None:
    leader = 0 if process is None else process.pid

    def belonging() -> list[psutil.Process]:
        # The parent of every orphan is a subreaper: without new children there is nothing to search for.
        if processes.is_subreaper() and not processes.living(processes.children() - before):
            return []
        return processes.members_of_command(leader, mark)

    try:
        end_for_certain(belonging, grace)
    finally:
        if process is not None:
            with suppress(subprocess.TimeoutExpired):  # stuck in the kernel
                process.wait(1)
