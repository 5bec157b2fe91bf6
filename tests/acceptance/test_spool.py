"""Outcomes that could not reach Postgres: in files, delivered once, never doubled, never lost."""

from __future__ import annotations

import json
import logging
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import simcelery
from simcelery import services
from simcelery.board.values import Claim, EndedAttempt
from simcelery.services import Services
from simcelery.settings import Settings, get_settings
from simcelery.worker.outcomes import spool
from simcelery.worker.outcomes.spool import Pushed
from tests.board_helpers import (
    AGAIN,
    ERROR,
    SUCCESS,
    attempts,
    finish,
    lapse,
    must_claim,
    record,
    row,
    sql,
    state,
    worker,
)
from tests.conftest import Project
from tests.servers import all_succeeded, executions, kill_server, outcomes, submit_traces
from tests.waiting import wait_until, within

PUSH = """
from simcelery.settings import get_settings
from simcelery.worker.outcomes import spool
print(spool.deliver(get_settings()))
"""


@pytest.fixture(autouse=True)
def _empty_spool(servers: Services) -> Iterator[None]:
    """The home is that of all tests."""
    yield
    for path in get_settings().spool.glob("*"):
        path.rmdir() if path.is_dir() else path.unlink()


def spooled(settings: Settings) -> list[Path]:
    """The outcomes that wait."""
    return sorted(settings.spool.glob("*.json"))


# --- a worker that must end while Postgres is away ---


@pytest.mark.parametrize("by", ["the next worker", "hand"])
def test_a_worker_that_must_end_while_postgres_is_away_leaves_its_outcome_to_others(
    own: tuple[Settings, Project], tmp_path: Path, by: str
) -> None:
    settings, project = own
    count = tmp_path / "count"
    doomed = project.worker("-c", "1", SIMCELERY_SHUTDOWN_GRACE="1")
    submit_traces(project, [count], pause=8.0)
    wait_until(lambda: executions(count) == 1)
    kill_server(settings, "postgres")
    wait_until(lambda: spooled(settings))
    doomed.send_signal(signal.SIGTERM)
    assert doomed.wait(within(20)) == 0
    assert len(spooled(settings)) == 1
    assert settings.spool.stat().st_mode & 0o077 == 0
    services.up(settings)
    if by == "hand":
        assert project.python(PUSH).stdout == "Pushed(recorded=1, late=0, left=0)\n"
    else:
        project.worker("-c", "1")
    wait_until(lambda: all_succeeded(settings, 1), 30)
    assert (executions(count), outcomes(settings)) == (1, [["succeeded"]])
    assert list(settings.spool.glob("*")) == []


