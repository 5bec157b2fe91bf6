"""A worker that no message reaches although messages wait: kombu's consumer can end up like that."""

from __future__ import annotations

import json
import time

import pytest
import redis

from simcelery import services
from tests import hostile
from tests.acceptance.helpers import submit
from tests.conftest import Project
from tests.waiting import wait_until, within

LANE = "default:sims.add\x06\x164"

# Lets the worker's consumer ask Redis for nothing, once or for ever; and has it notice quickly.
DEAF = """

from celery.signals import worker_ready
from simcelery.broker.transport import Channel
from simcelery.worker.parent import consumer_watchdog

consumer_watchdog.EVERY = 0.5

@worker_ready.connect
def make_deaf(sender, **kwargs):
    if os.environ.get("DEAF") == "once":
        sender.task_consumer.channel._active_queues.clear()

if os.environ.get("DEAF") == "always":
    Channel._brpop_start = lambda channel, timeout=10: None
"""


@pytest.fixture
def quick(project: Project) -> Project:
    """A project whose workers can be made deaf, and look after that twice a second."""
    source = project.folder / "sims.py"
    source.write_text(source.read_text() + DEAF)
    return project


def test_a_deaf_worker_connects_anew_and_works(quick: Project) -> None:
    worker = quick.worker("-c", "1", DEAF="once")
    job = submit(quick, "add.submit(1)")
    assert job.result(timeout=within(30)) == 2
    assert "reconnecting to Redis" in quick.logs()
    assert worker.poll() is None


def test_a_worker_that_stays_deaf_ends_with_a_line_and_a_status(quick: Project) -> None:
    worker = quick.worker("-c", "1", DEAF="always")
    job = submit(quick, "add.submit(1)")
    assert worker.wait(within(60)) == 1
    assert (
        "messages no longer reach this worker; exiting so that its supervisor can restart it" in quick.logs()
    )
    assert job.state == "pending"
    quick.worker("-c", "1")
    assert job.result(timeout=within(30)) == 2


def test_an_idle_worker_is_left_alone(quick: Project) -> None:
    worker = quick.worker("-c", "1")
    time.sleep(4)
    assert submit(quick, "add.submit(1)").result(timeout=within(30)) == 2
    assert "reconnecting to Redis" not in quick.logs()
    assert worker.poll() is None


def test_a_busy_worker_is_left_alone_while_messages_wait(quick: Project) -> None:
    worker = quick.worker("-c", "1")
    jobs = [submit(quick, f"trace.submit({str(quick.folder / str(i))!r}, pause=4.0)") for i in range(2)]
    wait_until(lambda: jobs[1].state == "succeeded", 30)
    assert "reconnecting to Redis" not in quick.logs()
    assert worker.poll() is None


@pytest.mark.parametrize("task", ["no.such.task", "sims.add"])
def test_a_worker_that_only_drops_messages_is_not_deaf(
    quick: Project, board: services.Services, task: str
) -> None:
    """They name no workflow, or no job that waits; they come as fast as it takes them."""
    worker = quick.worker("-c", "1")
    assert submit(quick, "add.submit(1)").result(timeout=within(30)) == 2
    raw = json.dumps(hostile.message(task))
    with redis.Redis.from_url(board.broker_url) as client:
        until = time.monotonic() + 6  # it would reconnect after 1.5 s, and exit after 4.5 s
        while time.monotonic() < until:
            if client.llen(LANE) < 100:
                client.lpush(LANE, *[raw] * 200)
            time.sleep(0.01)
        client.delete(LANE)
    assert submit(quick, "add.submit(1)").result(timeout=within(30)) == 2
    assert "reconnecting to Redis" not in quick.logs()
    assert worker.poll() is None
