"""Who sent a signal to this process."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import within

CODE = """
import os, signal, subprocess, sys, threading, time
from simcelery.execution.senders import Watch

os.setsid() if os.getpid() != os.getsid(0) else None
seen = []
handler = lambda *_: seen.append([(one.pid, one.is_outside()) for one in watch.senders()])
signal.signal(signal.SIGTERM, handler)
watch = Watch(signal.SIGTERM)
watch.begin()
assert watch.works
{}
expected = {}
print(seen == expected, seen, expected)
"""


def says(actions: str, seen: str) -> None:
    """A process of its own sees `seen` after the actions."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(actions, seen)],
        capture_output=True,
        text=True,
        timeout=within(60),
        start_new_session=True,
        check=False,
    )
    assert done.stdout.startswith("True"), done.stdout + done.stderr


def test_a_process_signals_itself() -> None:
    says(
        "os.kill(os.getpid(), 15); signal.raise_signal(15); os.killpg(0, 15)",
        "[[(os.getpid(), False)]] * 3",
    )


def test_what_it_starts_signals_it() -> None:
    says("subprocess.run(['sh', '-c', 'kill $PPID'])", "[[(seen[0][0][0], False)]]")


def test_another_session_signals_it() -> None:
    says(
        "code = f'import os, time; os.kill({os.getpid()}, 15); time.sleep(1)'\n"
        "other = subprocess.Popen([sys.executable, '-c', code], start_new_session=True); other.wait()",
        "[[(other.pid, True)]]",
    )


def test_a_handler_that_is_set_anew_is_watched_again() -> None:
    says(
        "signal.signal(15, 0); signal.signal(15, handler); watch.begin(); os.kill(os.getpid(), 15)",
        "[[(os.getpid(), False)]]",
    )


def test_a_forked_process_has_notes_of_its_own() -> None:
    says(
        "child = os.fork()\n"
        "if not child: os.kill(os.getpid(), 15); os._exit(len(seen))\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1",
        "[]",
    )


def test_more_signals_than_are_kept() -> None:
    says("for _ in range(40): signal.raise_signal(15)", "[[(os.getpid(), False)]] * 40")


def test_a_machine_of_another_kind_notes_nobody() -> None:
    says(
        "from simcelery.execution import senders; senders._INSTRUCTIONS = None\n"
        "other = Watch(15); other.begin()\n"
        "assert not other.works and other.senders() == []; os.kill(os.getpid(), 15)",
        "[[(os.getpid(), False)]]",
    )
