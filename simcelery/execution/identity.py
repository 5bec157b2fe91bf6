"""What identifies a process across restarts, so that a successor can be certain that it is dead."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

import psutil

_INITIAL_PID_NAMESPACE = "4026531836"  # a constant of the Linux kernel
_LINUX = sys.platform == "linux"


def identity(pid: int | None = None) -> str:
    """Four parts with ``|`` between them, ``machine|boot|pidns|start``; a part that is unknown is empty.

    - machine: ``<machine id>@<host name>``. The name is in it because the nodes of a cluster are often
      made from one image, machine id included.
    - boot: the id that the kernel draws each time it starts.
    - pidns: the PID namespace in which `pid` is a number; ``host`` where there are no such namespaces.
    - start: when the process started, in clock ticks since the boot.

    Parameters:
        pid: a process that this process sees under that number; by default this process.
    """
    start = _start(os.getpid() if pid is None else pid)
    return "|".join([f"{_machine_id()}@{socket.gethostname()}", _boot(), _pid_namespace(), start])


def certainly_dead(identity: str, pid: int) -> bool:
    """Whether the process that had this `identity` and `pid` is dead beyond doubt.

    True only in two cases. Either it lived on this machine, in this boot and in this PID namespace, and no
    process with its pid and start time is there now, other than a zombie. Or it and this process both are
    in a host's own PID namespace, of the same machine, which has started anew since.

    A host's name alone proves nothing. Containers with the same name (``worker-0`` on two nodes, or two
    that share one image and its machine id) each count their processes from 1: the pid of a living process
    in the one is free, or a stranger's, in the other, and a restarted container has the host's boot id all
    the same. So a pid is only looked up in the namespace in which it was a number, and another boot id is
    a restart only where the namespace is the host's own.

    Anything malformed or unknown is not certain: False.
    """
    then, now = identity.split("|"), _now()
    if len(then) != 4 or not all(then) or not all(now) or pid < 1:
        return False
    if then[:3] == now:
        return _is_gone(pid, then[3])
    return (
        then[0] == now[0]
        and not then[0].startswith("@")
        and then[2] == now[2] == _INITIAL_PID_NAMESPACE
        and then[1] != now[1]
    )


def _now() -> list[str]:
    return identity().split("|")[:3]


def _is_gone(pid: int, start: str) -> bool:
    # Asked first, since /proc may be mounted so that it hides the processes of others.
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    found = _start(pid)
    if found != start:
        return found != ""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.Error:
        return False


def _start(pid: int) -> str:
    try:
        if not _LINUX:
            return repr(psutil.Process(pid).create_time())
        # The program's name, in parentheses, may contain anything: count from the last one.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (psutil.Error, OSError, IndexError):
        return ""


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id") if _LINUX else repr(psutil.boot_time())


def _machine_id() -> str:
    # An image may hold an empty file, or "uninitialized", for the first start to fill in.
    found = re.fullmatch("[0-9a-f]{32}", _read("/etc/machine-id"))
    return found.group() if found else ""


def _pid_namespace() -> str:
    if not _LINUX:
        return "host"
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
