"""The reaper: with workers that are really killed, and jobs that really stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from simcelery.execution import reaping
from simcelery.execution.processes import MARK, is_over
from simcelery.execution.reaper import Reaper
from tests.waiting import wait_until, within

# A worker with one pool child, which ends with it as billiard's do. The child runs `JOB` and says what it
# started; `SETUP` is what the worker does before.
WORKER = """
import ctypes, json, os, signal, subprocess, sys, time
from simcelery.execution.processes import *
from simcelery.execution.reaper import Reaper
def say(value=None): os.write(1, json.dumps(value).encode() + b"\\n")
def sleeper(*before, **options): return subprocess.Popen([*before, "sleep", "120"], **options)
def marked(mark): os.environ[MARK] = mark; return True
reaper = Reaper.start(os.environ["TOKEN"], 0.5)
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.setsid(); become_subreaper()
    #CHILD
    JOB
    time.sleep(120)
#PARENT
say([reaper.pid, child])
for line in sys.stdin: exec(line)
"""

Worker = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def token() -> str:
    return f"worker@{uuid4().hex}"


@pytest.fixture
def start(token: str) -> Iterator[Worker]:
    """Starts a worker; ends it and all that it started at the end of the test."""
    key, started = uuid4().hex, []

    def run(
        job: str, parent: str = "reaper.watch(child)", child: str = "reaper.forget_in_child()"
    ) -> subprocess.Popen[str]:
        code = WORKER.replace("#CHILD", child).replace("#PARENT", parent).replace("JOB", job)
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "TEST_KEY": key, "TOKEN": token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TEST_KEY") == key:
                process.kill()
    for popen in started:
        popen.communicate(timeout=within(10))


def heard(process: subprocess.Popen[str], lines: int) -> list[Any]:
    """What the worker and its child said: the worker's [reaper, child] comes first."""
    assert process.stdout is not None
    said = [json.loads(process.stdout.readline()) for _ in range(lines)]
    return sorted(said, key=lambda line: not isinstance(line, list))


def gone(pid: object) -> bool:
    assert isinstance(pid, int)
    try:
        return is_over(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


JOBS = {
    "in the session": "say(sleeper().pid)",
    "marked, in a session of its own": "marked('7.1@' + os.environ['TOKEN']); say(sleeper('setsid').pid)",
    "ignoring SIGTERM": "say(sleeper('sh', '-c', 'trap \"\" TERM; \"$@\"', 'sh').pid)",
    "stopped": "p = sleeper(); p.send_signal(signal.SIGSTOP); say(p.pid)",
}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_killed_worker_leaves_nothing(start: Worker, job: str) -> None:
    worker = start(job)
    (reaper, child), sleeper = heard(worker, 2)
    assert not gone(sleeper)
    worker.kill()
    worker.wait()
    wait_until(lambda: gone(sleeper) and gone(child) and gone(reaper), 15)
    assert worker.stderr is not None
    told = worker.stderr.read()
    assert told.startswith("simcelery: the worker is gone and left its jobs running: ")
    assert "sleep" in told or "sh" in told
    assert told.count("\n") == 1


def test_a_pool_child_may_announce_itself(start: Worker) -> None:
    worker = start(
        "say(sleeper().pid)", parent="", child="reaper.watch(os.getpid()); reaper.forget_in_child()"
    )
    _, sleeper = heard(worker, 2)
    worker.kill()
    wait_until(lambda: gone(sleeper), 15)


def test_a_pool_child_that_outlives_its_worker_is_ended(start: Worker) -> None:
    child = "ctypes.CDLL(None).prctl(1, 0); reaper.forget_in_child()"
    worker = start("signal.signal(signal.SIGTERM, signal.SIG_IGN); say(0)", child=child)
    (_, pid), _ = heard(worker, 2)
    worker.kill()
    worker.wait()
    wait_until(lambda: gone(pid), 15)


def test_the_jobs_of_another_worker_stay(start: Worker, token: str) -> None:
    marks = [f"1.1@{token}2", f"1.1@x{token}", f"1.1{token}", "1.1@" + token.partition("@")[2]]
    others = [subprocess.Popen(["sleep", "120"], env={**os.environ, MARK: mark}) for mark in marks]
    try:
        worker = start("say(sleeper().pid)")
        (reaper, _), sleeper = heard(worker, 2)
        worker.kill()
        worker.wait()
        wait_until(lambda: gone(reaper) and gone(sleeper), 15)
        assert [other.poll() for other in others] == [None] * len(others)
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_what_was_forgotten_is_left_alone(start: Worker) -> None:
    worker = start("say(sleeper().pid)", parent="reaper.watch(child); reaper.forget(child)")
    (reaper, _), sleeper = heard(worker, 2)
    worker.kill()
    worker.wait()
    wait_until(lambda: gone(reaper), 15)
    assert not gone(sleeper)


def test_a_reaper_that_is_dismissed_ends_nothing(start: Worker) -> None:
    worker = start("marked('7.1@' + os.environ['TOKEN']); say(sleeper().pid)")
    (reaper, child), sleeper = heard(worker, 2)
    assert worker.stdin is not None
    worker.stdin.write("reaper.dismiss(); say([reaper.alive, reaper.watch(1)])\n")
    worker.stdin.flush()
    assert heard(worker, 1) == [[False, False]]
    assert gone(reaper)
    time.sleep(0.3)
    assert not gone(sleeper)
    assert not gone(child)


def test_a_reaper_stays_when_everybody_is_told_to_end(start: Worker) -> None:
    worker = start("say(sleeper().pid)")
    (reaper, child), sleeper = heard(worker, 2)
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]
    for number in numbers:
        os.kill(reaper, number)
    time.sleep(0.3)
    assert not gone(reaper)
    assert not gone(sleeper)
    worker.kill()
    wait_until(lambda: gone(sleeper) and gone(child), 15)


