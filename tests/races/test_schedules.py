"""Schedules: one job for each time that is due, whoever looks and wherever it is killed."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from simcelery.board import engine, schedules
from simcelery.board.schedules import MOST_MISSED, Missed, NewSchedule
from simcelery.errors import UsageError
from simcelery.maintenance.fire import tick
from simcelery.needs import Needs
from tests.board_helpers import new_job, row, sql
from tests.conftest import Project

pytestmark = pytest.mark.usefixtures("board")


def schedule(missed: Missed = "once", cron: str = "* * * * *", name: str = "nightly", **job: object) -> None:
    """Add a schedule."""
    with engine.begin() as connection:
        new = NewSchedule(name=name, cron=cron, timezone="UTC", missed=missed, job=new_job(**job))
        schedules.add(connection, new)


def since(interval: str) -> None:
    """As if nobody had looked for so long."""
    sql(
        "UPDATE schedules SET next_at = date_trunc('minute', now()) - cast(:ago AS interval) RETURNING name",
        ago=interval,
    )


def keys() -> list[str]:
    """The keys of the jobs that were recorded, which say what they were due for."""
    return [key for (key,) in sql("SELECT idempotency_key FROM jobs ORDER BY id")]


def test_what_is_due_is_recorded_once_and_then_due_again() -> None:
    schedule(priority=7, tags=["a"], needs=Needs(memory=2**30), time_limit=60.0, parameters={"x": 1})
    assert tick() == 0
    since("0 s")
    assert tick() == 1
    assert tick() == 0
    [(number,)] = sql("SELECT last_job_id FROM schedules WHERE next_at > now() AND last_at <= now()")
    job = row(number)
    assert (job.priority, job.tags, job.time_limit, job.parameters) == (
        7,
        ["a", "schedule:nightly"],
        60.0,
        {"x": 1},
    )
    assert sql("SELECT memory FROM needs JOIN jobs ON needs.id = needs_id") == [(2**30,)]
    assert job.state == "pending"


def test_of_many_that_look_at_once_one_records_the_job() -> None:
    schedule()
    since("0 s")
    ready = threading.Barrier(8)

    def look(_: int) -> int:
        ready.wait()
        return tick()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(look, range(8))) == 1
    assert len(keys()) == 1


@pytest.mark.parametrize(("missed", "expected"), [("once", 1), ("skip", 1), ("all", 11)])
def test_what_was_missed_for_ten_minutes_runs_by_its_policy(missed: Missed, expected: int) -> None:
    schedule(missed)
    since("10 min")
    assert tick() == expected
    assert len(set(keys())) == expected
    assert tick() == 0


def test_what_is_skipped_is_what_is_late() -> None:
    schedule("skip", "0 0 1 1 *")
    since("3 years")
    assert tick() == 0
    assert sql("SELECT next_at > now(), last_at FROM schedules") == [(True, None)]
    schedule("once", "0 0 1 1 *", name="yearly")
    since("3 years")
    assert tick() == 1


def test_of_all_that_was_missed_no_more_than_a_hundred_are_recorded(caplog: pytest.LogCaptureFixture) -> None:
    schedule("all")
    since("1 year")
    assert tick() == MOST_MISSED
    assert "times had been missed" in caplog.text


def test_a_job_whose_time_was_recorded_before_is_not_recorded_again() -> None:
    """Not even where the schedule was removed and added, or restored with the time that it had."""
    schedule()
    since("0 s")
    assert tick() == 1
    since("0 s")
    assert tick() == 0
    assert len(keys()) == 1


def test_a_paused_schedule_records_nothing_and_makes_up_for_nothing() -> None:
    schedule("all")
    since("5 min")
    with engine.begin() as connection:
        schedules.pause(connection, ["nightly"])
    assert tick() == 0
    with engine.begin() as connection:
        schedules.resume(connection, ["nightly"])
    assert tick() == 0
    assert sql("SELECT next_at > now() FROM schedules") == [(True,)]


def test_a_run_by_hand_comes_besides_those_that_are_due() -> None:
    schedule()
    with engine.begin() as connection:
        _, number = schedules.record_now(connection, "nightly")
        [found] = schedules.listed(connection)
    assert (found["last_job_id"], found["last_state"]) == (number, "pending")
    since("0 s")
    assert tick() == 1


def test_a_name_is_taken_once_and_an_unknown_one_is_said() -> None:
    schedule()
    with pytest.raises(UsageError, match="there is a schedule 'nightly' already"):
        schedule()
    for act in (schedules.pause, schedules.resume, schedules.remove):
        with pytest.raises(UsageError, match="there is no schedule 'daily'"), engine.begin() as connection:
            act(connection, ["nightly", "daily"])
    with pytest.raises(UsageError, match="there is no schedule 'daily'"), engine.begin() as connection:
        schedules.record_now(connection, "daily")
    assert sql("SELECT paused_at FROM schedules") == [(None,)]


def test_one_that_cannot_be_read_stops_no_other() -> None:
    schedule(name="bad")
    schedule(name="good")
    sql("UPDATE schedules SET cron = 'never', timezone = 'nowhere' WHERE name = 'bad' RETURNING name")
    since("0 s")
    assert tick() == 1
    assert [key.split()[1] for key in keys()] == ["good"]


@pytest.mark.slow
@pytest.mark.parametrize("line", ["before_fire", "before_fire_commit", "after_fire"])
def test_killed_at_any_line_there_is_one_job(project: Project, line: str) -> None:
    schedule(workflow="sims.add", parameters={"a": 1})
    since("0 s")
    killed = project.run("simcelery", "recover", SIMCELERY_FAILPOINTS=f"{line}=kill")
    assert killed.returncode == -signal.SIGKILL
    assert len(keys()) == (1 if line == "after_fire" else 0)
    assert tick() == (0 if line == "after_fire" else 1)
    assert len(keys()) == 1
