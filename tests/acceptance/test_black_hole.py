"""A worker on which everything fails, and which would so eat all jobs."""

from __future__ import annotations

from tests.acceptance.helpers import submit, submit_each
from tests.board_helpers import attempts, row
from tests.conftest import Project
from tests.waiting import wait_until, within


def worker_rows() -> dict[str, dict[str, object]]:
    """The workers on the board, by the part of their nodename before the @."""
    from simcelery.board import engine, reads

    with engine.begin() as connection:
        return {one["nodename"].split("@")[0]: one for one in reads.workers(connection)}


def test_a_worker_on_which_everything_fails_is_quarantined_and_its_failures_are_handed_back(
    project: Project,
) -> None:
    project.worker("-c", "1", BROKEN_NODE="")
    jobs = [submit(project, "node_dependent.submit(0)")]
    assert jobs[0].result(timeout=within(20)) == "fine"
    wait_until(lambda: worker_rows()["w0"]["succeeded"])
    project.worker("-c", "1", BROKEN_NODE="yes")
    jobs = submit_each(project, "node_dependent.submit({})", range(60))
    wait_until(lambda: worker_rows()["w1"]["quarantined_at"], 30)
    # What its child writes after the judgement is failed for a moment, until that is handed back as well.
    wait_until(lambda: {job.state for job in jobs} == {"succeeded"}, 60)
    assert {job.result() for job in jobs} == {"fine"}
    assert all(row(job.id).failures == 0 for job in jobs)
    eaten = [one for job in jobs for one in attempts(job.id) if one["outcome"] == "failed"]
    assert len(eaten) >= 5
    assert {one["nodename"].split("@")[0] for one in eaten} == {"w1"}
    assert "in quarantine" in str(worker_rows()["w1"]["note"])
    assert project.processes[1].poll() is None


def test_a_worker_that_is_alone_is_never_quarantined(project: Project) -> None:
    project.worker("-c", "1", BROKEN_NODE="yes")
    jobs = submit_each(project, "node_dependent.submit({})", range(8))
    for job in jobs:
        job.wait(timeout=within(20))
    assert {job.state for job in jobs} == {"failed"}
    assert worker_rows()["w0"]["quarantined_at"] is None


def test_jobs_that_fail_everywhere_quarantine_nobody(project: Project) -> None:
    project.worker("-c", "1")
    project.worker("-c", "1")
    jobs = submit_each(project, "picky.submit('fail')", range(12))
    for job in jobs:
        job.wait(timeout=within(20))
    assert {job.state for job in jobs} == {"failed"}
    assert [one["quarantined_at"] for one in worker_rows().values()] == [None, None]


def test_a_batch_of_bad_jobs_puts_nobody_in_quarantine_for_long(project: Project) -> None:
    project.worker("-c", "1")
    project.worker("-c", "1")
    for job in submit_each(project, "only_even.submit({})", range(0, 8, 2)):
        job.result(timeout=within(20))
    wait_until(lambda: any(one["succeeded"] for one in worker_rows().values()))
    jobs = submit_each(project, "only_even.submit({})", range(1, 41, 2))
    for job in jobs:
        job.wait(timeout=within(60))
    wait_until(lambda: not any(one["quarantined_at"] for one in worker_rows().values()), 40)
    wait_until(lambda: {job.state for job in jobs} == {"failed"}, 40)
    assert {row(job.id).failures for job in jobs} == {1}
