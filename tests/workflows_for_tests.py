"""Workflows that the tests run on real workers; copied into each test project as ``sims``."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcelery import Fail, Handler, Retry, artifact, code, current_job, get_job, run_command, then, workflow


@workflow
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@workflow(max_attempts=2)
def speaks(parts: list[str], folder: str, how: str = "print", end: str = "") -> int:
    """Print each part, and wait for a file with its number; the first attempt may then `end` badly."""
    for number, part in enumerate(parts):
        current_job().progress(number + 1, len(parts))
        if how == "print":
            print(part, end="")
        elif how == "write":
            os.write(1, os.fsencode(part))
        else:
            subprocess.run(["printf", "%s", part], check=True)
        while not Path(folder, str(number)).exists():
            time.sleep(0.02)
    if current_job().attempt == 1 and end:
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError(end)
    return len(parts)


@workflow
def writes(name: str, size: int, folder: str) -> None:
    """Write numbered lines to a file, so many bytes, and wait for a file."""
    Path(name).write_text("".join(f"step {n}\n" for n in range(size // 6))[:size])
    while not Path(folder, "0").exists():
        time.sleep(0.02)


def leaves_line(path: str, text: str) -> str:
    with Path(path).open("a") as file:
        file.write(text + "\n")
    return text


@workflow
def staged(path: str, pause: float = 0.0) -> list[str]:
    """Three steps, each of which leaves a line in a file, with a checkpoint after each."""
    me, done = current_job(), []
    for name in ("relax", "strain", "fit"):
        done.append(me.step(name, leaves_line, path, name))
        me.checkpoint({"done": len(done)})
        time.sleep(pause)
    assert me.last_checkpoint == {"done": 3}
    return done


@workflow
def floods(megabytes: int, folder: str) -> int:
    """Print so much, line by line of 64 bytes, and wait for a file."""
    os.write(1, b"the first line".ljust(63, b".") + b"\n")
    line = b"x" * 63 + b"\n"
    for _ in range(megabytes):
        os.write(1, line * (2**20 // 64))
    os.write(1, b"the last line".ljust(63, b".") + b"\n")
    while not Path(folder, "go").exists():
        time.sleep(0.02)
    return os.stat(1).st_blocks * 512


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
def countdown(path: str, left: int, end: str = "") -> int:
    """Note that it ran, and go on in one that has less left; the last one may fail."""
    leaves_line(path, str(left))
    if left:
        return then(countdown.s(path, left - 1, end).set(priority=7))
    if end:
        raise ValueError(end)
    return 42


@workflow
def goes_astray(how: str) -> Any:
    """Go on in what there cannot be."""
    return then({"type": countdown.s(), "queue": countdown.s("x", 1).set(expires=5)}[how])


@workflow
def campaign(numbers: list[int]) -> int:
    """Submit jobs, lose its process in the first attempt, and go on in their sum."""
    jobs = add.submit_many({"a": number, "b": 0} for number in numbers)
    same = [add.submit(7, b=0) for _ in range(2)]
    if current_job().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return then(total.s([*jobs, *same, add.submit(100, b=0)]))


@workflow
def about_parents() -> dict[str, int]:
    """How many of the jobs that this one waited for are in which state."""
    states = [str(one.state) for one in current_job().parents]
    return {state: states.count(state) for state in states}


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
def brief(
    path: str,
    number: int,
    pause: float = 0.0,
    deadly: bool = False,
    once: str = "",
    fails: bool = False,
    stubborn: bool = False,
    hogs: bool = False,
) -> int:
    """A short job, but for its pause: notes that it ran, prints its number, and may kill its process."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    print(f"this is {number}")
    if deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if once and not Path(once).exists():
        Path(once).touch()
        raise Retry(delay=0.1)
    if fails:
        raise ValueError(f"no {number}")
    if hogs:
        sum(range(10**12))  # and no other thread of its process runs meanwhile
    until = time.monotonic() + pause
    while stubborn and time.monotonic() < until:
        with suppress(BaseException):
            time.sleep(pause)
    time.sleep(max(0.0, until - time.monotonic()))
    assert current_job().id is not None
    return number


