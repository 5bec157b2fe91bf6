"""How long jobs take is learned from those that have succeeded."""

from __future__ import annotations

from typing import Any

import pytest

from simcelery.board import durations, engine
from simcelery.board.reads import Filter, estimates, summaries
from simcelery.maintenance import learn
from tests.board_helpers import sql

pytestmark = pytest.mark.usefixtures("board")

SUCCESSES = (
    "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,"
    " submitted_by, tags, started_at, finished_at, attempt)"
    " SELECT gen_random_uuid(), :workflow, '{}', :state, 'default', 4, 1, 5, 'test', :tags,"
    " now() - make_interval(secs => :ago + took), now() - make_interval(secs => :ago), 1"
    " FROM generate_series(1, :number), (VALUES (CAST(:took AS double precision))) AS t (took)"
)


@pytest.fixture(autouse=True)
def catalogue(board: object) -> None:
    for name in ("w", "other"):
        sql(
            "INSERT INTO workflows (name, parameters, options, queue, version) "
            "VALUES (:name, '{}', '{}', 'default', '1')",
            name=name,
        )


def ended(took: float, number: int = 1, *tags: str, ago: float = 100.0, **about: str) -> None:
    values = {"state": "succeeded", "workflow": "w"} | about
    sql(SUCCESSES, took=took, number=number, ago=ago, tags=list(tags), **values)


def learned() -> dict[tuple[str, ...], tuple[int, float]]:
    learn.tick()
    rows = sql("SELECT workflow, tags, successes, p90 FROM durations WHERE p90 IS NOT NULL")
    return {(row.workflow, *row.tags): (row.successes, row.p90) for row in rows}


def test_of_too_few_successes_nothing_is_said() -> None:
    ended(10, durations.LEAST - 1)
    ended(10, 100, state="failed")
    ended(10, 100, workflow="in no catalogue")
    assert learned() == {}
    ended(10)
    assert learned() == {("w",): (durations.LEAST, 10)}


def test_only_the_last_200_successes_count() -> None:
    ended(1000, 300, ago=5000)
    ended(10, 150)
    ended(20, 50, ago=50)
    ended(7, 5, workflow="other")
    assert learned() == {("w",): (200, 20), ("other",): (5, 7)}


def test_jobs_with_the_same_tags_are_looked_at_by_themselves() -> None:
    ended(300, 50, "sweep", "large")
    ended(30, 50, "sweep", "small")
    ended(1, 4, "rare")
    ended(5, 10)
    assert learned() == {
        ("w",): (114, 300),
        ("w", "sweep", "large"): (50, 300),
        ("w", "sweep", "small"): (50, 30),
    }


def test_what_is_known_of_tags_stays_where_none_of_them_is_among_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(durations, "_LOOKED_AT", 20)
    ended(300, 10, "large")
    learned()
    ended(30, 20, "small", ago=50)
    assert learned() == {("w",): (20, 30), ("w", "large"): (10, 300), ("w", "small"): (20, 30)}
    sql("UPDATE durations SET newest_at = newest_at - interval '91 days'")
    assert set(learned()) == {("w",), ("w", "small")}


def test_only_workflows_with_new_successes_are_looked_at() -> None:
    ended(10, 5)
    ended(10, 5, workflow="other")
    assert learn.tick() == 2
    assert learn.tick() == 0
    ended(20, 1, ago=50)
    assert learn.tick() == 1
    assert learned()["w",] == (6, 15)


def test_many_workflows_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "_WORKFLOWS", 1)
    ended(10, 5)
    ended(10, 5, workflow="other")
    assert [learn.tick() for _ in range(3)] == [1, 1, 0]


def test_workflows_with_too_few_successes_do_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "_WORKFLOWS", 1)
    ended(10, 1, workflow="other")
    ended(10, 5)
    assert [learn.tick() for _ in range(3)] == [0, 1, 0]
    ended(10, 3, workflow="other", ago=50)
    assert [learn.tick() for _ in range(2)] == [0, 0]
    ended(10, 1, workflow="other", ago=20)
    assert learned() == {("w",): (5, 10), ("other",): (5, 10)}


def test_what_is_known_stays_where_too_few_successes_are_left_on_the_board() -> None:
    ended(10, 5)
    learned()
    sql("DELETE FROM jobs")
    ended(20, 4, ago=50)
    assert learned() == {("w",): (5, 10)}


def test_the_median_is_noted_beside_it() -> None:
    ended(10, 4)
    ended(1000, 1)
    learned()
    assert sql("SELECT median FROM durations") == [(10,)]


def test_a_job_that_went_on_in_another_took_as_long_as_its_own_attempt() -> None:
    ended(1000, 5)
    sql(
        "INSERT INTO attempts (job_id, attempt, claim_id, outcome, worker_id, pid, started_at, finished_at) "
        "SELECT id, 1, gen_random_uuid(), 'succeeded', 1, 1, started_at, started_at + interval '10 s' "
        "FROM jobs"
    )
    assert learned() == {("w",): (5, 10)}
    with engine.begin() as connection:
        assert estimates.usual(connection, ["w"]) == {"w": estimates.Usual(5, 10, 10)}
        [times] = summaries.times(connection, Filter(), 86_400.0, 100)
    assert times.running == summaries.Spread(10, 10, 10)


def test_two_that_learn_at_once_agree() -> None:
    ended(10, 5)
    with engine.begin() as connection:
        assert durations.learn(connection) == 1
    assert learned() == {("w",): (5, 10)}


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    ended(-30, 5)
    assert learned() == {("w",): (5, 0)}


def test_recover_says_what_was_learned(capsys: pytest.CaptureFixture[str]) -> None:
    from simcelery.cli.root import run

    ended(10, 5)
    assert run(["recover"]) == 0
    assert "learn 1 workflows looked at" in " ".join(capsys.readouterr().out.split())
    found: Any = sql("SELECT count(*) FROM durations")
    assert found == [(1,)]