def test_a_worker_whose_home_cannot_be_written_says_so_and_waits_for_postgres(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    count = tmp_path / "count"
    living = project.worker("-c", "1")
    submit_traces(project, [count], pause=8.0)
    wait_until(lambda: executions(count) == 1)
    if settings.spool.exists():
        settings.spool.rmdir()
    settings.spool.write_text("in the way, also for root")
    kill_server(settings, "postgres")
    wait_until(
        lambda: "its outcome cannot be spooled, and will be lost if this worker dies" in project.logs()
    )
    services.up(settings)
    wait_until(lambda: all_succeeded(settings, 1), 40)
    assert (executions(count), living.poll()) == (1, None)
    settings.spool.unlink()


# --- kill -9 around the spool ---


def cut_off(project: Project, job: int) -> None:
    """End a pool child's connection while it records its job's end, as a server that restarts does."""
    url = project.environment["SIMCELERY_DATABASE_URL"]
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as connection:
        [pid] = holder.execute("SELECT pid FROM jobs WHERE id = %s FOR UPDATE", [job]).fetchone() or [0]
        waits = "FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        name = [f"simcelery {pid}"]
        wait_until(lambda: connection.execute(f"SELECT {waits}", name).rowcount == 1)  # type: ignore[arg-type]
        connection.execute(f"SELECT pg_terminate_backend(pid) {waits}", name)  # type: ignore[arg-type]


def spooled_job(project: Project, count: Path) -> simcelery.Job:
    """A job whose child could not record at once how it ended, and so has spooled it."""
    submit_traces(project, [count], pause=5.0)
    job = next(iter(simcelery.jobs()))  # the newest
    wait_until(lambda: executions(count) == 1)
    cut_off(project, job.id)
    return job


def came_to(line: Path, job: simcelery.Job) -> bool:
    """Whether a process was killed at the line, or the job ended without that."""
    wait_until(lambda: line.exists() or job.state == "succeeded")
    return line.exists()


@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("before_spool_rename", 2),
        ("after_spool", 1),
        ("before_spool_removal", 1),
        ("after_spool_delivery", 1),
    ],
)
def test_a_process_killed_at_any_line_of_the_spool_loses_no_outcome_and_doubles_none(
    project: Project, tmp_path: Path, line: str, runs: int
) -> None:
    count, once = tmp_path / "count", tmp_path / "once"
    once.mkdir()
    # The child cannot record at once, and spools. Nobody delivers what it did not leave: so it dies, too.
    points = {"after_spool": "kill", line: "kill"}
    if line == "before_spool_removal":
        del points["after_spool"]
    first = project.worker(
        "-c",
        "1",
        SIMCELERY_FAILPOINTS=",".join(f"{name}={action}" for name, action in points.items()),
        SIMCELERY_FAILPOINTS_ONCE=str(once),
    )
    job = spooled_job(project, count)
    while not came_to(once / line, job):
        # The parent looks into the spool every 5 s, and has just been quicker than the child.
        count = tmp_path / f"after {job.id}"
        job = spooled_job(project, count)
    if line == "after_spool_delivery":  # the worker itself delivers, and is what dies
        assert first.wait(within(20)) == -signal.SIGKILL
        project.worker("-c", "1")
    assert job.result(timeout=within(40)) == "ran"
    assert executions(count) == runs
    assert [one["outcome"] for one in attempts(job.id)] == ["lost"] * (runs - 1) + ["succeeded"]
    assert all(one["late_outcome"] is None for one in attempts(job.id))
    wait_until(lambda: not list(get_settings().spool.glob("*")))


# --- deliveries, without a worker ---


def lost_and_spooled(report: EndedAttempt = SUCCESS) -> tuple[Claim, Path]:
    """A claim whose worker is lost, and whose outcome lies in the spool; the job is running as yet."""
    claimed = must_claim(record().task_id, worker())
    return claimed, spool.save(get_settings(), claimed.task_id, claimed.claim_id, report)


def holder(claimed: Claim) -> int:
    """The worker that holds the claim."""
    [[number]] = sql("SELECT worker_id FROM jobs WHERE id = :id", id=claimed.job_id)
    return int(number)


def taken_over(claimed: Claim) -> Claim:
    """The job, claimed anew by another worker after a rescue."""
    from simcelery.board import engine, transitions

    lapse(holder(claimed))
    with engine.begin() as connection:
        assert transitions.rescue(connection, grace=0.0, limit=1000)
    return must_claim(claimed.task_id, worker())


def test_an_outcome_is_delivered_once_and_its_file_is_gone(board: Services) -> None:
    claimed, path = lost_and_spooled()
    assert spool.deliver(get_settings()) == Pushed(recorded=1)
    assert spool.deliver(get_settings()) == Pushed()
    assert (state(claimed.job_id), path.exists()) == ("succeeded", False)


@pytest.mark.parametrize(("saved", "ended"), [(-60, 60), (-10_000, 600), (+10_000, 0)], ids=str)
@pytest.mark.parametrize("report", [SUCCESS, ERROR], ids=["success", "error"])
def test_an_attempt_ended_when_it_did_not_when_it_was_delivered(
    board: Services, report: EndedAttempt, saved: float, ended: float
) -> None:
    """`saved` by a node's clock, perhaps a wrong one; the attempt began 600 s ago, by the board's."""
    _, path = lost_and_spooled(report)
    sql("UPDATE jobs SET started_at = now() - interval '600 s'")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "saved_at": time.time() + saved}))
    assert spool.deliver(get_settings()) == Pushed(recorded=1)
    [found] = sql(
        "SELECT extract(epoch FROM now() - job.finished_at), extract(epoch FROM now() - attempt.finished_at) "
        "FROM jobs job JOIN attempts attempt ON attempt.job_id = job.id"
    )
    assert [float(seconds) for seconds in found] == pytest.approx([ended, ended], abs=10)


