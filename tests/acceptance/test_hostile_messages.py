"""Messages of any shape, sent to a real worker: nothing executes, nothing stops, honest jobs finish."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

import simcelery
from simcelery import services
from tests import hostile
from tests.acceptance.helpers import submit
from tests.board_helpers import row
from tests.conftest import Project
from tests.waiting import wait_until, within

_LINE = re.compile(rb"^\[\d{4}-\d\d-\d\d ", re.MULTILINE)
HONEST = 300


@pytest.fixture
def broker(board: services.Services) -> Iterator[redis.Redis]:
    """Redis, as somebody with its password sees it."""
    with redis.Redis.from_url(board.broker_url) as client:
        yield client


def lanes(broker: redis.Redis) -> list[bytes]:
    """The lists in which messages wait."""
    return [key for key in broker.scan_iter() if broker.type(key) == b"list" and b"pidbox" not in key]


def answers(worker: Any) -> bool:
    """Whether the worker answers a ping, and so has read all that was published to it before."""
    return bool(simcelery.app.control.ping(timeout=within(5.0))) and worker.poll() is None


def submit_traces(project: Project, path: Path, number: int) -> list[simcelery.Job]:
    """Honest jobs, each of which notes that it ran."""
    code = f"""
        import sims
        jobs = sims.trace.submit_many([{{"path": {str(path)!r}, "pause": 0.01}}] * {number})
        print(*[job.id for job in jobs])
    """
    done = project.python(code)
    assert done.returncode == 0, done.stderr
    return [simcelery.get_job(int(number)) for number in done.stdout.split()]


@pytest.mark.timeout(300)
def test_hostile_messages_under_load_do_nothing(
    project: Project, broker: redis.Redis, tmp_path: Path
) -> None:
    trap, count = tmp_path / "trap", tmp_path / "count"
    jobs = submit_traces(project, count, HONEST)
    victim = str(jobs[-1].task_id)
    [lane] = [key for key in lanes(broker) if b"sims.trace" in key]
    for_lane = list(hostile.for_lane(trap, victim, "sims.trace"))
    for_control = list(hostile.for_control(trap, victim))
    assert len(for_lane) + len(for_control) > 100
    # In front of the honest ones, among them, and behind.
    for number, (_, raw) in enumerate(for_lane):
        (broker.rpush if number % 2 else broker.lpush)(lane, raw)
    worker = project.worker()
    before = len(_LINE.findall(project.logs().encode()))
    for _, raw in for_control:
        broker.publish(hostile.CONTROL, raw)
    wait_until(lambda: all(job.state == "succeeded" for job in jobs), 120, every=0.5)
    wait_until(lambda: not broker.exists(lane), 60)
    assert answers(worker)
    assert not trap.exists()
    assert count.read_text() == "ran\n" * HONEST
    assert len(simcelery.jobs()) == HONEST
    assert {row(job.id).attempt for job in jobs} == {1}
    logs = project.logs()
    assert "Traceback" not in logs, logs
    assert "\x1b" not in logs
    assert "FAKE LOG LINE" not in logs
    ran = logs.count(" succeeded in ") + logs.count(" received") + logs.count("ignored")
    lines = len(_LINE.findall(logs.encode())) - before - ran
    assert lines <= len(for_lane) + len(for_control)
    assert len(logs.splitlines()) < 3 * HONEST + len(for_lane) + len(for_control)


def test_one_message_after_the_other_costs_one_line_each_at_most(
    project: Project, broker: redis.Redis, tmp_path: Path
) -> None:
    """With an idle worker, so that what a message does is seen to be its own doing."""
    worker = project.worker("-c", "1")
    job = submit(project, "add.submit(1)")
    job.result(timeout=within(30))
    done = str(job.task_id)
    before = len(project.logs().splitlines())
    sent = 0
    for name, raw in hostile.for_lane(tmp_path / "trap", done):
        broker.lpush("default:sims.add\x06\x164", raw)
        sent += 1
        assert worker.poll() is None, f"{name} ended the worker:\n{project.logs()[-3000:]}"
    for name, raw in hostile.for_control(tmp_path / "trap", done):
        broker.publish(hostile.CONTROL, raw)
        sent += 1
        assert worker.poll() is None, f"{name} ended the worker:\n{project.logs()[-3000:]}"
    wait_until(lambda: not lanes(broker), 60)
    assert answers(worker)
    assert submit(project, "add.submit(2)").result(timeout=within(30)) == 3
    assert not (tmp_path / "trap").exists()
    assert len(simcelery.jobs()) == 2
    logs = project.logs()
    assert "Traceback" not in logs, logs
    received = logs.count(" received") + logs.count("ignored")  # Celery's two lines of a message that misses
    assert len(logs.splitlines()) - before - received <= sent
    assert worker.poll() is None


def test_thousands_of_messages_of_unknown_tasks_hold_up_no_shutdown(
    project: Project, broker: redis.Redis
) -> None:
    worker = project.worker()
    job = submit(project, "add.submit(1)")
    job.result(timeout=within(30))
    lane = "default:sims.add\x06\x164"
    raw = [json.dumps(hostile.message(f"no.such.task{number % 7}")) for number in range(8_000)]
    before = len(project.logs().splitlines())
    broker.lpush(lane, *raw)
    wait_until(lambda: broker.llen(lane) < 7_000, 60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(within(30)) == 0, project.logs()
    assert broker.exists(lane), "it has gone through all of them first"
    logs = project.logs()
    assert "Traceback" not in logs, logs
    assert len(logs.splitlines()) - before < 20
    # What is left brings nothing either, and an honest job behind it is found.
    project.worker()
    assert submit(project, "add.submit(2)").result(timeout=within(120)) == 3
    wait_until(lambda: not broker.exists(lane), 120)


def test_inspection_shows_no_password(project: Project, board: services.Services) -> None:
    project.worker()
    wait_until(lambda: simcelery.app.control.ping(timeout=1))  # its mailbox is the last that it opens
    inspect = simcelery.app.control.inspect(timeout=within(10), limit=1)
    answered = [
        inspect.stats(),
        inspect.conf(with_defaults=True),
        inspect.report(),
        inspect.active(),
        inspect.active_queues(),
        inspect.registered(),
        simcelery.app.control.broadcast(
            "query_task", {"ids": ["x"]}, reply=True, timeout=within(10), limit=1
        ),
    ]
    assert all(answered), answered
    for url in (board.database_url, board.broker_url):
        password = urlsplit(url).password
        assert password
        assert password not in repr(answered)
    assert not [name for name in next(iter(answered[5].values())) if name.startswith("celery.")]


def test_remote_control_can_be_switched_off(project: Project) -> None:
    worker = project.worker(SIMCELERY_REMOTE_CONTROL="false")
    assert simcelery.app.control.ping(timeout=2) == []
    simcelery.app.control.shutdown()
    job = submit(project, "trace.submit('/dev/null', pause=60)")
    wait_until(lambda: job.state == "running")
    job.cancel()  # it is not told, and hears of it when it renews its lease
    wait_until(lambda: job.state == "cancelled", 30)
    assert worker.poll() is None


PLAIN = """

