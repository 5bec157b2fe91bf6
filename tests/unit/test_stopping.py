"""What becomes of the pool child's handler of SIGTERM in processes that a workflow forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from simcelery.worker import stopping


@pytest.fixture
def handled() -> Iterator[None]:
    former = signal.signal(signal.SIGTERM, stopping._told_to_end)
    yield
    signal.signal(signal.SIGTERM, former)


def test_a_forked_process_ends_at_once_when_it_is_told_to(handled: None) -> None:
    """A handler in Python runs only after the call that the process is in: that may never end."""
    child = os.fork()
    if child == 0:
        os._exit(0 if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert signal.getsignal(signal.SIGTERM) is stopping._told_to_end


def test_a_forked_process_keeps_a_handler_of_its_own(handled: None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os._exit(0 if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_signal_that_comes_while_a_process_is_forked_is_not_lost() -> None:
    """Python forgets in a new process what had arrived before it could look."""
    said = subprocess.run([sys.executable, "-c", WHILE_FORKING], capture_output=True, text=True, check=True)
    assert said.stdout == "[True] 0 set()\n"


WHILE_FORKING = """
import os, signal
held = []
def now(): return signal.pthread_sigmask(signal.SIG_BLOCK, ())
os.register_at_fork(before=lambda: held.append(signal.SIGTERM in now()))  # the last to be called
from simcelery.worker import stopping
signal.signal(signal.SIGTERM, stopping._told_to_end)
child = os.fork()
if child == 0:
    os._exit(len(now()))
print(held, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), now())
"""
