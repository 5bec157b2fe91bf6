"""What the worker's parent process knows of a job that one of its pool children runs."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request


class JobRequest(Request):  # type: ignore[misc]
    """Notes which child took the job: the parent must report the child's death, and knows no claim."""

    def on_accepted(self, pid: int, time_accepted: float) -> Any:
        """The child `pid` has taken the message."""
        self._request_dict["child_pid"] = pid
        return super().on_accepted(pid, time_accepted)