@workflow(max_losses=100)
def licensed(folder: str, licences: int, pause: float) -> int:
    """Takes one of so many licences, which a process that dies gives back; says so if there is none.

    It keeps it until there is a file `go`, and for `pause` seconds.
    """
    for number in range(licences):
        with Path(folder, f"licence{number}").open("w") as licence, suppress(BlockingIOError):
            fcntl.flock(licence, fcntl.LOCK_EX | fcntl.LOCK_NB)
            while not Path(folder, "go").exists():
                time.sleep(0.02)
            time.sleep(pause)
            return number
    Path(folder, "one too many").touch()
    raise Fail("one too many")


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
def leaves_a_file(text: str, then: str = "") -> str:
    """Registers a file; what it does then may keep it from being stored."""
    Path("out").mkdir()
    Path("out/traj.nc").write_text(text)
    path = artifact("out/traj.nc")
    if then == "remove":
        path.unlink()
    if then == "fail":
        raise ValueError("diverged")
    return str(path)


@workflow
def reads_its_parents_file() -> str:
    return "".join(one.artifact("out/traj.nc").read_text() for one in current_job().parents)


@workflow
def lists_its_parents() -> dict[str, list[str]]:
    folders = current_job().parent_dirs
    return {str(folder): sorted(os.listdir(folder)) for folder in folders}


@workflow
def fills_its_disk(path: str = "data") -> None:
    with open(path, "wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError as error:
                error.filename = path
                raise


@workflow
def prints_without_end() -> None:
    """Run a program whose output alone fills the disk."""
    run_command(["sh", "-c", "yes || exit 3"])


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


_kept: list[Any] = []


@workflow
def dirty(how: str) -> int:
    """Changes its process in one of many ways; its pid."""
    _DIRT[how]()
    return os.getpid()


@workflow
def dirty_and_fails(how: str) -> None:
    _DIRT[how]()
    raise ValueError("diverged")


@workflow
def tidy(pause: float = 0.0) -> dict[str, Any]:
    """What a job finds of its process."""
    return finds(pause)


@workflow
def tiny_and_dirty(number: int, how: str = "") -> int:
    """For slices: one of many may be dirty."""
    assert sys.getrecursionlimit() == 1000
    if how:
        _DIRT[how]()
    return os.getpid()


def finds(pause: float = 0.0) -> dict[str, Any]:
    import contextlib
    import decimal
    import gc
    import locale
    import logging
    import multiprocessing
    import resource
    import socket
    import tempfile
    import threading
    import warnings

    with contextlib.suppress(InterruptedError):
        time.sleep(pause)
    numpy = sys.modules.get("numpy")
    number = decimal.getcontext()
    status = Path("/proc/self/status").read_text()
    umask = os.umask(0o22)
    os.umask(umask)
    files = []
    for one in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            files.append(os.readlink(f"/proc/self/fd/{one}"))
    return {
        "timers": [signal.getitimer(which) for which in (0, 1, 2)],
        "handlers": [
            getattr(signal.getsignal(n), "__name__", str(signal.getsignal(n))) for n in range(1, 32)
        ],
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "wakeup": signal.set_wakeup_fd(-1),
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "tracing": [str(sys.gettrace()), str(sys.getprofile()), str(threading.gettrace())],
        "hooks": [sys.excepthook.__name__, sys.displayhook.__name__, sys.exit.__name__],
        "numpy": numpy.geterr() if numpy else None,
        "precision": numpy.get_printoptions()["precision"] if numpy else None,
        "filters": [str(one) for one in warnings.filters],
        "timeout": socket.getdefaulttimeout(),
        "gc": [gc.isenabled(), *gc.get_threshold(), gc.get_freeze_count()],
        "logging": [logging.root.manager.disable, logging.root.level, len(logging.root.handlers)],
        "our loggers": logging.getLogger("simcelery.worker.child.attempt").isEnabledFor(logging.INFO),
        "decimal": [number.prec, number.rounding, str(number.traps)],
        "locale": locale.setlocale(locale.LC_ALL),
        "zone": [*time.tzname, os.environ.get("TZ")],
        "path": sys.path,
        "argv": sys.argv,
        "umask": umask,
        "folder": Path.cwd() == current_job().workdir,
        "spoiled": os.environ.get("SPOILED"),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": sorted(os.sched_getaffinity(0)),
        "limits": [resource.getrlimit(one) for one in range(16)],
        "user": [os.getresuid(), os.getresgid(), os.getgroups()],
        "root": os.stat("/").st_ino,
        "streams": [sys.stdin.readable(), sys.stdout.fileno(), sys.stderr.fileno()],
        "stdin": os.fstat(0).st_rdev,
        "leaked": [name for name in files if "leaked" in name],
        "threads": threading.active_count(),
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
        "temporary": tempfile.gettempdir(),
        "start": multiprocessing.get_start_method(),
        "loop": getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None) is None,
        "for ever": [line for line in status.splitlines() if line.startswith(("NoNewPrivs", "Seccomp:"))],
    }


