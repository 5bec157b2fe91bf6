"""The acts of recovery as the worker takes them by turns, and ``simcelery recover`` by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import redis

from simcelery import settings
from simcelery.board import engine, leases, schedules
from simcelery.board.schedules import NewSchedule
from simcelery.cli.root import run
from simcelery.errors import RefusedByBoardError
from simcelery.maintenance import acts, by_hand, prune, rescue
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects
from simcelery.maintenance.loop import Rounds
from simcelery.services import Services
from tests import hostile_rows
from tests.board_helpers import (
    ERROR,
    finish,
    lane,
    lapse,
    must_claim,
    new_job,
    record,
    registration,
    row,
    sql,
    state,
    worker,
)
from tests.conftest import Project

LANE = lane()
ALL_ACTS = sorted(act.name for act in acts.ACTS)


@pytest.fixture
def adjust(board: Services) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Changes settings for one test. The lease is short: Postgres may have started seconds ago."""
    before = dict(settings._overrides)
    settings.override({"lease": 0.2, "renew_every": 0.1})
    yield settings.override
    settings._overrides.clear()
    settings.override(before)


@pytest.fixture
def messages(adjust: object, board: Services) -> redis.Redis:
    """The Redis that holds the messages, and an empty board."""
    return redis.Redis.from_url(board.broker_url)


def something_for_every_act() -> dict[str, int]:
    """A board with work for each act; the ids."""
    dead = worker()
    ids = {}
    for name, losses in (("lost", 5), ("fatal", 0)):
        job = record(max_losses=losses)
        must_claim(job.task_id, dead)
        ids[name] = job.id
    ids["child"] = record(parents=[ids["fatal"]]).id
    ids["due"] = record(delay=0.0001).id
    ids["unsent"] = record().id
    ids["sent"] = record().id
    old = record()
    finish(must_claim(old.task_id, worker()), ERROR)
    ids["old"] = old.id
    lapse(dead)
    sql("UPDATE jobs SET submitted_at = now() - interval '1 min'")
    sql(
        "UPDATE jobs SET published_at = now() - interval '1 min', publish_count = 1 WHERE id = :id",
        id=ids["sent"],
    )
    sql("UPDATE jobs SET finished_at = now() - interval '2 d' WHERE id = :id", id=old.id)
    with engine.begin() as connection:
        nightly = NewSchedule(name="nightly", cron="@daily", timezone="UTC", missed="once", job=new_job())
        schedules.add(connection, nightly)
    sql("UPDATE schedules SET next_at = date_trunc('day', now())")
    return ids


FOUND = {
    "rescue": {"rescued": 2},
    "fire": {"fired": 1},
    "stage": {"staged": 1},
    "settle": {"failed_upstream": 1},
    "hold": {"held": 0, "released": 0},
    "admit": {"admitted": 0},
    "learn": {"learned": 0},
    "prune": {"pruned": 1},
    "notify": {"noticed": 0, "notified": 0},
    "republish": {"fed": 3, "sent_again": 1},
}


