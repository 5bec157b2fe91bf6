"""The folder of an attempt: where the workflow runs, its own alone, and gone where it stayed empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.waiting import wait_until, within


@pytest.fixture(autouse=True)
def root(tmp_path_factory: pytest.TempPathFactory, project: Project) -> Path:
    """The parent of the job folders of this test, far from its project."""
    folder = tmp_path_factory.mktemp("attempts")
    project.environment["SIMCELERY_WORKDIR_ROOT"] = str(folder)
    return folder


def folders(root: Path) -> list[Path]:
    """Those of attempts."""
    return sorted(root.glob("*/*/*/*"))


def test_a_workflow_runs_in_a_folder_of_its_attempts_own_and_its_files_stay_there(
    project: Project, root: Path
) -> None:
    project.worker("-c", "2")
    jobs = [submit(project, f"where.submit('text {n}')") for n in range(3)]
    results = [job.result(timeout=within(30)) for job in jobs]
    assert len({result["folder"] for result in results}) == 3
    for n, (job, result) in enumerate(zip(jobs, results, strict=True)):
        folder = Path(result["folder"])
        assert folder.is_relative_to(root)
        assert result["shell"] == result["PWD"] == str(folder)
        assert Path(result["absolute"]).read_text() == f"text {n}"
        assert result["mode"] == "0o700"
        assert [one["workdir"] for one in attempts(job.id)] == [str(folder)]


def test_the_path_tells_the_board_the_job_the_attempt_and_the_claim(project: Project, root: Path) -> None:
    project.worker()
    job = submit(project, "where.submit('x')")
    folder = Path(job.result(timeout=within(30))["folder"])
    claim = attempts(job.id)[0]["claim_id"]
    board, millions, thousands, name = folder.relative_to(root).parts
    assert (millions, thousands) == (f"{job.id // 1_000_000:03}", f"{job.id // 1000 % 1000:03}")
    assert name == f"{job.id}.1-{claim.hex[:12]}"
    assert len(board) == 8


def test_the_folders_of_many_jobs_that_write_nothing_are_gone(project: Project, root: Path) -> None:
    project.python("import sims; sims.add.submit_many({'a': n} for n in range(500))")
    project.worker("-c", "2")
    wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == [(500,)], 60)
    assert sql("SELECT count(*) FROM attempts WHERE workdir IS NOT NULL") == [(0,)]
    assert len(folders(root)) <= 2  # each child keeps one for its next job
    project.stop()
    assert len(folders(root)) <= 2


def test_a_folder_that_was_empty_is_the_next_jobs_under_its_own_name(project: Project, root: Path) -> None:
    project.worker("-c", "1")
    first = submit(project, "where.submit()").result(timeout=within(30))
    second = submit(project, "where.submit('mine')").result(timeout=within(30))
    assert first["folder"] != second["folder"]
    assert folders(root) == [Path(second["folder"])]
    assert Path(second["absolute"]).read_text() == "mine"


@pytest.mark.parametrize("how", ["leave", "remove", "fail"])
def test_whatever_a_job_does_with_its_folder_the_next_one_has_its_own(project: Project, how: str) -> None:
    project.worker("-c", "1")
    before = submit(project, f"where.submit(then={how!r})")
    before.wait(timeout=within(30))
    after = submit(project, "where.submit('x')").result(timeout=within(30))
    assert after["folder"] == after["shell"]
    assert Path(after["absolute"]).read_text() == "x"
    assert submit(project, "where_the_worker_is.submit()").result(timeout=within(30)) == str(project.folder)


def test_a_workflow_may_ask_for_the_workers_folder(project: Project, root: Path) -> None:
    project.worker("-c", "1")
    job = submit(project, "where_the_worker_is.submit()")
    assert job.result(timeout=within(30)) == str(project.folder)
    assert attempts(job.id)[0]["workdir"] is None
    assert folders(root) == []


@pytest.mark.parametrize("method", ["fork"])
def test_processes_of_a_job_are_where_it_is(project: Project, root: Path, method: str) -> None:
    project.worker("-c", "1")
    mine, its = submit(project, f"where_its_processes_are.submit({method!r})").result(timeout=within(30))
    assert mine == its
    assert Path(mine).is_relative_to(root)


def test_a_module_beside_the_workflows_is_found_from_within_a_job(project: Project) -> None:
    (project.folder / "lib").mkdir()
    (project.folder / "beside.py").touch()
    (project.folder / "lib" / "below.py").touch()
    with (project.folder / "sims.py").open("a") as file:
        file.write("\nsys.path.append('lib')\n")
    project.worker("-c", "1")
    found = submit(project, "imports_late.submit('beside')").result(timeout=within(30))
    assert found == str(project.folder / "beside.py")
    found = submit(project, "imports_late.submit('below')").result(timeout=within(30))
    assert found == str(project.folder / "lib" / "below.py")


def test_what_a_job_starts_finds_the_settings_of_its_worker(project: Project) -> None:
    """A program that a workflow starts in its own folder, far from simcelery.toml."""
    (project.folder / "simcelery.toml").write_text('workflows = ["sims"]\ndefault_queue = "elsewhere"\n')
    project.worker("-c", "1", "-Q", "elsewhere")
    job = submit(project, "shell.submit('simcelery submit sims.add a=1 -o quiet')")
    inner = int(job.result(timeout=within(60)))
    wait_until(lambda: row(inner).state == "succeeded", 30)
    assert row(inner).queue == "elsewhere"


def test_the_attempt_of_a_killed_child_names_the_folder_with_its_files(project: Project, root: Path) -> None:
    project.worker("-c", "1")
    job = submit(project, "half_done.submit()")
    job.wait(timeout=within(60))
    first = attempts(job.id)[0]
    assert first["outcome"] == "lost"
    assert (Path(first["workdir"]) / "half.txt").read_text() == "half"


def test_the_root_that_a_worker_makes_lets_a_group_in(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "made" / "attempts"
    project.worker("-c", "1", SIMCELERY_WORKDIR_ROOT=str(root), SIMCELERY_WORKDIR_MODE="2750")
    job = submit(project, "about_me.submit()")
    job.result(timeout=within(30))
    assert root.stat().st_mode & 0o7777 == 0o2750


def test_a_worker_removes_what_is_not_to_stay_and_show_and_logs_say_so(project: Project, root: Path) -> None:
    project.worker("-c", "1")
    gone = submit(project, "where.submit('x', keep='failed')")
    kept = submit(project, "where.submit('x', then='fail', keep='failed')")
    packed = submit(project, "where.submit('x', keep='compressed')")
    wait_until(
        lambda: sql("SELECT done FROM workdirs ORDER BY job_id") == [("removed",), ("compressed",)], 60
    )
    assert [path.name for path in folders(root)] == [
        Path(attempts(kept.id)[0]["workdir"]).name,
        Path(attempts(packed.id)[0]["workdir"]).name + ".tar.gz",
    ]
    folder = attempts(gone.id)[0]["workdir"]
    assert f"{folder} (removed, as keep says)" in project.run("simcelery", "show", str(gone.id)).stdout
    said = project.run("simcelery", "logs", str(gone.id), "--file", "note.txt")
    assert said.stderr == (
        f"simcelery: the workdir of attempt 1 of job {gone.id} was removed, as its keep says\n"
    )
    assert (
        f"{attempts(packed.id)[0]['workdir']}.tar.gz"
        in project.run("simcelery", "show", str(packed.id)).stdout
    )
    child = submit(project, f"lists_its_parents.submit(after=[{gone.id}, {packed.id}])")
    assert child.result(timeout=within(60)) == {attempts(packed.id)[0]["workdir"]: ["note.txt"]}
    sql("UPDATE workdirs SET next_at = now()")
    wait_until(lambda: not Path(attempts(packed.id)[0]["workdir"]).exists(), 60)
