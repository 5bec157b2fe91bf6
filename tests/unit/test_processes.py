"""The processes of an attempt, found and ended: with real ones, of the kinds that try to stay."""

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

from simcelery.execution import memory
from simcelery.execution.ending import EndedProcesses, end, end_for_certain
from simcelery.execution.processes import (
    MARK,
    children,
    is_over,
    is_subreaper,
    members,
    members_of_worker,
    reap_adopted,
)
from tests.waiting import wait_until, within

Start = Callable[..., subprocess.Popen[str]]

# What the code of a process may use. `say` tells the test that all is in place.
PREAMBLE = """
import ctypes, json, os, signal, subprocess, sys, threading, time
from simcelery.execution.ending import *
from simcelery.execution.processes import *
def say(value=None): os.write(1, json.dumps(value).encode() + b"\\n")
def pool_child(): os.setsid(); assert become_subreaper()
def sleeper(*before, **options): return subprocess.Popen([*before, "sleep", "120"], **options)
def daemon(action):
    "Forks twice, in a session of its own; gives the pid of the grandchild, which does `action`."
    read, write = os.pipe()
    first = os.fork()
    if first == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, b"%d" % os.getpid())
            action()
        os._exit(0)
    os.waitpid(first, 0)
    return int(os.read(read, 20))
def sleep(): time.sleep(120)
def stubborn(): signal.signal(signal.SIGTERM, signal.SIG_IGN); sleep()
"""
STUBBORN = "trap '' TERM; echo ready; while true; do sleep 0.2; done"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python code in a process; ends it, and all that descends from it, at the end of the test."""
    key, started = uuid4().hex, []

    def run(code: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code],
            env={**os.environ, "TEST_KEY": key, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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


def heard(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def pids(found: list[psutil.Process]) -> set[int]:
    return {process.pid for process in found}


def gone(pid: int) -> bool:
    try:
        return is_over(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


# Which processes are members


def test_members_are_descendants_and_the_session(start: Start) -> None:
    child = start("pool_child(); a = sleeper(); b = sleeper('setsid'); say([a.pid, b.pid]); sleep()")
    stranger = start("say(sleeper().pid); sleep()")
    expected = set(heard(child))
    heard(stranger)
    assert pids(members(child.pid)) == expected


@pytest.mark.parametrize("action", ["sleep", "lambda: os.execlp('sleep', 'sleep', '120')"])
def test_a_daemon_that_forked_twice_stays_a_descendant_of_a_subreaper(start: Start, action: str) -> None:
    child = start(f"pool_child(); say(daemon({action})); sleep()")
    daemon = heard(child)
    assert isinstance(daemon, int)
    assert psutil.Process(daemon).ppid() == child.pid
    assert os.getsid(daemon) != child.pid
    assert pids(members(child.pid)) == {daemon}


def test_without_a_subreaper_a_daemon_is_found_by_its_mark_only(start: Start) -> None:
    code = "os.setsid(); os.environ[MARK] = '7.1@w'; say(daemon(lambda: os.execlp('sleep', 'sleep', '120')))"
    child = start(code + "; sleep()")
    daemon = heard(child)
    assert members(child.pid) == []
    assert pids(members(child.pid, "7.1@w")) == {daemon}


def test_the_session_outlives_its_leader(start: Start) -> None:
    child = start("os.setsid(); say(sleeper().pid)")
    sleeper = heard(child)
    child.wait(within(10))
    assert pids(members(child.pid)) == {sleeper}


def test_descendants_of_what_is_marked_are_members_without_a_mark(start: Start) -> None:
    code = "p = sleeper('env', '-u', MARK, 'setsid'); say(p.pid); sleep()"
    marked = start(code, **{MARK: "8.1@w"})
    unmarked = heard(marked)
    own = start("os.setsid(); say(); sleep()")
    heard(own)
    while psutil.Process(unmarked).name() != "sleep":
        time.sleep(0.01)
    assert MARK not in psutil.Process(unmarked).environ()
    assert pids(members(own.pid, "8.1@w")) == {marked.pid, unmarked}


@pytest.mark.parametrize("other", ["7.10@w", "7.1@w2", "7.1", "17.1@w", ""])
def test_a_mark_that_only_begins_or_ends_the_same_is_another(start: Start, other: str) -> None:
    leader = start("os.setsid(); say(); sleep()")
    stranger = start("say(); sleep()", **{MARK: other})
    heard(leader)
    heard(stranger)
    assert members(leader.pid, "7.1@w") == []
    assert pids(members(leader.pid, other)) == {stranger.pid}


def test_a_worker_is_found_by_the_whole_of_its_token(start: Start) -> None:
    ours = [start("say(); sleep()", **{MARK: mark}) for mark in ("1.1@host@1", "22.3@host@1")]
    others = [start("say(); sleep()", **{MARK: m}) for m in ("1.1@1", "1.1@host@11", "1.1@xhost@1", "1.1")]
    for process in ours + others:
        heard(process)
    assert pids(members_of_worker([], "host@1")) == {process.pid for process in ours}
    with pytest.raises(ValueError, match="empty"):
        members_of_worker([], "")


def test_the_caller_is_no_member_nor_are_its_other_children(start: Start) -> None:
    """A process inside the session asks: neither itself nor what it started otherwise may be named."""
    asker = "say([p.pid for p in members(int(os.environ['ROOT']), 'm')]); sleep()"
    root = start(
        "os.setsid(); os.environ['ROOT'] = str(os.getpid()); os.environ[MARK] = 'm'\n"
        f"subprocess.Popen([sys.executable, '-c', {PREAMBLE + 'sleeper();' + asker!r}]); sleep()"
    )
    found = heard(root)
    assert isinstance(found, list)
    (asking,) = psutil.Process(root.pid).children()
    (other,) = asking.children()
    assert asking.pid not in found
    assert root.pid not in found
    assert found == [other.pid]  # it is in the session, so it is one after all


def test_the_test_runner_is_never_a_member(start: Start) -> None:
    ours = start("say(); sleep()")
    heard(ours)
    assert pids(members(os.getpid())) >= {ours.pid}
    assert os.getpid() not in pids(members(os.getpid()))
    session = os.getsid(0)
    if session > 1:
        assert os.getpid() not in pids(members(session))
        # Started by the runner, and in its session: a member of the session's leader, by session alone.
        assert ours.pid in pids(members(session))


@pytest.mark.parametrize("root", [0, -1, 1])
def test_what_would_be_everybody_is_refused(root: int) -> None:
    with pytest.raises(ValueError, match="no members"):
        members(root)


def test_zombies_are_no_members_but_a_process_whose_main_thread_ended_is(start: Start) -> None:
    child = start("""
