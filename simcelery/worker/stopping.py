"""How an attempt in a pool child learns that it must stop: by SIGTERM, and an order in the child's slot.

A job, or a library that it uses, may also send such a signal to its own process. The process then ends as
it would anywhere else: a call that should have been interrupted, but was not, must not give a result.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from simcelery.errors import ServiceError
from simcelery.execution import clean, processes
from simcelery.execution.senders import Watch
from simcelery.worker import slots
from simcelery.worker.slots.layout import Order, Phase

_interruptible = _finishing = False
_listener = 0  # the process that listens
_former: Any = signal.SIG_DFL
_on_warning: list[Callable[[], None]] = []
_watches: dict[int, Watch] = {number: Watch(number) for number in (signal.SIGTERM, signal.SIGINT)}


class JobStopped(BaseException):
    """Raised inside a workflow that must stop. Not an `Exception`, since it is not an error to be handled."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"this attempt is ended: {order.name.lower().replace('_', ' ')}")
        self.order = order


def listen() -> None:
    """Take SIGTERM over from the pool, which would end the child wherever it is, even during a finish.

    Also SIGINT, which the pool ignores. Must be called before each job: the pool sets its own handlers
    after the child's initialisation, and a library may have set others without Python's knowledge.
    """
    global _former, _listener
    if not slots.mine.in_pool_child:
        return
    handler = clean.handler_of(signal.SIGTERM)
    if handler is not _told_to_end:
        _former, _listener = handler, os.getpid()
        signal.signal(signal.SIGTERM, _told_to_end)
        signal.signal(signal.SIGINT, _interrupted)
    for watch in _watches.values():
        watch.begin()


def _told_to_end(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM: with an order from the parent, or from a scheduler that ends the whole allocation."""
    if os.getpid() != _listener or _is_from_the_job(number):
        # Also a process that the workflow forked, and that was signalled before `_unlisten`.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    slot = slots.mine
    if slot.phase is Phase.IDLE:
        _former(number, frame)  # what the pool does with a child that has nothing to do
    elif slot.order.ends:
        if _interruptible:
            raise JobStopped(slot.order)
        if _finishing:
            raise ServiceError("the worker is stopping, and the board does not answer")
    else:
        if slot.order is Order.NONE:
            slot.note_warning()
        for warn in _on_warning:
            warn()


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT: Ctrl+C is for the worker, but what a job sends to itself interrupts it."""
    if os.getpid() != _listener or _is_from_the_job(number):
        signal.default_int_handler(number, frame)


def _is_from_the_job(number: int) -> bool:
    """Whether the running job sent one of the signals that just came. If in doubt, it did."""
    watch = _watches[number]
    senders = watch.senders()
    if slots.mine.phase not in (Phase.STARTING, Phase.RUNNING):
        return False
    if not watch.works:
        return slots.mine.order is Order.NONE and not slots.mine.should_stop()
    senders = [sender for sender in senders if sender.pid != os.getppid()]
    if not all(sender.is_outside() for sender in senders):
        return True
    own = (
        {one.pid for one in processes.members(os.getpid(), os.environ.get(processes.MARK))} if senders else ()
    )
    return any(sender.pid in own for sender in senders)


def _unlisten() -> None:
    """Let a process that the workflow forks end like any other.

    Not only in the handlers: Python runs them after the call that the signal preceded, and a worker of a
    `multiprocessing.Pool` that is about to wait for work would then never end.
    """
    if signal.getsignal(signal.SIGTERM) is _told_to_end:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_held = threading.local()  # by the thread that forks


def _hold() -> None:
    """Keep signals waiting while a process is forked: Python forgets in it what came before it could look."""
    if clean.handler_of(signal.SIGTERM) is _told_to_end:
        _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))


def _let_go() -> None:
    mask, _held.mask = getattr(_held, "mask", None), None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin() -> None:
    _unlisten()
    _let_go()


os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_begin)


@contextmanager
def interruptible() -> Iterator[None]:
    """A block that an order to stop interrupts with `JobStopped`. Nothing else is ever interrupted.

    Raises:
        JobStopped: also if the order came before the block.
    """
    global _interruptible
    main = threading.current_thread() is threading.main_thread()
    _interruptible = main
    try:
        if slots.mine.order.ends:
            raise JobStopped(slots.mine.order)
        yield
    finally:
        _interruptible = False


@contextmanager
def finishing() -> Iterator[None]:
    """A block that waits for the board, and raises `ServiceError` if the worker must exit first."""
    global _finishing
    _finishing = threading.current_thread() is threading.main_thread()
    try:
        yield
    finally:
        _finishing = False


@contextmanager
def warned_by(action: Callable[[], None]) -> Iterator[None]:
    """Within the block, call `action` when the worker warns that it is about to exit.

    It is called from a signal handler, and at once if the warning has already come.
    """
    _on_warning.append(action)
    try:
        if slots.mine.should_stop():
            action()
        yield
    finally:
        _on_warning.remove(action)