import simcelery

@simcelery.app.task(name="sims.plain", bind=True, max_retries=2)
def plain(self, path, retry=False):
    with open(path, "a") as file:
        file.write("ran\\n")
    if retry:
        raise self.retry(countdown=0.1)

@simcelery.app.task(name="sims.other")
def other(path):
    open(path, "w").close()
"""


def test_a_worker_runs_the_plain_tasks_that_a_setting_names_and_no_others(
    project: Project, broker: redis.Redis, tmp_path: Path
) -> None:
    (project.folder / "sims.py").write_text((project.folder / "sims.py").read_text() + PLAIN)
    count, trap = tmp_path / "count", tmp_path / "trap"
    allowed = {"SIMCELERY_PLAIN_TASKS": "sims.plain"}
    worker = project.worker("-c", "1", **allowed)
    refused = project.python(f"import sims; sims.plain.delay({str(count)!r})")
    assert "workers run none: make it a workflow, or name it in the setting plain_tasks" in refused.stderr
    code = f"import sims; sims.plain.apply_async([{str(count)!r}], link=sims.plain.s())"
    assert "workers drop what is attached" in project.python(code, **allowed).stderr
    for given in (f"{str(count)!r}", f"{str(count)!r}, retry=True"):
        sent = project.python(f"import sims; sims.plain.delay({given})", **allowed)
        assert sent.returncode == 0, sent.stderr
    wait_until(lambda: count.exists() and count.read_text() == "ran\n" * 4, 30)  # once, and three times
    bomb = hostile.trap_signature(trap)
    embed = {"callbacks": [bomb], "errbacks": [bomb], "chain": [bomb], "chord": bomb}
    for name, path in (("sims.plain", count), ("sims.other", trap)):
        message = hostile.message(name, None, [[str(path)], {}, embed], {"timelimit": [0.001, 0.001]})
        broker.lpush("default", json.dumps(message))
    wait_until(lambda: count.read_text() == "ran\n" * 5, 30)
    assert submit(project, "add.submit(1)").result(timeout=within(30)) == 2
    assert not trap.exists()
    assert len(simcelery.jobs()) == 1
    assert worker.poll() is None
