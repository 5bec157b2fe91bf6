"""Recognise our own processes, and run and stop them.

A pid in a file proves nothing: the process may be dead, a zombie that nobody reaps (in a container without
an init), or another program that got the number after a reboot. A process is ours if it is alive and its own
command line says so: the program's name first, and our folder or file among its arguments.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from simcelery.errors import ServiceError
from simcelery.services.account import Account

POLL = 0.02
TOOL_TIMEOUT = 180.0


def alive(process: psutil.Process) -> bool:
    """Whether the process is still running: not gone, not a zombie, and its pid not reused."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def matches(process: psutil.Process, program: str, argument: Path | str) -> bool:
    """Whether the process is alive and its command line is `program` with `argument` in it."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return bool(words) and os.path.basename(words[0]) == program and str(argument) in words and alive(process)


def find(pid: int | None, program: str, argument: Path | str) -> psutil.Process | None:
    """Our process: the one with this `pid` if it is ours, else any other that is.

    Others are searched in case the pid file is lost: a second server on the same data would destroy the data.
    """
    if pid is not None and pid > 0:
        try:
            process = psutil.Process(pid)
        except psutil.Error:
            pass
        else:
            if matches(process, program, argument):
                return process
    found = [process for process in psutil.process_iter() if matches(process, program, argument)]
    # A newly forked child of the server still has its parent's command line.
    return min(found, key=lambda process: process.create_time(), default=None)


def stop(process: psutil.Process, number: signal.Signals, timeout: float) -> bool:
    """Send the signal and wait for the process to end. psutil refuses if the pid has been reused."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        raise ServiceError(
            f"process {process.pid} belongs to another user: stop the servers as the user who started them"
        ) from None
    return wait_until(lambda: not alive(process), timeout)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Poll until the condition holds; False if it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def run_tool(
    command: Sequence[str | Path], account: Account | None, *, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a server's tool as `account`, with `text` on its standard input; its exit code never raises.

    It gets a minimal environment: the caller's PGPORT, preloaded library or password must not reach servers
    that outlive the caller. It gets its own session, so that Ctrl-C cannot end a half-started server.
    """
    try:
        return subprocess.run(
            [str(word) for word in command],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TOOL_TIMEOUT,
            check=False,
            cwd="/",
            # LC_ALL keeps the messages that we search in English, and is needed on macOS.
            env={"PATH": os.defpath, "LC_ALL": "C"},
            umask=0o077,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{Path(command[0]).name} did not finish within {TOOL_TIMEOUT:.0f} s") from None
    except OSError as error:
        who = f" as user {account.name}" if account else ""
        raise ServiceError(f"cannot run {command[0]}{who}: {error.strerror or error}") from None


def last_words(text: str, default: str = "no message") -> str:
    """The most telling line of a log, without its time: the last error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    severe = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR", "error:"))]
    return re.sub(r"^[\d-]+ [\d:.]+ \w+ \[\d+\] ", "", (severe or lines or [default])[-1])[:300]
