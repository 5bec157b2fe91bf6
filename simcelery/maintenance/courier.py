"""The courier: sends notifications that are due, from a process of its own.

A receiver may be slow, and so may a name server: nothing in a worker waits for them, least of all a fork,
which would inherit whatever locks a library holds just then. The process takes what is due, sends it, marks
it and ends; if it hangs, an alarm ends it, and what it had taken is taken again.
"""

from __future__ import annotations

import logging
import queue
import signal
import sys
import threading
import time
import uuid
from functools import partial

from simcelery.board import engine, notifications, turns
from simcelery.board.notifications import HELD, Taken
from simcelery.board.unreadable.mending import despite_bad_rows
from simcelery.errors import BoardUnreachableError
from simcelery.failpoints import failpoint
from simcelery.maintenance import aside
from simcelery.maintenance.aside import Aside
from simcelery.maintenance.despite import despite
from simcelery.notifying.addresses import masked
from simcelery.notifying.sending import NoWayOutError, UndeliveredError, send
from simcelery.settings import get_settings

log = logging.getLogger(__name__)

_TOGETHER = 20  # sent at the same time
_LONGEST = 10.0  # seconds for all that are sent together; they are held for longer
_process = Aside(__name__)


def start(me: int) -> int:  # pragma: no mutate block, its tests are slow
    """Have what is due sent by a process of its own; none of it counts as sent yet.

    If this worker has no way out to any of the receivers, it gives its turn back: another one asks next.

    Parameters:
        me: the id of this worker.
    """
    if _process.is_running:
        return 0
    with engine.begin() as connection:
        due = notifications.due(connection, me)
        if due.others and not due.mine:
            turns.give_back(connection, "notify")
    if due.mine:
        _process.start(get_settings(), str(me))
    return 0


def run(me: int) -> int:
    """Send what is due, here and now; return how many notifications were sent.

    Raises:
        BoardUnreachableError: what was taken is sent again later.
    """
    sent = 0
    while True:
        taken = despite_bad_rows(partial(_take, me))
        if not taken:
            return sent
        failpoint("notify_taken")
        sent += _send_all(taken, me)


def _take(me: int) -> list[Taken]:
    with engine.begin() as connection:
        return notifications.take(connection, me, _TOGETHER)


def _send_all(taken: list[Taken], me: int) -> int:
    """Send them at the same time, and mark each as soon as its receiver has answered."""
    answers: queue.Queue[tuple[Taken, Exception | None]] = queue.Queue()
    for one in taken:
        threading.Thread(target=_send, args=(one, answers), daemon=True).start()
    waiting = {one.id: one for one in taken}
    until = time.monotonic() + _LONGEST
    sent = 0
    while waiting:
        try:
            one, error = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        del waiting[one.id]
        sent += error is None
        _mark(one, error, me)
    for one in waiting.values():
        _mark(one, UndeliveredError(f"no answer within {_LONGEST:g} s"), me)
    return sent


def _send(one: Taken, answers: queue.Queue[tuple[Taken, Exception | None]]) -> None:
    try:
        send(one.address, one.body)
    except Exception as error:
        answers.put((one, error))
    else:
        failpoint("notify_sent")
        answers.put((one, None))


def _mark(one: Taken, error: Exception | None, me: int) -> None:
    # What is not one of ours may quote the address.
    told = str(error) if isinstance(error, UndeliveredError) else f"unexpected {type(error).__name__}"
    despite(f"notification {one.id}", partial(_write, one.id, error, told, me))
    failpoint("notify_marked")
    if error is not None:
        log.warning("a notification to %s was not delivered: %s", masked(one.address), told)


def _write(number: uuid.UUID, error: Exception | None, told: str, me: int) -> int:
    with engine.begin() as connection:
        if error is None:
            notifications.mark_sent(connection, number)
        elif isinstance(error, NoWayOutError):
            notifications.mark_no_way_out(connection, number, me, told)
        else:
            notifications.mark_refused(connection, number, told)
    return 1


def main(me: int) -> None:
    """Run as a process of its own, for the worker with this id."""
    aside.prepare("notify")
    signal.alarm(int(HELD))
    try:
        run(me)
    except BoardUnreachableError as error:
        log.warning("notifications wait: %s", error)


if __name__ == "__main__":
    main(int(sys.argv[1]))
