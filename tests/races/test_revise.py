"""Jobs that are retried with other parameters, against whatever else happens to them."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

import simcelery
from simcelery import Job, get_job
from simcelery.board import engine, fingerprints, retention, transitions
from simcelery.board.states import Outcome
from simcelery.board.values import Claim, EndedAttempt
from simcelery.errors import JobNotFoundError, ParametersError, SimceleryError, StateError
from simcelery.services import Services
from simcelery.submission import actions, revising
from simcelery.worker.context import CurrentJob
from simcelery.workflows.encoding import JobRef
from tests.board_helpers import (
    ERROR,
    LOST,
    SUCCESS,
    attempts,
    cancel,
    finish,
    must_claim,
    record,
    registration,
    row,
    settle,
    sql,
    state,
    worker,
)
from tests.conftest import Project
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")


@simcelery.workflow(name="relaxation")
def relaxation(fmax: float = 0.05, kpts: list[int] | None = None, start: Any = None) -> float:
    return fmax


@simcelery.workflow(name="other", version="7")
def other(steps: int = 1) -> int:
    return steps


def run(job: Job, me: int, report: EndedAttempt = ERROR) -> Claim:
    """One attempt from its claim to its end."""
    claimed = must_claim(job.task_id, me, workflow=job.workflow)
    finish(claimed, report)
    return claimed


def failed(**parameters: Any) -> Job:
    """A job that has failed once."""
    job = relaxation.submit(**parameters)
    run(job, worker())
    return job


def parameters(job: Job) -> dict[str, Any]:
    return row(job.id).parameters


def test_each_attempt_keeps_what_it_ran_with() -> None:
    job, me = failed(fmax=0.05), worker()
    job.retry(set={"fmax": 0.02})
    run(job, me)
    job.retry()
    run(job, me)
    job.retry(set={"kpts": [4, 4, 4]})
    run(job, me, SUCCESS)
    had = [(one["attempt"], one["parameters"]) for one in job.attempts()]
    assert [(number, given["fmax"], given["kpts"]) for number, given in had] == [
        (1, 0.05, None),
        (2, 0.02, None),
        (3, 0.02, None),
        (4, 0.02, [4, 4, 4]),
    ]
    assert parameters(job) == {"fmax": 0.02, "kpts": [4, 4, 4], "start": None}
    assert sql("SELECT revision, last_attempt, revised_by <> '' FROM revisions ORDER BY 1") == [
        (1, 1, True),
        (2, 3, True),
    ]


def test_what_no_attempt_ran_with_is_kept_as_well() -> None:
    job = failed(fmax=0.05)
    for fmax in (0.02, 0.03):
        job.retry(set={"fmax": fmax})
        cancel(job.id)
    job.retry()
    run(job, worker())
    assert [one["parameters"]["fmax"] for one in job.attempts()] == [0.05, 0.03]
    kept = sql("SELECT revision, last_attempt, parameters->'fmax' FROM revisions ORDER BY 1")
    assert kept == [(1, 1, 0.05), (2, 1, 0.02)]


def test_a_retry_without_a_difference_is_a_plain_one() -> None:
    job = failed(fmax=0.05)
    job.retry(set={"fmax": 0.05})
    assert state(job.id) == "pending"
    assert sql("SELECT count(*) FROM revisions") == [(0,)]


def test_parameters_that_are_not_named_stay_bit_by_bit() -> None:
    job = failed(start="out.dat")
    sql("UPDATE jobs SET parameters = parameters || '{\"start\": 0.1000000000000000055511151231257827}'")
    job.retry(set={"fmax": 0.02})
    assert sql("SELECT parameters->>'start' FROM jobs") == [("0.1000000000000000055511151231257827",)]


@pytest.mark.parametrize("given_up", ["failed", "cancelled"])
def test_a_late_success_with_the_old_parameters_is_never_the_result_of_the_new_ones(given_up: str) -> None:
    job, me = relaxation.submit(fmax=0.05, max_losses=0), worker()
    zombie = must_claim(job.task_id, me, workflow=job.workflow)
    if given_up == "cancelled":
        cancel(job.id)
    finish(zombie, LOST)
    assert state(job.id) == given_up
    job.retry(set={"fmax": 0.02})
    late = EndedAttempt(outcome=Outcome.SUCCEEDED, result="wrong", job_id=job.id)
    late = late.of(zombie)
    assert finish(zombie, late) is None
    assert transitions.finish_at_once([late]) == []
    with engine.begin() as connection:
        by_child = transitions.by_child(job.task_id, registration(me), 100)
        assert transitions.finish(connection, by_child, late) is None
        assert transitions.note_late(connection, job.task_id, zombie.claim_id, late)
    assert (state(job.id), row(job.id).result) == ("pending", None)
    run(job, worker(), SUCCESS)
    assert finish(zombie, late) is None
    assert row(job.id).result == 1
    assert attempts(job.id)[0]["late_outcome"]["result"] == "wrong"


def test_without_a_revision_a_late_success_still_counts() -> None:
    job, me = relaxation.submit(max_losses=0), worker()
    zombie = must_claim(job.task_id, me, workflow=job.workflow)
    finish(zombie, LOST)
    job.retry()
    assert finish(zombie, SUCCESS) is not None
    assert state(job.id) == "succeeded"


def test_what_was_saved_with_the_old_parameters_is_not_gone_on_from() -> None:
    job = relaxation.submit()
    claimed = must_claim(job.task_id, worker(), workflow=job.workflow)
    attempt = CurrentJob(claimed)
    attempt.checkpoint({"step": 7})
    attempt.step("scf", relaxation, 0.05)
    finish(claimed, ERROR)
    job.retry(set={"fmax": 0.02})
    again = CurrentJob(must_claim(job.task_id, worker(), workflow=job.workflow))
    assert again.last_checkpoint is None
    assert job.steps() == []


def test_a_revision_that_waits_for_a_fallen_dependent_holds_no_job_with_a_greater_id(board: Services) -> None:
    me = worker()
    top = relaxation.submit()
    child, last = relaxation.submit(start=top), relaxation.submit()
    run(top, me)
    run(last, me)
    settle()
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [child.id])
        done = pool.submit(simcelery.jobs(ids=[top.id, last.id]).retry, set={"fmax": 0.02})
        try:
            wait_until(lambda: bool(sql("SELECT FROM pg_locks WHERE NOT granted")), every=0.01)
            holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE NOWAIT", [last.id])
        finally:
            holder.rollback()
        assert done.result(within(20)) == 3


def test_two_retries_with_different_values_at_once_one_wins_whole() -> None:
    jobs = [failed(fmax=0.05, start=n) for n in range(20)]
    start = threading.Barrier(2)

    def tries(fmax: float) -> int:
        start.wait()
        return simcelery.jobs(workflow="relaxation").retry(set={"fmax": fmax, "kpts": [round(100 * fmax)]})

    with ThreadPoolExecutor(2) as pool:
        back = list(pool.map(tries, (0.02, 0.03)))
    assert sorted(back) == [0, 20]
    won = 0.02 if back[0] else 0.03
    assert [parameters(job) for job in jobs] == [
        {"fmax": won, "kpts": [round(100 * won)], "start": n} for n in range(20)
    ]
    assert sql("SELECT count(*) FROM revisions") == [(20,)]


def test_what_somebody_else_has_revised_meanwhile_is_not_undone() -> None:
    job, me = failed(fmax=0.05), worker()
    planned = revising.plan([job.id], {"kpts": [4]})
    unchanged = revising.plan([job.id], {"fmax": 0.05})
    job.retry(set={"fmax": 0.02})
    run(job, me)
    for stale in (planned, unchanged):
        with pytest.raises(StateError, match=f"given job {job.id} other parameters: nothing was changed"):
            actions.retry([job.id], revisions=stale)
    assert (state(job.id), parameters(job)["fmax"], parameters(job)["kpts"]) == ("failed", 0.02, None)


def test_a_job_that_ends_while_the_change_is_planned_does_not_go_back_as_it_was() -> None:
    job, me = relaxation.submit(fmax=0.05), worker()
    claimed = must_claim(job.task_id, me, workflow=job.workflow)
    planned = revising.plan([job.id], {"fmax": 0.02})
    finish(claimed, ERROR)
    assert actions.retry([job.id], revisions=planned) == []
    with pytest.raises(StateError, match=f"job {job.id} has only just ended: nothing was changed"):
        actions.retry([job.id], revisions=planned, strict=True)
    assert (state(job.id), parameters(job)["fmax"]) == ("failed", 0.05)


def test_many_old_parents_are_given_up_at_once() -> None:
    parents = relaxation.submit_many([{"start": n} for n in range(40)])
    sql("UPDATE jobs SET state = 'succeeded', finished_at = now(), result = '1'")
    jobs = relaxation.submit_many([{"start": list(parents), "fmax": n} for n in range(40)])
    sql("UPDATE jobs SET state = 'failed', finished_at = now() WHERE id >= :first", first=jobs[0].id)
    assert simcelery.jobs(ids=jobs.ids).retry(set={"start": [parents[0]]}) == 40
    edges = sql("SELECT count(*), min(parent_id), max(parent_id) FROM dependencies")
    assert edges == [(40, parents[0].id, parents[0].id)]
    assert {state(job.id) for job in jobs[:3]} == {"pending"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"fmx": 1}, "there is no parameter 'fmx'; did you mean 'fmax'?"),
        ({"fmax": "tight"}, "parameter 'fmax'"),
        ({"kpts": [1, 2.5]}, "parameter 'kpts'"),
        ({"start": {1, object()}}, "start"),
        ([("fmax", 1)], "set takes new values by the names of parameters"),
    ],
)
def test_a_value_that_does_not_fit_changes_nothing(values: Any, said: str) -> None:
    job = failed()
    with pytest.raises(SimceleryError, match=said) as refused:
        job.retry(set=values)
    assert "\n" not in str(refused.value)
    assert state(job.id) == "failed"
    assert sql("SELECT count(*) FROM revisions") == [(0,)]


def test_a_job_of_another_workflow_keeps_all_from_being_retried() -> None:
    first, second = failed(), other.submit()
    run(second, worker())
    with pytest.raises(
        ParametersError, match=rf"job {second.id}: other: there is no parameter 'fmax'.*nothing was"
    ):
        simcelery.jobs(state="failed").retry(set={"fmax": 0.02})
    assert [state(job.id) for job in (first, second)] == ["failed", "failed"]
    assert simcelery.jobs(state="failed", workflow="relaxation").retry(set={"fmax": 0.02}) == 1


@pytest.mark.parametrize("how", ["running", "succeeded", "pending"])
def test_what_a_retry_refuses_stays_refused(how: str) -> None:
    job, me = relaxation.submit(), worker()
    if how != "pending":
        claimed = must_claim(job.task_id, me, workflow=job.workflow)
    if how == "succeeded":
        finish(claimed, SUCCESS)
    with pytest.raises(StateError, match=f"job {job.id} is {how}: only failed"):
        job.retry(set={"fmax": 0.02})
    assert simcelery.jobs(ids=[job.id]).retry(set={"fmax": 0.02}) == 0
    assert parameters(job)["fmax"] == 0.05


def test_descendants_come_back_and_keep_their_parameters() -> None:
    top = relaxation.submit()
    child = relaxation.submit(start=top)
    run(top, worker())
    settle()
    assert simcelery.jobs(ids=[top.id]).retry(set={"fmax": 0.02}) == 2
    assert (state(child.id), parameters(child)["fmax"]) == ("blocked", 0.05)


def test_the_result_of_another_job_becomes_a_dependency_and_an_old_one_ends() -> None:
    bad, good, me = relaxation.submit(), relaxation.submit(), worker()
    child = relaxation.submit(start=bad, after=[good])
    run(bad, me)
    settle()
    newer = relaxation.submit(fmax=0.01)
    with pytest.raises(StateError, match=f"job {child.id} depends on job {bad.id}, which did not succeed"):
        child.retry(set={"fmax": 0.02})
    child.retry(set={"start": [newer]})
    assert parameters(child) == {"fmax": 0.05, "kpts": None, "start": [{"$job": newer.id}]}
    edges = sql("SELECT parent_id FROM dependencies WHERE job_id = :id ORDER BY 1", id=child.id)
    assert [parent for (parent,) in edges] == [good.id, newer.id]
    assert (state(child.id), row(child.id).unmet) == ("blocked", 2)
    run(good, me, SUCCESS)
    run(newer, me, SUCCESS)
    assert state(child.id) == "pending"


def test_a_parent_to_be_that_did_not_succeed_is_named_or_retried_as_well() -> None:
    bad, job = failed(), failed()
    with pytest.raises(StateError, match=f"job {job.id} depends on job {bad.id}"):
        job.retry(set={"start": bad})
    assert sql("SELECT count(*) FROM dependencies") == [(0,)]
    job.retry(set={"start": bad}, with_parents=True)
    assert (state(bad.id), state(job.id), row(job.id).unmet) == ("pending", "blocked", 1)


def test_no_job_waits_for_itself() -> None:
    job = failed()
    child = relaxation.submit(start=job)
    grandchild = relaxation.submit(start=child)
    for parent in (job, child, grandchild):
        with pytest.raises(StateError, match=f"job {job.id} would wait for its own result"):
            job.retry(set={"start": parent}, with_parents=True)
    assert state(job.id) == "failed"


def test_a_job_to_wait_for_that_is_not_there() -> None:
    job, by_number = failed(), JobRef()
    by_number.id = 999
    with pytest.raises(JobNotFoundError, match="there is no job 999 to wait for"):
        job.retry(set={"start": by_number})
    with pytest.raises(JobNotFoundError, match="job 999 is no longer on the board"):
        job.retry(set={"start": Job(999, uuid.uuid4(), "relaxation")})
    assert state(job.id) == "failed"


def test_the_key_of_dedupe_follows_the_parameters() -> None:
    job, me = relaxation.submit(fmax=0.05, dedupe=True), worker()
    run(job, me)
    job.retry(set={"fmax": 0.02})
    assert relaxation.submit(fmax=0.02, dedupe=True).id == job.id
    fresh = relaxation.submit(fmax=0.05, dedupe=True)
    assert (fresh.how, fresh.id == job.id) == ("new", False)


def test_a_key_of_ones_own_stays() -> None:
    job = relaxation.submit(fmax=0.05, key="mine")
    run(job, worker())
    job.retry(set={"fmax": 0.02})
    assert relaxation.submit(fmax=0.05, key="mine").id == job.id


@pytest.mark.parametrize("holder", ["dedupe", "plain"])
@pytest.mark.parametrize("end", [SUCCESS, ERROR, None], ids=["succeeded", "failed", "pending"])
def test_a_clash_says_which_job_has_these_already(holder: str, end: EndedAttempt | None) -> None:
    job, me = relaxation.submit(fmax=0.05, dedupe=True), worker()
    run(job, me)
    has = relaxation.submit(fmax=0.02, dedupe=holder == "dedupe")
    if end:
        run(has, me, end)
    with pytest.raises(
        StateError, match=f"job {has.id} has these parameters already and is {state(has.id)}:"
    ):
        job.retry(set={"fmax": 0.02})
    assert (state(job.id), parameters(job)["fmax"]) == ("failed", 0.05)
    plain = failed(fmax=0.04)
    plain.retry(set={"fmax": 0.02})  # submitted without dedupe: it may be the same as others


def test_two_jobs_that_would_become_the_same_are_named() -> None:
    jobs = [relaxation.submit(fmax=fmax, dedupe=True) for fmax in (0.05, 0.04)]
    for job in jobs:
        run(job, worker())
    with pytest.raises(
        StateError, match=f"jobs {jobs[0].id} and {jobs[1].id} would have the same parameters"
    ):
        simcelery.jobs(state="failed").retry(set={"fmax": 0.02})
    assert [state(job.id) for job in jobs] == ["failed", "failed"]


def test_a_job_without_dedupe_hides_none_that_would_become_the_same() -> None:
    first = failed(fmax=0.06)
    jobs = [relaxation.submit(fmax=fmax, dedupe=True) for fmax in (0.05, 0.04)]
    for job in jobs:
        run(job, worker())
    with pytest.raises(StateError, match="would have the same parameters"):
        simcelery.jobs(state="failed").retry(set={"fmax": 0.02})
    assert state(first.id) == "failed"


@pytest.mark.parametrize("many", [1, 1500], ids=["without fingerprints", "with fingerprints"])
def test_a_job_is_found_by_its_new_parameters_and_no_longer_by_its_old_ones(many: int) -> None:
    jobs = relaxation.submit_many([{"fmax": 0.05, "start": n} for n in range(many)])
    fingerprints.catch_up()
    run(jobs[0], worker())
    jobs[0].retry(set={"fmax": 0.02})
    assert relaxation.submit(fmax=0.02, start=0, dedupe=True).id == jobs[0].id
    assert relaxation.submit(fmax=0.05, start=0, dedupe=True).how == "new"


@pytest.mark.parametrize("keyed", [True, False])
def test_a_submission_during_a_revision_does_not_get_the_job_with_other_parameters(
    keyed: bool, board: Services
) -> None:
    job = relaxation.submit(fmax=0.05, dedupe=keyed)
    run(job, worker())
    planned = revising.plan([job.id], {"fmax": 0.02})
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            transitions.retry(connection, [job.id], revisions=planned, by="test")
            submitted = pool.submit(lambda: relaxation.submit(fmax=0.05, dedupe=True))
            wait_until(lambda: _waiting(board) or submitted.done())
        found = submitted.result()
    assert (found.how, found.id == job.id) == ("new", False)
    assert parameters(found)["fmax"] == 0.05


def test_a_revision_during_a_submission_of_the_same_sees_it(board: Services) -> None:
    job = relaxation.submit(fmax=0.05, dedupe=True)
    run(job, worker())
    with psycopg.connect(board.database_url) as connection, ThreadPoolExecutor(1) as pool:
        # As a submission does, which has not committed yet.
        connection.execute("SELECT pg_advisory_xact_lock_shared(7233003)")
        connection.execute(
            "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, "
            "max_losses, submitted_by) SELECT gen_random_uuid(), workflow, parameters || '{\"fmax\": 0.02}', "
            "'pending', queue, priority, 1, 1, 'test' FROM jobs"
        )
        retried = pool.submit(lambda: job.retry(set={"fmax": 0.02}))
        wait_until(lambda: _waiting(board) or retried.done())
        connection.commit()
        with pytest.raises(StateError, match="has these parameters already and is pending"):
            retried.result()


def _waiting(board: Services) -> bool:
    with psycopg.connect(board.database_url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return bool(found and found[0])


POINTS = (
    "revise_locked",
    "revise_checked",
    "revise_written",
    "revise_forgotten",
    "revise_fingerprinted",
    "revise_done",
    "before_retry_commit",
    "after_retry_commit",
)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_anywhere_leaves_all_as_it_was_or_all_revised(point: str, project: Project) -> None:
    jobs = [relaxation.submit(fmax=0.05, start=n, dedupe=True) for n in range(3)]
    source = relaxation.submit(fmax=1.0)
    for job in jobs:
        run(job, worker())
    code = f"""
        import simcelery

        @simcelery.workflow(name="relaxation")
        def relaxation(fmax: float = 0.05, kpts: list[int] | None = None, start: object = None) -> float:
            return fmax

        simcelery.jobs(state="failed").retry(set={{"fmax": 0.02, "kpts": simcelery.get_job({source.id})}})
    """
    assert project.python(code, SIMCELERY_FAILPOINTS=f"{point}=kill").returncode == -9
    done = point == "after_retry_commit"
    assert [state(job.id) for job in jobs] == (["blocked"] * 3 if done else ["failed"] * 3)
    assert [parameters(job)["fmax"] for job in jobs] == ([0.02] * 3 if done else [0.05] * 3)
    assert sql("SELECT count(*) FROM revisions") == [(3 if done else 0,)]
    assert sql("SELECT count(*) FROM dependencies") == [(3 if done else 0,)]
    again = project.python(code)
    assert again.returncode == 0, again.stderr
    run(source, worker(), SUCCESS)
    assert [(state(job.id), parameters(job)["fmax"]) for job in jobs] == [("pending", 0.02)] * 3
    assert sql("SELECT count(*) FROM revisions") == [(3,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["revise_written", "begun_anew", "before_retry_commit", "after_retry_commit"]
)
def test_a_kill_anywhere_leaves_what_was_saved_or_a_job_from_scratch(point: str, project: Project) -> None:
    job = failed(fmax=0.05)
    sql("INSERT INTO checkpoints (job_id, attempt, state) VALUES (:id, 1, '1')", id=job.id)
    words = ("simcelery", "retry", str(job.id), "--from-scratch", "-y")
    assert project.run(*words, SIMCELERY_FAILPOINTS=f"{point}=kill").returncode == -9
    done = point == "after_retry_commit"
    assert state(job.id) == ("pending" if done else "failed")
    assert sql("SELECT count(*) FROM checkpoints") == [(0 if done else 1,)]
    assert project.run(*words).returncode == (0 if not done else 2)
    assert (state(job.id), parameters(job)["fmax"]) == ("pending", 0.05)
    assert sql("SELECT count(*) FROM checkpoints") == [(0,)]


def test_a_dry_retry_finds_what_is_in_the_way_and_leaves_nothing() -> None:
    job, me = relaxation.submit(fmax=0.05, dedupe=True), worker()
    run(job, me)
    planned = revising.plan([job.id], {"fmax": 0.02})
    assert actions.retry([job.id], revisions=planned, dry=True) == [job.id]
    assert (state(job.id), parameters(job)["fmax"]) == ("failed", 0.05)
    relaxation.submit(fmax=0.02)
    with pytest.raises(StateError, match="has these parameters already"):
        actions.retry([job.id], revisions=planned, dry=True)


def test_revisions_go_to_the_archive_and_away_with_their_job() -> None:
    job = failed(fmax=0.05)
    job.retry(set={"fmax": 0.02})
    run(job, worker())
    with engine.begin() as connection:
        [archived] = retention.archived(connection, [job.id])
        assert '"revisions": [{"revision": 1, "parameters": {"fmax": 0.05, ' in archived.line
    sql("UPDATE jobs SET finished_at = now() - interval '2 h'")
    with engine.begin() as connection:
        assert retention.delete_finished(connection, 3600, 10) == 1
    assert sql("SELECT count(*) FROM revisions") == [(0,)]


def test_parameters_that_cannot_be_read_are_left_alone() -> None:
    job = failed()
    deep = "[" * 400 + "]" * 400
    sql("UPDATE jobs SET parameters = jsonb_build_object('start', CAST(:deep AS jsonb))", deep=deep)
    with pytest.raises(StateError, match=f"job {job.id}: its parameters cannot be read"):
        get_job(job.id).retry(set={"fmax": 0.02})
    assert state(job.id) == "failed"


def test_a_job_recorded_by_others_has_no_workflow_to_ask() -> None:
    job = record(workflow="nobody.knows")
    finish(must_claim(job.task_id, worker(), workflow="nobody.knows"), ERROR)
    with pytest.raises(SimceleryError, match=r"nobody\.knows"):
        get_job(job.id).retry(set={"x": 1})
    assert state(job.id) == "failed"