async def _nothing() -> None:
    pass


def _prctl(*numbers: int) -> None:
    import ctypes

    assert ctypes.CDLL(None).prctl(*numbers, 0, 0, 0) == 0


def _lower(limit: str, *, hard: bool) -> None:
    import resource

    number = getattr(resource, f"RLIMIT_{limit}")
    soft, hardest = resource.getrlimit(number)
    soft = 512 if soft == resource.RLIM_INFINITY else min(soft, 512)
    resource.setrlimit(number, (soft, soft if hard else hardest))


def _handle_alarm_by_raising() -> None:
    def strike(*_: Any) -> None:
        raise TimeoutError("the alarm of another job")

    signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.2)


def _leave_an_alarm_pending() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(0.1)


def _daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "300"])
        os._exit(0)
    os.wait()


def _brief_daemon() -> None:
    if os.fork() == 0:
        os.fork()
        os._exit(0)
    os.wait()


def _loop(seconds: float) -> None:
    import threading

    threading.Thread(target=time.sleep, args=(seconds,), daemon=True).start()


def _trace(*_: Any) -> None:
    """A hook of another job."""


def _call(path: str, *values: Any, **named: Any) -> Any:
    """What ``module.name`` gives when it is called."""
    import importlib

    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name)(*values, **named)
    _kept.append(found)
    return found


def _set(path: str, value: Any) -> None:
    import importlib

    module, _, name = path.rpartition(".")
    setattr(importlib.import_module(module), name, value)


def _open(kind: str) -> None:
    import socket

    if kind == "file":
        path = Path("leaked")
        path.write_text("")
        _kept.append(path.open())
    elif kind == "high":
        os.dup2(os.open("leaked", os.O_CREAT | os.O_RDWR), 200)
        time.sleep(0.02)
    elif kind == "pipe":
        os.pipe()
    elif kind == "listening":
        _kept.append(socket.create_server(("127.0.0.1", 0)))


def _change_zone() -> None:
    os.environ["TZ"] = "Asia/Kolkata"
    time.tzset()


def _decimals() -> None:
    import decimal

    decimal.getcontext().prec = 3
    decimal.getcontext().traps[decimal.Inexact] = True


def _quiet_root() -> None:
    import logging

    logging.root.setLevel(logging.CRITICAL)


def _loggers() -> None:
    import logging.config

    logging.config.dictConfig({"version": 1, "root": {"level": "DEBUG"}})


def _pool(method: str) -> None:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(abs, [-1]) == [1]


