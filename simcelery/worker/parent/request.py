"""What the worker's parent process knows of a job that one of its pool children runs."""

from __future__ import annotations

import re
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from simcelery.broker.parking import parked
from simcelery.worker.outcomes.failure import printable
from simcelery.worker.slots.room import NoRoom
from simcelery.worker.ticker import rouse

_NUMBER = re.compile(r" Job: \d+\.$")  # billiard's own, which would be taken for a job's id


class JobRequest(Request):  # type: ignore[misc]
    """Notes which child took the job: the parent must report the child's death, and knows no claim."""

    _child_pid = 0

    def on_accepted(self, pid: int, time_accepted: float) -> Any:
        """The child `pid` has taken the message."""
        self._child_pid = pid
        rouse()
        return super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Handle the job's end, which is already on the board, or the child's death.

        Celery reports a death to the backend only if the message's own job had not succeeded. But the child
        may hold other jobs.
        """
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, NoRoom):
            parked.park(self.delivery_info["routing_key"], error.freed)
        supervisor = getattr(self.app, "supervisor", None)
        if isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt) and supervisor is not None:
            supervisor.child_died(self.id, self._child_pid, why(error))
            if (died := supervisor.attempt_of(self._child_pid)) is not None:
                with died.in_log():
                    return super().on_failure(exc_info, *args, **kwargs)
        return super().on_failure(exc_info, *args, **kwargs)


def why(error: BaseException) -> str:
    """What is known of a child's death."""
    return printable(_NUMBER.sub("", str(error)))