def everything() -> list[Any]:
    return [
        sql(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in ("jobs", "attempts", "dependencies", "workers")
    ]


# --- by turns --------------------------------------------------------------------------------------


def test_rescued_jobs_are_published_at_once(messages: redis.Redis) -> None:
    ids = something_for_every_act()
    assert rescue.tick() == 2
    assert (state(ids["lost"]), state(ids["fatal"])) == ("pending", "failed")
    assert messages.llen(LANE) == 1
    assert row(ids["lost"]).published_at is not None
    assert rescue.tick() == 0


def test_prune_does_nothing_unless_a_retention_is_set(
    messages: redis.Redis, adjust: Callable[[Mapping[str, Any]], None]
) -> None:
    ids = something_for_every_act()
    sql("UPDATE workers SET lease_expires_at = now() - interval '2 d'")
    before = everything()
    assert prune.tick() == 0
    assert everything() == before
    adjust({"retention": "1d"})
    assert prune.tick() == 1
    assert sql("SELECT count(*) FROM jobs WHERE id = :id", id=ids["old"]) == [(0,)]
    assert sql("SELECT count(*) FROM workers") == [(1,)]  # the other one is needed: jobs run in it


def test_a_worker_takes_all_turns_that_are_due(messages: redis.Redis) -> None:
    ids = something_for_every_act()
    sql("UPDATE recovery SET next_at = now() - interval '1 s'")
    Rounds(settings.get_settings(), "me").round()
    assert sql("SELECT name, last_by FROM recovery ORDER BY name") == [(name, "me") for name in ALL_ACTS]
    assert [state(ids[name]) for name in ("lost", "fatal", "child", "due")] == [
        "pending",
        "failed",
        "upstream_failed",
        "pending",
    ]
    [(seconds,)] = sql("SELECT extract(epoch FROM next_at - now()) FROM recovery WHERE name = 'prune'")
    assert 20 < seconds <= 60 * settings.get_settings().tick_every


@pytest.mark.parametrize(("live", "asks_again"), [(1, True), (4, True), (1000, False)])
def test_in_a_large_fleet_each_worker_asks_rarely(
    live: int, asks_again: bool, adjust: Callable[[Mapping[str, Any]], None]
) -> None:
    adjust({"lease": 7200.0, "renew_every": 3600.0, "tick_every": 60.0})
    worker()
    sql(
        """INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at)
        SELECT 'w', 'h', 1, '{default}', 1, '0', now() + interval '1 h' FROM generate_series(2, :live)""",
        live=live,
    )
    turns = Rounds(settings.get_settings(), "me")
    for asked in (True, asks_again):
        sql("UPDATE recovery SET next_at = now() - interval '1 s', last_by = NULL")
        turns.round()
        assert sql("SELECT DISTINCT last_by FROM recovery") == [("me" if asked else None,)]


def test_a_renewal_tells_whether_a_turn_is_due_and_then_even_a_worker_of_a_large_fleet_asks(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = registration(worker())
    turns = Rounds(settings.get_settings(), "me")
    monkeypatch.setattr(turns, "_countable", lambda: 1)
    monkeypatch.setattr(turns, "_pause", lambda live: 300.0)
    turns.round()
    sql("UPDATE recovery SET next_at = now() + interval '1 s', last_by = NULL")
    assert not leases.renew_and_ask(me, 60.0).turns_due
    sql("UPDATE recovery SET next_at = now() WHERE name = 'stage'")
    assert leases.renew_and_ask(me, 60.0).turns_due
    turns.round()
    assert sql("SELECT name FROM recovery WHERE last_by = 'me'") == []
    turns.hurry()
    turns.round()
    assert sql("SELECT name FROM recovery WHERE last_by = 'me'") == [("stage",)]
    assert turns.until_next > 290


def test_a_worker_that_was_cut_off_judges_nobody_in_its_turn(messages: redis.Redis) -> None:
    ids = something_for_every_act()
    judge = worker()
    turns = Rounds(settings.get_settings(), "me", judge)
    # As one that renews all the time, however long this test takes.
    steady = "lease_expires_at = now() + interval '1 h', renewed_at = now() + interval '1 h'"
    sql(f"UPDATE workers SET {steady}, steady_since = now() + interval '1 h' WHERE id = :id", id=judge)
    turns.round()
    assert state(ids["lost"]) == "running"
    sql("UPDATE workers SET steady_since = now() - interval '1 min' WHERE id = :id", id=judge)
    sql("UPDATE recovery SET next_at = now()")
    turns.round()
    assert state(ids["lost"]) == "pending"


def test_a_new_act_is_one_entry_in_the_list(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is done by turns, by hand and missed by doctor, and the board need not know it beforehand."""
    done: list[int | None] = []

    def sweep(effects: Effects = USUAL) -> int:
        done.append(effects.judge)
        return 3

    act = Act("sweep", 2.0, sweep, ("swept",), "sweeps", "{jobs} that lay about, {swept} of them swept")
    monkeypatch.setattr(acts, "ACTS", (*acts.ACTS, act))
    me = worker(nodename="me@here")
    sql("UPDATE workers SET started_at = now() - interval '1 h'")
    try:
        turns = Rounds(settings.get_settings(), "me", me)
        turns.round()
        assert done == [me]
        turns.round()
        assert done == [me]
        sql("UPDATE recovery SET next_at = now() - interval '10 min' WHERE name = 'sweep'")
        run(["doctor", "-o", "json"])
        found = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert found["recovery"]["found"].startswith("no worker has done sweep for 10m")
    finally:
        sql("DELETE FROM recovery WHERE name = 'sweep'")
    assert run(["recover"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert " ".join(last.split()) == "sweep 3 jobs that lay about, 3 of them swept"
    assert done == [me, None]


# --- by hand ---------------------------------------------------------------------------------------


def test_a_dry_run_says_what_the_run_then_does_and_changes_nothing(
    messages: redis.Redis,
    adjust: Callable[[Mapping[str, Any]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = something_for_every_act()
    adjust({"retention": "1d"})
    before = everything()
    assert run(["recover", "--dry-run", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dry_run": True, "acts": FOUND}
    assert everything() == before
    assert messages.dbsize() == 0

    assert run(["recover", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dry_run": False, "acts": FOUND}
    assert messages.llen(LANE) == 4
    assert [state(ids[name]) for name in ("lost", "fatal", "child", "due")] == [
        "pending",
        "failed",
        "upstream_failed",
        "pending",
    ]
    # The schedule's is so new that it counts as being sent just now, however long this test has taken.
    sql("UPDATE jobs SET submitted_at = now() WHERE published_at IS NULL")
    assert run(["recover", "-o", "json"]) == 0
    again = json.loads(capsys.readouterr().out)["acts"]
    assert {name: counts for name, counts in again.items() if any(counts.values())} == {}


def test_a_dry_run_leaves_a_row_that_is_in_the_way_as_it_is(board: Services) -> None:
    due = {"state": "'scheduled'", "run_at": "now()"}
    with hostile_rows.without_checks(board.database_url) as connection:
        connection.execute(hostile_rows.waiting("a priority that no lane has", **due))
        connection.execute(hostile_rows.waiting("a priority that no lane has"))
    before = sql("SELECT priority, state FROM jobs ORDER BY id")
    with pytest.raises(RefusedByBoardError):
        list(by_hand.recover(dry_run=True))
    assert sql("SELECT priority, state FROM jobs ORDER BY id") == before


def test_the_acts_are_told_in_a_table(messages: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    something_for_every_act()
    assert run(["recover", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "ACT WOULD DO",
        "rescue 2 jobs of lost workers",
        "fire 1 job of schedules",
        "stage 1 job whose time has come",
        "settle 1 job whose parents did not succeed",
        "hold 0 jobs held by a fuse, and 0 released",
        "admit 0 jobs for which a limit has room",
        "learn 0 workflows looked at",
        "prune nothing: the setting retention is not set",
        "notify 0 events noticed, 0 notifications sent",
        "republish 3 new messages, 1 sent again",
    ]
    assert run(["recover", "-o", "quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_rescue_by_hand_holds_back_after_a_start_of_postgres_and_says_so(
    messages: redis.Redis,
    adjust: Callable[[Mapping[str, Any]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = something_for_every_act()
    adjust({"lease": "1d"})
    assert run(["recover"]) == 0
    said = capsys.readouterr().out.splitlines()[1]
    assert said.startswith("rescue     nothing yet: Postgres started ")
    assert said.endswith(" to renew")
    assert run(["recover", "--dry-run", "-o", "json"]) == 0
    acts = json.loads(capsys.readouterr().out)["acts"]
    assert acts["rescue"]["rescued"] == 0
    [(until,)] = sql("SELECT (pg_postmaster_start_time() + interval '1 d')::text")
    assert acts["rescue"]["holds_back_until"][:10] == until[:10]
    assert state(ids["lost"]) == "running"


@pytest.mark.slow
def test_without_redis_the_rest_is_done_and_said(project: Project) -> None:
    ids = something_for_every_act()
    short = {"SIMCELERY_LEASE": "0.2", "SIMCELERY_RENEW_EVERY": "0.1"}
    done = project.run("simcelery", "--broker-url", "redis://127.0.0.1:9/0", "recover", **short)
    assert done.returncode == 3
    assert done.stderr.startswith("simcelery: the broker at 127.0.0.1:9 cannot be reached")
    assert done.stderr.count("\n") == 1
    assert "2 jobs of lost workers" in done.stdout
    assert "republish" not in done.stdout
    assert (state(ids["lost"]), row(ids["lost"]).published_at) == ("pending", None)
    nowhere = "postgresql://me:s3cret@127.0.0.1:9/none"
    done = project.run("simcelery", "--database-url", nowhere, "recover", "--dry-run", **short)
    assert (done.returncode, done.stdout) == (3, "")
    assert "s3cret" not in done.stderr + done.stdout