def test_signals_do_not_meet_a_reaper_half_started(token: str) -> None:
    for _ in range(10):
        reaper = Reaper.start(token, 0.1)
        try:
            os.kill(reaper.pid, signal.SIGTERM)
            time.sleep(0.01)
            os.kill(reaper.pid, signal.SIGHUP)
            time.sleep(0.08)
            assert reaper.alive
        finally:
            reaper.dismiss()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_a_dead_reaper_does_no_harm(start: Worker) -> None:
    """Not even where SIGPIPE would end the process."""
    worker = start("say(0)", parent="signal.signal(signal.SIGPIPE, signal.SIG_DFL)")
    (reaper, _), _ = heard(worker, 2)
    os.kill(reaper, signal.SIGKILL)
    assert worker.stdin is not None
    worker.stdin.write("time.sleep(0.2); say([reaper.alive, reaper.watch(1), reaper.forget(1)])\n")
    worker.stdin.write("reaper.dismiss(); say('still here')\n")
    worker.stdin.flush()
    assert heard(worker, 2) == [[False, False, False], "still here"]


def test_a_stopped_reaper_does_not_block_its_worker(token: str) -> None:
    reaper = Reaper.start(token, 0.1)
    try:
        os.kill(reaper.pid, signal.SIGSTOP)
        told = [reaper.watch(2**22 + 1) for _ in range(20_000)]
        assert told[0]
        assert not told[-1]
    finally:
        reaper.dismiss()
    assert not reaper.alive


def test_the_reaper_holds_nothing_of_its_worker(token: str, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        reaper = Reaper.start(token, 0.1)
        try:
            assert reaper.alive
            wait_until(lambda: str(file.fileno()) not in os.listdir(f"/proc/{reaper.pid}/fd"), 5)
            process = psutil.Process(reaper.pid)
            wait_until(lambda: len(os.listdir(f"/proc/{reaper.pid}/fd")) == 3, 5)
            assert process.cwd() == "/"
            assert os.getsid(reaper.pid) == reaper.pid
        finally:
            reaper.dismiss()


def test_a_forked_child_can_neither_dismiss_nor_keep_the_line(start: Worker) -> None:
    worker = start("say(0)", child="reaper.dismiss(); reaper.forget_in_child(); reaper.dismiss()")
    (reaper, child), _ = heard(worker, 2)
    time.sleep(0.2)
    assert not gone(reaper)
    os.kill(child, signal.SIGSTOP)  # alive, and yet the line closes with the worker
    worker.kill()
    worker.wait()
    wait_until(lambda: gone(reaper), 15)


def test_a_worker_needs_a_token() -> None:
    with pytest.raises(ValueError, match="empty"):
        Reaper.start("", 1)


def test_the_session_of_a_stranger_with_the_pid_of_a_pool_child_is_left_alone(token: str) -> None:
    script = ["sh", "-c", "sleep 120 & echo; wait"]
    stranger = subprocess.Popen(script, start_new_session=True, stdout=subprocess.PIPE)
    try:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        former, now = psutil.Process(), psutil.Process(stranger.pid)  # another process than that
        assert len(reaping._leftovers({stranger.pid: now}, token)) == 2
        assert reaping._leftovers({stranger.pid: former}, token) == []
    finally:
        os.killpg(stranger.pid, signal.SIGKILL)
        stranger.communicate()
