"""One small process per worker, which ends the worker's jobs if the worker is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from simcelery.execution import reaping


class Reaper:
    """The worker's side: it tells the reaper process which pool children there are.

    The two share a pair of sockets. When the last copy of the worker's end is closed, by whatever ended the
    worker, the reaper ends everything; so each forked pool child closes its copy with `forget_in_child`.
    What is said to a reaper that is dead is lost, without an error: ask `alive` and start another.
    """

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process = process
        self._owner = os.getpid()
        self._line: socket.socket | None = line

    @classmethod
    def start(cls, token: str, grace: float) -> Reaper:
        """Start the process, in a session of its own. To be called in the worker's parent process.

        Parameters:
            token: the worker's own part of `processes.MARK`, behind the ``@``; never empty.
            grace: seconds between SIGTERM and SIGKILL.

        Raises:
            ValueError: the token is empty.
            OSError: it cannot be started.
        """
        if not token:
            raise ValueError("a worker's token is not empty")
        ours, theirs = socket.socketpair()
        # The mask is inherited: a signal to the whole allocation must not meet it half started.
        former = signal.pthread_sigmask(signal.SIG_BLOCK, reaping.IGNORED)
        try:
            process = subprocess.Popen(
                _command(token, grace),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                close_fds=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The pid of the reaper process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs. Only its owner, the process that started it, can tell."""
        return os.getpid() == self._owner and self._process.poll() is None

    def watch(self, pid: int) -> bool:
        """From now on the pool child `pid`, leader of a session, and all its members are in its care.

        Also a pool child may say so of itself, before `forget_in_child`.

        Returns:
            Whether it could be told.
        """
        return self._tell(f"+{pid}")

    def forget(self, pid: int) -> bool:
        """The pool child `pid` has ended in order: its number may go to a stranger."""
        return self._tell(f"-{pid}")

    def forget_in_child(self) -> None:
        """Close this process's copy of the line, in a forked pool child; the reaper is not told anything."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def dismiss(self) -> None:
        """The worker ends in order: the reaper leaves and ends nothing. Nothing happens in a forked child."""
        if os.getpid() != self._owner:
            return
        told = self._tell("bye")
        if not told:
            self._process.kill()  # before the line closes: it would take that for the worker's death
        self.forget_in_child()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # stopped, or the machine is very slow
            self._process.kill()
            self._process.wait()

    def _tell(self, text: str) -> bool:
        line = self._line
        if line is None:
            return False
        # Neither may a dead reaper end the worker by SIGPIPE, nor one that was stopped block it.
        flags = getattr(socket, "MSG_NOSIGNAL", 0) | socket.MSG_DONTWAIT
        data = f"{text}\n".encode()
        with suppress(OSError):
            return line.send(data, flags) == len(data)
        return False


def _command(token: str, grace: float) -> list[str]:
    """Isolated from the user's environment, so it is told where to find what it imports."""
    packages = [Path(folder.__file__ or "").parent.parent for folder in (sys.modules["simcelery"], psutil)]
    return [sys.executable, "-I", reaping.__file__, token, str(grace), *dict.fromkeys(map(str, packages))]
