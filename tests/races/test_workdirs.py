"""Workdirs that do not stay when their job has ended: whatever is still needed is never touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.board.states import State
from simcelery.board.values import EndedAttempt, Recorded
from simcelery.execution import archiving
from simcelery.maintenance import workdirs
from simcelery.settings import get_settings
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    finish,
    folder_of,
    must_claim,
    record,
    retry,
    row,
    sql,
    state,
    worker,
)
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")
HOST = "test"


def ran(job: Recorded, ended: EndedAttempt, me: int) -> Path:
    """An attempt that leaves a file in its folder and ends so; the folder."""
    claimed = must_claim(job.task_id, me)
    folder = folder_of(claimed)
    folder.mkdir(parents=True)
    (folder / "traj.nc").write_text(f"attempt {claimed.attempt}")
    assert finish(claimed, replace(ended, workdir=None if ended is LOST else str(folder)))
    return folder


@pytest.mark.parametrize(
    ("keep", "ended", "becomes"),
    [
        (None, SUCCESS, "kept"),
        (None, ERROR, "kept"),
        ("failed", SUCCESS, "removed"),
        ("failed", ERROR, "kept"),
        ("none", SUCCESS, "removed"),
        ("none", ERROR, "removed"),
        ("compressed", SUCCESS, "compressed"),
        ("compressed", ERROR, "compressed"),
        ("what there is not", SUCCESS, "kept"),
    ],
)
def test_what_becomes_of_a_workdir_depends_on_how_its_job_ended(
    keep: str | None, ended: EndedAttempt, becomes: str
) -> None:
    folder = ran(record(keep=keep), ended, worker())
    workdirs.sweep(HOST)
    there = {name for name in ("kept", "compressed") if place(folder, name)}
    assert there == {becomes} - {"removed"}
    assert list(folder.parent.glob(f".*{folder.name}*")) == []
    assert sql("SELECT done FROM workdirs") == ([] if becomes == "kept" else [(becomes,)])


def place(folder: Path, kind: str) -> bool:
    return (folder if kind == "kept" else archiving.archive_of(folder)).exists()


def test_while_a_job_may_run_again_no_folder_of_its_is_touched() -> None:
    job, me = record(keep="none", max_attempts=3, max_losses=3), worker()
    folders = [ran(job, AGAIN, me)]
    sql("UPDATE jobs SET state = 'pending', run_at = NULL")
    folders.append(ran(job, LOST, me))
    assert workdirs.sweep(HOST) == 0
    assert all(folder.is_dir() for folder in folders)
    folders.append(ran(job, SUCCESS, me))
    assert workdirs.sweep(HOST) == 1
    assert not any(
        folder.exists() for folder in folders
    )  # also that of which nobody knew whether it is there


def test_all_that_is_due_is_done_and_counted_though_not_all_of_it_is_seen_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me, all_due = worker(), workdirs._due
    folders = [ran(record(keep="none"), SUCCESS, me) for _ in range(3)]
    monkeypatch.setattr(workdirs, "_due", lambda host: all_due(host)[:1])
    assert workdirs.sweep(HOST) == 3
    assert not any(folder.exists() for folder in folders)


def test_what_a_dependent_needs_stays_until_it_has_ended() -> None:
    me = worker()
    parent = record(keep="failed")
    child = record(parents=[parent.id])
    folder = ran(parent, SUCCESS, me)
    assert workdirs.sweep(HOST) == 0
    assert folder.is_dir()
    assert sql("SELECT next_at < now() + interval '5 min' FROM workdirs") == [(True,)]  # it may end soon
    finish(must_claim(child.task_id, me))
    sql("UPDATE workdirs SET next_at = now()")
    assert workdirs.sweep(HOST) == 1
    assert not folder.exists()


def test_a_job_that_is_retried_keeps_its_folders_until_it_has_ended_again() -> None:

    job, me = record(keep="none"), worker()
    first = ran(job, ERROR, me)
    retry(job.id)
    assert workdirs.sweep(HOST) == 0
    assert first.is_dir()
    second = ran(job, SUCCESS, me)
    assert workdirs.sweep(HOST) == 1
    assert not first.exists()
    assert not second.exists()


def test_a_folder_that_somebody_has_removed_on_its_own_host_is_done_with() -> None:
    shutil.rmtree(ran(record(keep="none"), SUCCESS, worker()))
    assert workdirs.sweep("another") == 0  # it may have a file system of its own
    assert workdirs.sweep(HOST) == 1
    assert sql("SELECT done FROM workdirs") == [("removed",)]


def test_folders_of_another_home_or_host_are_left_to_others(tmp_path: Path) -> None:
    claimed = must_claim(record(keep="none").task_id, worker())
    elsewhere = tmp_path / "precious"
    elsewhere.mkdir()
    finish(claimed, replace(SUCCESS, workdir=str(elsewhere)))
    assert workdirs.sweep(HOST) == 0
    assert elsewhere.is_dir()
    folder = ran(record(keep="none"), SUCCESS, worker(host="far"))
    sql("UPDATE workdirs SET next_at = now()")
    assert workdirs.sweep(HOST) == 0  # a live worker is there
    sql("UPDATE workers SET ended_at = now() WHERE host = 'far'")
    assert workdirs.sweep(HOST) == 1  # nobody is, and the file system is shared
    assert not folder.exists()


def test_workers_of_two_homes_on_a_host_do_not_take_each_others_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, unknown = record(keep="none"), record(keep="none", max_losses=0)
    folders = [ran(known, SUCCESS, worker()), ran(unknown, LOST, worker())]
    own = get_settings()
    other = replace(own, workdir_root=own.home / "of-another-home")
    monkeypatch.setattr(workdirs, "get_settings", lambda: other)
    assert workdirs.sweep(HOST) == 0
    sql("UPDATE workdirs SET next_at = now() - interval '2 min' WHERE job_id = :id", id=unknown.id)
    assert workdirs.sweep(HOST) == 0  # nobody knows that it was there; but nothing is said of it
    assert sql("SELECT done FROM workdirs") == [(None,), (None,)]
    monkeypatch.setattr(workdirs, "get_settings", lambda: own)
    assert workdirs.sweep(HOST) == 1  # at once
    assert [folder.exists() for folder in folders] == [False, True]
    sql("UPDATE workdirs SET next_at = now() - interval '2 min' WHERE done IS NULL")
    assert workdirs.sweep(HOST) == 1
    assert not folders[1].exists()


def test_a_folder_that_the_workers_of_its_own_home_leave_is_postponed_by_others(tmp_path: Path) -> None:
    claimed = must_claim(record(keep="none").task_id, worker())
    finish(claimed, replace(SUCCESS, workdir=str(tmp_path)))
    sql("UPDATE workdirs SET next_at = now() - interval '2 min'")
    assert workdirs.sweep(HOST) == 0
    assert sql("SELECT next_at > now() + interval '5 min' FROM workdirs") == [(True,)]


def test_a_compressed_folder_is_put_back_for_whoever_needs_it_with_its_links(tmp_path: Path) -> None:
    folder = tmp_path / "7.1-aa"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x").write_bytes(b"\0\xff")
    (folder / "link").symlink_to("/etc/hostname")
    archiving.pack(folder)
    archiving.set_aside(folder)
    archiving.remove_aside(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["7.1-aa.tar.gz"]
    assert archiving.unpack(folder)
    assert not archiving.unpack(folder)
    assert (folder / "deep" / "x").read_bytes() == b"\0\xff"
    assert os.readlink(folder / "link") == "/etc/hostname"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7.1-aa", "7.1-aa.tar.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["none", "compressed"])
@pytest.mark.parametrize("line", ["workdir_packed", "workdir_set_aside", "workdirs_done"])
def test_a_sweep_that_is_killed_is_done_by_the_next_one(keep: str, line: str) -> None:
    folder = ran(record(keep=keep), SUCCESS, worker())
    program = f"from simcelery.maintenance import workdirs; workdirs.sweep({HOST!r})"
    environment = {**os.environ, "SIMCELERY_FAILPOINTS": f"{line}=kill"} | of_board()
    killed = subprocess.run([sys.executable, "-c", program], env=environment, timeout=within(60), check=False)
    assert killed.returncode == (0 if (keep, line) == ("none", "workdir_packed") else -9)
    assert killed.returncode == 0 or folder.exists() or line != "workdir_packed"
    workdirs.sweep(HOST)
    assert not folder.exists()
    left = list(folder.parent.glob(f"*{folder.name}*"))
    assert left == ([archiving.archive_of(folder)] if keep == "compressed" else [])
    if left:
        archiving.unpack(folder)
        assert (folder / "traj.nc").read_text() == "attempt 1"


def of_board() -> dict[str, str]:
    settings = get_settings()
    assert settings.database_url is not None
    return {
        "SIMCELERY_DATABASE_URL": settings.database_url.get_secret_value(),
        "SIMCELERY_HOME": str(settings.home),
    }


def test_jobs_that_keep_everything_or_leave_nothing_write_no_row() -> None:
    me = worker()
    ran(record(), SUCCESS, me)
    finish(must_claim(record(keep="failed").task_id, me))
    assert sql("SELECT * FROM workdirs") == []
    job = record(keep="failed")
    assert state(job.id) == State.PENDING
    assert row(job.id).attempt == 0


def test_a_job_that_is_retried_while_it_is_compressed_keeps_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = record(keep="compressed")
    folder = ran(job, ERROR, worker())
    pack = archiving.pack

    def and_retry(folder: Path) -> None:
        pack(folder)
        retry(job.id)

    monkeypatch.setattr(archiving, "pack", and_retry)
    assert workdirs.sweep(HOST) == 0
    assert folder.is_dir()
    assert sql("SELECT done FROM workdirs") == [(None,)]


def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    folder = ran(record(keep="compressed"), SUCCESS, worker())
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    workdirs.sweep(HOST)
    assert not archiving.archive_of(folder).exists()
    assert (tmp_path / "elsewhere" / "traj.nc").read_text() == "attempt 1"
