"""Workflows that the tests run on real workers; copied into each test project as ``sims``."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcelery import Fail, Retry, current_job, get_job, workflow


@workflow
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@workflow
def total(values: list[int]) -> int:
    return sum(values)


@workflow
def echo(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Relaxed:
    energy: float
    positions: list[tuple[float, float, float]]


@workflow
def relaxed(energy: float) -> Relaxed:
    return Relaxed(energy, [(0.0, 1.0, 2.0)])


@workflow
def trace(path: str, text: str = "ran", pause: float = 0.0) -> str:
    """Append a line to a file: counts executions."""
    with Path(path).open("a") as file:
        file.write(text + "\n")
    time.sleep(pause)
    return text


@workflow(max_attempts=3, retry_delay=0.2)
def flaky(succeed_at: int) -> int:
    attempt = current_job().attempt
    if attempt < succeed_at:
        raise ValueError(f"attempt {attempt} diverged")
    return attempt


@workflow(max_attempts=5, retry_delay=0.1, retry_on=(ValueError,))
def picky(kind: str) -> None:
    if kind == "retry":
        raise Retry("once more", delay=0.1)
    if kind == "fail":
        raise Fail("hopeless")
    raise {"value": ValueError, "key": KeyError}[kind](kind)


@workflow(time_limit=1.0)
def slow(seconds: float, stubborn: bool = False) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException:
            if not stubborn:
                raise
    return "done"


@workflow(time_limit=30.0, soft_time_limit=0.5)
def careful(seconds: float) -> str:
    from celery.exceptions import SoftTimeLimitExceeded

    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        return "saved"
    return "done"


@workflow(max_losses=1)
def misbehave(how: str) -> Any:
    """What user code does on bad days."""
    if how == "sys.exit":
        sys.exit(3)
    if how == "os._exit":
        os._exit(3)
    if how == "MemoryError":
        raise MemoryError("no room for 10 TB")
    if how == "KeyboardInterrupt":
        raise KeyboardInterrupt
    if how == "RecursionError":

        def forever() -> None:
            forever()

        forever()
    if how == "lambda":
        return lambda: None
    if how == "NUL":
        return "a\0b"
    if how == "large":
        return "x" * 2_000_000
    if how == "surrogate":
        raise ValueError("bad \udcff text \0 here")
    raise AssertionError(how)


@workflow
def with_children(how: str) -> list[int]:
    """Python's own ways to use several processes."""
    if how == "Pool":
        import multiprocessing

        with multiprocessing.Pool(2) as pool:
            return pool.map(abs, [-1, 2])
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2) as executor:
        return list(executor.map(abs, [-1, 2]))


@workflow
def about_me() -> dict[str, Any]:
    me = current_job()
    (me.workdir / "note.txt").write_text("here")
    me.progress(1, 4, "k-points")
    me.progress(4, 4, "done")
    return {"id": me.id, "attempt": me.attempt, "workdir": str(me.workdir), "tags": list(me.tags)}


@workflow
def fan_out(count: int) -> int:
    """A job that submits jobs."""
    jobs = add.submit_many({"a": i, "b": 0} for i in range(count))
    return total.submit(values=list(jobs)).id


@workflow
def state_of(number: int) -> str:
    return get_job(number).state


@workflow(queue="other")
def elsewhere() -> str:
    return "served"


@workflow
def talk() -> None:
    """Print in every way there is."""
    print("from Python")
    sys.stdout.flush()
    os.system("echo from a child")
    os.write(1, b"bytes \xff\n")
    print("to stderr", file=sys.stderr)


@workflow
def deaf(path: str) -> None:
    """Swallows whatever is raised in it."""
    with Path(path).open("a") as file:
        file.write("ran\n")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except BaseException:
            continue


@workflow
def listener(path: str, then: str = "exit") -> None:
    """Saves its work when its worker is about to end."""
    Path(f"{path}.began").touch()
    while not current_job().should_stop():
        time.sleep(0.05)
    Path(path).write_text("half done")
    if then == "fail":
        raise Fail("hopeless anyway")
    sys.exit("enough for now")


_warm: list[int] = []


def warm_up() -> None:
    _warm.append(os.getpid())
    with Path(os.environ["STARTED"]).open("a") as file:
        file.write(f"{os.getpid()}\n")


def cannot_start() -> None:
    raise OSError("no such device")


@workflow
def is_warm() -> bool:
    time.sleep(0.2)
    return _warm == [os.getpid()]


@workflow
def node_dependent(number: int) -> str:
    """Fails on a node on which something is missing."""
    if os.environ.get("BROKEN_NODE"):
        raise OSError("libfoo.so: cannot open shared object file")
    time.sleep(0.2)
    return "fine"


@workflow(max_losses=1)
def deadly(how: str) -> None:
    """Ends the process that runs it."""
    import ctypes
    import signal

    if how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "os._exit":
        os._exit(3)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exec":
        os.execvp("true", ["true"])
    elif how == "memory":
        hoard = [bytearray(50 << 20) for _ in range(40)]
        time.sleep(len(hoard))


@workflow
def surroundings() -> dict[str, Any]:
    """What a job finds of its process."""
    import signal

    mask = os.umask(0)
    os.umask(mask)
    return {
        "in its own folder": Path.cwd() == current_job().workdir,
        "mask": mask,
        "spoiled": os.environ.get("SPOILED"),
        "home": os.environ.get("HOME"),
        "term": str(signal.getsignal(signal.SIGTERM)),
        "interrupt": str(signal.getsignal(signal.SIGINT)),
        "stdout": sys.stdout.name,
    }