pool_child()
zombie = subprocess.Popen(["true"])
half = os.fork()
if half == 0:
    threading.Thread(target=sleep).start()
    ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)
while open(f"/proc/{half}/stat").read().split()[2] != "Z" or zombie.pid not in children(): time.sleep(0.01)
os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
say([zombie.pid, half]); sleep()
""")
    zombie, half = heard(child)
    assert psutil.Process(zombie).status() == psutil.Process(half).status() == psutil.STATUS_ZOMBIE
    assert pids(members(child.pid)) == {half}
    assert end(lambda: members(child.pid), 0.1).left == 0
    assert gone(half)


# Ending


def test_what_listens_to_sigterm_is_not_killed_and_not_waited_for(start: Start) -> None:
    child = start("pool_child(); [sleeper() for _ in range(3)]; sleeper('setsid'); say(); sleep()")
    heard(child)
    began = time.monotonic()
    ended = end(lambda: members(child.pid), grace=30)
    assert time.monotonic() - began < within(5)
    assert (ended.processes, ended.killed, ended.left) == (4, 0, 0)
    assert members(child.pid) == []
    assert child.poll() is None


def test_grandchildren_that_ignore_sigterm_are_killed_after_the_grace(start: Start) -> None:
    code = f"""
pool_child()
shell = subprocess.Popen(["sh", "-c", "(" + {STUBBORN!r} + ") & wait"], stdout=subprocess.PIPE)
shell.stdout.readline()
say(); sleep()
"""
    child = start(code)
    heard(child)
    began = time.monotonic()
    ended = end(lambda: members(child.pid), grace=0.6)
    assert 0.6 <= time.monotonic() - began < within(6)
    assert ended.killed >= 1
    assert ended.left == 0
    assert members(child.pid) == []
    assert "sh" in dict(ended.names)


@pytest.mark.parametrize("kind", ["stubborn", "sleep"])
def test_a_forked_daemon_is_ended(start: Start, kind: str) -> None:
    child = start(f"pool_child(); pid = daemon({kind}); time.sleep(0.1); say(pid); sleep()")
    daemon = heard(child)
    assert isinstance(daemon, int)
    ended = end(lambda: members(child.pid), grace=0.3)
    assert (ended.processes, ended.killed, ended.left) == (1, int(kind == "stubborn"), 0)
    assert gone(daemon)


def test_a_stopped_process_gets_to_act_on_sigterm(start: Start) -> None:
    child = start("""
