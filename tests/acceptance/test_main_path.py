"""submit → board → broker → worker → board, on a stock worker in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import chain, chord, group
from celery.result import AsyncResult
from psycopg.rows import dict_row

import simcelery
from simcelery.broker import lanes
from simcelery.errors import JobFailedError, UpstreamFailedError
from simcelery.services import Services
from tests.board_helpers import attempts, row
from tests.conftest import Project
from tests.waiting import wait_until, within

pytestmark = pytest.mark.installed_programs


@pytest.fixture(scope="module", autouse=True)
def sims(shared_project: Project) -> Iterator[Any]:
    """The workflows that the worker knows, importable here as well."""
    sys.path.insert(0, str(shared_project.folder))
    import sims

    assert simcelery.app.tasks["sims.add"]
    yield sims
    sys.path.remove(str(shared_project.folder))


def test_a_job_runs_and_the_board_tells_the_whole_story(sims: Any, servers: Services) -> None:
    job = sims.add.submit(2, b=3, tags=["story"])
    assert job.result(timeout=within(20)) == 5
    with psycopg.connect(servers.database_url, row_factory=dict_row) as connection:
        [found] = connection.execute(
            "SELECT j.*, w.nodename, w.host FROM jobs j JOIN workers w ON w.id = j.worker_id WHERE j.id = %s",
            [job.id],
        ).fetchall()
        [attempt] = connection.execute("SELECT * FROM attempts WHERE job_id = %s", [job.id]).fetchall()
    assert (found["state"], found["result"], found["attempt"]) == ("succeeded", 5, 1)
    assert found["submitted_at"] <= found["started_at"] <= found["finished_at"]
    assert found["nodename"].startswith("w0@")
    assert (attempt["outcome"], attempt["cause"], attempt["host"]) == ("succeeded", None, found["host"])
    assert attempt["pid"] == found["pid"]
    assert attempt["cpu_seconds"] >= 0
    assert attempt["peak_memory"] > 10_000_000
    assert attempt["code_version"].startswith("1+")


def test_a_result_has_the_type_that_the_workflow_declares(sims: Any) -> None:
    assert sims.relaxed.submit(-1.5).result(timeout=within(20)) == sims.Relaxed(-1.5, [(0.0, 1.0, 2.0)])


def test_awkward_values_go_there_and_back(sims: Any) -> None:
    value = {"nan": float("nan"), "inf": float("-inf"), "big": 1e300, 7: [1, 2.0, None, True, "ä"]}
    back = sims.echo.submit(value).result(timeout=within(20))
    assert sorted(map(repr, back.items())) == sorted(map(repr, value.items()))


def test_current_job_knows_itself_and_reports_progress(sims: Any) -> None:
    job = sims.about_me.submit(tags=["me"])
    me = job.result(timeout=within(20))
    assert (me["id"], me["attempt"], me["tags"]) == (job.id, 1, ["me"])
    assert (Path(me["workdir"]) / "note.txt").read_text() == "here"
    assert job.progress == {"done": 4, "total": 4, "message": "done"}
    assert attempts(job.id)[0]["workdir"] == me["workdir"]


def test_outside_a_job_the_same_code_runs(sims: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sims.about_me() == {"id": None, "attempt": 0, "workdir": str(tmp_path), "tags": []}


def test_errors_are_tried_again_with_backoff_by_the_board(sims: Any) -> None:
    job = sims.flaky.submit(3)
    assert job.result(timeout=within(30)) == 3
    found = row(job.id)
    assert (found.attempt, found.failures, found.error) == (3, 2, None)
    first, second, third = attempts(job.id)
    assert [first["outcome"], second["outcome"], third["outcome"]] == ["failed", "failed", "succeeded"]
    assert "attempt 1 diverged" in first["error_message"]
    assert first["traceback"].startswith("Traceback")
    assert "in flaky\n" in first["traceback"]
    assert "simcelery/worker" not in first["traceback"]
    assert (second["started_at"] - first["finished_at"]).total_seconds() >= 0.2
    assert (third["started_at"] - second["finished_at"]).total_seconds() >= 0.4


@pytest.mark.parametrize(
    ("kind", "error_type", "tried"),
    [("value", "ValueError", 5), ("key", "KeyError", 1), ("retry", "Retry", 5), ("fail", "Fail", 1)],
)
def test_only_what_is_worth_it_is_tried_again(sims: Any, kind: str, error_type: str, tried: int) -> None:
    job = sims.picky.submit(kind)
    with pytest.raises(JobFailedError) as caught:
        job.result(timeout=within(30))
    assert caught.value.error_type == error_type
    assert row(job.id).attempt == tried


def test_a_job_past_its_time_limit_fails(sims: Any) -> None:
    job = sims.slow.submit(30)
    with pytest.raises(JobFailedError, match="TimeLimitError: it ran longer than its time limit of 1 s"):
        job.result(timeout=within(20))
    [ended] = attempts(job.id)
    assert ended["cause"] == "time_limit"


def test_a_job_that_does_not_listen_is_killed_a_grace_later(sims: Any) -> None:
    job = sims.slow.submit(30, stubborn=True)
    with pytest.raises(JobFailedError, match="was killed"):
        job.result(timeout=within(20))
    [ended] = attempts(job.id)
    assert ended["cause"] == "time_limit"
    assert sims.add.submit(1).result(timeout=within(20)) == 2  # the slot is whole again


def test_a_soft_time_limit_lets_the_workflow_save_what_it_has(sims: Any) -> None:
    assert sims.careful.submit(30).result(timeout=within(20)) == "saved"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("sys.exit", "SystemExit: 3"),
        ("os._exit", "LostWorkerError"),
        ("MemoryError", "MemoryError: no room for 10 TB"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("RecursionError", "RecursionError"),
        ("lambda", "EncodingError: sims.misbehave: result: a function cannot be stored"),
        ("NUL", "EncodingError: sims.misbehave: result: text with a NUL character"),
        ("large", "PayloadTooLargeError: sims.misbehave: result is 1.9 MiB"),
        ("surrogate", r"ValueError: bad \udcff text \0 here"),
    ],
)
def test_what_user_code_does_on_bad_days_is_recorded_and_the_worker_lives(
    sims: Any, shared_project: Project, how: str, error: str
) -> None:
    job = sims.misbehave.submit(how)
    with pytest.raises(JobFailedError) as caught:
        job.result(timeout=within(30))
    assert error in str(caught.value)
    assert shared_project.processes[0].poll() is None
    assert sims.add.submit(1).result(timeout=within(20)) == 2


@pytest.mark.parametrize("how", ["Pool", "ProcessPoolExecutor"])
def test_multiprocessing_works_inside_a_workflow(sims: Any, how: str) -> None:
    assert sims.with_children.submit(how).result(timeout=within(30)) == [1, 2]


def test_dependent_jobs_run_after_their_parents(sims: Any) -> None:
    parts = sims.add.submit_many({"a": i, "b": 0} for i in range(10))
    whole = sims.total.submit(values=list(parts))
    assert whole.result(timeout=within(30)) == 45
    assert row(whole.id).parameters == {"values": [{"$job": number} for number in parts.ids]}


def test_a_job_whose_parent_fails_does_not_run_until_both_are_retried(sims: Any, tmp_path: Path) -> None:
    switch = tmp_path / "works"
    parent = sims.trace.submit(str(switch / "x"))  # the folder is missing
    child = sims.echo.submit(parent)
    with pytest.raises(UpstreamFailedError):
        child.result(timeout=within(30))
    switch.mkdir()
    parent.retry()
    assert child.result(timeout=within(30)) == "ran"


def test_a_job_may_submit_jobs(sims: Any) -> None:
    job = sims.fan_out.submit(5)
    assert simcelery.get_job(job.result(timeout=within(20))).result(timeout=within(20)) == 10
    assert row(job.result()).parent_id == job.id


def test_a_delayed_job_runs_when_its_time_has_come(sims: Any) -> None:
    job = sims.add.submit(1, delay=1.0)
    assert job.state == "scheduled"
    assert job.result(timeout=within(20)) == 2
    found = row(job.id)
    assert found.started_at is not None
    assert (found.started_at - found.submitted_at).total_seconds() >= 1.0


def test_a_plain_worker_serves_the_queues_of_its_workflows(sims: Any) -> None:
    assert sims.elsewhere.submit().result(timeout=within(20)) == "served"


def test_commands_run_in_a_folder_of_their_own(shared_project: Project) -> None:
    simcelery.app.loader.import_default_modules()
    from simcelery.worker.builtin import command

    done = command.submit(["sh", "-c", "echo $GREETING; pwd"], env={"GREETING": "hello"}).result(
        timeout=within(20)
    )
    assert done.output == f"hello\n{done.workdir}\n"
    with pytest.raises(JobFailedError, match="CommandError: exit code 3: no way"):
        command.submit(["sh", "-c", "echo no way; exit 3"]).result(timeout=within(20))
    with pytest.raises(JobFailedError, match="Fail: cannot run 'nonesuch' here"):
        command.submit(["nonesuch"]).result(timeout=within(20))


# --- Celery's own ways ---


def test_delay_and_async_result(sims: Any) -> None:
    result = sims.add.delay(2, 3)
    assert result.get(timeout=within(20)) == 5
    assert (result.state, result.successful()) == ("SUCCESS", True)
    again = AsyncResult(result.id)
    assert again.get(timeout=1) == 5
    [job] = [job for job in simcelery.jobs(workflow="sims.add") if str(job.task_id) == result.id]
    assert job.state == "succeeded"


def test_async_result_finds_the_board_from_every_thread(shared_project: Project) -> None:
    """Celery's current app is one per thread, and the first submission may come from any of them."""
    done = shared_project.python("""
        import threading
        from celery.result import AsyncResult
        ids = []
        def submit():
            import sims
            ids.append(sims.add.delay(2, 3).id)
        thread = threading.Thread(target=submit)
        thread.start()
        thread.join()
        print(AsyncResult(ids[0]).get(timeout=20))
    """)
    assert (done.stdout, done.stderr) == ("5\n", "")


