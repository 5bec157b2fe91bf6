"""A command and all that it starts, in its own process: none outlives the call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from simcelery.execution import memory
from simcelery.execution.command import Completed, run, terminate
from simcelery.execution.processes import is_over
from tests.waiting import within

# Runs a command as a pool child does, prints what came of it as JSON.
CHILD = """
import json, os, pathlib, signal, subprocess, sys, threading, time
from simcelery.execution.command import *
from simcelery.execution import processes
os.setsid(); processes.become_subreaper()
class Stop(BaseException): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
folder = pathlib.Path(sys.argv[1])
def sh(script, **options): return run(["sh", "-c", script], folder, os.environ, **options)
BODY
"""
STUBBORN = "trap '' TERM; while true; do sleep 0.1; done"


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """What is started with it is ended at the end of the test."""
    key = uuid4().hex
    yield {**os.environ, "TEST_KEY": key}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TEST_KEY") == key:
                process.kill()


def child(body: str, folder: Path, environment: dict[str, str]) -> Any:
    code = CHILD.replace("BODY", body)
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=within(60))
    assert done.returncode == 0
    return json.loads(done.stdout)


def living(environment: dict[str, str]) -> list[str]:
    """The command lines of what was started with this environment and lives."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TEST_KEY") == environment["TEST_KEY"] and not is_over(process):
                found.append(" ".join(process.cmdline()))
    return found


def test_what_it_printed_and_its_exit_code(tmp_path: Path, environment: dict[str, str]) -> None:
    command = ["sh", "-c", "echo out; echo err >&2; printf 'a\\0\\377'; exit 3"]
    assert run(command, tmp_path, environment) == Completed(3, "out\nerr\na\\0\\xff")
    assert (tmp_path / "output.txt").read_bytes() == b"out\nerr\na\0\xff"


def test_only_the_tail_is_kept(tmp_path: Path, environment: dict[str, str]) -> None:
    output = run(["seq", "1000"], tmp_path, environment).output.splitlines()
    assert (len(output), output[0], output[-1]) == (200, "801", "1000")


def test_death_by_a_signal_is_a_negative_exit_code(tmp_path: Path, environment: dict[str, str]) -> None:
    assert run(["sh", "-c", "kill -9 $$"], tmp_path, environment).exit_code == -9


def test_a_program_that_is_missing(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError):
        run(["simcelery-no-such-program"], tmp_path, environment)


def test_it_has_a_group_of_its_own_in_our_session(tmp_path: Path, environment: dict[str, str]) -> None:
    code = "import os; print(os.getpgrp() == os.getpid(), os.getsid(0))"
    assert run([sys.executable, "-c", code], tmp_path, environment).output == f"True {os.getsid(0)}\n"


LEFT = {
    "in the group": "sleep 120 & sleep 0.1",
    "in a session of its own": "setsid sleep 120 & sleep 0.1",
    "a daemon": "(setsid sh -c 'sleep 120 & sleep 0.1' &); sleep 0.2",
    "ignoring SIGTERM": f"({STUBBORN}) & sleep 0.2",
    "without our mark, in the group": "env -u SIMCELERY_COMMAND sleep 120 & sleep 0.1",
}


@pytest.mark.parametrize("subreaper", [True, False])
@pytest.mark.parametrize("script", LEFT.values(), ids=LEFT)
def test_what_a_command_leaves_behind_is_ended(
    tmp_path: Path, environment: dict[str, str], script: str, subreaper: bool
) -> None:
    if subreaper:
        code = child(f"print(sh({script!r}, grace=0.5).exit_code)", tmp_path, environment)
    else:
        code = run(["sh", "-c", script], tmp_path, environment, grace=0.5).exit_code
    assert code == 0
    assert living(environment) == []


def test_it_is_quick_where_nothing_is_left(tmp_path: Path, environment: dict[str, str]) -> None:
    began = time.monotonic()
    run(["true"], tmp_path, environment, grace=30)
    assert time.monotonic() - began < within(2)


def test_what_was_there_before_stays(tmp_path: Path, environment: dict[str, str]) -> None:
    """Other children of ours, also such as begin meanwhile: they are not the command's."""
    body = """
before = subprocess.Popen(["sleep", "120"]); others = []
threading.Timer(0.2, lambda: others.append(subprocess.Popen(["sleep", "120"]))).start()
sh("sleep 120 & sleep 0.6")
print(json.dumps([p.poll() for p in [before, *others]]))
for p in [before, *others]: p.kill()
"""
    assert child(body, tmp_path, environment) == [None, None]