pool_child()
polite = "trap 'echo saved; exit' TERM; echo ready; while true; do sleep 0.05; done"
shell = subprocess.Popen(["sh", "-c", polite], stdout=subprocess.PIPE, text=True)
shell.stdout.readline(); shell.send_signal(signal.SIGSTOP); say(shell.pid); say(shell.stdout.readline())
""")
    shell = heard(child)
    assert isinstance(shell, int)
    while psutil.Process(shell).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    end(lambda: members(child.pid), grace=10)
    assert heard(child) == "saved\n"


def test_a_stopped_process_that_ignores_sigterm_is_killed(start: Start) -> None:
    child = start("pool_child(); pid = daemon(stubborn); time.sleep(0.2); say(pid); sleep()")
    daemon = heard(child)
    assert isinstance(daemon, int)
    os.kill(daemon, signal.SIGSTOP)
    assert end(lambda: members(child.pid), grace=0.2).killed == 1
    assert gone(daemon)


def test_what_respawns_itself_is_ended(start: Start) -> None:
    """Ignores SIGTERM and moves on to a new process, in a session of its own, every 100 ms; leaves others.

    On a machine that is busy with other work it hops less often: what hops faster than the table of
    processes can be read there is told as left.
    """
    hopper = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(200):
    time.sleep({within(0.1)})
    if os.fork():
        if os.fork(): os._exit(0)
        time.sleep(0.3); os._exit(0)
    os.setsid()
"""
    child = start(f"pool_child(); subprocess.Popen([sys.executable, '-c', {hopper!r}]); say(); sleep()")
    heard(child)
    time.sleep(within(0.5))
    wait_until(lambda: members(child.pid))  # one look may fall between two of them
    ended = end(lambda: members(child.pid), grace=within(0.3))
    assert ended.left == 0
    assert ended.killed >= 1
    assert ended.processes > 4
    time.sleep(0.3)
    assert [process for process in members(child.pid) if not is_over(process)] == []


def test_what_answers_sigterm_with_new_processes_is_ended_with_them(start: Start) -> None:
    spawn = (
        "trap 'setsid sleep 120 & setsid sleep 121 & exit' TERM; echo ready; while true; do sleep 0.05; done"
    )
    child = start(
        """
pool_child()
shell = subprocess.Popen(["sh", "-c", os.environ["SPAWN"]], stdout=subprocess.PIPE); shell.stdout.readline()
say(); sleep()
""",
        SPAWN=spawn,
    )
    heard(child)
    ended = end(lambda: members(child.pid), grace=10)
    assert (ended.killed, ended.left) == (0, 0)
    assert dict(ended.names)["sleep"] + dict(ended.names).get("setsid", 0) >= 2
    assert members(child.pid) == []


