"""A worker's log: a line when it is ready, and those of `endings`. Celery's own lines would repeat them."""

from __future__ import annotations

import logging
from typing import Any

from simcelery.settings import get_settings
from simcelery.urls import masked
from simcelery.workflows import registry

log = logging.getLogger(__name__)


def set_up(level: int, *, chosen: bool) -> None:
    """Set up our log, once Celery has set up its own.

    Parameters:
        level: the worker's log level.
        chosen: whether the user chose it. If not, our own lines are shown anyway: there are few.
    """
    if not chosen:
        logging.getLogger("simcelery").setLevel(logging.INFO)
    if level > logging.DEBUG:
        for name in ("celery.worker.strategy", "celery.app.trace", "celery.apps.worker"):
            logging.getLogger(name).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """False for what Celery logs at INFO about a workflow's message, and about being ready."""
    if record.levelno != logging.INFO:
        return True
    about = record.args.get("name") if isinstance(record.args, dict) else None
    return registry.find(str(about)) is None and record.msg != "%s ready."


def ready(consumer: Any) -> None:
    """Log that the worker consumes; again after each loss of its connection."""
    lease, settings = consumer.controller.lease, get_settings()
    log.info(
        "%s ready. Queues: %s; workflows: %s; jobs at once: %s; board: %s; broker: %s",
        lease.nodename,
        ", ".join(lease.queues),
        len(lease.workflows),
        lease.concurrency,
        masked(settings.board_url()),
        masked(settings.redis_url()),
    )