def _alone(method: str) -> None:
    import multiprocessing

    child = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
        target=time.sleep, args=(300,)
    )
    child.start()


def _joblib() -> None:
    import joblib

    assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(n) for n in (-1, 2)) == [1, 2]


_DIRT: dict[str, Any] = {
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 0.2),
    "alarm that raises": _handle_alarm_by_raising,
    "alarm behind the mask": _leave_an_alarm_pending,
    "virtual timer": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 0.02),
    "profiling timer": lambda: signal.setitimer(signal.ITIMER_PROF, 0.02),
    "faulthandler": lambda: _call("faulthandler.dump_traceback_later", 0.2, exit=True),
    "handlers": lambda: [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 10, 12, 14, 15, 17)],
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)),
    "recursion limit": lambda: sys.setrecursionlimit(100),
    "high recursion limit": lambda: sys.setrecursionlimit(100_000),
    "switch interval": lambda: sys.setswitchinterval(1.0),
    "trace": lambda: sys.settrace(_trace),
    "profile": lambda: sys.setprofile(_trace),
    "trace of threads": lambda: _call("threading.settrace", _trace),
    "hooks": lambda: (_set("sys.excepthook", _trace), _set("sys.displayhook", _trace)),
    "numpy errors": lambda: _call("numpy.seterr", all="raise"),
    "numpy printing": lambda: _call("numpy.set_printoptions", precision=2),
    "warnings": lambda: _call("warnings.simplefilter", "error"),
    "warnings replaced": lambda: _set("warnings.filters", []),
    "socket time-out": lambda: _call("socket.setdefaulttimeout", 0.001),
    "gc off": lambda: _call("gc.disable"),
    "gc threshold": lambda: _call("gc.set_threshold", 7, 7, 7),
    "gc freeze": lambda: _call("gc.freeze"),
    "logging disabled": lambda: _call("logging.disable"),
    "logging level": _quiet_root,
    "logging handlers": lambda: _call("logging.basicConfig", force=True),
    "loggers disabled": _loggers,
    "decimal": _decimals,
    "locale": lambda: _call("locale.setlocale", 6, "C"),
    "time zone": _change_zone,
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "sys.path replaced": lambda: _set("sys.path", []),
    "sys.argv": lambda: sys.argv.append("--more"),
    "environment": lambda: os.environ.update(SPOILED="yes"),
    "environment replaced": lambda: _set("os.environ", {}),
    "umask": lambda: os.umask(0o777),
    "folder": lambda: os.chdir("/"),
    "streams": lambda: (sys.stdout.close(), _set("sys.stderr", None), _set("sys.stdin", None)),
    "descriptors": lambda: [os.close(n) for n in (0, 1, 2)],
    "temporary folder": lambda: _set("tempfile.tempdir", os.getcwd()),
    "start method": lambda: _call("multiprocessing.set_start_method", "spawn", force=True),
    "process forgotten": lambda: os.popen("echo; sleep 0.02").readline(),
    "event loop closed": lambda: __import__("asyncio").run(_nothing()),
    "event loop left open": lambda: _call("asyncio.set_event_loop", __import__("asyncio").new_event_loop()),
    "cores": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "soft limit": lambda: _lower("NOFILE", hard=False),
    "soft limit of a file": lambda: _lower("FSIZE", hard=False),
    "hard limit": lambda: _lower("NOFILE", hard=True),
    "nice": lambda: os.nice(5),
    "effective user": lambda: os.seteuid(65534),
    "user": lambda: (os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)),
    "root directory": lambda: os.chroot("/tmp"),
    "no new privileges": lambda: _prctl(38, 1),
    "open file": lambda: _open("file"),
    "open file with a high number": lambda: _open("high"),
    "open pipe": lambda: _open("pipe"),
    "listening socket": lambda: _open("listening"),
    "function that cleaning up calls": lambda: (setattr(os, "listdir", None), _open("file")),
    "thread": lambda: _loop(300),
    "thread that ends": lambda: _loop(0.05),
    "process": lambda: _call("subprocess.Popen", ["sleep", "300"]),
    "daemon": _daemon,
    "daemon that ends": _brief_daemon,
    "zombie": lambda: _call("subprocess.Popen", ["true"]),
    "pool by fork": lambda: _pool("fork"),
    "pool by spawn": lambda: _pool("spawn"),
    "pool by forkserver": lambda: _pool("forkserver"),
    "process by fork": lambda: _alone("fork"),
    "process by spawn": lambda: _alone("spawn"),
    "process by forkserver": lambda: _alone("forkserver"),
    "joblib": _joblib,
    "tqdm": lambda: list(_call("tqdm.tqdm", range(3))),
}