def test_what_was_found_once_is_ended_though_it_is_lost_sight_of(start: Start) -> None:
    """With the pool child gone, a forked daemon is no descendant any more, in no session, without a mark."""
    child = start("pool_child(); pid = daemon(stubborn); time.sleep(0.2); say(pid); sleep()")
    daemon = heard(child)
    assert isinstance(daemon, int)
    root = psutil.Process(child.pid)
    ended = end(lambda: [root, *members(child.pid)], grace=0.5)
    assert (ended.processes, ended.killed, ended.left) == (2, 1, 0)
    assert gone(daemon)


def test_it_gives_up_on_what_cannot_be_ended() -> None:
    class Deaf(psutil.Process):
        """Stands for a process that is stuck in the kernel, or another user's."""

        def send_signal(self, sig: int) -> None:
            raise psutil.AccessDenied(self.pid)

    began = time.monotonic()
    ended = end(lambda: [Deaf(os.getpid())], grace=0.1, longest=0.5)
    assert 0.6 <= time.monotonic() - began < within(5)
    assert (ended.processes, ended.killed, ended.left) == (1, 1, 1)
    assert str(ended).endswith("; 1 could not be ended")


def test_nothing_to_end_takes_no_time() -> None:
    began = time.monotonic()
    assert end(list, grace=30) == EndedProcesses()
    assert time.monotonic() - began < within(0.1)


def test_an_interruption_leaves_nothing_and_is_raised_afterwards(start: Start) -> None:
    child = start(
        """
pool_child()
shell = subprocess.Popen(["sh", "-c", os.environ["STUBBORN"]], stdout=subprocess.PIPE)
shell.stdout.readline()
class Stop(BaseException): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.3)
began = time.monotonic()
try: end_for_certain(lambda: members(os.getpid()), 60)
except Stop: signal.setitimer(signal.ITIMER_REAL, 0); say([shell.pid, time.monotonic() - began])
""",
        STUBBORN=STUBBORN,
    )
    shell, seconds = heard(child)
    assert gone(shell)
    assert 0.3 <= seconds < 10


def test_interruptions_that_come_faster_than_it_looks_leave_nothing(start: Start) -> None:
    """As on a busy node, where the table of processes takes long to read."""
    child = start(
        """
pool_child()
shell = subprocess.Popen(["sh", "-c", os.environ["STUBBORN"]], stdout=subprocess.PIPE)
shell.stdout.readline()
def look():
    time.sleep(0.3)
    return members(os.getpid())
class Stop(BaseException): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
try: end_for_certain(look, 60)
except Stop: signal.setitimer(signal.ITIMER_REAL, 0); say(shell.pid)
""",
        STUBBORN=STUBBORN,
    )
    assert gone(heard(child))


def test_a_search_that_fails_ends_with_its_error() -> None:
    def fail() -> list[psutil.Process]:
        raise OSError("no table")

    with pytest.raises(OSError, match="no table"):
        end_for_certain(fail, 0)


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (EndedProcesses(), "no processes"),
        (EndedProcesses(1, 0, 0, (("sleep", 1),)), "1 process ended (sleep)"),
        (EndedProcesses(1, 1, 0, (("sleep", 1),)), "1 process ended (sleep), killed"),
        (
            EndedProcesses(4, 1, 0, (("sh", 1), ("sleep", 3))),
            "4 processes ended (sh, sleep ×3), 1 of them killed",
        ),
        (
            EndedProcesses(2, 2, 1, (("a", 2),)),
            "2 processes ended (a ×2), 2 of them killed; 1 could not be ended",
        ),
        (
            EndedProcesses(8, 0, 0, tuple((name, 1) for name in "abcdefgh")),
            "8 processes ended (…, c, d, e, f, g, h)",
        ),
    ],
)
def test_what_was_done_is_told_in_a_phrase(ended: EndedProcesses, text: str) -> None:
    assert str(ended) == text


# Children, and what was adopted


def test_children_are_the_direct_ones_of_all_threads(start: Start) -> None:
    child = start("""
own = sleeper(); grand = subprocess.Popen(["sh", "-c", "sleep 120 & wait"])
held = threading.Event()
def work(): pids.append(sleeper().pid); ready.set(); held.wait()
pids, ready = [], threading.Event(); threading.Thread(target=work, daemon=True).start(); ready.wait()
zombie = subprocess.Popen(["true"]); os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
say(sorted(children()) == sorted([own.pid, grand.pid, zombie.pid, *pids])); sleep()
""")
    assert heard(child) is True