def test_async_result_of_a_failure_raises(sims: Any) -> None:
    result = sims.picky.apply_async(["fail"], {}, priority=9, queue="default")
    with pytest.raises(JobFailedError, match="Fail: hopeless"):
        result.get(timeout=within(20))
    assert result.state == "FAILURE"
    assert "hopeless" in result.traceback


def test_group_chain_and_chord(sims: Any) -> None:
    assert group(sims.add.s(i, i) for i in range(4))().get(timeout=within(30)) == [0, 2, 4, 6]
    assert chain(sims.add.s(1, 1), sims.add.s(10), sims.add.s(100))().get(timeout=within(30)) == 112
    assert chord([sims.add.s(i, i) for i in range(4)])(sims.total.s()).get(timeout=within(30)) == 12
    mixed = group(sims.add.s(i, 0) for i in range(3)) | sims.total.s() | sims.add.s(1000)
    assert mixed().get(timeout=within(30)) == 1003
    nested = chain(sims.add.s(1, 1), group(sims.add.s(10), sims.add.s(20)), sims.total.s())
    assert nested().get(timeout=within(30)) == 12 + 22
    assert chain(sims.add.s(1, 1), sims.add.si(5, 5))().get(timeout=within(30)) == 10


def test_a_worker_refuses_to_revoke_a_job_and_says_what_to_do_instead(
    sims: Any, shared_project: Project
) -> None:
    job = sims.add.submit(1, delay=1.0)
    arguments = {"task_id": str(job.task_id), "terminate": True}
    [reply] = simcelery.app.control.broadcast(
        "revoke", arguments=arguments, reply=True, timeout=within(10), limit=1
    )
    assert "is refused: cancel jobs with 'simcelery cancel'" in next(iter(reply.values()))["error"]
    assert job.result(timeout=within(20)) == 2
    assert "remote command revoke is refused" in shared_project.logs()


