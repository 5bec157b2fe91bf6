"""What modules begin when imported, and pool children would inherit broken, is named at the start."""

from __future__ import annotations

import ctypes.util

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.installed_programs

OPENMP = """
import ctypes
end = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
ctypes.CDLL("libgomp.so.1").GOMP_parallel(end, None, 2, 0)
"""
OTHERS = """
import socket, sqlite3
from concurrent import futures
kept = [socket.socketpair(), open("all.log", "w"), futures.ThreadPoolExecutor(1), sqlite3.connect("all.db")]
kept[2].submit(int)
kept[3].execute("CREATE TABLE IF NOT EXISTS t (i)")
"""
LOOP = "import asyncio; kept = asyncio.new_event_loop()"
HARMLESS = "import numpy, scipy.linalg, ase.build; open(__file__).close()"


def named(project: Project, code: str) -> list[str]:
    """What a worker says of a module with this code."""
    with (project.folder / "sims.py").open("a") as file:
        file.write(f"\n\n{code}\n")
    project.worker("-c", "1")
    return [line for line in project.logs().splitlines() if "loading the workflows started" in line]


def test_each_thing_that_does_not_survive_the_fork_is_named(project: Project) -> None:
    lines = "\n".join(named(project, OTHERS))
    for part in ("1 thread that", "2 connections", "write to (/", "all.log)", "all.db)"):
        assert part in lines


def test_an_event_loop_is_named(project: Project) -> None:
    [line] = named(project, LOOP)
    assert "1 event loop" in line


@pytest.mark.skipif(ctypes.util.find_library("gomp") is None, reason="libgomp is not installed")
def test_the_threads_of_openmp_are_named(project: Project) -> None:
    [line] = named(project, OPENMP)
    assert "1 thread of libgomp" in line


def test_modules_that_only_load_libraries_are_fine(project: Project) -> None:
    assert named(project, HARMLESS) == []
