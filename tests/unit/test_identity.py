"""Certain that a process is dead, or not certain: with real processes and namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from simcelery.execution.identity import certainly_dead, identity
from tests.waiting import within

INITIAL = "4026531836"
linux = pytest.mark.skipif(sys.platform != "linux", reason="tells of /proc")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    sleeper = subprocess.Popen(["sleep", "60"])
    yield sleeper
    sleeper.kill()
    sleeper.wait()


def changed(text: str, **parts: str) -> str:
    names = ["machine", "boot", "pidns", "start"]
    return "|".join(parts.get(name, part) for name, part in zip(names, text.split("|"), strict=True))


def test_a_living_process_is_not_dead(process: subprocess.Popen[bytes]) -> None:
    assert identity() == identity(os.getpid())
    assert all(identity().split("|"))
    assert not certainly_dead(identity(), os.getpid())
    assert not certainly_dead(identity(process.pid), process.pid)


def test_two_processes_differ(process: subprocess.Popen[bytes]) -> None:
    assert identity(process.pid) != identity()
    assert identity(process.pid).split("|")[:3] == identity().split("|")[:3]


def test_a_process_that_ended_is_dead(process: subprocess.Popen[bytes]) -> None:
    before = identity(process.pid)
    process.kill()
    process.wait()
    assert certainly_dead(before, process.pid)


def test_a_zombie_is_dead(process: subprocess.Popen[bytes]) -> None:
    before = identity(process.pid)
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert certainly_dead(before, process.pid)


def test_a_number_that_went_to_another_process_does_not_keep_it_alive(
    process: subprocess.Popen[bytes],
) -> None:
    """The successor in a container often has the very pid of its predecessor."""
    assert certainly_dead(changed(identity(process.pid), start="7"), process.pid)


@pytest.mark.parametrize(
    "elsewhere", [{"machine": "f" * 32 + "@other"}, {"boot": "other"}, {"pidns": "4026532999"}]
)
def test_nothing_is_certain_of_another_place(
    process: subprocess.Popen[bytes], elsewhere: dict[str, str]
) -> None:
    """A pid that is free here says nothing about a process that was numbered elsewhere."""
    before = changed(identity(process.pid), **elsewhere)
    if "boot" in elsewhere:  # whatever namespace the tests run in
        before = changed(before, pidns="4026532999")
    process.kill()
    process.wait()
    assert not certainly_dead(before, process.pid)


@pytest.mark.parametrize(
    "text",
    ["", "|||", "a|b|c", "a|b|c|d|e", "worker-0", "a||c|d", "a|b||d", "a|b|c|", "|b|c|d", "\0|\0|\0|\0"],
)
def test_what_is_malformed_is_not_certain(text: str) -> None:
    assert not certainly_dead(text, 2**22 + 1)


@pytest.mark.parametrize("part", ["machine", "boot", "pidns", "start"])
def test_what_is_unknown_is_not_certain(process: subprocess.Popen[bytes], part: str) -> None:
    before = identity(process.pid)
    process.kill()
    process.wait()
    assert certainly_dead(before, process.pid)
    assert not certainly_dead(changed(before, **{part: ""}), process.pid)


@pytest.mark.parametrize("pid", [0, -1, -(2**22 + 1)])
def test_a_pid_that_means_a_group_is_not_looked_up(pid: int) -> None:
    assert not certainly_dead(identity(), pid)


def test_a_pid_beyond_all_limits_is_dead() -> None:
    assert certainly_dead(identity(), 2**70)


def test_the_identity_of_nobody_has_no_start_and_is_never_certain(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert identity(process.pid).endswith("|")
    assert not certainly_dead(identity(process.pid), process.pid)


@linux
def test_a_host_that_started_anew_has_no_processes_of_before() -> None:
    if identity().split("|")[2] != INITIAL or identity().startswith("@"):
        pytest.skip("not in a host's own PID namespace, or the machine has no id")
    before = changed(identity(), boot="00000000-0000-0000-0000-000000000000")
    assert certainly_dead(before, os.getpid())
    assert not certainly_dead(changed(before, pidns="4026532999"), os.getpid())
    assert not certainly_dead(changed(before, machine="@" + before.partition("@")[2]), os.getpid())
    cloned = before.partition("@")[0] + "@another-node-of-the-same-image"
    assert not certainly_dead(changed(before, machine=cloned.partition("|")[0]), os.getpid())


@linux
def test_a_container_with_the_same_name_is_not_confused_with_this_host() -> None:
    """A process in a PID namespace of its own: its number means somebody else, or nobody, out here."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no PID namespace can be made here")
    code = "from simcelery.execution.identity import *; print(identity(), os.getpid(), flush=True); input()"
    inside = subprocess.Popen(
        [*unshare, sys.executable, "-c", "import os\n" + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert inside.stdout is not None
    told, pid = inside.stdout.readline().split()
    try:
        assert int(pid) == 1
        assert told.split("|")[:2] == identity().split("|")[:2]
        for number in (1, 2**22 + 1):
            assert not certainly_dead(told, number)
        # And the other way round: what lives out here is not dead for those inside.
        ask = "from simcelery.execution.identity import *; import sys\n"
        ask += "print(certainly_dead(sys.argv[1], int(sys.argv[2])))"
        answer = subprocess.check_output(
            [*unshare, sys.executable, "-c", ask, identity(), str(os.getpid())], text=True
        )
        assert answer == "False\n"
        # Another boot means nothing in there either: only the namespace is new, or the host is another.
        ask = "from simcelery.execution.identity import *; m, _, n, s = identity().split('|')\n"
        ask += "print(certainly_dead('|'.join([m, 'other', n, s]), 1))"
        assert subprocess.check_output([*unshare, sys.executable, "-c", ask], text=True) == "False\n"
    finally:
        inside.communicate("\n", timeout=within(10))


@linux
def test_two_machines_without_an_id_are_not_the_same_for_that() -> None:
    unshare = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /etc/machine-id && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("/etc/machine-id cannot be hidden here")
    ask = "from simcelery.execution.identity import *; m, _, n, s = identity().split('|')\n"
    ask += "print(m[0], certainly_dead('|'.join([m, 'other', n, s]), 1))"
    assert subprocess.check_output([*unshare, sys.executable, "-c", ask], text=True) == "@ False\n"
