"""What the command line says and does when things go wrong: cancels, the spool, workers, explain, doctor."""

from __future__ import annotations

import re
import signal
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simcelery.board import engine, leases, transitions
from simcelery.board.states import Outcome
from simcelery.board.values import Claim, EndedAttempt
from simcelery.settings import get_settings
from simcelery.worker.outcomes import spool
from tests.acceptance.helpers import submit, submit_command, wait_for_command
from tests.acceptance.test_cli import Cli
from tests.board_helpers import (
    ERROR,
    LOST,
    SUCCESS,
    cancel,
    finish,
    lapse,
    must_claim,
    record,
    registration,
    row,
    sql,
    state,
    worker,
)
from tests.conftest import Project
from tests.processes import sleeper
from tests.waiting import wait_until, within

HOUR = 3600.0


@pytest.fixture
def cli(project: Project, tmp_path: Path) -> Cli:
    """The command line on an empty board, with a home, and so a spool, of its own."""
    project.environment["SIMCELERY_HOME"] = str(tmp_path / "home")
    return Cli(project)


def running(worker_id: int, **changes: Any) -> Claim:
    """A job that this worker has claimed."""
    return must_claim(record(**changes).task_id, worker_id)


def quarantined(worker_id: int, note: str) -> None:
    sql("UPDATE workers SET quarantined_at = now(), note = :note WHERE id = :id", note=note, id=worker_id)


def rescue() -> None:
    with engine.begin() as connection:
        transitions.rescue(connection, grace=0.0, limit=1000)


# --- cancel --wait ---


def test_cancel_waits_until_the_processes_have_ended_and_says_so(cli: Cli) -> None:
    cli.project.worker("-c", "1")
    seconds = sleeper()
    job = submit_command(cli.project, "sh", "-c", f"sleep {seconds} & sleep {seconds}; true")
    wait_for_command(f"sleep {seconds}", 2)
    [live] = cli.json("workers")
    assert (live["state"], live["running"], live["queues"]) == ("live", [job.id], ["default", "other"])
    assert "runs on w0@" in cli("explain", str(job.id)).stdout

    waiting = record(queue="nowhere").id
    stopped, never_ran = cli.json("cancel", str(job.id), str(waiting), "--wait", "-y")
    assert (stopped["id"], stopped["state"]) == (job.id, "cancelled")
    assert stopped["message"].startswith("ended by the cancel; ")
    assert "processes that it had started" in stopped["message"]
    assert stopped["host"] == live["host"]
    assert 0 < stopped["took"] < 20
    assert (never_ran["id"], never_ran["message"]) == (waiting, "cancelled while waiting")
    wait_for_command(f"sleep {seconds}", 0)
    assert stopped["message"] in cli("show", str(job.id)).stdout
    assert stopped["message"] in cli("explain", str(job.id)).stdout

    done = submit(cli.project, "add.submit(1)")
    assert done.result(timeout=within(20)) == 2
    told = cli("cancel", str(done.id), "--wait", code=1).stdout
    assert "had already succeeded" in told


def test_without_wait_cancel_says_that_the_worker_has_been_told(cli: Cli) -> None:
    claimed = running(worker())
    told = cli("cancel", str(claimed.job_id)).stdout
    assert told.startswith(f"asked its worker to stop job {claimed.job_id} ")


def test_a_job_that_ends_before_the_cancel_reaches_it_is_said_so(cli: Cli) -> None:
    me = worker()
    first, second = running(me), running(me)
    process = cli.start("cancel", f"{first.job_id}-{second.job_id}", "--wait", "-y")
    wait_until(lambda: row(second.job_id).cancel_requested_at)
    finish(first)
    finish(second, EndedAttempt(outcome=Outcome.CANCELLED, error_message="ended by the cancel"))
    output, _ = process.communicate(timeout=within(20))
    assert process.returncode == 1
    lines = [line.split(maxsplit=4) for line in output.splitlines()]
    assert lines == [
        ["ID", "STATE", "HOST", "TOOK", "MESSAGE"],
        [str(first.job_id), "succeeded", "test", lines[1][3], "succeeded before the cancel reached it"],
        [str(second.job_id), "cancelled", "test", lines[2][3], "ended by the cancel"],
    ]