def test_asking_for_children_is_cheap() -> None:
    def measure() -> float:
        began = time.perf_counter()
        for _ in range(100):
            children()
        return (time.perf_counter() - began) / 100

    assert min(measure() for _ in range(5)) < 0.001


def test_a_subreaper_is_what_says_so_and_its_children_are_not(start: Start) -> None:
    assert not is_subreaper()
    child = start("""
before = is_subreaper(); become_subreaper()
read, write = os.pipe()
if os.fork() == 0: os.write(write, b"%d" % is_subreaper()); os._exit(0)
say([before, is_subreaper(), int(os.read(read, 1))])
""")
    assert heard(child) == [False, True, 0]


def test_adopted_zombies_are_collected_and_only_those(start: Start) -> None:
    child = start("""
pool_child()
mine = subprocess.Popen(["sh", "-c", "exit 3"]); os.waitid(os.P_PID, mine.pid, os.WEXITED | os.WNOWAIT)
living = sleeper()
adopted = daemon(lambda: os._exit(0)); os.waitid(os.P_PID, adopted, os.WEXITED | os.WNOWAIT)
reaped = reap_adopted({mine.pid})
say([reaped == {adopted}, children() == {mine.pid, living.pid}, living.poll(), mine.wait()])
""")
    assert heard(child) == [True, True, None, 3]
    assert reap_adopted(children()) == set()


# Memory


def test_the_count_of_oom_kills_is_known_here() -> None:
    if not Path("/proc/vmstat").exists() or "oom_kill" not in Path("/proc/vmstat").read_text():
        pytest.skip("this kernel does not count")
    count = memory.oom_kills()
    assert count is not None
    assert count >= 0


def test_the_nearest_control_group_that_counts_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under Slurm, where the group of a task may lack the memory controller that its step has."""
    own = tmp_path / "step_0" / "user" / "task_0" / "memory.events"
    own.parent.mkdir(parents=True)
    (tmp_path / "memory.events").write_text("oom_kill 9\n")
    (tmp_path / "step_0" / "memory.events").write_text("low 0\noom 5\noom_kill 3\noom_group_kill 0\n")
    monkeypatch.setattr(memory, "_own_files", lambda: [own])
    assert memory.oom_kills() == 3
    own.write_text("oom_kill 0\n")
    assert memory.oom_kills() == 0
    assert [memory.killed_since(before) for before in (None, 0, -1)] == [False, False, True]


@pytest.fixture
def control_group() -> Iterator[Path]:
    """A memory control group limited to 64 MiB, below our own."""
    files = memory._own_files()
    if not files:
        pytest.skip("no memory control group is mounted")
    folder = files[0].parent / f"simcelery-test-{os.getpid()}"
    limit = "memory.limit_in_bytes" if files[0].name == "memory.oom_control" else "memory.max"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    try:
        (folder / limit).write_text(str(64 << 20))
        yield folder
    except OSError as error:
        pytest.skip(f"no memory control group can be limited here: {error}")
    finally:
        for _ in range(100):
            with suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)


def test_a_process_killed_for_want_of_memory_is_counted(start: Start, control_group: Path) -> None:
    child = start(f"""
from simcelery.execution.memory import oom_kills
open({str(control_group / "cgroup.procs")!r}, "w").write(str(os.getpid()))
open("/proc/self/oom_score_adj", "w").write("-500")
before = oom_kills()
quiet = subprocess.run([sys.executable, "-c", "pass"]).returncode
between = oom_kills()
greedy = "open('/proc/self/oom_score_adj', 'w').write('1000'); bytearray(200 << 20)"
killed = subprocess.run([sys.executable, "-c", greedy]).returncode
say([before, quiet, between, killed, oom_kills()])
""")
    before, quiet, between, killed, after = heard(child)
    assert (before, quiet, between) == (0, 0, 0)
    assert killed == -signal.SIGKILL
    assert after == 1
