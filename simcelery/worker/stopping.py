"""How an attempt learns in its pool child that it is to end: SIGTERM, and the order in the child's slot."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from simcelery.errors import ServiceError
from simcelery.worker import slots
from simcelery.worker.slots import Order, Phase

_interruptible = _recording = False
_listener = 0  # the process that listens
_former: Any = signal.SIG_DFL
_on_warning: list[Callable[[], None]] = []


class JobStopped(BaseException):
    """Raised inside a workflow that is to end. Not an `Exception`: it is no fault that one handles."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"this attempt is ended: {order.name.lower().replace('_', ' ')}")
        self.order = order


def listen() -> None:
    """Take SIGTERM over from the pool, which would end the child wherever it is, even while it records.

    To be called before each job: the pool sets its own handler after the child's initialisation.
    """
    global _former, _listener
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not _told_to_end and slots.in_pool_child():
        _former, _listener = handler, os.getpid()
        signal.signal(signal.SIGTERM, _told_to_end)


def _told_to_end(number: int, frame: FrameType | None) -> None:
    """SIGTERM: with an order from the parent, or from a scheduler that ends the whole allocation."""
    if os.getpid() != _listener:  # forked by the workflow, and signalled before `_unlisten`
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    slot = slots.mine
    if slot.phase is Phase.IDLE:
        _former(number, frame)  # what the pool does with a child that has nothing to do
    elif slot.order.ends:
        if _interruptible:
            raise JobStopped(slot.order)
        if _recording:
            raise ServiceError("the worker ends, and the board does not answer")
    else:
        if slot.order is Order.NONE:
            slot.note_warning()
        for warn in _on_warning:
            warn()


def _unlisten() -> None:
    """A process that the workflow forks ends like any other.

    Not only in the handler: Python runs that after the call which the signal came just before, and a worker
    of a `multiprocessing.Pool` about to wait for work would then never end.
    """
    if signal.getsignal(signal.SIGTERM) is _told_to_end:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_unlisten)


@contextmanager
def interruptible() -> Iterator[None]:
    """A block that an order to end interrupts with `JobStopped`. Nothing else is ever interrupted.

    Raises:
        JobStopped: also when the order came before the block.
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
def recording() -> Iterator[None]:
    """A block that waits for the board, and leaves with `ServiceError` when the worker must end first."""
    global _recording
    _recording = threading.current_thread() is threading.main_thread()
    try:
        yield
    finally:
        _recording = False


@contextmanager
def warned_by(action: Callable[[], None]) -> Iterator[None]:
    """For the length of the block `action` is called when the worker warns that it will end.

    It is called from a signal handler, and at once if the warning has come already.
    """
    _on_warning.append(action)
    try:
        if slots.should_stop():
            action()
        yield
    finally:
        _on_warning.remove(action)