def test_waiting_for_a_cancel_ends_without_taking_the_cancel_back(cli: Cli) -> None:
    number = str(running(worker()).job_id)
    done = cli("cancel", number, "--wait", "--timeout", "0.5", code=1)
    assert "1 running; the cancel request stands" in done.stderr
    [asked] = cli.json("cancel", number, "--wait", "--timeout", "0.5", code=1)
    assert (asked["state"], asked["message"], asked["took"]) == ("running", "asked to stop", None)
    process = cli.start("cancel", number, "--wait")
    asks = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'simcelery {process.pid}'"
    wait_until(lambda: sql(asks) == [(1,)], 30)
    time.sleep(within(1))  # by now it waits
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=within(10))
    assert process.returncode == 130
    assert error == "simcelery: no longer waiting; the cancel request stands\n"
    assert row(int(number)).cancel_requested_at
    assert state(int(number)) == "running"


def test_waiting_for_a_cancel_says_that_the_worker_is_lost(cli: Cli) -> None:
    me = worker(nodename="gone@test")
    claimed = running(me)
    lapse(me, 60.0)
    process = cli.start("cancel", str(claimed.job_id), "--wait")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert f"the lease of gone@test, which was running job {claimed.job_id}, has expired" in line
    rescue()
    output, rest = process.communicate(timeout=within(20))
    assert (process.returncode, rest) == (0, "")
    assert "LostWorkerError: the worker's lease ended while it ran the job" in output


# --- the spool ---


def save(cli: Cli, claimed: Claim, report: EndedAttempt = SUCCESS) -> Path:
    """An outcome that could not be recorded."""
    settings = replace(get_settings(), home=Path(cli.project.environment["SIMCELERY_HOME"]))
    return spool.save(settings, claimed.task_id, claimed.claim_id, report)


def test_the_spool_is_listed_and_delivered(cli: Cli) -> None:
    assert cli("spool").stdout.startswith("no outcomes are waiting in ")
    assert cli("spool", "push").stdout.startswith("no outcomes are waiting in ")
    dead, alive = worker(), worker()
    in_time, given_up, superseded = running(dead), running(dead), running(dead)
    lapse(dead, 1.0)  # nobody has judged it yet
    paths = [save(cli, claimed) for claimed in (in_time, superseded)]
    finish(superseded, LOST)
    newer = must_claim(superseded.task_id, alive)
    finish(given_up, LOST)
    paths.append(save(cli, given_up))
    stranger = replace(in_time, task_id=uuid.uuid4())
    left = save(cli, stranger)

    listed = cli.json("spool")
    assert [one["id"] for one in listed] == [in_time.job_id, superseded.job_id, given_up.job_id, None]
    assert {one["outcome"] for one in listed} == {"succeeded"}
    assert "4 outcomes in " in cli("spool").stdout
    assert cli("spool", "-o", "quiet").stdout.split()[-1] == str(stranger.task_id)
    [checked] = [check for check in cli.json("doctor")["checks"] if check["name"] == "spool"]
    assert checked["verdict"] == "warn"
    assert "4 outcomes" in checked["found"]
    assert "simcelery spool push" in checked["advice"]

    nowhere = ("--database-url", "postgresql://127.0.0.1:9/nowhere")
    done = cli(*nowhere, "spool", "push", code=3)
    assert "nothing is lost: 4 outcomes in " in done.stderr
    assert all(path.exists() for path in paths)

    told = cli("spool", "push").stdout
    assert (
        told
        == "2 recorded, 1 too late (kept with the attempt), 1 left (not on this board, or refused by it)\n"
    )
    assert not any(path.exists() for path in paths)
    assert left.exists()
    assert cli.json("spool", "push") == {"recorded": 0, "late": 0, "left": 1}
    assert [state(claimed.job_id) for claimed in (in_time, given_up, superseded)] == [
        "succeeded",
        "succeeded",
        "running",
    ]
    finish(newer)
    shown = cli("show", str(superseded.job_id)).stdout
    assert re.search(r"attempt 1, late: succeeded, \d\S* after it was given up; it no longer counts", shown)
    shown = cli("show", str(given_up.job_id)).stdout
    assert (
        "attempt 1, late: succeeded; accepted although it had been lost, since no newer claim was made"
        in shown
    )
    assert "late" not in cli("show", str(in_time.job_id)).stdout


