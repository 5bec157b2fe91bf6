"""Each job starts in the same process state, whatever the jobs before it did.

The state is read once, before a process runs its first job, and compared after each. Differences are
undone. Those that cannot be undone are named, so that the process can be replaced after that job.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import contextvars
import ctypes
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing.context
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from simcelery.execution import descriptors, helpers

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_ALARMS = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
_SIGNALS = [n for n in range(1, 32) if n not in (signal.SIGKILL, signal.SIGSTOP)]
_LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})
# Python's handler of a signal, without the detour through an enumeration, which costs more than the question.
handler_of: Callable[[int], Any] = getattr(_signal, "getsignal", signal.getsignal)
_sigmask: Callable[[int, Iterable[int]], set[int]] = _signal.pthread_sigmask
_THREADS_END = 0.2  # seconds that threads get which are about to end
# What the kernel keeps of a process, by the number of the question and by its name.
_FOR_EVER = {39: "no_new_privs", 21: "seccomp"}
_PR_GET_PDEATHSIG = 2


class Part(Protocol):
    """A part of the state: its name, whether it has changed, and how it is put back."""

    name: str

    def changed(self) -> bool:
        """Whether it differs from what was read."""

    def put_back(self) -> None:
        """Make it what was read. It may raise, or leave it changed."""


class _Value:
    """What one function reads and another one sets."""

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[Any], object]) -> None:
        self.name, self._read, self._write = name, read, write
        self._clean = read()

    def changed(self) -> bool:
        return bool(self._read() != self._clean)

    def put_back(self) -> None:
        self._write(self._clean)


class _Attributes:
    """Names of a module or an object."""

    def __init__(self, name: str, owner: Any, *attributes: str) -> None:
        self.name, self._owner = name, owner
        self._clean = [(one, getattr(owner, one)) for one in attributes if hasattr(owner, one)]

    def changed(self) -> bool:
        owner = self._owner
        return any(getattr(owner, name, None) is not value for name, value in self._clean)

    def put_back(self) -> None:
        for name, value in self._clean:
            setattr(self._owner, name, value)


class _List:
    """A list that others hold as well: the same object, with the same content."""

    def __init__(self, name: str, owner: Any, attribute: str, then: Callable[[], object] = bool) -> None:
        self.name, self._owner, self._attribute, self._then = name, owner, attribute, then
        self._list = getattr(owner, attribute)
        self._clean = list(self._list)

    def changed(self) -> bool:
        return getattr(self._owner, self._attribute) is not self._list or self._list != self._clean

    def put_back(self) -> None:
        self._list[:] = self._clean
        setattr(self._owner, self._attribute, self._list)
        self._then()


class _Signals:
    """Python's own handlers. One that a library sets behind Python's back is not seen."""

    name = "signal handlers"

    def __init__(self) -> None:
        self._clean = list(map(handler_of, _SIGNALS))

    def changed(self) -> bool:
        return list(map(handler_of, _SIGNALS)) != self._clean

    def put_back(self) -> None:
        for number, handler in zip(_SIGNALS, self._clean, strict=True):
            if handler is not None and handler_of(number) is not handler:
                signal.signal(number, handler)


class _Environment:
    """Compared as the bytes that it is: to decode it all would cost more."""

    name = "environment"

    def __init__(self) -> None:
        self._object = os.environ
        self._clean = os.environ._data.copy()  # type: ignore[attr-defined]

    def changed(self) -> bool:
        return os.environ is not self._object or self._object._data != self._clean  # type: ignore[attr-defined]

    def put_back(self) -> None:
        os.environ = self._object  # noqa: B003
        now = self._object._data  # type: ignore[attr-defined]
        for name in now.keys() - self._clean.keys():
            del os.environb[name]
        os.environb.update({name: value for name, value in self._clean.items() if now.get(name) != value})
        time.tzset()


class _Limits:
    """The soft limits of what the process may use; the hard ones only root can raise again."""

    name = "resource limits"

    def __init__(self) -> None:
        self._clean = self._now()

    def _now(self) -> list[tuple[int, int]]:
        return list(map(resource.getrlimit, _LIMITS))

    def changed(self) -> bool:
        return self._now() != self._clean

    def put_back(self) -> None:
        for limit, (soft, hard) in zip(_LIMITS, self._clean, strict=True):
            try:
                resource.setrlimit(limit, (soft, hard))
            except (ValueError, OSError):
                hardest = resource.getrlimit(limit)[1]
                with suppress(ValueError, OSError):
                    resource.setrlimit(limit, (hardest, hardest))


class _User:
    """Put back where it can be, for the outcome to be recorded; but the process is no longer what it was:
    with the user the kernel forgets that it is to die with its worker."""

    name = "user or group"

    def __init__(self) -> None:
        self._clean = self._now()
        self._lost = False

    @staticmethod
    def _now() -> tuple[Any, ...]:
        return os.getresuid(), os.getresgid(), os.getgroups()

    def changed(self) -> bool:
        return self._lost or self._now() != self._clean

    def put_back(self) -> None:
        self._lost = True
        users, groups, others = self._clean
        with suppress(OSError):
            os.setresuid(*users)
        with suppress(OSError):
            os.setresgid(*groups)
            os.setgroups(others)


class _Root:
    """The root directory, which only root can change, and which a descriptor of the former one undoes."""

    name = "root directory"

    def __init__(self) -> None:
        self._descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._clean = os.stat("/").st_ino

    def changed(self) -> bool:
        return os.stat("/").st_ino != self._clean

    def put_back(self) -> None:
        os.fchdir(self._descriptor)
        os.chroot(".")


class _ForEver:
    """What nobody can take back."""

    def __init__(self, name: str, read: Callable[[], Any]) -> None:
        self.name, self._read = name, read
        self._clean = read()

    def changed(self) -> bool:
        return bool(self._read() != self._clean)

    def put_back(self) -> None:
        pass


class _Loggers:
    """``logging.config`` disables the loggers that it finds; asked are those of this package."""

    name = "loggers"

    def __init__(self) -> None:
        self._of_all = [
            (one, one.level, one.disabled, one.propagate, list(one.handlers))
            for one in list(logging.root.manager.loggerDict.values())
            if isinstance(one, logging.Logger)
        ]
        self._ours = [one for one in self._of_all if one[0].name.startswith(("simcelery.worker", "celery.w"))]

    def changed(self) -> bool:
        return any(one.disabled is not disabled for one, _, disabled, _, _ in self._ours)

    def put_back(self) -> None:
        for one, level, disabled, propagate, handlers in self._of_all:
            one.setLevel(level)
            one.disabled, one.propagate, one.handlers[:] = disabled, propagate, handlers


class _Streams:
    """Python's standard streams, and file descriptor 0: what is opened next would take its place.

    The descriptors 1 and 2 are put back by whoever has led them elsewhere for the job.
    """

    name = "standard streams"

    def __init__(self) -> None:
        self._stdin = self._descriptor()
        self._clean = {name: getattr(sys, name) for name in ("stdin", "stdout", "stderr")}

    @staticmethod
    def _descriptor() -> tuple[int, int] | None:
        try:
            found = os.fstat(0)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def changed(self) -> bool:
        now = [sys.stdin, sys.stdout, sys.stderr]
        closed = any(stream is None or stream.closed for stream in now)
        return closed or now != list(self._clean.values()) or self._descriptor() != self._stdin

    def put_back(self) -> None:
        if self._descriptor() != self._stdin:
            opened = os.open(os.devnull, os.O_RDONLY)
            if opened:
                os.dup2(opened, 0)
                os.close(opened)
            self._stdin = self._descriptor()
        for number, (name, stream) in enumerate(self._clean.items()):
            if stream is None or stream.closed:
                stream = self._clean[name] = open(  # noqa: SIM115
                    number, "w" if number else "r", encoding="utf-8", errors="backslashreplace", closefd=False
                )
            setattr(sys, name, stream)


class State:
    """What this process is like before its first job.

    Parameters:
        is_ours: whether a descriptor that a job left open is the worker's own after all.
    """

    def __init__(self, is_ours: Callable[[int], bool] = lambda descriptor: False) -> None:
        self._recursion = sys.getrecursionlimit()
        self._tracing = sys.gettrace(), sys.getprofile()
        self._mask = _sigmask(signal.SIG_BLOCK, ())
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._decimal = decimal.getcontext().copy()
        self._wakeup = -1
        self._signals = _Signals()
        self._parts = _parts()
        self._paths = _List("sys.path", sys, "path")
        self._descriptors = descriptors.Descriptors(is_ours)
        self._modules = self._threads = 0
        self._leave = sys.exit

    def begin(self) -> None:
        """A job is about to begin."""
        self._modules, self._threads = len(sys.modules), _thread._count()
        self._leave, sys.exit = (
            sys.exit,
            _exit,
        )  # the pool's own would take the argument for the status of its process

    def call(self, function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """Call the job's function, in a context of its own; NumPy, for one, keeps its settings in one."""
        context = contextvars.copy_context()
        self._descriptors.begin()
        try:
            return context.run(function, **values)
        finally:
            self._disarm()
            self._descriptors.end()

    def _disarm(self) -> None:
        """The job's function has returned: nothing of it interrupts what follows."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        sys.settrace(self._tracing[0])
        sys.setprofile(self._tracing[1])
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)

    def put_back(self) -> list[str]:
        """Make all as it was.

        Returns:
            The names of what cannot be put back.
        """
        self._silence()
        sys.exit = self._leave
        os.umask(self._umask)
        decimal.setcontext(self._decimal.copy())
        lasting = [part.name for part in self._parts if part.changed() and not _put_back(part)]
        if self._paths.changed():
            self._paths.put_back()
            if len(sys.modules) > self._modules:
                # Whether the job changed it, or a module that it was the first to import, nobody knows:
                # with the module, and without its path, a later job would be worse off than with neither.
                lasting.append("sys.path, with modules imported by the job")
        return lasting

    def left(self) -> list[str]:
        """What the job has left, when its processes have ended: open descriptors, and threads."""
        left = self._descriptors.left()
        if _thread._count() > self._threads and not self._threads_end():
            left.append("threads")
        return left

    def _silence(self) -> None:
        """No timer goes off any more, no handler of the job's runs. One that runs meanwhile may raise."""
        if threading.current_thread() is not threading.main_thread():
            return
        for _ in range(100):
            try:
                self._disarm()
                faulthandler.cancel_dump_traceback_later()
                signal.set_wakeup_fd(self._wakeup)
                if _sigmask(signal.SIG_BLOCK, ()) != self._mask:
                    for alarm in _ALARMS:  # one that waits behind the mask is forgotten
                        signal.signal(alarm, signal.SIG_IGN)
                    _sigmask(signal.SIG_SETMASK, self._mask)
                if self._signals.changed():
                    self._signals.put_back()
                return
            except BaseException:
                continue

    def _threads_end(self) -> bool:
        helpers.stop_monitor()
        until = time.monotonic() + _THREADS_END
        while _thread._count() > self._threads:
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True


