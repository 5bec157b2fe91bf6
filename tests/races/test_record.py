"""What a submission puts on the board: alone, by INSERT and by COPY, with ids, times, parents and keys."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from simcelery.board import asking, copying, engine, submitting, transitions
from simcelery.board.states import State
from simcelery.board.values import NewJob, Recorded
from simcelery.errors import StateError
from simcelery.needs import Needs
from tests.board_helpers import (
    ERROR,
    finish,
    must_claim,
    new_job,
    record,
    row,
    settle,
    sql,
    state,
    sweep,
    worker,
)
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")

COPIED = 200
SOON = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
ALL = {
    "parameters": {"x": [1.5, None, 'a\t"b"\\']},
    "queue": "fast",
    "priority": 7,
    "max_attempts": 3,
    "max_losses": 2,
    "tags": ("a b", 'c"d', "e\\f"),
    "version": "2",
    "time_limit": 60.0,
    "soft_time_limit": 50.0,
}


def record_all(*jobs: NewJob, **options: Any) -> list[Recorded]:
    with engine.begin() as connection:
        return transitions.record(connection, jobs, **options)


def filled(recorded: list[Recorded] | Recorded) -> list[Any]:
    """The first row, but for what is its own."""
    first = recorded if isinstance(recorded, Recorded) else recorded[0]
    own = ("id", "task_id", "submitted_at", "fingerprint")
    [found] = sql("SELECT to_jsonb(jobs) FROM jobs WHERE id = :id", id=first.id)
    return [(name, value) for name, value in found[0].items() if name not in own]


# --- three ways ------------------------------------------------------------------------------------


def test_a_row_is_the_same_whichever_way_it_came() -> None:
    parent = record()
    alone = filled(transitions.record_alone(new_job(**ALL, parent_id=parent.id)))
    assert dict(alone)["parameters"] == ALL["parameters"]
    assert dict(alone)["tags"] == list(ALL["tags"])
    assert filled(record_all(new_job(**ALL, parent_id=parent.id))) == alone
    many = [new_job(**ALL, parent_id=parent.id) for _ in range(COPIED)]
    assert filled(record_all(*many)) == alone
    plain = [new_job(**ALL, parent_id=parent.id) for _ in range(2)]
    with asking.to_write() as connection:
        recorded = submitting.record_plain(connection, plain)
    assert filled(recorded) == alone
    assert [row(one.id).task_id for one in recorded] == [job.task_id for job in plain]


def test_what_jobs_need_is_recorded_of_one_and_of_many() -> None:
    needing = {**ALL, "needs": Needs(cores=4, memory=2**30)}
    alone = filled(record_all(new_job(**needing)))
    assert dict(alone)["needs_id"] is not None
    assert filled(record_all(*(new_job(**needing) for _ in range(COPIED)))) == alone


@pytest.mark.parametrize("text", ["\n", "\r", "\t", "\r\n", "\\", r"\n", r"\\N", "é\u2028"])
def test_no_character_ends_a_cell_or_a_line(text: str) -> None:
    many = [new_job(tags=(f"a{text}b",)) for _ in range(COPIED)]
    assert list(row(record_all(*many)[-1].id).tags) == [f"a{text}b"]


def test_what_is_recorded_as_published_says_so() -> None:
    for published in (False, True):
        recorded = transitions.record_alone(new_job(), published=published)
        assert recorded.published is published
        [(at, count)] = sql(
            "SELECT published_at = submitted_at, publish_count FROM jobs ORDER BY id DESC LIMIT 1"
        )
        assert (bool(at), count) == (published, int(published))


def test_parameters_that_were_written_as_text_are_not_written_again() -> None:
    job = new_job(parameters={"x": 1}, parameters_json='{"x": 2}')
    assert row(transitions.record_alone(job).id).parameters == {"x": 2}
    many = [new_job(parameters={"x": 1}, parameters_json='{"x": 2}') for _ in range(COPIED)]
    assert row(record_all(*many)[-1].id).parameters == {"x": 2}


def test_each_copied_row_has_the_values_of_its_own_job() -> None:
    recorded = record_all(*(new_job(priority=n % 3, parameters={"n": n}) for n in range(COPIED)))
    assert sql("SELECT id, priority, (parameters->>'n')::int FROM jobs ORDER BY id") == [
        (one.id, n % 3, n) for n, one in enumerate(recorded)
    ]


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"id": 5}, False),
        ({"idempotency_key": "k"}, False),
        ({"parents": [1]}, False),
        ({"delay": 1.0}, False),
        ({"run_at": SOON}, False),
    ],
    ids=lambda given: next(iter(given), "plain") if isinstance(given, dict) else "",
)
def test_who_may_be_recorded_alone(changes: dict[str, Any], may: bool) -> None:
    assert transitions.may_be_alone(new_job(**changes)) is may


def test_a_job_that_waits_for_nothing_costs_two_statements() -> None:
    """One for its id, and one for its row."""
    asked: list[str] = []
    with engine.begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda _, __, words, *___: asked.append(words))
        transitions.record(connection, [new_job()])
    assert ["INSERT" in words for words in asked] == [False, True]


def test_rows_are_copied_in_pieces_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = psycopg.Copy.write
    monkeypatch.setattr(copying, "_AT_ONCE", 2000)
    monkeypatch.setattr(
        psycopg.Copy, "write", lambda copy, text: (written.append(len(text)), write(copy, text))
    )
    record_all(*(new_job(parameters={"n": n}) for n in range(COPIED)))
    assert sql("SELECT count(DISTINCT parameters->>'n') FROM jobs") == [(COPIED,)]
    assert len(written) > 5
    assert max(written) < 2500


# --- ids and times ---------------------------------------------------------------------------------


def test_ids_that_are_given_are_kept_and_others_are_fresh() -> None:
    with engine.begin() as connection:
        mine = transitions.allocate_ids(connection, 2)
        recorded = transitions.record(
            connection, [new_job(id=mine[0]), new_job(), new_job(id=mine[1])], on_failed="retry"
        )
    assert [recorded[0].id, recorded[2].id] == mine
    assert recorded[1].id > mine[1]
    assert [one.id for one in sql("SELECT id FROM jobs ORDER BY id")] == sorted(one.id for one in recorded)


@pytest.mark.parametrize("many", [1, COPIED], ids=["insert", "copy"])
def test_who_has_a_time_waits_for_it(many: int) -> None:
    assert record_all(*(new_job(run_at=SOON) for _ in range(many)))[0].state == "scheduled"
    assert sql("SELECT DISTINCT state, run_at FROM jobs") == [("scheduled", SOON)]


def test_a_time_that_has_passed_is_no_reason_to_wait() -> None:
    assert [record(run_at=PAST).state, record(delay=3600.0).state] == ["pending", "scheduled"]
    [(passed,), (ahead,)] = sql(
        "SELECT extract(epoch FROM run_at - submitted_at)::float FROM jobs ORDER BY id"
    )
    assert passed < 0
    assert 3590 < ahead < 3610


def test_who_has_a_time_and_parents_waits_for_the_parents_first() -> None:
    parent = record()
    child, other = record_all(new_job(run_at=SOON, parents=[parent.id]), new_job(run_at=SOON))
    assert [child.state, other.state] == [State.BLOCKED, State.SCHEDULED]
    assert sql("SELECT job_id, parent_id FROM dependencies") == [(child.id, parent.id)]


# --- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [1, COPIED], ids=["insert", "copy"])
def test_of_jobs_with_and_without_a_key_only_those_whose_key_is_taken_are_found(many: int) -> None:
    first = record(idempotency_key="k", workflow="w")
    jobs = [new_job() for _ in range(many)]
    *plain, fresh, known = record_all(*jobs, new_job(idempotency_key="n"), new_job(idempotency_key="k"))
    assert {one.how for one in plain} == {"new"}
    assert [one.task_id for one in plain] == [job.task_id for job in jobs]
    assert (fresh.how, known) == ("new", Recorded(first.id, first.task_id, "existing"))
    assert sql("SELECT count(*) FROM jobs") == [(many + 2,)]


def test_a_job_that_is_found_gets_no_other_parents() -> None:
    parent = record()
    record(idempotency_key="k")
    record_all(new_job(idempotency_key="k", parents=[parent.id]), new_job(parents=[parent.id]))
    assert sql("SELECT count(*) FROM dependencies") == [(1,)]


def test_a_key_belongs_to_one_workflow() -> None:
    first = record(idempotency_key="k")
    with pytest.raises(StateError, match=f"job {first.id} of w already has this key: choose another"):
        record(idempotency_key="k", workflow="other")


def test_who_is_found_failed_is_retried_with_its_failed_parents() -> None:
    me = worker()
    parent = record()
    child = record(parents=[parent.id], idempotency_key="k")
    live = record(idempotency_key="l")
    finish(must_claim(parent.task_id, me), ERROR)
    settle()
    found = record_all(new_job(idempotency_key="k"), new_job(idempotency_key="l"))
    assert [(one.id, one.how) for one in found] == [(child.id, "retried"), (live.id, "existing")]
    assert [state(parent.id), state(child.id)] == ["pending", "blocked"]


def test_only_one_that_did_not_succeed_is_refused() -> None:
    good = record(idempotency_key="k")
    finish(must_claim(good.task_id, worker()))
    [found] = record_all(new_job(idempotency_key="k"), on_failed="error")
    assert (found.id, found.how) == (good.id, "existing")


@pytest.mark.parametrize(("dedupe", "what"), [(False, "key"), (True, "parameters")])
def test_who_is_refused_is_told_what_is_the_same(dedupe: bool, what: str) -> None:
    first = record(idempotency_key="k", parameters={"x": 1})
    finish(must_claim(first.task_id, worker()), ERROR)
    again = new_job(idempotency_key="l" if dedupe else "k", parameters={"x": 1}, dedupe=dedupe)
    with pytest.raises(StateError, match=f"^job {first.id} has the same {what} and is failed: retry it"):
        record_all(again, on_failed="error")


def test_a_holder_that_is_pruned_while_it_is_looked_up_leaves_its_key_and_the_others_stay_found() -> None:
    stays, goes = record(idempotency_key="k"), record(idempotency_key="l")

    def prune(_: object, __: object, words: str, *___: object) -> None:
        if words.startswith("SELECT jobs.idempotency_key"):
            sql("DELETE FROM jobs WHERE id = :id", id=goes.id)

    with engine.begin() as connection:
        event.listen(connection, "before_cursor_execute", prune)
        found, fresh = transitions.record(
            connection, [new_job(idempotency_key="k"), new_job(idempotency_key="l")]
        )
    assert (found.id, found.how, fresh.how) == (stays.id, "existing", "new")
    assert sql("SELECT id, idempotency_key FROM jobs ORDER BY id") == [(stays.id, "k"), (fresh.id, "l")]


@pytest.mark.parametrize("many", [3, COPIED], ids=["insert", "copy"])
def test_keys_are_taken_in_their_order_whatever_the_order_of_the_jobs(many: int) -> None:
    """So two submissions of the same keys wait for each other in one direction only."""
    keys = [f"{n:03}" for n in range(many)]
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as first:
            transitions.record(first, [new_job(idempotency_key=keys[0])])
            waits = pool.submit(record_all, *(new_job(idempotency_key=key) for key in reversed(keys)))
            wait_until(lambda: bool(sql("SELECT FROM pg_locks WHERE NOT granted")), every=0.01)
            last = pool.submit(record, idempotency_key=keys[-1])
            assert last.result(within(3)).how == "new"  # whoever waits for the first has not taken it
        assert [one.how for one in waits.result(within(10))] == [
            "existing",
            *["new"] * (many - 2),
            "existing",
        ]


@pytest.mark.parametrize("count", [2, COPIED])
def test_all_jobs_of_a_sweep_are_behind_its_gate(count: int) -> None:
    made = sweep(count)
    assert sql("SELECT count(*) FROM jobs JOIN gates ON gates.id = gate_id") == [(len(made),)]


def test_the_source_of_a_workflow_is_noted_when_it_changes() -> None:
    def note(source: str, who: str) -> list[tuple[str, str, str]]:
        submitting.note_source("w", source, who)
        return [tuple(one) for one in sql("SELECT workflow, source, submitted_by FROM submitted_sources")]

    assert note("a", "me@here") == [("w", "a", "me@here")]
    assert note("a", "you@there") == [("w", "a", "me@here")]
    assert note("b", "you@there") == [("w", "b", "you@there")]