# --- messages that are not ours ---


def test_duplicate_and_forged_messages_do_nothing(sims: Any, shared_project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    job = sims.trace.submit(str(count), pause=0.5)
    app = simcelery.app
    for name, task_id in [  # each in a lane that the worker consumes
        # First: one that brings nothing has the others of its lane dropped unread.
        ("nobody.knows", str(job.task_id)),  # of an unknown workflow
        ("sims.trace", str(job.task_id)),  # a duplicate
        ("sims.add", str(job.task_id)),  # as another workflow
        ("sims.trace", "11111111-1111-4111-8111-111111111111"),  # of no job
        ("sims.trace", "not-a-uuid"),
    ]:
        queue = lanes.lane("default", "sims.add")
        app.send_task(name, args=[str(count)], task_id=task_id, queue=queue, retry=False)
    assert job.result(timeout=within(20)) == "ran"
    assert sims.add.submit(1).result(timeout=within(20)) == 2  # all of them have been taken by now
    wait_until(lambda: "nobody.knows" in shared_project.logs())
    assert count.read_text() == "ran\n"
    assert (job.state, row(job.id).attempt) == ("succeeded", 1)
    assert simcelery.app.AsyncResult(str(job.task_id)).state == "SUCCESS"


def test_the_worker_is_on_the_board_and_renews_its_lease(shared_project: Project, servers: Services) -> None:
    def renewed() -> Any:
        with psycopg.connect(servers.database_url) as connection:
            return connection.execute(
                "SELECT renewed_at FROM workers WHERE pid = %s AND lease_expires_at > now()",
                [shared_project.processes[0].pid],
            ).fetchone()

    first = renewed()
    assert first is not None
    wait_until(lambda: renewed() != first)
    with psycopg.connect(servers.database_url) as connection:
        catalogue = connection.execute("SELECT name, parameters FROM workflows").fetchall()
    schema = dict(catalogue)["sims.add"]
    assert schema["required"] == ["a"]
    assert json.dumps(schema["properties"]["b"]) == '{"type": "integer", "default": 1}'


def test_what_a_job_prints_is_on_the_board(sims: Any) -> None:
    job = sims.talk.submit()
    job.result(timeout=within(20))
    assert job.log() == "from Python\nfrom a child\nbytes \\xff\nto stderr\n"
