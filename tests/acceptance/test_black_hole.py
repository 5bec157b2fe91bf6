"""Workers that would eat jobs: one on which everything fails, and one that does not know the workflow."""

from __future__ import annotations

from pathlib import Path

import simcelery
from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, row
from tests.conftest import Project, wait_until


def worker_rows() -> dict[str, dict[str, object]]:
    """The workers on the board, by the part of their nodename before the @."""
    from simcelery.board import engine, fleet

    with engine.begin() as connection:
        return {one["nodename"].split("@")[0]: one for one in fleet.workers(connection)}


def test_a_worker_on_which_everything_fails_is_quarantined_and_its_failures_are_handed_back(
    project: Project,
) -> None:
    project.worker("-c", "1", BROKEN_NODE="")
    jobs = [submit(project, "node_dependent.submit(0)")]
    assert jobs[0].result(timeout=20) == "fine"
    wait_until(lambda: worker_rows()["w0"]["succeeded"])
    project.worker("-c", "1", BROKEN_NODE="yes")
    code = """
        import sims
        for job in sims.node_dependent.submit_many({"number": i} for i in range(60)):
            print(job.id)
    """
    done = project.python(code)
    jobs = [simcelery.get_job(int(line)) for line in done.stdout.split()]
    wait_until(lambda: worker_rows()["w1"]["quarantined_at"], 30)
    for job in jobs:
        assert job.result(timeout=60) == "fine"
    assert all(row(job.id).failures == 0 for job in jobs)
    eaten = [one for job in jobs for one in attempts(job.id) if one["outcome"] == "failed"]
    assert len(eaten) >= 5
    assert {one["nodename"].split("@")[0] for one in eaten} == {"w1"}
    assert "in quarantine" in str(worker_rows()["w1"]["note"])
    assert project.processes[1].poll() is None


def test_a_worker_that_is_alone_is_never_quarantined(project: Project) -> None:
    project.worker("-c", "1", BROKEN_NODE="yes")
    jobs = [submit(project, f"node_dependent.submit({i})") for i in range(8)]
    for job in jobs:
        job.wait(timeout=20)
    assert {job.state for job in jobs} == {"failed"}
    assert worker_rows()["w0"]["quarantined_at"] is None


def test_jobs_that_fail_everywhere_quarantine_nobody(project: Project) -> None:
    project.worker("-c", "1")
    project.worker("-c", "1")
    jobs = [submit(project, "picky.submit('fail')") for i in range(12)]
    for job in jobs:
        job.wait(timeout=20)
    assert {job.state for job in jobs} == {"failed"}
    assert [one["quarantined_at"] for one in worker_rows().values()] == [None, None]


def test_a_batch_of_bad_jobs_puts_nobody_in_quarantine_for_long(project: Project) -> None:
    project.worker("-c", "1")
    project.worker("-c", "1")
    for number in range(0, 8, 2):
        assert submit(project, f"only_even.submit({number})").result(timeout=20) == number
    wait_until(lambda: any(one["succeeded"] for one in worker_rows().values()))
    jobs = [submit(project, f"only_even.submit({number})") for number in range(1, 41, 2)]
    for job in jobs:
        job.wait(timeout=60)
    wait_until(lambda: not any(one["quarantined_at"] for one in worker_rows().values()), 40)
    wait_until(lambda: {job.state for job in jobs} == {"failed"}, 40)
    assert {row(job.id).failures for job in jobs} == {1}


def stranger(project: Project, tmp_path: Path) -> Project:
    """Another project on the same servers and queue, which knows none of the workflows of the first."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "theirs.py").write_text(
        "from simcelery import workflow\n\n@workflow\ndef f() -> int: return 1\n"
    )
    (folder / "simcelery.toml").write_text('workflows = ["theirs"]\n')
    environment = {**project.environment}
    return Project(folder, environment, project.processes)


def test_a_worker_leaves_the_queue_to_one_that_knows_the_workflow(project: Project, tmp_path: Path) -> None:
    other = stranger(project, tmp_path)
    other.worker("-c", "1")  # w0: it takes the messages first
    project.worker("-c", "1")  # w1
    jobs = [submit(project, f"add.submit({i})") for i in range(12)]
    for job in jobs:
        job.result(timeout=30)
    assert all(len(attempts(job.id)) == 1 for job in jobs)
    wait_until(lambda: worker_rows()["w0"]["note"])
    assert "does not know the workflow sims.add; it leaves queue default" in str(worker_rows()["w0"]["note"])
    assert "KeyError" not in other.logs() + project.logs()


def test_a_workflow_that_nobody_knows_stops_no_worker(project: Project, tmp_path: Path) -> None:
    other = stranger(project, tmp_path)
    other.worker("-c", "1")
    unknown = submit(project, "add.submit(1)")
    wait_until(lambda: worker_rows()["w0"]["note"])
    done = other.python("import theirs; print(theirs.f.submit().result(timeout=20))")
    assert done.stdout == "1\n"
    assert unknown.state == "pending"
    project.worker("-c", "1")
    assert unknown.result(timeout=60) == 2
