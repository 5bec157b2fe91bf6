"""Subscribers are told of each event, whatever is killed; what never happened is never sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import simcelery
from simcelery import failpoints, schemas, settings, workflow
from simcelery.board import engine, notifications, subscriptions, transitions
from simcelery.board.values import NewJob
from simcelery.cli.root import run
from simcelery.errors import ParametersError
from simcelery.failpoints import FailpointError
from simcelery.maintenance import courier, notify
from simcelery.maintenance.aside import Aside
from simcelery.maintenance.by_hand import recover
from simcelery.maintenance.effects import BY_HAND
from simcelery.services import Services
from simcelery.submission import submit
from simcelery.submission.bulk import submit_all
from simcelery.submission.options import Options
from simcelery.submission.subscribing import Subscribing
from tests.board_helpers import ERROR, cancel, finish, lapse, must_claim, new_job, record, sql
from tests.board_helpers import worker as any_worker
from tests.conftest import Project
from tests.mailbox import mailbox
from tests.receiver import Receiver, receiving
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")
ALL = ("done", "first-failure", "stalled")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def stalls(servers: Services) -> Iterator[None]:
    """What has been quiet for two minutes has stalled."""
    before = dict(settings._overrides)
    settings.override({"stalled_after": 120.0})
    yield
    settings._overrides.clear()
    settings.override(before)


def submitted(address: str, number: int = 1, on: tuple[str, ...] = ("done",), **changes: Any) -> list[int]:
    """Jobs with a subscription."""
    new = [new_job(tags=("oxides",), **changes) for _ in range(number)]
    return [job.id for job in submit.submit_prepared(new, Options(notify=address, notify_on=on))]


def end(number: int, me: int, how: Any = None) -> None:
    [(task_id, name)] = sql("SELECT task_id, workflow FROM jobs WHERE id = :id", id=number)
    claimed = must_claim(task_id, me, workflow=name)
    finish(claimed, *([how] if how else []))


def tell() -> tuple[int, int]:
    """One turn, by hand: how many events were noticed, and how many notifications sent."""
    return notify.tick(BY_HAND)


def notice() -> None:
    """One turn in which nothing is sent."""
    notify.tick(replace(BY_HAND, deliver=lambda _: 0))


def due_again() -> None:
    """As if the pause until the next try, or the time for which one is held, had passed."""
    sql("UPDATE notifications SET next_at = now()")


def listed() -> list[dict[str, Any]]:
    with engine.begin() as connection:
        return subscriptions.listed(connection)


def test_done_is_told_once_when_all_have_ended(receiver: Receiver) -> None:
    me = any_worker()
    first, second, third = submitted(receiver.url, 3)
    assert tell() == (0, 0)
    end(first, me)
    end(third, me, ERROR)
    assert tell() == (0, 0)
    cancel(second)
    assert tell() == (1, 1)
    assert tell() == (0, 0)
    [arrived] = receiver.arrived
    told = arrived.body
    assert told["text"] == ("3 jobs of w (oxides): all have ended; 1 cancelled, 1 failed, 1 succeeded")
    assert (told["event"], told["jobs"], told["tags"], told["workflow"]) == ("done", 3, ["oxides"], "w")
    assert told["states"] == {"cancelled": 1, "failed": 1, "succeeded": 1}
    assert arrived.headers["Simcelery-Notification"] == told["id"]
    jsonschema.Draft202012Validator(schemas.read("notification")).validate(told)


def test_what_another_worker_looks_at_is_left_to_it(receiver: Receiver) -> None:
    cancel(*submitted(receiver.url))
    with engine.begin() as connection:
        assert subscriptions.hold(connection, listed()[0]["id"]) is not None
        assert tell() == (0, 0)
    assert tell() == (1, 1)


def test_times_are_told_in_utc_wherever_it_is_sent_from(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel(*submitted(receiver.url))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert tell() == (1, 1)
    time.tzset()
    assert receiver.arrived[0].body["at"].endswith("+00:00")


def test_a_retry_makes_it_undone_and_done_again_is_told_again(receiver: Receiver) -> None:
    me = any_worker()
    first, second = submitted(receiver.url, 2, on=("done", "first-failure"))
    end(first, me, ERROR)
    end(second, me, ERROR)
    assert tell() == (2, 2)
    for how in (ERROR, None):
        with engine.begin() as connection:
            transitions.retry(connection, [second], by="test")
        assert tell() == (0, 0)
        end(second, me, how)
        tell()
    assert sorted(receiver.events) == ["done", "done", "done", "first-failure", "first-failure"]
    assert len({*receiver.ids}) == 5


def test_a_retry_before_the_first_completion_was_noticed_is_no_second_one(receiver: Receiver) -> None:
    me = any_worker()
    [job] = submitted(receiver.url)
    end(job, me, ERROR)
    with engine.begin() as connection:
        transitions.retry(connection, [job], by="test")
    assert tell() == (0, 0)
    end(job, me)
    assert tell() == (1, 1)


def test_the_first_failure_is_told_once_and_names_the_job(receiver: Receiver) -> None:
    me = any_worker()
    first, second, third = submitted(receiver.url, 3, on=("first-failure",))
    end(first, me)
    assert tell() == (0, 0)
    end(second, me, ERROR)
    assert tell() == (1, 1)
    end(third, me, ERROR)
    assert tell() == (0, 0)
    told = receiver.arrived[0].body
    assert (told["event"], told["job"], told["error"]) == ("first-failure", second, "ValueError: boom")
    assert f"job {second} failed: ValueError: boom" in told["text"]
    assert listed()[0]["done_at"] is not None


def test_of_a_long_error_only_the_beginning_is_told(receiver: Receiver) -> None:
    [job] = submitted(receiver.url, on=("first-failure",))
    end(job, any_worker(), replace(ERROR, error_message="x" * 3_000))
    assert tell() == (1, 1)
    told = receiver.arrived[0].body
    assert (len(told["error"]), told["text"].count("x")) == (2_000, 500 - len("ValueError: ") + 1)  # oxides
    sql("UPDATE subscriptions SET failed_at = NULL, done_at = NULL")
    sql("UPDATE jobs SET error_type = NULL, error_message = NULL")
    assert tell() == (1, 1)
    assert f"job {job} failed; 1 failed" in receiver.arrived[1].body["text"], "nobody knows why"


def test_what_waits_in_vain_has_stalled_and_why_is_told(receiver: Receiver, stalls: None) -> None:
    submitted(receiver.url, 3, on=ALL, queue="gpu")
    assert tell() == (0, 0)
    sql("UPDATE jobs SET submitted_at = now() - interval '10 min'")
    sql("UPDATE subscriptions SET look_at = now()")
    assert tell() == (1, 1)
    told = receiver.arrived[0].body
    assert told["event"] == "stalled"
    assert "nothing has happened for 10m" in told["text"]
    assert "no live worker serves queue 'gpu'" in told["text"]
    assert told["reasons"]
    sql("UPDATE subscriptions SET look_at = now()")
    assert tell() == (0, 0)  # still the same
    sql("UPDATE jobs SET submitted_at = now()")
    sql("UPDATE subscriptions SET look_at = now()")
    tell()
    assert listed()[0]["stalled_at"] is None  # it may stall once more


def test_only_the_reasons_of_its_own_jobs_are_told(receiver: Receiver, stalls: None) -> None:
    submitted(receiver.url, 1, queue="before")
    submitted(receiver.url, 1, on=("stalled",), queue="mine")
    submitted(receiver.url, 1, queue="after")
    sql("UPDATE jobs SET submitted_at = now() - interval '10 min'")
    sql("UPDATE subscriptions SET look_at = now()")
    assert tell() == (1, 1)
    [reason] = receiver.arrived[0].body["reasons"]
    assert "'mine'" in reason


def test_it_is_asked_whether_it_stalls_only_now_and_then(receiver: Receiver, stalls: None) -> None:
    job, _ = submitted(receiver.url, 2, on=ALL)
    sql("UPDATE jobs SET submitted_at = now() - interval '10 min'")
    cancel(job)  # so that it is looked at
    sql("UPDATE jobs SET finished_at = finished_at - interval '10 min'")
    assert tell() == (0, 0)
    sql("UPDATE subscriptions SET look_at = now()")
    assert tell() == (1, 1)
    [(pause,)] = sql("SELECT extract(epoch FROM look_at - now())::float FROM subscriptions")
    assert 25 < pause <= 30  # a quarter of the two minutes
    sql("UPDATE jobs SET submitted_at = now()")
    sql("UPDATE subscriptions SET unfinished = NULL")  # looked at for another reason
    tell()
    assert listed()[0]["stalled_at"] is not None


@pytest.mark.parametrize("how", ["running", "one runs", "later", "then the blocked", "not long enough"])
def test_what_runs_or_waits_for_its_time_has_not_stalled(receiver: Receiver, stalls: None, how: str) -> None:
    waits = {"delay": 7200.0} if how in ("later", "then the blocked") else {}
    jobs = submitted(receiver.url, 2 if how == "one runs" else 1, on=ALL, **waits)
    if how in ("running", "one runs"):
        [(task_id,)] = sql("SELECT task_id FROM jobs WHERE id = :id", id=jobs[0])
        must_claim(task_id, any_worker())
        sql("UPDATE jobs SET started_at = now() - interval '10 min' WHERE state = 'running'")
    if how == "then the blocked":
        blocked = record(parents=jobs).id
        sql("UPDATE subscriptions SET jobs = jobs + :also", also=f"{{[{blocked},{blocked}]}}")
    if how != "not long enough":
        sql("UPDATE jobs SET submitted_at = now() - interval '10 min'")
    sql("UPDATE subscriptions SET look_at = now()")
    assert tell() == (0, 0)


def test_what_is_blocked_and_waits_for_no_time_has_stalled(receiver: Receiver, stalls: None) -> None:
    others = submitted(receiver.url)
    submitted(receiver.url, on=("stalled",), parents=others)
    sql("UPDATE jobs SET submitted_at = now() - interval '10 min'")
    sql("UPDATE subscriptions SET look_at = now()")
    assert tell() == (1, 1)
    assert receiver.arrived[0].body["states"] == {"blocked": 1}


def test_existing_jobs_count_for_those_who_submit_them_again(receiver: Receiver) -> None:
    me = any_worker()
    [job] = submitted(receiver.url, idempotency_key="k")
    end(job, me)
    assert tell() == (1, 1)
    assert submitted(receiver.url, idempotency_key="k") == [job]
    assert tell() == (1, 1)
    assert len({one.body["subscription"] for one in receiver.arrived}) == 2


def test_more_jobs_may_follow_until_the_submission_ends(receiver: Receiver) -> None:
    me = any_worker()
    subscribing = Subscribing(Options(notify=receiver.url))

    def add(more: bool) -> int:
        return submit.record([new_job()], "retry", subscribing, more=more)[0].id

    end(add(True), me)
    assert tell() == (0, 0)
    end(add(True), me)
    assert tell() == (0, 0)
    subscribing.close()
    assert tell() == (1, 1)
    assert receiver.arrived[0].body["jobs"] == 2


def test_who_died_while_submitting_is_told_what_was_recorded(receiver: Receiver) -> None:
    subscribing = Subscribing(Options(notify=receiver.url))
    job = submit.record([new_job()], "retry", subscribing, more=True)[0].id
    end(job, any_worker())
    assert tell() == (0, 0)
    sql("UPDATE subscriptions SET open_until = now()")  # five minutes later
    assert tell() == (1, 1)
    assert receiver.arrived[0].body["text"] == "1 job of w: all have ended; 1 succeeded"


def test_what_follows_after_all_have_ended_is_told_as_well(receiver: Receiver) -> None:
    me = any_worker()
    subscribing = Subscribing(Options(notify=receiver.url, notify_on=("done", "first-failure")))
    end(submit.record([new_job()], "retry", subscribing, more=True)[0].id, me)
    sql("UPDATE subscriptions SET open_until = now()")  # the script computes for more than five minutes
    assert tell() == (1, 1)
    later = submit.record([new_job()], "retry", subscribing, more=True)[0].id
    assert tell() == (0, 0)
    end(later, me, ERROR)
    subscribing.close()
    assert tell() == (2, 2)
    assert [one.body["jobs"] for one in receiver.arrived] == [1, 2, 2]


@workflow(name="notify.double")
def double(x: int) -> int:
    return 2 * x


def test_an_executor_tells_of_all_its_calls_when_no_more_follow(receiver: Receiver) -> None:
    me = any_worker()
    executor = simcelery.Executor(tag="scan", notify=receiver.url, notify_on=["done"])
    for number in [executor.submit(double, x).job.id for x in range(3)]:
        end(number, me)
    assert tell() == (0, 0)
    executor.shutdown(wait=False)
    assert tell() == (1, 1)
    [told] = [one.body for one in receiver.arrived]
    assert (told["jobs"], told["tags"], told["workflow"]) == (3, ["scan"], "notify.double")


def test_an_executor_tells_although_its_first_calls_had_to_be_recorded_twice(
    receiver: Receiver,
) -> None:
    executor = simcelery.Executor(notify=receiver.url)
    failpoints.arm("before_record_commit", "raise")
    failed = executor.submit(double, 1)
    failpoints.arm("before_record_commit", None)
    assert isinstance(failed.exception(), FailpointError)
    number = executor.submit(double, 1).job.id
    executor.shutdown(wait=False)
    end(number, any_worker())
    assert tell() == (1, 1)


def test_an_executor_refuses_a_bad_address_in_one_line() -> None:
    with pytest.raises(ParametersError, match="this is no address"):
        simcelery.Executor(notify="me")


def test_a_bulk_of_several_transactions_is_one_submission(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcelery.submission.bulk.CHUNK", 10)
    new: Iterator[NewJob] = (new_job() for _ in range(20))
    jobs = submit_all(new, Options(notify=receiver.url))
    [found] = listed()
    assert found["open_until"] is None
    with engine.begin() as connection:
        assert sum(last - first + 1 for first, last in subscriptions.ids(connection, found["id"])) == 20
    cancel(*jobs.ids)
    assert tell() == (1, 1)
    assert receiver.arrived[0].body["states"] == {"cancelled": 20}


def test_jobs_that_were_pruned_have_ended(receiver: Receiver) -> None:
    job, other = submitted(receiver.url, 2)
    end(job, any_worker())
    sql("DELETE FROM jobs WHERE id = :id", id=job)
    assert tell() == (0, 0)
    cancel(other)
    assert tell() == (1, 1)
    assert receiver.arrived[0].body["jobs"] == 1


def test_a_dry_run_sends_and_records_nothing(receiver: Receiver) -> None:
    cancel(*submitted(receiver.url))
    done = {one.act.name: one.counts for one in recover(dry_run=True)}
    assert done["notify"] == {"noticed": 1, "notified": 0}
    assert not receiver.arrived
    assert tell() == (1, 1)


def test_done_does_not_overtake_what_has_not_arrived_and_each_event_is_shown(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    me = any_worker()
    first, second = submitted(receiver.url, 2, on=("done", "first-failure"))
    end(first, me, ERROR)
    assert tell() == (1, 0)
    receiver.status = 200
    end(second, me)
    assert tell() == (1, 0), "the pause of the first failure is not over"
    assert run(["notify"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "first-failure: the answer was 500" in shown
    assert "done: waits for first-failure" in shown
    due_again()
    assert tell() == (0, 2)
    assert receiver.events[-2:] == ["first-failure", "done"]
    assert run(["notify", "-o", "json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert [one["event"] for one in told["events_told"]] == ["first-failure", "done"]
    assert all(one["sent_at"] for one in told["events_told"])


def test_an_event_that_alone_is_refused_holds_up_the_others_for_an_hour_only(receiver: Receiver) -> None:
    me = any_worker()
    [job] = submitted(receiver.url, on=("done", "first-failure"))
    end(job, me, ERROR)
    notice()
    pending = "UPDATE notifications SET next_at = now() + interval '1 h' WHERE event = 'first-failure'"
    sql(pending)
    assert tell() == (0, 0)
    sql("UPDATE notifications SET created_at = now() - interval '2 h'")
    assert tell() == (0, 1)
    assert receiver.events == ["done"]


@pytest.mark.parametrize(("hours", "pause"), [(0, 120), (2, 900), (23, 3600)])
def test_a_receiver_that_is_away_is_tried_every_two_minutes_at_first(
    receiver: Receiver, hours: int, pause: int
) -> None:
    receiver.status = 500
    cancel(*submitted(receiver.url))
    notice()
    sql(f"UPDATE notifications SET tries = 15, created_at = now() - interval '{hours} h'")
    assert tell() == (0, 0)
    [(found,)] = sql("SELECT extract(epoch FROM next_at - now())::float FROM notifications")
    assert found == pytest.approx(pause, rel=0.1)


def test_a_receiver_that_always_fails_is_tried_less_and_less_often_and_then_given_up(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    cancel(*submitted(receiver.url))
    pauses = []
    for _ in range(4):
        tell()
        [(pause,)] = sql("SELECT extract(epoch FROM next_at - now())::float FROM notifications")
        pauses.append(pause)
        assert tell() == (0, 0)  # not before its time
        due_again()
    assert pauses == pytest.approx([5, 10, 20, 40], rel=0.2)
    assert len({*receiver.ids}) == 1
    assert run(["status"]) == 0
    said = capsys.readouterr()
    assert (
        f"to http://127.0.0.1:{receiver.port}/*** has not arrived after 4 attempts: the answer was 500"
        in said.err
    )
    run(["doctor"])
    assert "the answer was 500" in " ".join(capsys.readouterr().out.split())
    sql("UPDATE notifications SET created_at = now() - interval '2 d'")
    tell()
    due_again()
    receiver.status = 200
    assert tell() == (0, 0)
    assert run(["notify", "list"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "done: given up after 5 attempts" in shown
    assert "secret" not in shown


def test_a_slow_receiver_holds_up_no_other(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = within(0.5)
    monkeypatch.setattr(courier, "_LONGEST", patience)
    receiver.dribble = True
    with receiving() as other:
        cancel(*submitted(receiver.url), *submitted(other.url))
        began = time.monotonic()
        assert tell() == (2, 1)
        assert time.monotonic() - began < within(10)
        assert len(other.arrived) == 1
    assert [row["error"] for row in listed()] == [None, f"no answer within {patience:g} s"]
    [hangs] = [one for one in threading.enumerate() if "_send" in one.name]
    assert hangs.daemon, "it does not keep the process"


def test_an_error_that_nobody_expected_is_told_without_the_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    cancel(*submitted(receiver.url), *submitted(receiver.url))
    sql("UPDATE subscriptions SET address = 'secret' WHERE id = (SELECT max(id) FROM subscriptions)")
    assert tell() == (2, 1)
    assert [row["error"] for row in listed()] == ["unexpected ValueError", None]
    [said] = [record.getMessage() for record in caplog.records if record.name == courier.__name__]
    assert said.endswith("was not delivered: unexpected ValueError")
    assert "secret" not in said


@pytest.mark.slow
def test_no_worker_waits_for_a_slow_receiver(receiver: Receiver) -> None:
    receiver.let.clear()
    cancel(*submitted(receiver.url))
    notice()
    assert courier.start(any_worker()) == 0
    assert courier.start(any_worker()) == 0  # one at a time
    receiver.let.set()
    wait_until(lambda: listed()[0]["sent_at"])
    assert len(receiver.arrived) == 1


def test_a_worker_without_a_way_out_lets_each_other_one_try_at_once(receiver: Receiver) -> None:
    workers = [any_worker() for _ in range(3)]
    lapse(any_worker())
    cancel(*submitted("http://no-such-host.invalid/secret"))
    notice()
    for me in workers[:-1]:
        due_again()
        assert courier.run(me) == 0
        with engine.begin() as connection:
            assert notifications.due(connection, me) == notifications.Due(0, 1)
            assert notifications.due(connection, workers[-1]) == notifications.Due(1, 0)
    assert sql("SELECT tries, no_way_out FROM notifications") == [(0, workers[:-1])]
    assert courier.run(workers[-1]) == 0  # none is left: it counts, and all begin anew
    assert sql("SELECT tries, no_way_out FROM notifications") == [(1, [])]
    sql("UPDATE subscriptions SET address = :url", url=receiver.url)
    due_again()
    assert courier.run(workers[0]) == 1


def test_a_turn_is_given_back_where_only_others_can_send(monkeypatch: pytest.MonkeyPatch) -> None:
    # That of an earlier test may still be sending.
    monkeypatch.setattr(courier, "_process", Aside(courier.__name__))
    me, _ = any_worker(), any_worker()
    cancel(*submitted("http://no-such-host.invalid/secret"))
    notice()
    sql("UPDATE notifications SET no_way_out = ARRAY[:me]::bigint[], next_at = now()", me=me)
    sql(
        "INSERT INTO recovery (name, next_at) VALUES ('notify', now() + interval '1 h')"
        " ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at"
    )
    courier.start(me)
    assert sql("SELECT next_at <= now() FROM recovery WHERE name = 'notify'") == [(True,)]


POINTS = ("notify_noticed", "notify_recorded", "notify_taken", "notify_sent", "notify_marked")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_whoever_is_killed_at_any_line_loses_nothing(
    project: Project, receiver: Receiver, point: str
) -> None:
    me = any_worker()
    [job] = submitted(receiver.url)
    never = submitted(receiver.url)
    end(job, me)
    assert project.run("simcelery", "recover", SIMCELERY_FAILPOINTS=f"{point}=kill").returncode == -9
    due_again()
    assert project.run("simcelery", "recover").returncode == 0
    due_again()
    assert project.run("simcelery", "recover").returncode == 0
    assert len({*receiver.ids}) == 1
    assert len(receiver.ids) == (2 if point == "notify_sent" else 1)
    assert {one.body["states"]["succeeded"] for one in receiver.arrived} == {1}
    assert sql("SELECT state FROM jobs WHERE id = :id", id=never[0]) == [("pending",)]


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [True, False])
def test_a_client_that_is_killed_leaves_both_the_jobs_and_the_subscription_or_neither(
    project: Project, receiver: Receiver, recorded: bool
) -> None:
    point = "after_record" if recorded else "before_record_commit"
    words = ("submit", "--notify", receiver.url, "--", "true")
    assert project.run("simcelery", *words, SIMCELERY_FAILPOINTS=f"{point}=kill").returncode == -9
    assert sql("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM subscriptions)") == [
        (int(recorded), int(recorded))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("action", ["kill", "kill-parent"])
def test_real_workers_tell_even_if_one_or_its_courier_is_killed_after_sending(
    project: Project, receiver: Receiver, tmp_path: Any, action: str
) -> None:
    once = tmp_path / "once"
    once.mkdir()
    failing = {"SIMCELERY_FAILPOINTS": f"notify_sent={action}", "SIMCELERY_FAILPOINTS_ONCE": str(once)}
    for _ in range(1 + (action == "kill-parent")):
        project.worker("-c", "1", **failing)
    words = ("submit", "--notify", receiver.url, "--on", "done,first-failure", "--wait", "--", "true")
    done = project.run("simcelery", *words)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: receiver.arrived)
    wait_until(lambda: sql("SELECT 1 FROM notifications WHERE tries > 0"))
    wait_until(lambda: list(once.iterdir()))
    due_again()
    wait_until(lambda: listed()[0]["sent_at"])
    assert {*receiver.events} == {"done"}
    assert len({*receiver.ids}) == 1
    assert "secret" not in project.logs()


def test_the_command_line_shows_tests_and_removes(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted(receiver.url, on=("stalled", "done"))
    assert run(["notify", "-o", "json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["address"] == f"http://127.0.0.1:{receiver.port}/***"
    assert (found["events"], found["tags"], found["last"]) == (["done", "stalled"], ["oxides"], None)
    assert run(["notify", "test", receiver.url]) == 0
    assert receiver.arrived[0].body["event"] == "test"
    receiver.status = 503
    assert run(["notify", "test", receiver.url]) == 1
    assert "refused: the answer was 503" in capsys.readouterr().out
    assert run(["notify", "test", "http://no-such-host.invalid/secret"]) == 3
    assert run(["notify", "test", "file:///secret"]) == 2
    assert run(["notify", "remove", str(found["id"])]) == 0
    assert run(["notify", "remove", str(found["id"])]) == 2
    said = capsys.readouterr()
    assert "secret" not in said.out + said.err
    assert listed() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--notify", "echo done"), "a command runs only on your own machine: simcelery watch --exec"),
        (("--notify", "file:///etc/passwd"), "nothing is sent to file: addresses"),
        (("--notify", "https://example.org/x", "--on", "finished"), "there is no event"),
        (("--on", "done"), "--on says of what --notify tells: give --notify URL too"),
    ],
)
def test_submit_refuses_before_anything_is_written(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["submit", *words, "--", "true"]) == 2
    assert said in capsys.readouterr().err
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_prune_forgets_what_is_long_done(receiver: Receiver) -> None:
    cancel(*submitted(receiver.url), *submitted(receiver.url))
    submitted(receiver.url)
    assert tell() == (2, 2)
    oldest = min(row["id"] for row in listed())
    sql("UPDATE subscriptions SET done_at = now() - interval '2 h' WHERE id = :id", id=oldest)
    with engine.begin() as connection:
        assert subscriptions.forget(connection, 3600.0, 1000) == 1
    assert len(listed()) == 2


def test_a_job_file_may_say_who_is_told(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(f'command = ["true"]\nnotify = ["{receiver.url}"]\non = "done,stalled"\n')
    assert run(["submit", str(file)]) == 0
    assert [row["events"] for row in listed()] == [["done", "stalled"]]


def test_what_a_canary_holds_is_told_with_the_reason_and_again_after_a_release(receiver: Receiver) -> None:
    words = ("--grid", "n=1,2,3", "--canary", "1", "--notify", receiver.url, "--on", "held")
    assert run(["submit", *words, "--", "echo", "{n}"]) == 0
    assert tell() == (0, 0)  # they wait for it, and that is as it should be
    canary = sql("SELECT job_id FROM canaries")[0][0]
    me = any_worker(workflows=["command"])
    [(task_id,)] = sql("SELECT task_id FROM jobs WHERE id = :id", id=canary)
    finish(must_claim(task_id, me, workflow="command"), ERROR)
    assert tell() == (1, 1)
    assert tell() == (0, 0)
    assert tell() == (0, 0)
    told = receiver.arrived[0].body
    assert (told["event"], told["gate"]) == ("held", sql("SELECT id FROM gates")[0][0])
    assert f"held: canary {canary} failed: ValueError: boom" in told["text"]
    with engine.begin() as connection:
        transitions.retry(connection, [canary], by="test")
    tell()
    assert listed()[0]["held_at"] is None
    [(task_id,)] = sql("SELECT task_id FROM jobs WHERE id = :id", id=canary)
    finish(must_claim(task_id, me, workflow="command"), ERROR)
    assert tell() == (1, 1)


def test_a_mail_that_is_refused_is_tried_again_after_a_pause_and_arrives_once(
    mail_via: Callable[[str], None],
) -> None:
    with mailbox() as server:
        mail_via(f"smtp://127.0.0.1:{server.port}")
        server.answer = "550 not now"
        cancel(*submitted("mailto:me@example.org"))
        assert tell() == (1, 0)
        assert tell() == (0, 0)
        refused = [("the mail server refused it (SMTPDataError)", 1)]
        assert sql("SELECT error, tries FROM notifications") == refused
        server.answer = "250 OK"
        due_again()
        assert tell() == (0, 1)
        due_again()
        assert tell() == (0, 0)
        [mail] = server.arrived
    assert mail["Subject"] == "1 job of w (oxides): all have ended; 1 cancelled"


def test_a_mail_waits_for_a_server_that_is_down(mail_via: Callable[[str], None]) -> None:
    with mailbox() as server:
        mail_via(f"smtp://127.0.0.1:{server.port}")
    cancel(*submitted("mailto:me@example.org"))
    assert tell() == (1, 0)
    assert sql("SELECT error, sent_at, given_up_at FROM notifications") == [
        ("connection refused", None, None)
    ]
    with mailbox() as server:
        mail_via(f"smtp://127.0.0.1:{server.port}")
        due_again()
        assert tell() == (0, 1)
        assert len(server.arrived) == 1
