"""Plain Celery with the same tasks, as what simcelery is compared with.

Two settings are simcelery's, since they make it about twice as fast as its defaults: Redis keeps no record of
unacknowledged messages (``ack_emulation``), and nothing is prefetched. Everything else is stock.
"""

from __future__ import annotations

import os
import time

import _ready  # noqa: F401 (it listens)
from celery import Celery

app = Celery("plain", broker=os.environ["PLAIN_BROKER_URL"], backend=os.environ.get("PLAIN_BACKEND_URL"))
app.conf.update(
    broker_transport_options={"ack_emulation": False},
    broker_connection_retry_on_startup=True,
    task_default_queue="plain",
    worker_disable_prefetch=True,
)


@app.task(name="plain.noop")
def noop(n: int, mark: str | None = None) -> int:
    """A task that does nothing; a few note when they ran, since without a result backend nobody else does."""
    if mark:
        note(mark)
    return n


@app.task(name="plain.stamp")
def stamp(path: str) -> None:
    """Note when it started."""
    note(path)


def note(path: str) -> None:
    """Append the time to a file, by a clock that all processes of the machine share."""
    now = time.monotonic()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{now}\n".encode())
    os.close(file)
