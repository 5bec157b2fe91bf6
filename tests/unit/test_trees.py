"""How much memory the processes of an attempt use together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simcelery.execution import trees

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 2**20
# Forks two that share 64 MiB, one of them in a session of its own, each with 32 MiB of its own besides.
CODE = """
import os, time
shared = bytearray(os.urandom(1 << 20)) * 64
for session in (False, True):
    if os.fork() == 0:
        if session:
            os.setsid()
        own = bytearray(os.urandom(1 << 20)) * 32
        os.write(1, b"x\\n")
        time.sleep(600)
os.write(1, b"x\\n")
time.sleep(600)
"""


@pytest.fixture
def root() -> Iterator[int]:
    """A process that leads a session, with two children."""
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            for _ in range(3):
                assert process.stdout.readline() == b"x\n"
            yield process.pid
        finally:
            for pid in trees.trees({process.pid})[process.pid].pids:
                os.kill(pid, 9)


def test_what_several_processes_share_counts_once(root: int) -> None:
    tree = trees.trees({root})[root]
    assert len(tree.pids) == 3
    assert tree.resident > 3 * 64 * MIB
    together = trees.shared_out(tree.pids)
    assert together is not None
    assert 128 * MIB < together < 170 * MIB


def test_the_trees_of_several_are_told_apart(root: int) -> None:
    found = trees.trees({root, os.getpid(), 2**30})
    assert set(found) == {root, os.getpid()}
    assert set(found[root].pids) < set(found[os.getpid()].pids)


def test_of_processes_that_have_ended_nothing_is_known() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert trees.trees({ended.pid}) == {}
    assert trees.shared_out([ended.pid]) is None


def test_a_file_that_is_only_read_does_not_count(tmp_path: Path) -> None:
    code = (
        "import mmap, sys, os\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "    sum(seen[i] for i in range(0, len(seen), 4096))\n"
        "    print('x', flush=True); sys.stdin.read()\n"
    )
    path = tmp_path / "data"
    path.write_bytes(b"x" * (64 * MIB))
    words = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert trees.trees({process.pid})[process.pid].resident > 64 * MIB
        used = trees.shared_out([process.pid])
        process.kill()
    assert used is not None
    assert used < 32 * MIB
