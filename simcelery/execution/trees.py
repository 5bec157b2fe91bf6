"""How much memory the processes of an attempt use together."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE")
# What a file on disk can give back does not count: only what nothing but memory holds.
_COUNTED = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")


@dataclass(frozen=True)
class Tree:
    """A process with all that descends from it or belongs to its session.

    Attributes:
        resident: bytes of memory that are in use, those of a page that several share counted for each.
    """

    pids: tuple[int, ...]
    resident: int


@dataclass(frozen=True)
class _Process:
    parent: int
    session: int
    resident: int


def trees(roots: Collection[int]) -> dict[int, Tree]:
    """The trees of these processes, from one look at the table of all; of those that have ended, nothing.

    Cheap enough to be asked for once a second: the environment of no process is read.
    """
    table = _linux() if sys.platform == "linux" else _elsewhere()
    children, sessions = defaultdict(list), defaultdict(list)
    for pid, one in table.items():
        children[one.parent].append(pid)
        sessions[one.session].append(pid)
    return {root: _tree(root, table, children, sessions) for root in roots if root in table}


def _tree(
    root: int,
    table: Mapping[int, _Process],
    children: Mapping[int, list[int]],
    sessions: Mapping[int, list[int]],
) -> Tree:
    found: set[int] = set()
    waiting = [root, *sessions.get(root, ())]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return Tree(tuple(sorted(found)), sum(table[pid].resident for pid in found))


def shared_out(pids: Iterable[int]) -> int | None:
    """Bytes that these processes use together: what several share counts once, files on disk do not.

    The kernel walks through their page tables for this, so it takes milliseconds for each gigabyte.

    Returns:
        None where the kernel does not tell.
    """
    total = known = 0
    for pid in pids:
        with suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            lines = [line.split() for line in file if line.startswith(_COUNTED)]
            total += 1024 * sum(int(words[1]) for words in lines)
            known += bool(lines)
    return total if known else None


def _linux() -> dict[int, _Process]:
    table = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                # The name of its program, in brackets, may have any character in it.
                words = file.read().rpartition(b")")[2].split()
                table[int(name)] = _Process(int(words[1]), int(words[3]), int(words[21]) * _PAGE)
    return table


def _elsewhere() -> dict[int, _Process]:
    table = {}
    for one in psutil.process_iter(["ppid", "memory_info"]):
        memory = one.info["memory_info"]
        with suppress(OSError):
            table[one.pid] = _Process(one.info["ppid"], os.getsid(one.pid), memory.rss if memory else 0)
    return table
