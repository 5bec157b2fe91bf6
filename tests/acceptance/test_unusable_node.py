"""A node whose folders take no files: its worker takes no jobs until they do, and no job is blamed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simcelery.execution import places
from simcelery.worker import folders
from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.waiting import wait_until, within

Break = Callable[[Path], object]


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=False)
    if done.returncode:
        pytest.skip("only root may mount, and not in every container")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


@contextmanager
def a_file_instead(root: Path) -> Iterator[None]:
    root.rename(root.with_name("aside"))
    root.touch()
    yield
    root.unlink()
    root.with_name("aside").rename(root)


@contextmanager
def a_full_file_system(root: Path) -> Iterator[None]:
    with mounted(root, "size=256k"):
        fill(root)
        yield


@contextmanager
def no_inode_left(root: Path) -> Iterator[None]:
    with mounted(root, "nr_inodes=1"):
        yield


@contextmanager
def a_read_only_file_system(root: Path) -> Iterator[None]:
    with mounted(root, "ro"):
        yield


KINDS = [a_file_instead, a_full_file_system, no_inode_left, a_read_only_file_system]


@pytest.fixture
def root(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent of the job folders."""
    folder = tmp_path_factory.mktemp("node") / "attempts"
    folder.mkdir()
    project.environment["SIMCELERY_WORKDIR_ROOT"] = str(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_survives_a_root_that_becomes_unusable(project: Project, root: Path, kind: Break) -> None:
    project.worker("-c", "2")
    assert submit(project, "where.submit('x')").state in ("pending", "running", "succeeded")
    wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == [(1,)], 30)
    # A pool child that has just looked at its folders begins the next job without a look, which is then lost.
    time.sleep(folders._LOOK_EVERY)
    with kind(root):  # type: ignore[attr-defined]
        project.python("import sims; sims.where.submit_many({'write': str(n)} for n in range(100))")
        wait_until(lambda: "takes no jobs" in project.logs(), 30)
        wait_until(lambda: sql("SELECT count(*) FROM workers WHERE quarantined_at IS NOT NULL") == [(1,)], 30)
        wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE state = 'running'") == [(0,)], 30)
        waiting = sql("SELECT count(*), sum(failures), sum(losses) FROM jobs WHERE state = 'pending'")
        assert waiting == [(100, 0, 0)]
        assert sql("SELECT count(*) FROM attempts") == [(1,)]
        said = project.run("simcelery", "doctor")
        assert f"{root}: " in said.stdout
        assert len([line for line in project.logs().splitlines() if "takes no jobs" in line]) == 1
    wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == [(101,)], 60)
    assert sql("SELECT count(*) FROM attempts WHERE attempt > 1 OR outcome <> 'succeeded'") == [(0,)]
    kept = "SELECT count(*) FROM workers WHERE quarantined_at IS NOT NULL OR note IS NOT NULL"
    wait_until(lambda: sql(kept) == [(0,)], 30)


def test_a_job_that_runs_out_of_room_is_lost_and_not_failed(project: Project, root: Path) -> None:
    with mounted(root, "size=1m"):
        (root / "of-others").write_bytes(bytes(700 << 10))
        project.worker("-c", "1")
        job = submit(project, "fills_its_disk.submit()")
        wait_until(lambda: attempts(job.id), 30)
        first = attempts(job.id)[0]
        assert (first["outcome"], first["cause"]) == ("lost", "worker_lost")
        assert "No space left on device" in first["error_message"]
        assert f"file system {root}: 0 B of 1.0 MiB free" in first["error_message"]
        assert (row(job.id).failures, row(job.id).losses) == (0, 1)
        wait_until(lambda: "takes no jobs" in project.logs(), 30)


def test_one_that_has_filled_its_disk_itself_fails_and_takes_no_further_node_with_it(
    project: Project, root: Path
) -> None:
    """Its folder does not stay, by its own wish: so the worker goes on."""
    with mounted(root, "size=1m"):
        project.worker("-c", "1")
        for code, said in (
            ("fills_its_disk.submit(keep='none')", "OSError: [Errno 28] No space left on device"),
            ("prints_without_end.submit(keep='none')", "CommandError: "),
        ):
            job = submit(project, code)
            job.wait(timeout=within(30))
            assert [(one["outcome"], one["cause"]) for one in attempts(job.id)] == [("failed", "error")]
            assert (row(job.id).error or "").startswith(said)
            assert f"file system {root}: 0 B of 1.0 MiB free" in (row(job.id).error or "")
            assert "its own files take 1.0 MiB of that" in (row(job.id).error or "")
            assert submit(project, "add.submit(1)").result(timeout=within(60)) == 2
    assert sql("SELECT sum(losses) FROM jobs") == [(0,)]


def test_a_job_that_fills_another_disk_fails_and_says_which(project: Project, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    project.worker("-c", "1")
    with mounted(scratch, "size=1m"):
        job = submit(project, f"fills_its_disk.submit({str(scratch / 'data')!r})")
        job.wait(timeout=within(60))
        assert row(job.id).state == "failed"
        said = f"No space left on device: '{scratch}/data' (file system {scratch}: 0 B of 1.0 MiB free)"
        assert (row(job.id).error or "").splitlines() == [f"OSError: [Errno 28] {said}"]
        assert submit(project, "add.submit(1)").result(timeout=within(30)) == 2


@pytest.mark.parametrize("which", ["SIMCELERY_WORKDIR_ROOT", "SIMCELERY_HOME"])
def test_a_worker_that_could_run_nothing_does_not_start(project: Project, tmp_path: Path, which: str) -> None:
    (tmp_path / "file").touch()
    refused = start(project, **{which: str(tmp_path / "file" / "below")})
    assert refused.returncode == 2
    [line] = [line for line in refused.stderr.splitlines() if line.startswith("simcelery:")]
    assert "no job can run here" in line
    assert str(tmp_path) in line


def start(project: Project, **extra: str) -> subprocess.CompletedProcess[str]:
    """A worker that is expected to end at once."""
    return project.run("celery", "-A", "simcelery", "worker", "-c", "1", timeout=within(60), **extra)


def test_doctor_names_the_folder_and_what_is_wrong(project: Project, root: Path) -> None:
    fine = project.run("simcelery", "doctor")
    assert "job folders" in fine.stdout
    with a_file_instead(root):
        said = project.run("simcelery", "doctor")
    assert "is not a folder" in said.stdout
    assert said.returncode == 2


def test_a_folder_of_somebody_else_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    assert str(places.trouble([tmp_path / "attempts"])).startswith(f"{tmp_path}/attempts: ")
    assert "Permission denied" in str(places.trouble([tmp_path / "attempts"], mode=0o700))


def test_a_folder_that_can_be_made_is_fine_and_is_not_made_by_looking(tmp_path: Path) -> None:
    assert places.trouble([tmp_path / "a" / "b"]) is None
    assert not (tmp_path / "a").exists()
    assert places.trouble([tmp_path / "a" / "b"], mode=0o700) is None
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