@workflow
def spoil(how: str) -> str:
    """Changes something of the process that runs it."""
    import signal
    import tempfile
    import threading

    if how == "folder":
        os.chdir("/")
    elif how == "deleted folder":
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
    elif how == "signals":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
    elif how == "streams":
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        sys.stdout.close()
    elif how == "descriptors":
        os.close(1)
        os.close(2)
    elif how == "environment":
        os.environ["SPOILED"] = "yes"
        del os.environ["HOME"]
    elif how == "mask":
        os.umask(0o777)
    elif how == "threads":

        def talk() -> None:
            for _ in range(50):
                print("left behind")
                time.sleep(0.1)

        threading.Thread(target=talk).start()
    return how


@workflow
def say_hello() -> None:
    print("hello")


@workflow
def fork_and_return(path: str) -> str:
    """Its copy of the process returns as well."""
    child = os.fork()
    with Path(path).open("a") as file:
        file.write("ran\n")
    return "parent" if child else "copy"


@workflow(time_limit=1.0)
def slow_command(seconds: str) -> None:
    import subprocess

    subprocess.run(["sh", "-c", f"trap '' TERM; sleep {seconds} & setsid sleep {seconds}; true"], check=True)


@workflow
def ends_a_child() -> int | None:
    """Python's own way to end a process that was forked."""
    import multiprocessing

    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(0.3)
    child.terminate()
    child.join(5)
    return child.exitcode


@workflow
def leaves_a_process(seconds: str, how: str) -> None:
    import subprocess

    subprocess.Popen(["sleep", seconds])
    if how == "fails":
        raise ValueError("diverged")


def slow_start() -> None:
    Path(os.environ["STARTED"]).touch()
    time.sleep(120)


@workflow
def only_even(number: int) -> int:
    """Half of its jobs fail wherever they run."""
    if number % 2:
        raise ValueError("an odd number")
    return number


@workflow
def complains(text: str) -> None:
    raise ValueError(text)


@workflow
def brief(path: str, number: int, pause: float = 0.0, deadly: bool = False, once: str = "") -> int:
    """A short job, but for its pause: notes that it ran, prints its number, and may kill its process."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    print(f"this is {number}")
    if deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if once and not Path(once).exists():
        Path(once).touch()
        raise Retry(delay=0.1)
    time.sleep(pause)
    assert current_job().id is not None
    return number


@workflow(slices=False)
def lone(path: str, number: int) -> int:
    """As `brief`, but always alone."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    time.sleep(0.02)
    return number


@workflow
def where(write: str = "", then: str = "") -> dict[str, Any]:
    """Where it runs; writes a file there by its bare name."""
    if write:
        Path("note.txt").write_text(write)
    if then == "leave":
        os.chdir("/")
    if then == "remove":
        os.rmdir(os.getcwd())
        return {"folder": ""}
    if then == "fail":
        raise ValueError("diverged")
    return {
        "folder": os.getcwd(),
        "shell": os.popen("pwd").read().strip(),
        "PWD": os.environ["PWD"],
        "absolute": str(Path("note.txt").absolute()),
        "mode": oct(os.stat(".").st_mode & 0o7777),
    }


@workflow(cwd="worker")
def where_the_worker_is() -> str:
    return os.getcwd()


@workflow
def where_its_processes_are(method: str) -> list[str]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(1) as pool:
        return [os.getcwd(), pool.apply(os.getcwd)]


@workflow
def imports_late(module: str) -> str:
    import importlib

    return str(importlib.import_module(module).__file__)


@workflow
def shell(line: str) -> str:
    return os.popen(line).read()


@workflow(max_losses=0)
def half_done() -> None:
    """Writes a file by its bare name, and takes its process along."""
    Path("half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)


@workflow
def fills_its_disk() -> None:
    with open("data", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _print_letters(how: str) -> None:
    print("Å 中 🙂 \udcff", file=sys.stderr if how == "stderr" else sys.stdout, flush=True)


@workflow
def prints_letters(how: str) -> str:
    """Letters that most locales lack, and one that no encoding has."""
    import logging
    import multiprocessing

    if how == "logging":
        logging.basicConfig(stream=sys.stderr, force=True)
        logging.warning("Å 中 🙂 \udcff")
    elif how == "child":
        child = multiprocessing.get_context("fork").Process(target=_print_letters, args=(how,))
        child.start()
        child.join()
    else:
        _print_letters(how)
    return how


def _signal_by(way: str, number: int) -> None:
    """Let this process be sent a signal from itself, or from what it starts."""
    me = os.getpid()
    if way == "kill":
        os.kill(me, number)
    elif way == "raise":
        signal.raise_signal(number)
    elif way == "library":
        ctypes.CDLL(None)["raise"](number)
    elif way == "thread":
        thread = threading.Thread(target=signal.pthread_kill, args=[threading.main_thread().ident, number])
        thread.start()
        thread.join()
    elif way == "shell":
        subprocess.run(["sh", "-c", f"kill -{number} $PPID"], check=False)
    elif way == "system":
        os.system(f"kill -{number} {me}")
    elif way == "group":
        os.killpg(0, number)
    elif way == "session":
        subprocess.run(
            [sys.executable, "-c", f"import os, time; os.kill({me}, {number}); time.sleep(1)"],
            start_new_session=True,
            check=False,
        )


@workflow
def signalled(way: str, number: int = 15, path: str = "") -> str:
    """Its process is sent a signal from within, in the midst of a computation that then makes no sense."""
    if way != "none":
        with suppress(Exception):
            _signal_by(way, number)
            time.sleep(0.2)
    return "garbage"