# --- workers ---


def test_workers_are_live_quarantined_overdue_or_ended(cli: Cli) -> None:
    names = ("live", "black-hole", "overdue", "ended", "long-gone", "holds-jobs")
    ids = {name: worker(nodename=f"{name}@test") for name in names}
    claimed = running(ids["holds-jobs"])
    quarantined(ids["black-hole"], "in quarantine: its last 5 jobs failed")
    lapse(ids["overdue"], 60.0)
    with engine.begin() as connection:
        leases.end(connection, registration(ids["ended"]))
    lapse(ids["long-gone"], 25 * HOUR)
    lapse(ids["holds-jobs"], 25 * HOUR)

    found = {one["nodename"]: one for one in cli.json("workers")}
    assert {name.partition("@")[0]: one["state"] for name, one in found.items()} == {
        "live": "live",
        "black-hole": "quarantined",
        "overdue": "overdue",
        "ended": "ended",
        "holds-jobs": "overdue",
    }
    assert found["holds-jobs@test"]["running"] == [claimed.job_id]
    assert {"host", "pid", "queues", "concurrency", "started_at", "renewed_at", "scheduler_job_id"} <= set(
        found["live@test"]
    )
    shown = cli("workers").stdout
    assert "black-hole@test: in quarantine: its last 5 jobs failed" in shown
    assert "long-gone" not in shown
    assert "long-gone@test" in cli("workers", "--all", "-o", "quiet").stdout.split()


# --- explain ---


def codes(cli: Cli, number: int) -> list[str]:
    return cli("explain", str(number), "-o", "quiet").stdout.split()


def test_a_pending_job_says_who_could_run_it(cli: Cli) -> None:
    number = record().id
    assert codes(cli, number) == ["no_worker"]
    worker(queues=["other"], workflows=["w"])
    told = cli("explain", str(number)).stdout
    assert "no live worker serves its queue 'default' (there is 1 live worker)" in told
    assert "celery -A simcelery worker -Q default" in told

    worker(nodename="stranger@test")
    assert codes(cli, number) == ["unknown_workflow"]
    assert "stranger@test serves its queue 'default', but does not know its workflow w" in (
        cli("explain", str(number)).stdout
    )

    knows = worker(nodename="knows@test", workflows=["w"])
    assert codes(cli, number) == ["unpublished"]
    quarantined(knows, "in quarantine: all its jobs failed")
    assert codes(cli, number) == ["quarantine", "note"]
    assert "knows@test: in quarantine: all its jobs failed" in cli("explain", str(number)).stdout

    able = worker(nodename="able@test", workflows=["w"])
    running(able)
    urgent = record(priority=9).id
    [queue, busy, note] = cli.json("explain", str(number))["reasons"]
    assert queue["text"] == "1 job of the same workflow and queue 'default' comes first"
    assert busy["text"] == "the only slot of able@test is busy"
    assert note["code"] == "note"
    assert codes(cli, urgent) == ["busy", "note"]


