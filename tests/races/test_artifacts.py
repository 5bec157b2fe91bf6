"""Files of jobs: of an attempt that has succeeded all are there, of any other none stay."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.board import artifacts, engine, retention
from simcelery.board.artifacts import NewArtifact
from simcelery.board.reads.artifacts import artifacts_of
from simcelery.board.values import Claim, EndedAttempt
from simcelery.maintenance import discard, prune, workdirs
from simcelery.maintenance.by_hand import recover
from simcelery.maintenance.effects import BY_HAND
from simcelery.settings import Settings, get_settings, override
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    finish,
    folder_of,
    must_claim,
    record,
    sql,
    worker,
)
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store."""
    monkeypatch.setenv("SIMCELERY_ARTIFACT_URL", str(tmp_path / "store"))
    override({})
    return tmp_path / "store"


def put(claim: Claim, stored: Path, url: bool = True) -> Path:
    """Register a file, and store it."""
    target = stored / f"{claim.job_id}.{claim.attempt}" / "traj.nc"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("x")
    new = NewArtifact("traj.nc", "/scratch/traj.nc", "test", 1, "abc", str(target) if url else None)
    if not artifacts.save(claim, [new]):
        target.unlink()
    return target


def names(number: int) -> list[str]:
    with engine.begin() as connection:
        return [one.name for one in artifacts_of(connection, [number]).get(number, [])]


def tidy() -> None:
    sql("UPDATE artifacts SET next_at = now() WHERE next_at IS NOT NULL")
    prune.tick(BY_HAND)


def test_files_count_once_their_attempt_has_succeeded_and_not_before(stored: Path) -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me)
    file = put(claimed, stored)
    assert names(job.id) == []
    tidy()
    assert file.exists()
    finish(claimed)
    assert names(job.id) == ["traj.nc"]
    tidy()
    assert file.exists()
    assert sql("SELECT job_id, next_at FROM artifacts") == [(job.id, None)]


@pytest.mark.parametrize("ended", [AGAIN, LOST], ids=["failed", "lost"])
def test_files_of_other_attempts_go_once_these_cannot_succeed_any_more(
    ended: EndedAttempt, stored: Path
) -> None:
    job, me = record(max_attempts=2), worker()
    claimed = must_claim(job.task_id, me)
    file = put(claimed, stored)
    finish(claimed, ended)
    sql("UPDATE jobs SET state = 'pending', run_at = NULL WHERE state = 'scheduled'")
    tidy()
    assert file.exists()  # a late success would still be accepted
    second = must_claim(job.task_id, me)
    kept = put(second, stored)
    finish(second)
    tidy()
    assert not file.exists()
    assert kept.exists()
    assert sql("SELECT attempt FROM artifacts") == [(2,)]


def test_files_of_a_job_that_failed_go(stored: Path) -> None:
    claimed = must_claim(record().task_id, worker())
    file = put(claimed, stored)
    finish(claimed, ERROR)
    tidy()
    assert not file.exists()
    assert sql("SELECT * FROM artifacts") == []


def test_a_late_success_has_its_files(stored: Path) -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me)
    put(claimed, stored)
    finish(claimed, LOST)
    tidy()
    finish(claimed)
    assert names(job.id) == ["traj.nc"]


def test_an_attempt_that_lost_its_claim_registers_nothing(stored: Path) -> None:
    job, me = record(), worker()
    first = must_claim(job.task_id, me)
    finish(first, LOST)
    must_claim(job.task_id, me)
    put(first, stored)
    assert sql("SELECT * FROM artifacts") == []


def finished(stored: Path) -> Path:
    claimed = must_claim(record().task_id, worker())
    file = put(claimed, stored)
    finish(claimed)
    tidy()
    sql("UPDATE jobs SET finished_at = now() - interval '1 day'")
    return file


