"""`explain` of many jobs: each reason with the number of jobs that it is about."""

from __future__ import annotations

import json
from typing import Any

import pytest

import simcelery
from simcelery.board import engine, transitions
from simcelery.cli.root import run
from simcelery.describe.sweep import Cause
from tests.board_helpers import AGAIN, ERROR, cancel, finish, must_claim, new_job, record, settle, sql
from tests.board_helpers import worker as any_worker

pytestmark = pytest.mark.usefixtures("board")


def worker(**changes: Any) -> int:
    return any_worker(**({"workflows": ["w"]} | changes))


def many(number: int, **changes: Any) -> list[int]:
    with engine.begin() as connection:
        jobs = transitions.record(connection, [new_job(tags=["oxides"], **changes) for _ in range(number)])
    return [job.id for job in jobs]


def told() -> dict[str, Cause]:
    """The reasons for the jobs with the tag, by their codes."""
    found = simcelery.jobs(tags=["oxides"]).explain()
    assert len({reason.code for reason in found.reasons}) == len(found.reasons)
    return {reason.code: reason for reason in found.reasons}


def test_who_waits_for_a_slot_hears_how_many_there_are_and_for_how_long() -> None:
    worker(concurrency=12, queues=["cpu"])
    worker(concurrency=4, queues=["cpu", "other"])
    worker(concurrency=100, queues=["cpu"], workflows=["another"])
    many(300, queue="cpu")
    record(queue="cpu")  # without the tag
    reason = told()["queue"]
    assert reason.jobs == 300
    assert reason.text == (
        "300 jobs wait for 16 slots on queue 'cpu' (none of them finished in the last hour, so nobody knows "
        "for how long); 16 slots are free"
    )
    # 30 have finished, half a minute each: at one per second the other 270 take 4 and a half minutes.
    sql(
        "WITH ran AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM jobs LIMIT 30)"
        " UPDATE jobs SET state = 'succeeded', started_at = now() - make_interval(secs => 90 - n),"
        " finished_at = now() - make_interval(secs => 60 - n) FROM ran WHERE jobs.id = ran.id"
    )
    found = told()
    assert (found["queue"].jobs, found["succeeded"].jobs) == (270, 30)
    assert "(about 8m51s at the last hour's rate)" in found["queue"].text  # 30 in 59 s


def test_each_queue_has_its_own_rate() -> None:
    worker(concurrency=1, queues=["cpu"])
    worker(concurrency=2, queues=["gpu"])
    many(3, queue="cpu")
    done = many(9, queue="gpu")
    sql(
        "UPDATE jobs SET state = 'succeeded', started_at = now() - interval '60 s',"
        " finished_at = now() - interval '30 s' WHERE id = ANY (:ids)",
        ids=done[:6],
    )
    texts = [reason.text for reason in simcelery.jobs(tags=["oxides"]).explain().reasons]
    assert any(
        "3 jobs wait for 1 slot on queue 'cpu' (about 1m30s on 1 slot, by the last 6 successes)" in text
        for text in texts
    )
    assert any("3 jobs wait for 2 slots on queue 'gpu' (about 15s at" in text for text in texts)


def test_what_no_live_worker_can_run_is_told_by_queue_and_workflow() -> None:
    many(200, queue="gpu")
    many(3, queue="gpu", workflow="other")
    found = told()
    assert (found["no_worker"].jobs, list(found)) == (203, ["no_worker"])
    assert "no live worker serves queue 'gpu' (203 pending jobs)" in found["no_worker"].text
    assert "-Q gpu" in found["no_worker"].advice
    me = worker(queues=["gpu"])
    assert told()["unknown_workflow"].jobs == 3
    sql("UPDATE workers SET quarantined_at = now() WHERE id = :id", id=me)
    assert told()["quarantine"].jobs == 200


def test_what_depends_on_failures_names_the_jobs_at_the_root() -> None:
    me = worker()
    roots = [record() for _ in range(4)]
    middle = [record(parents=[root.id]) for root in roots]
    many(400, parents=[job.id for job in middle[:3]])
    many(12, parents=[roots[3].id])
    for root in roots[:2]:
        finish(must_claim(root.task_id, me), ERROR)
    cancel(roots[2].id)
    settle()
    found = told()
    assert found["parent_failed"].jobs == 400
    assert found["parent_failed"].text.endswith(f"3 jobs ({roots[0].id}-{roots[2].id}) did not succeed")
    assert found["parent_failed"].advice == f"simcelery retry {roots[0].id}-{roots[2].id}"
    assert (found["parents"].jobs, found["parents"].text) == (12, f"12 jobs wait for job {roots[3].id}")


def test_what_waits_for_its_time_is_told_apart_from_what_failed_before() -> None:
    me = worker()
    many(5, delay=7000.0)
    for number in many(2, max_attempts=2):
        task_id = simcelery.get_job(number).task_id
        finish(must_claim(task_id, me), AGAIN)
    sql("UPDATE jobs SET run_at = now() + interval '3 h' WHERE attempt > 0")
    found = told()
    assert (found["run_at"].jobs, found["backoff"].jobs) == (5, 2)
    assert "the first is due in 2 h" in found["run_at"].text
    assert "the first is due in 3 h" in found["backoff"].text


def test_it_says_what_the_command_line_says(capsys: pytest.CaptureFixture[str]) -> None:
    worker(concurrency=1)
    ids = many(3)
    cancel(ids[0])
    found = simcelery.jobs(tags=["oxides"]).explain()
    assert run(["explain", "-t", "oxides"]) == 0
    printed = capsys.readouterr().out
    assert printed == f"{found}\n"
    assert printed.startswith("3 jobs: 2 pending, 1 cancelled\n")
    assert run(["explain", f"{ids[0]}-{ids[2]}", "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["jobs"], shown["states"]) == (3, {"pending": 2, "cancelled": 1})
    assert [(one["code"], one["jobs"], one["text"]) for one in shown["reasons"]] == [
        (one.code, one.jobs, one.text) for one in found.reasons
    ]
    assert run(["explain", "-t", "oxides", "-o", "quiet"]) == 0
    assert capsys.readouterr().out.split() == ["queue", "cancelled"]
    assert run(["explain", "-t", "oxides", "-n", "1"]) == 0
    assert capsys.readouterr().out.startswith("1 job: ")
    assert run(["explain", "-t", "nothing"]) == 0
    assert capsys.readouterr().out == "no job matches\n"


def test_without_ids_and_filters_it_asks_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 2
    assert "which jobs to explain?" in capsys.readouterr().err