@pytest.mark.parametrize("script", [*LEFT.values(), STUBBORN], ids=[*LEFT, "itself stubborn"])
def test_an_exception_from_a_handler_ends_the_whole_tree(
    tmp_path: Path, environment: dict[str, str], script: str
) -> None:
    body = f"""
signal.setitimer(signal.ITIMER_REAL, 0.6)
began = time.monotonic()
try: sh({script + "; sleep 120"!r}, grace=0.5)
except Stop: print(json.dumps(time.monotonic() - began))
"""
    assert 0.6 <= child(body, tmp_path, environment) < 10
    assert living(environment) == []


def test_a_command_may_use_its_grace(tmp_path: Path, environment: dict[str, str]) -> None:
    script = "trap 'sleep 0.3; echo saved; exit' TERM; while true; do sleep 0.05; done"
    body = f"""
signal.setitimer(signal.ITIMER_REAL, 0.5)
try: sh({script!r}, grace=30)
except Stop: print(json.dumps((folder / "output.txt").read_text()))
"""
    assert "saved\n" in child(body, tmp_path, environment)


def test_a_second_exception_during_the_grace_leaves_nothing(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    body = f"""
signal.setitimer(signal.ITIMER_REAL, 0.4, 0.4)
began = time.monotonic()
try: sh({STUBBORN!r}, grace=60)
except Stop:
    signal.setitimer(signal.ITIMER_REAL, 0); print(json.dumps(time.monotonic() - began))
"""
    assert 0.8 <= child(body, tmp_path, environment) < 20
    assert living(environment) == []


def test_a_signal_that_interrupts_no_call_is_heard_soon(tmp_path: Path, environment: dict[str, str]) -> None:
    """As when it comes just before a blocking call: here another thread gets it, and the call goes on."""
    body = """
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
signal.setitimer(signal.ITIMER_REAL, 0.4)
began = time.monotonic()
try: sh("sleep 50", grace=1)
except Stop: print(json.dumps(time.monotonic() - began))
"""
    assert 0.4 <= child(body, tmp_path, environment) < 10


def test_an_exception_at_any_moment_of_the_start_leaves_nothing(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Also while `Popen` is at work and has not yet told us the process."""
    body = """
interrupted = 0
for step in range(60):
    signal.setitimer(signal.ITIMER_REAL, 0.0001 + step * 0.0001)
    try:
        sh("sleep 120 & sleep 121", grace=1)
    except Stop: interrupted += 1
left = [p.name() for p in processes.members(os.getpid()) if not processes.is_over(p)]
print(json.dumps([interrupted, left]))
"""
    assert child(body, tmp_path, environment) == [60, []]


def test_what_cannot_be_told_of_it_ends_it(tmp_path: Path, environment: dict[str, str]) -> None:
    def fail(process: subprocess.Popen[bytes]) -> None:
        raise LookupError(process.pid)

    with pytest.raises(LookupError):
        run(["sleep", "120"], tmp_path, environment, on_started=fail)
    assert living(environment) == []


def test_terminate_warns_the_whole_group(tmp_path: Path, environment: dict[str, str]) -> None:
    script = "(trap 'echo inner; exit' TERM; echo ready; while true; do sleep 0.05; done) & wait; exit 5"
    script = "trap 'wait; exit 5' TERM; " + script
    started: list[subprocess.Popen[bytes]] = []

    def warn() -> None:
        while "ready" not in (tmp_path / "output.txt").read_text():
            time.sleep(0.02)
        terminate(started[0])

    def begin(process: subprocess.Popen[bytes]) -> None:
        started.append(process)
        threading.Thread(target=warn).start()

    completed = run(["sh", "-c", script], tmp_path, environment, on_started=begin)
    assert completed.exit_code == 5
    assert completed.output.endswith("inner\n")


def test_terminate_leaves_a_number_alone_that_has_been_collected() -> None:
    """Its group may be a stranger's by now: here it is a group that somebody else has made."""
    process = subprocess.Popen(["true"], process_group=0)
    process.wait()
    stranger = subprocess.Popen(["sleep", "60"], process_group=0)
    try:
        process.pid = stranger.pid
        terminate(process)
        time.sleep(0.1)
        assert stranger.poll() is None
        terminate(stranger)
        assert stranger.wait(within(10)) == -signal.SIGTERM
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("words", "kills", "expected"),
    [
        ("kill -9 $$", [3, 4], True),
        ("(kill -9 $BASHPID); exit 137", [3, 4], True),
        ("kill -9 $$", [3, 3], False),
        ("kill -9 $$", [None, None], False),
        ("exit 1", [3, 4], False),
        ("exit 0", [3, 4], False),
    ],
)
def test_a_command_that_the_kernel_killed_for_want_of_memory_is_told_from_others(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: str,
    kills: list[int | None],
    expected: bool,
) -> None:
    told = iter(kills + kills[-1:])
    monkeypatch.setattr(memory, "oom_kills", lambda: next(told))
    assert run(["bash", "-c", words], tmp_path, dict(os.environ)).killed_for_memory is expected