_known: State | None = None


def known(is_ours: Callable[[int], bool] = lambda descriptor: False) -> State:
    """The clean state of this process: read at the first call."""
    global _known
    if _known is None:
        _known = State(is_ours)
    return _known


def forget() -> None:
    """Read the clean state anew before the next job: not only jobs change this process."""
    global _known
    _known = None


def _put_back(part: Part) -> bool:
    """Whether it worked."""
    try:
        part.put_back()
        return not part.changed()
    except Exception:
        return False


def _frozen_since(before: int) -> Callable[[], bool]:
    # What a module froze when it was imported may die: then there are fewer.
    return lambda: gc.get_freeze_count() > before


def _parts() -> list[Part]:
    root = logging.root
    return [
        _Environment(),
        _Attributes("hooks", sys, "excepthook", "displayhook", "unraisablehook", "breakpointhook"),
        _Attributes("hooks of threads", threading, "excepthook", "_trace_hook", "_profile_hook"),
        _Streams(),
        _Attributes("display of warnings", warnings, "showwarning", "_showwarnmsg_impl", "formatwarning"),
        _Attributes("tempfile.tempdir", tempfile, "tempdir"),
        _Attributes("start method", multiprocessing.context._default_context, "_actual_context"),
        _Attributes("logging", root, "level", "disabled", "filters"),
        _Attributes("logging", logging, "raiseExceptions", "_logRecordFactory", "_loggerClass", "lastResort"),
        _Value("logging.disable", lambda: root.manager.disable, logging.disable),
        _List("logging", root, "handlers"),
        _Loggers(),
        _List("warnings", warnings, "filters", warnings._filters_mutated),  # type: ignore[attr-defined]
        _List("sys.argv", sys, "argv"),
        _Value("switch interval", sys.getswitchinterval, sys.setswitchinterval),
        _Value("bytecode", lambda: sys.dont_write_bytecode, _set_bytecode),
        _Value("digits of integers", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
        _Value("flags of libraries", sys.getdlopenflags, sys.setdlopenflags),
        _Value("stack size", threading.stack_size, threading.stack_size),
        _Value("socket time-out", socket.getdefaulttimeout, socket.setdefaulttimeout),
        _Value("gc", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        _Value("gc threshold", gc.get_threshold, lambda three: gc.set_threshold(*three)),
        _Value("gc debug", gc.get_debug, gc.set_debug),
        _Value("gc freeze", _frozen_since(gc.get_freeze_count()), lambda frozen: gc.unfreeze()),
        _Value("locale", _locale, lambda name: locale.setlocale(locale.LC_ALL, name)),
        _Value("time zone", lambda: time.tzname, lambda name: time.tzset()),
        _Value("nice", _nice, lambda nice: os.setpriority(os.PRIO_PROCESS, 0, nice)),
        _User(),
        *_of_this_system(),
        _Limits(),
        _Numpy(),
        _EventLoop(),
    ]


def _of_this_system() -> list[Part]:
    if sys.platform != "linux":
        return []
    ask = ctypes.CDLL(None).prctl
    parts: list[Part] = [
        _ForEver(name, lambda number=number: ask(number, 0, 0, 0, 0))  # type: ignore[misc]
        for number, name in _FOR_EVER.items()
    ]
    parts.append(
        _Value("cores", lambda: os.sched_getaffinity(0), lambda cores: os.sched_setaffinity(0, cores))
    )
    if os.geteuid() == 0:
        parts.append(_Root())
    return parts


class _Numpy:
    """Where it is loaded. Newer versions keep these in a context of each job's own."""

    name = "numpy"

    def __init__(self) -> None:
        self._errors = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}

    def changed(self) -> bool:
        numpy = sys.modules.get("numpy")
        if numpy is None or not getattr(numpy, "__version__", "2").startswith("1."):
            return False
        return bool(numpy.geterr() != self._errors)

    def put_back(self) -> None:
        sys.modules["numpy"].seterr(**self._errors)


class _EventLoop:
    """Of asyncio: a closed one, or none where one was, is what the next job would be given."""

    name = "event loop"

    def changed(self) -> bool:
        return self._policy() is not None

    def put_back(self) -> None:
        loop = getattr(getattr(self._policy(), "_local", None), "_loop", None)
        sys.modules["asyncio.events"]._event_loop_policy = None  # type: ignore[attr-defined]
        if loop is not None and not loop.is_running():
            loop.close()

    @staticmethod
    def _policy() -> Any:
        return getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None)


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _set_bytecode(value: bool) -> None:
    sys.dont_write_bytecode = value


def _exit(status: Any = None, /) -> NoReturn:
    raise SystemExit(status)