def _place(_: int = 0) -> dict[str, Any]:
    """What a process that a workflow started is like."""
    main = sys.modules["__main__"]
    files = [os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd") if int(one) < 3]
    return {
        "pid": os.getpid(),
        "folder": "its own" if Path.cwd().parent.parent.parent.parent.name == "workdirs" else os.getcwd(),
        "main": "celery" if "celery" in str(getattr(main, "__file__", "")) else None,
        "of the worker": [name for name in files if "worker0.log" in name],
    }


def _send_place(queue: Any) -> None:
    queue.put(_place())


@workflow
def computes_in_children(how: str, method: str) -> tuple[int, list[dict[str, Any]]]:
    """Works with `multiprocessing`, or what is built on it."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    if method == "loky":
        import joblib

        with joblib.parallel_config(backend="loky"):
            both = joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(number) for number in (-1, 2))
            places = joblib.Parallel(n_jobs=2)(joblib.delayed(_place)(0) for _ in range(2))
        return sum(both), places
    context: Any = multiprocessing.get_context(method)
    if how == "Pool":
        with context.Pool(2) as pool:
            return sum(pool.map(abs, [-1, 2])), pool.map(_place, [0, 1])
    if how == "ProcessPoolExecutor":
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            return sum(executor.map(abs, [-1, 2])), list(executor.map(_place, [0, 1]))
    queue = context.Queue()
    child = context.Process(target=_send_place, args=(queue,))
    child.start()
    place = queue.get(timeout=30)
    child.join(30)
    queue.close()
    queue.join_thread()
    return 3 + child.exitcode, [place]


@workflow
def typo(number: int, mended: str) -> int:
    """Fail at once, until somebody mends it."""
    if Path(mended).exists():
        return number
    return number + presure  # type: ignore[name-defined]  # noqa: F821


ENGINE = """
import json, sys
given = json.load(open("in.json"))
if given["steps"] == 0:
    sys.exit("ERROR: no steps")
print("# Total wall time")
open("log.engine", "w").write("step energy\\n1 -1.0\\n2 %.2f\\n" % (-given["temperature"] / 100))
json.dump({"stress": given["scaled"]}, open("out.json", "w"))
"""


def last_energy(folder: Path) -> dict[str, float]:
    return {"energy": float((folder / "log.engine").read_text().split()[-1])}


@code(
    command=[sys.executable, "engine.py", "-t", "{temperature}"],
    inputs={
        "engine.py": ENGINE,
        "in.json": '{"temperature": {temperature:.1f}, "steps": {steps}, "scaled": {scaled}}',
    },
    outputs=["log.engine"],
    ok="Total wall time",
    json="out.json",
    parse=last_energy,
    max_attempts=2,
)
def melt(temperature: float, steps: int = 10) -> dict[str, float]:
    """Melt something."""
    return {"scaled": 2 * temperature}


SOLVER = """
import json, sys, time
given = dict(line.split() for line in open("in.solver"))
open("runs", "a").write(json.dumps(given) + "\\n")
if given["algorithm"] == "hangs":
    open("log.solver", "w").write("diverging\\n")
    time.sleep(60)
if given["algorithm"] != "robust":
    sys.exit("ERROR: not converged with " + given["algorithm"])
open("energy", "w").write(given["cutoff"])
print("converged")
"""


class Robust(Handler):
    """Another algorithm, which gives the same numbers."""

    def __init__(self, *steps: str) -> None:
        self.steps = list(steps)

    def check(self, folder: Path) -> str | None:
        output = (folder / "output.txt").read_text()
        return "not converged" if "not converged" in output else None

    def correct(self, folder: Path) -> bool:
        text = (folder / "in.solver").read_text()
        before = text.split()[1]
        (folder / "in.solver").write_text(text.replace(before, self.steps.pop(0)))
        return True


class Cutoff(Handler):
    """Less accurate: another problem."""

    changes = "physics"

    def check(self, folder: Path) -> str | None:
        text = (folder / "in.solver").read_text()
        return "too expensive" if "cutoff 900" in text else None

    def correct(self, folder: Path) -> None:
        text = (folder / "in.solver").read_text()
        (folder / "in.solver").write_text(text.replace("900", "400"))


class Watches(Robust):
    """Looks while the program runs."""

    every = 0.3

    def check(self, folder: Path) -> str | None:
        log = folder / "log.solver"
        if log.exists() and "diverging" in log.read_text():
            log.unlink()
            return "diverging"
        return None


class OfCustodian:
    """As custodian's handlers are: no class of ours, and a counter that must not outlive a job."""

    is_monitor = False

    def __init__(self) -> None:
        self.corrected = 0

    def check(self, directory: str = "./") -> bool:
        return "not converged" in Path(directory, "output.txt").read_text()

    def correct(self, directory: str = "./") -> dict[str, Any]:
        self.corrected += 1
        if self.corrected > 1:
            return {"errors": ["not converged"], "actions": None}
        file = Path(directory, "in.solver")
        file.write_text(file.read_text().replace("fast", "robust"))
        return {"errors": ["not converged"], "actions": [{"dict": "INCAR", "action": {}}]}


def energy(folder: Path) -> dict[str, float]:
    return {"energy": -float((folder / "energy").read_text())}


def solver(name: str, *handlers: Any, **options: Any) -> Any:
    @code(
        name=name,
        command=[sys.executable, "solver.py"],
        inputs={"solver.py": SOLVER, "in.solver": "algorithm {algorithm}\ncutoff {cutoff}\n"},
        ok="converged",
        outputs=["energy"],
        parse=energy,
        handlers=handlers,
        **options,
    )
    def solve(algorithm: str = "fast", cutoff: int = 500) -> None: ...

    return solve


solved = solver("sims.solved", Robust("damped", "robust"), Cutoff(), max_losses=10)
watched = solver("sims.watched", Watches("robust"))
custodian = solver("sims.custodian", OfCustodian())
hopeless = solver(
    "sims.hopeless", Robust(*["damped", "mixed"] * 10), max_corrections=3, max_attempts=2, retry_delay=0.1
)


# Counts to ten in a file, from where its input says; ends early, as if all were well, if it is told to.
COUNTER = """
import os, time
done = int(open("state").read() or 0) if os.path.exists("state") else 0
while done < 10 and not (os.path.exists("STOP") and open("STOP").read() == "LSTOP = .TRUE."):
    time.sleep(PAUSE)
    done += 1
    open("state.new", "w").write(str(done))
    os.replace("state.new", "left")
print("stopped" if done < 10 else "done")
"""


def counted(folder: Path) -> dict[str, int]:
    return {"counted": int((folder / "left").read_text())}


@code(
    command=[sys.executable, "counter.py"],
    inputs={"counter.py": COUNTER.replace("PAUSE", "{pause}")},
    outputs=["left"],
    parse=counted,
    restart=["left -> state", "never"],
    stop_file="STOP",
    stop_text="LSTOP = .TRUE.",
)
def counts(pause: float = 0.3, name: str = "x") -> None: ...


@code(command=["sh", "-c", "{script}"])
def shell_code(script: str) -> None: ...


class Slower(Handler):
    def check(self, folder: Path) -> str | None:
        return "unstable" if "unstable" in (folder / "output.txt").read_text() else None

    def correct(self, folder: Path) -> None:
        (folder / "INCAR").write_text("dt=1\n")


# Unstable at first; then it gets somewhere and fails, the next time it fails at once, and then it ends well.
MOVES = """\
. ./INCAR; if [ $dt = 2 ]; then echo unstable; exit 1; fi
n=$(ls {marks} | wc -l); touch {marks}/$n
if [ $n = 0 ]; then echo 100 > CONTCAR; echo 7 > WAVECAR; fi
if [ $n -le 1 ]; then echo the licence server is busy; exit 1; fi
printf '{"begun": %s, "wave": %s, "dt": %s}' $(cat POSCAR) $(cat WAVECAR) $dt > result.json
"""


@code(
    command=["sh", "moves.sh"],
    inputs={"moves.sh": MOVES, "POSCAR": "0\n"},
    json="result.json",
    restart=["CONTCAR -> POSCAR", "WAVECAR"],
    handlers=[Slower()],
    max_attempts=3,
    retry_delay=0.1,
)
def moves(marks: str) -> None:
    Path("INCAR").write_text("dt=2\n")


_ALLOCATE = (
    "import sys, time; kept = b'x' * (int(sys.argv[1]) << 20); print('x', flush=True); time.sleep(600)"
)


@workflow(memory="200M")
def uses_memory(mib: int, processes: int, marker: str = "", seconds: float = 3.0) -> int:
    """Have so many processes use so much memory each; the marker is written if it is told to end."""
    started = []
    try:
        for _ in range(processes):
            words = [sys.executable, "-c", _ALLOCATE, str(mib)]
            one = subprocess.Popen(words, stdout=subprocess.PIPE)
            assert one.stdout is not None
            one.stdout.readline()
            started.append(one)
        time.sleep(seconds)
        return sum(one.poll() is None for one in started)
    finally:
        if marker:
            Path(marker).write_text("cleaned up")


@workflow
def starves_a_process(how: str) -> None:
    """Have another process use more memory than its worker may."""
    code = "x = b'x' * (900 << 20)"
    if how == "check":
        subprocess.run([sys.executable, "-c", code], check=True)
    elif how == "text":
        done = subprocess.run(["sh", "-c", f'{sys.executable} -c "{code}"; exit $?'], check=False)
        raise ValueError(f"the solver failed with exit code {done.returncode}")
    else:
        with ProcessPoolExecutor(1) as pool:
            pool.submit(bytearray, 900 << 20).result()


_kept: list[bytes] = []


@workflow(slices=False)
def keeps_memory(mib: int, seconds: float = 0.0) -> int:
    """Leave so much memory in use in the pool child."""
    _kept.append(b"x" * (mib << 20))
    time.sleep(seconds)
    return os.getpid()


@workflow(gpus=1, cores=1)
def uses_device(folder: str, seconds: float = 0.3) -> str:
    """Hold the lock of each device that it sees while "stay" is there, and fail if somebody else does."""
    import fcntl

    devices = os.environ["CUDA_VISIBLE_DEVICES"]
    with (Path(folder) / f"device{devices}").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Fail(f"device {devices} is somebody else's, too") from None
        file.write("x")
        file.flush()
        time.sleep(seconds)
        while (Path(folder) / "stay").exists():
            time.sleep(0.05)
    return devices


@workflow
def sees(names: list[str]) -> dict[str, str | None]:
    """What is in these variables of the environment, here and in a program that it starts."""
    here = {name: os.environ.get(name) for name in names}
    code = "import json, os, sys; print(json.dumps({name: os.environ.get(name) for name in sys.argv[1:]}))"
    told = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, check=True)
    assert json.loads(told.stdout) == here
    return here
