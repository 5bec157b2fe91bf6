"""Whether a worker has nothing to do. Threads that watch over attempts doze meanwhile (`ticker.Ticker`)."""

from __future__ import annotations

from celery.worker import state

from simcelery.worker.slots.parent import Slots


def is_quiet(slots: Slots) -> bool:
    """Whether no child has a message, and none runs anything.

    A child begins something only with a message, or when it is started (``--startup``). A message is noted
    before it is passed on, and whoever dozes is roused when a child takes it (`request.JobRequest`).
    """
    return not state.reserved_requests and not any(True for _ in slots.busy())