def test_a_running_job_says_when_it_is_rescued(cli: Cli) -> None:
    dead = worker()
    claimed = running(dead)
    number = claimed.job_id
    assert codes(cli, number) == ["running"]
    cancel(number)
    assert codes(cli, number) == ["running", "cancel"]
    # It ran for 100 minutes until the lease ended a minute ago; 5 % of that is 5 minutes.
    sql("UPDATE jobs SET started_at = now() - interval '101 minutes' WHERE id = :id", id=number)
    lapse(dead, 60.0)
    reasons = {one["code"]: one["text"] for one in cli.json("explain", str(number))["reasons"]}
    assert set(reasons) == {"running", "cancel", "lease", "no_worker"}
    assert "lease expired 1 min ago: the job will be cancelled in about " in reasons["lease"]
    assert reasons["lease"].split("about ")[1] in ("4m", "3m59s", "3m58s", "3m57s", "3m56s")
    rescue()
    assert state(number) == "running"
    lapse(dead, 301.0)
    sql("UPDATE jobs SET started_at = now() - interval '6301 seconds' WHERE id = :id", id=number)
    # Postgres has been up for a lease: until then nobody is judged.
    wait_until(lambda: sql("SELECT now() - pg_postmaster_start_time() > interval '5 s'") == [(True,)])
    assert "the job will be cancelled in a moment" in cli("explain", str(number)).stdout
    rescue()
    assert state(number) == "cancelled"


def test_what_waits_and_what_is_over_is_explained(cli: Cli) -> None:
    me = worker(workflows=["w"])
    parent = record()
    child = record(parents=[parent.id])
    later = record(delay=2 * HOUR)
    assert "it waits for job " in cli("explain", str(child.id)).stdout
    assert "it will run in 2 h, not before " in cli("explain", str(later.id)).stdout
    claimed = must_claim(parent.task_id, me)
    finish(claimed, ERROR)
    assert f"job {parent.id} did not succeed" in cli("explain", str(child.id)).stdout
    told = cli("explain", str(parent.id)).stdout
    assert "(failures 1 of 1, losses 0 of 5): ValueError: boom" in told
    assert f"→ simcelery retry {parent.id}" in told
    twice = record()
    finish(must_claim(twice.task_id, me), LOST)
    finish(must_claim(twice.task_id, me), replace(LOST, outcome=Outcome.RELEASED))
    assert (
        "attempt 2 was released (worker_lost); the job will run again" in cli("explain", str(twice.id)).stdout
    )
    cli("explain", "1-5", code=2)


# --- doctor and wait ---


def found_by_doctor(cli: Cli) -> dict[str, dict[str, Any]]:
    """What doctor warns of, by name."""
    checks = cli.json("doctor")["checks"]
    return {check["name"]: check for check in checks if check["verdict"] == "warn"}


def test_doctor_sees_lost_and_quarantined_workers_and_idle_recovery(cli: Cli) -> None:
    alive = worker(nodename="alive@test", workflows=["known"])
    assert not {"leases", "quarantine", "recovery", "queues", "shutdown"} & set(found_by_doctor(cli))

    dead = worker(nodename="dead@test")
    claimed = running(dead)
    lapse(dead, 60.0)
    record()
    quarantined(worker(nodename="hole@test", host="node7"), "in quarantine: all its jobs failed")
    sql("UPDATE workers SET started_at = now() - interval '1 hour' WHERE id = :id", id=alive)
    sql("UPDATE recovery SET next_at = now() - interval '10 minutes' WHERE name = 'settle'")
    cli.project.environment["SIMCELERY_SHUTDOWN_GRACE"] = "2m"
    try:
        found = found_by_doctor(cli)
    finally:
        sql("UPDATE recovery SET next_at = now()")
    assert found["leases"]["found"].startswith(f"job {claimed.job_id} of dead@test, whose lease expired 1m")
    assert found["quarantine"]["found"] == "hole@test: in quarantine: all its jobs failed"
    assert "host node7" in found["quarantine"]["advice"]
    assert found["recovery"]["found"].startswith("no worker has done settle for 10m")
    assert found["recovery"]["found"].endswith(", although workers are live")
    assert "knows the workflow w (1 pending job in queue 'default')" in found["queues"]["found"]
    assert found["shutdown"]["found"].startswith("a worker may need 2m1s to shut down")


def test_wait_says_that_no_worker_knows_the_workflow(cli: Cli) -> None:
    worker()
    number = record().id
    process = cli.start("wait", str(number))
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "no live worker of its queue knows the workflow w (1 pending job in queue 'default')" in line
    finish(must_claim(row(number).task_id, worker(workflows=["w"])))
    output, rest = process.communicate(timeout=within(20))
    assert (process.returncode, output, rest) == (0, "1\n", "")