@pytest.mark.slow
@pytest.mark.parametrize("line", ["artifacts_deleted", None])
def test_prune_deletes_the_job_then_the_file_then_the_row_whoever_is_killed(
    line: str | None, stored: Path
) -> None:
    file = finished(stored)
    with engine.begin() as connection:
        assert retention.delete_finished(connection, 60.0, 10) == 1
    assert file.exists()
    assert sql("SELECT job_id FROM artifacts") == [(None,)]
    settings = get_settings()
    assert settings.database_url is not None
    environment = os.environ | {
        "SIMCELERY_FAILPOINTS": f"{line}=kill" if line else "",
        "SIMCELERY_DATABASE_URL": settings.database_url.get_secret_value(),
        "SIMCELERY_HOME": str(settings.home),
    }
    argv = [sys.executable, "-m", "simcelery.maintenance.discard"]
    done = subprocess.run(argv, env=environment, timeout=within(60), check=False)
    assert done.returncode == (-9 if line else 0)
    assert not file.exists()
    assert len(sql("SELECT * FROM artifacts")) == (1 if line else 0)
    tidy()
    assert sql("SELECT * FROM artifacts") == []


def test_a_file_in_no_store_of_ours_is_never_deleted(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    precious = tmp_path / "precious"
    precious.touch()
    file = finished(stored)
    for url in (str(precious), f"{stored}/../precious", f"{stored}x/precious"):
        sql("UPDATE artifacts SET job_id = NULL, url = :url", url=url)
        tidy()
        assert precious.exists()
        assert len(sql("SELECT * FROM artifacts")) == 1
        assert caplog.messages[-1] == "1 file not deleted: artifact_url names another store, or none"
        with engine.begin() as connection:
            assert not artifacts.nobodys(connection), "no process is started for it each minute"
    assert file.exists()


def test_a_workdir_with_artifacts_that_are_stored_nowhere_else_stays(stored: Path) -> None:
    job = record(keep="none")
    claimed = must_claim(job.task_id, worker())
    put(claimed, stored, url=False)
    folder_of(claimed).mkdir(parents=True)
    finish(claimed, replace(SUCCESS, workdir="/scratch/of/another/home"))
    assert workdirs.sweep("test") == 0
    sql("UPDATE workdirs SET next_at = now()")
    sql("UPDATE attempts SET workdir = :folder", folder=str(folder_of(claimed)))
    assert workdirs.sweep("test") == 1
    assert sql("SELECT done FROM workdirs") == [("kept",)]
    assert folder_of(claimed).is_dir()
    assert discard.run() == 0


def nobodys(*urls: object) -> None:
    """Stored files that belong to no job any more."""
    claimed = must_claim(record().task_id, worker())
    new = [NewArtifact(f"{n}", f"/scratch/{n}", "test", 1, "abc", str(url)) for n, url in enumerate(urls)]
    artifacts.save(claimed, new)
    finish(claimed, LOST)
    sql("UPDATE artifacts SET job_id = NULL, next_at = now()")


def test_what_the_store_refuses_to_delete_keeps_its_row(stored: Path) -> None:
    (stored / "a folder").mkdir(parents=True)
    nobodys(stored / "a folder", stored / "gone")
    assert discard.run() == 1
    assert sql("SELECT url FROM artifacts") == [(str(stored / "a folder"),)]


def test_however_many_there_are_all_are_deleted_and_counted(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = [tmp_path / "elsewhere" / str(number) for number in range(25)]
    nobodys(*(stored / str(number) for number in range(25)), *foreign)
    assert discard.run() == 25
    assert caplog.messages == ["25 files not deleted: artifact_url names another store, or none"]
    assert len(sql("SELECT FROM artifacts")) == 25


class Played:
    """A process of its own that would be started."""

    def __init__(self, is_running: bool) -> None:
        self.is_running = is_running
        self.started: list[dict[str, str]] = []

    def start(self, settings: Settings, **environment: str) -> None:
        self.started.append(environment)


@pytest.mark.parametrize("is_running", [False, True])
def test_a_process_is_started_unless_one_runs_already(
    is_running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleting, sweeping = Played(is_running), Played(is_running)
    monkeypatch.setattr(discard, "_process", deleting)
    monkeypatch.setattr(workdirs, "_process", sweeping)
    discard.start()
    workdirs.start(get_settings())
    assert deleting.started == ([] if is_running else [{}])
    root = str(get_settings().workdirs)
    assert sweeping.started == ([] if is_running else [{"SIMCELERY_WORKDIR_ROOT": root}])


def test_a_rehearsal_deletes_no_file(stored: Path) -> None:
    file = finished(stored)
    sql("UPDATE artifacts SET job_id = NULL, next_at = now()")
    assert all(not any(one.counts.values()) for one in recover(dry_run=True))
    assert file.exists()
    list(recover(dry_run=False))
    assert not file.exists()
