"""What a worker learns from the board: about its own jobs, and about the other workers."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from simcelery.board import engine, leases, quarantine
from simcelery.board.values import Account
from tests.board_helpers import cancel, finish, lapse, must_claim, record, registration, sql, worker

pytestmark = pytest.mark.usefixtures("board")


def accounts(worker_id: int, *job_ids: int) -> list[Account]:
    return leases.renew_and_ask(registration(worker_id), 600.0, job_ids=job_ids).accounts


def renew(worker_id: int, *succeeded: str) -> bool:
    with engine.begin() as connection:
        return leases.renew(connection, registration(worker_id), 600.0, succeeded=succeeded)


def succeeded_ago(worker_id: int, workflow: str, seconds: float) -> None:
    sql(
        """UPDATE workers SET succeeded = succeeded || jsonb_build_object(CAST(:workflow AS text),
        now() - make_interval(secs => :seconds)) WHERE id = :id""",
        id=worker_id,
        workflow=workflow,
        seconds=seconds,
    )


def test_accounts_hold_what_runs_here_and_what_was_asked_for_each_once() -> None:
    me, other = worker(), worker()
    mine = must_claim(record().task_id, me, pid=11)
    ended = must_claim(record().task_id, me, pid=12)
    finish(ended)
    theirs = must_claim(record().task_id, other, pid=13)
    never_claimed = record()
    cancel(mine.job_id)

    assert accounts(me) == [
        Account(mine.job_id, mine.task_id, mine.claim_id, 1, "running", 11, me, True)  # type: ignore[arg-type]
    ]
    found = accounts(me, mine.job_id, ended.job_id, theirs.job_id, never_claimed.id, 999_999)
    assert [(one.id, str(one.state), one.worker_id, one.cancel_requested) for one in found] == [
        (mine.job_id, "running", me, True),
        (ended.job_id, "succeeded", me, False),
        (theirs.job_id, "running", other, False),
    ]


def test_a_renewal_adds_to_the_successes_that_are_known() -> None:
    me = worker()
    renew(me, "a", "b")
    [(first,)] = sql("SELECT succeeded FROM workers")
    renew(me, "b", "b")
    renew(me)
    [(then, at)] = sql("SELECT succeeded, renewed_at FROM workers")
    assert set(first) == set(then) == {"a", "b"}
    assert then["a"] == first["a"] == first["b"] < then["b"] < at.isoformat()


def test_others_succeeded_looks_at_live_workers_out_of_quarantine_that_are_not_me() -> None:
    me, other = worker(), worker()

    def others(*workflows: str) -> bool:
        with engine.begin() as connection:
            return bool(quarantine.others_succeeded(connection, me, workflows, 60.0))

    renew(me, "a")
    assert not others("a")
    succeeded_ago(other, "a", 30.0)
    succeeded_ago(other, "old", 90.0)
    assert others("a")
    assert others("b", "a")
    assert not others("b")
    assert not others("old")
    assert not others()
    sql("UPDATE workers SET quarantined_at = now() WHERE id = :id", id=other)
    assert not others("a")
    sql("UPDATE workers SET quarantined_at = NULL")
    lapse(other, ago=0.0)
    assert not others("a")
    renew(other, "b")
    assert others("b")


def test_a_renewal_does_not_wait_for_the_disk_and_what_comes_after_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    execute = psycopg.ClientCursor.execute

    def spy(cursor: Any, words: Any, *rest: Any) -> Any:
        sent.append(words)
        return execute(cursor, words, *rest)

    me = registration(worker())
    monkeypatch.setattr(psycopg.ClientCursor, "execute", spy)
    assert leases.renew_and_ask(me, 60.0).known
    assert ["synchronous_commit = off" in words for words in sent] == [True]
    assert sql("SHOW synchronous_commit") == [("on",)]
