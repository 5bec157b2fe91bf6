"""A remote command that has a worker ask the board for news at once, such as a cancel."""

from __future__ import annotations

from typing import Any

from celery.worker.control import control_command

from simcelery.broker import NEWS


@control_command(name=NEWS)  # type: ignore[untyped-decorator]
def ask_for_news(state: Any) -> dict[str, str]:
    """Renew the lease now, and settle accounts with the board."""
    state.consumer.controller.lease.hurry()
    return {"ok": "asking the board"}
