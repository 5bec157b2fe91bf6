"""What settings declare for the board, and what Python does: schedules, limits and shares, one row each."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import simcelery
import simcelery.worker.builtin  # the workflow `command`
from simcelery.errors import ParametersError, SettingsError, UsageError
from simcelery.maintenance.fire import tick
from simcelery.settings import Settings, get_settings
from simcelery.worker.parent.declared import write
from tests.board_helpers import sql, worker

pytestmark = pytest.mark.usefixtures("board", "no_queue_stays_shared")
ONCE = {"priority": 4, "max_attempts": 1, "max_losses": 5}
NIGHTLY = {"cron": "30 2 * * *", "workflow": "declared.add", "parameters": {"a": 1}, "tags": ["mine"]}


@simcelery.workflow(name="declared.add")
def add(a: int, b: int = 2) -> int:
    return a + b


def settings(**given: Any) -> Settings:
    """The settings of these tests, with more."""
    usual = get_settings()
    return Settings(database_url=usual.database_url, broker_url=usual.broker_url, home=usual.home, **given)


def start(**given: Any) -> None:
    """What a worker with these settings does when it starts."""
    write(settings(**given))


# --- schedules of the settings ----------------------------------------------------------------------


def test_a_schedule_of_the_settings_is_one_row_however_many_workers_start() -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: start(schedules={"nightly": NIGHTLY}), range(8)))
    [found] = simcelery.schedules.list()
    assert (found.name, found.cron, found.timezone, found.missed) == ("nightly", "30 2 * * *", "UTC", "once")
    assert (found.workflow, found.parameters, found.from_settings) == ("declared.add", {"a": 1, "b": 2}, True)


def test_what_the_board_has_holds_and_the_log_says_what_differs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    start(schedules={"nightly": NIGHTLY, "weekly": NIGHTLY | {"cron": "@weekly"}})
    assert "schedules set on the board: nightly, weekly" in caplog.text
    caplog.clear()
    start(schedules={"nightly": NIGHTLY})
    assert caplog.text == ""
    for change in ({"cron": "@daily"}, {"parameters": {"a": 2}}, {"priority": 9}, {"missed": "all"}):
        caplog.clear()
        start(schedules={"nightly": {**NIGHTLY, **change}})
        assert "schedules of the settings that the board has otherwise: nightly" in caplog.text
    assert simcelery.schedules.list("nightly")[0].cron == "30 2 * * *"


def test_one_that_is_no_longer_in_the_settings_stays_until_it_is_removed() -> None:
    start(schedules={"nightly": NIGHTLY, "weekly": NIGHTLY})
    start(schedules={"weekly": NIGHTLY})
    assert [one.name for one in simcelery.schedules.list()] == ["nightly", "weekly"]
    simcelery.schedules.remove("nightly")
    start(schedules={"weekly": NIGHTLY})
    assert [one.name for one in simcelery.schedules.list()] == ["weekly"]


def test_a_command_and_a_workflow_that_only_the_board_knows_can_be_declared() -> None:
    sql(
        "INSERT INTO workflows (name, parameters, options, queue, version) "
        """VALUES ('far.away', '{"properties": {"x": {}}, "required": ["x"]}', :options, 'far', '1')""",
        options=json.dumps({"time_limit": None, "soft_time_limit": None, **ONCE}),
    )
    far = {"cron": "@daily", "workflow": "far.away", "parameters": {"x": 1}}
    start(schedules={"sync": {"cron": "@hourly", "command": ["true"], "queue": "io"}, "far": far})
    found = {one.name: one for one in simcelery.schedules.list()}
    assert found["sync"].parameters["argv"] == ["true"]
    assert found["far"].parameters == {"x": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cron": "61 * * * *"}, "'nightly': '61 * * * *' is no cron expression"),
        ({"cron": 5}, "cron must be a string"),
        ({"crom": "@daily"}, "there is no 'crom'; there are: cron, timezone"),
        ({"timezone": "Mars"}, "there is no time zone 'Mars'"),
        ({"missed": "never"}, "missed: 'never' is not once, all or skip"),
        ({"parameters": {"c": 1}}, "'c'"),
        ({"parameters": {"a": "x"}}, "'a'"),
        ({"parameters": [1]}, "parameters must be a table"),
        ({"command": ["true"]}, "write either workflow = 'NAME' or command"),
        ({"workflow": "declared.ad"}, "did you mean 'declared.add'?"),
        ({"priority": 10}, "priority must be a whole number from 0 to 9"),
        ({"tags": "mine"}, "tags must be a list"),
    ],
)
def test_what_is_no_schedule_is_refused_before_anything_is_written(
    change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        start(schedules={"a": NIGHTLY, "nightly": {**NIGHTLY, **change}}, limits={"tag:x": 1})
    assert "setting 'schedules': 'nightly': " in str(refused.value)
    assert expected in str(refused.value)
    assert sql("SELECT name FROM schedules UNION SELECT name FROM limits") == []


# --- shares of the settings -------------------------------------------------------------------------


def test_shares_of_the_settings_are_set_once_and_what_the_board_has_holds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: start(share={"default": "submitter"}), range(8)))
    assert "queues shared set on the board" not in caplog.text
    assert "shared queues set on the board: default = submitter" in caplog.text
    caplog.clear()
    start(share={"default": "tag", "gpu": "tag"})
    assert simcelery.shares.list() == {"default": "submitter", "gpu": "tag"}
    assert "default = tag, but submitter on the board" in caplog.text
    assert "simcelery share --apply" in caplog.text
    start()
    assert simcelery.shares.list() == {"default": "submitter", "gpu": "tag"}


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 'submitter' or 'tag'"):
        settings(share={"default": "weather"})
    with pytest.raises(UsageError, match="'' is no name of a queue"):
        start(share={"": "tag"})


# --- Python -----------------------------------------------------------------------------------------


def test_a_script_adds_runs_pauses_and_removes_a_schedule() -> None:
    found = simcelery.schedules.add(
        "nightly", "@daily", add, 1, b=5, timezone="Europe/Berlin", missed="skip", tags=["mine"], priority=7
    )
    assert (found.parameters, found.timezone, found.missed) == ({"a": 1, "b": 5}, "Europe/Berlin", "skip")
    assert found.next_at is not None
    assert not found.from_settings
    job = simcelery.schedules.run("nightly")
    assert (job.row().tags, job.row().priority) == (["mine", "schedule:nightly"], 7)
    simcelery.schedules.pause("nightly")
    [paused] = simcelery.schedules.list()
    assert paused.paused_at is not None
    assert paused.last_job == job.id
    simcelery.schedules.resume("nightly")
    simcelery.schedules.remove("nightly")
    assert simcelery.schedules.list() == ()


def test_a_script_that_runs_again_replaces_its_schedule_which_stays_due_and_paused() -> None:
    simcelery.schedules.add("sync", "@hourly", ["true"], missed="all")
    with pytest.raises(UsageError, match="there is a schedule 'sync' already"):
        simcelery.schedules.add("sync", "@hourly", ["true"])
    sql("UPDATE schedules SET next_at = date_trunc('hour', now())")
    simcelery.schedules.pause("sync")
    simcelery.schedules.add("sync", "@hourly", "declared.add", a=3, missed="all", replace=True)
    [found] = simcelery.schedules.list("sync")
    assert (found.workflow, found.parameters) == ("declared.add", {"a": 3, "b": 2})
    assert found.paused_at is not None
    sql("UPDATE schedules SET paused_at = NULL")
    assert tick() == 1, "it was due, and still is"
    simcelery.schedules.add("sync", "@yearly", "declared.add", a=3, replace=True)
    assert simcelery.schedules.list("sync")[0].next_at > found.next_at  # type: ignore[operator]


@pytest.mark.parametrize(
    ("words", "given", "error", "expected"),
    [
        (("a b", "@daily", add, 1), {}, UsageError, "cannot be the name of a schedule"),
        (("x", "daily", add, 1), {}, UsageError, "is no cron expression"),
        (("x", "@daily", add), {}, ParametersError, "'a'"),
        (("x", "@daily", add, 1), {"dedupe": True}, UsageError, "a schedule has no option dedupe"),
        (("x", "@daily", add, 1), {"run_at": 5}, ParametersError, "run_at"),
        (("x", "@daily", "declared.ad", 1), {}, UsageError, "did you mean"),
        (("x", "@daily", add, 1), {"missed": "no"}, UsageError, "missed: 'no' is not once, all or skip"),
        (("x", "@daily", []), {}, UsageError, "a command must be a list of words"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_in_one_line(
    words: tuple[Any, ...], given: dict[str, Any], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        simcelery.schedules.add(*words, **given)
    assert simcelery.schedules.list() == ()


def test_a_script_sets_lists_and_removes_limits_and_shares() -> None:
    worker()
    simcelery.limits.set("tag:licence", 8)
    simcelery.limits.set("host:*", 2)
    assert [(one.name, one.most, one.used) for one in simcelery.limits.list()] == [
        ("host:*", 2, 0),
        ("tag:licence", 8, 0),
    ]
    simcelery.limits.remove("host:*", "tag:licence")
    assert simcelery.limits.list() == ()
    with pytest.raises(UsageError, match="there is no limit 'tag:licence'"):
        simcelery.limits.remove("tag:licence")
    with pytest.raises(UsageError, match="'licence' is no limit"):
        simcelery.limits.set("licence", 8)
    simcelery.shares.set("default", "tag")
    assert simcelery.shares.list() == {"default": "tag"}
    simcelery.shares.stop("default")
    assert simcelery.shares.list() == {}
    with pytest.raises(UsageError, match="is not submitter or tag"):
        simcelery.shares.set("default", "weather")  # type: ignore[arg-type]