def test_an_outcome_that_is_delivered_twice_is_recorded_once(board: Services) -> None:
    claimed, path = lost_and_spooled()
    content = path.read_bytes()
    spool.deliver(get_settings())
    path.write_bytes(content)
    assert spool.deliver(get_settings()) == Pushed(late=1)
    [only] = attempts(claimed.job_id)
    assert (only["outcome"], only["late_outcome"], path.exists()) == ("succeeded", None, False)


def test_a_success_whose_job_waits_to_run_again_still_counts(board: Services) -> None:
    from simcelery.board import engine, transitions

    claimed, _ = lost_and_spooled()
    lapse(holder(claimed))
    with engine.begin() as connection:
        transitions.rescue(connection, grace=0.0, limit=1000)
    assert state(claimed.job_id) == "pending"
    assert spool.deliver(get_settings()) == Pushed(recorded=1)
    assert state(claimed.job_id) == "succeeded"
    assert attempts(claimed.job_id)[0]["late_outcome"] == {"accepted_after": "lost"}


@pytest.mark.parametrize("finished", [False, True])
def test_an_outcome_that_comes_too_late_is_kept_beside_its_attempt_and_changes_nothing(
    board: Services, finished: bool
) -> None:
    claimed, path = lost_and_spooled(EndedAttempt(outcome=SUCCESS.outcome, result="the zombie's"))
    newer = taken_over(claimed)
    if finished:
        finish(newer)
    before = row(claimed.job_id)
    assert spool.deliver(get_settings()) == Pushed(late=1)
    assert row(claimed.job_id) == before
    zombie = attempts(claimed.job_id)[0]
    assert (zombie["outcome"], zombie["late_outcome"]["result"]) == ("lost", "the zombie's")
    assert not path.exists()


def test_a_failure_in_the_spool_leads_to_its_retry(board: Services) -> None:
    claimed = must_claim(record(max_attempts=2).task_id, worker())
    spool.save(get_settings(), claimed.task_id, claimed.claim_id, AGAIN)
    assert spool.deliver(get_settings()) == Pushed(recorded=1)
    assert (state(claimed.job_id), row(claimed.job_id).failures) == ("scheduled", 1)


def test_a_file_of_another_board_is_left(board: Services) -> None:
    path = spool.save(get_settings(), uuid.uuid4(), uuid.uuid4(), SUCCESS)
    assert spool.deliver(get_settings()) == Pushed(left=1)
    assert path.exists()


def _changed(path: Path, **changes: object) -> bytes:
    return json.dumps(json.loads(path.read_text()) | changes).encode()


CORRUPT = {
    "empty": lambda path: b"",
    "cut off": lambda path: path.read_bytes()[:-20],
    "no text": lambda path: b"\xff\x00\xfe",
    "another shape": lambda path: b"[1, 2]",
    "a report that is none": lambda path: _changed(path, report={"ending": "exploded"}),
    "a field that is unknown": lambda path: _changed(path, report={"ending": "succeeded", "mood": "good"}),
    "a claim that is a number": lambda path: _changed(path, claim_id=7),
    "a time that is a word": lambda path: _changed(path, saved_at="yesterday"),
    "a word that Postgres cannot store": lambda path: _changed(
        path, report={"ending": "failed", "cause": None, "error_message": "a\0b"}
    ),
}


@pytest.mark.parametrize("how", CORRUPT)
def test_a_corrupt_file_is_named_and_left_and_the_others_are_delivered(
    board: Services, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    corrupt, path = lost_and_spooled()
    good, _ = lost_and_spooled()
    content = CORRUPT[how](path)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert spool.deliver(get_settings()).recorded == 1
    assert path.name in caplog.text
    assert path.read_bytes() == content
    assert (state(corrupt.job_id), state(good.job_id)) == ("running", "succeeded")


def test_a_corrupt_file_keeps_no_worker_from_its_work(project: Project, tmp_path: Path) -> None:
    for how, spoil in CORRUPT.items():
        _, path = lost_and_spooled()
        path.write_bytes(spoil(path))
        assert path.exists(), how
    sql("TRUNCATE jobs CASCADE")
    count = tmp_path / "count"
    project.worker("-c", "1")
    submit_traces(project, [count])
    [job] = simcelery.jobs()
    assert job.result(timeout=within(20)) == "ran"
    time.sleep(2.5)  # two renewals, with the files in their way
    assert "failed; it continues" not in project.logs()
