"""A job is deleted only when a file on the disk holds it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from simcelery.board import engine, retention, transitions
from simcelery.errors import UsageError
from simcelery.maintenance import archive, formats
from tests.board_helpers import ERROR, finish, must_claim, record, sql, state, worker
from tests.conftest import Project

pytestmark = pytest.mark.usefixtures("board")

HOUR = 3600.0


def finished(number: int, **changes: Any) -> list[int]:
    """Jobs that failed two hours ago."""
    me = worker()
    ids = []
    for _ in range(number):
        job = record(**changes)
        finish(must_claim(job.task_id, me), ERROR)
        ids.append(job.id)
    sql("UPDATE jobs SET finished_at = now() - interval '2 h' WHERE finished_at IS NOT NULL")
    return ids


def left() -> list[int]:
    return [number for (number,) in sql("SELECT id FROM jobs ORDER BY id")]


def lines(folder: Path) -> list[dict[str, Any]]:
    """The jobs of all archives; hidden files are none."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("[!.]*"))
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


def test_an_archive_holds_all_that_the_board_held(tmp_path: Path) -> None:
    parent = record()
    [number] = finished(1, parents=[], tags=["oxides"], parameters={"x": 1.5, "name": "Å\n"})
    child = record()
    sql("INSERT INTO log_chunks VALUES (:id, 1, 1, 'one '), (:id, 1, 2, 'two')", id=number)
    sql(
        "INSERT INTO steps (job_id, name, key, code, given, output, attempt, seconds)"
        " VALUES (:id, 'scf', 'k', 'c', '{\"kpts\": \"4\"}', '3', 1, 0.5)",
        id=number,
    )
    sql("INSERT INTO checkpoints (job_id, attempt, state) VALUES (:id, 1, '{\"done\": 7}')", id=number)
    [step] = archive.archive_and_delete(HOUR, tmp_path / "new" / "folder")
    assert (step.jobs, left()) == (1, [parent.id, child.id])
    [job] = lines(tmp_path / "new" / "folder")
    assert (job["id"], job["state"], job["tags"]) == (number, "failed", ["oxides"])
    assert job["parameters"] == {"x": 1.5, "name": "Å\n"}
    assert (job["log"], job["parents"]) == ("one two", [])
    [saved] = job["steps"]
    assert (saved["name"], saved["given"], saved["output"], saved["attempt"]) == ("scf", {"kpts": "4"}, 3, 1)
    assert (job["checkpoint"]["state"], job["checkpoint"]["attempt"]) == ({"done": 7}, 1)
    assert [(one["attempt"], one["error_type"]) for one in job["attempts"]] == [(1, "ValueError")]


def test_what_is_left_out_of_a_log_is_said_in_the_archive_too(tmp_path: Path) -> None:
    [number] = finished(1)
    sql(
        "INSERT INTO log_chunks VALUES (:id, 1, 1, 'begin'), (:id, 1, 300, 'end'), (:id, 2, 1, 'again')",
        id=number,
    )
    [_] = archive.archive_and_delete(HOUR, tmp_path)
    [job] = lines(tmp_path)
    assert job["log"] == "begin\n... 1,220,608 bytes left out ...\nendagain"


def test_files_are_bounded_and_each_job_is_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_ROWS_OF_A_FILE", 5)
    monkeypatch.setattr(archive, "_ROWS_TO_READ", 2)
    monkeypatch.setattr(archive, "_ROWS", 3)
    ids = finished(12)
    steps = list(archive.archive_and_delete(HOUR, tmp_path))
    assert [step.jobs for step in steps] == [5, 5, 2]
    assert sorted(job["id"] for job in lines(tmp_path)) == ids
    assert left() == []
    assert list(archive.archive_and_delete(HOUR, tmp_path)) == []


def test_without_a_folder_jobs_are_deleted(tmp_path: Path) -> None:
    finished(3)
    assert sum(step.jobs for step in archive.archive_and_delete(HOUR)) == 3
    assert left() == []


@pytest.mark.parametrize(("point", "archives"), [("before_archive", 1), ("after_archive", 2)])
def test_a_run_that_is_killed_loses_no_job(
    point: str, archives: int, project: Project, tmp_path: Path
) -> None:
    ids = finished(5)
    code = f"""
        from pathlib import Path
        from simcelery.maintenance import archive
        list(archive.archive_and_delete(3600.0, Path({str(tmp_path / "kept")!r})))
    """
    killed = project.python(code, SIMCELERY_FAILPOINTS=f"{point}=kill")
    assert killed.returncode == -9
    assert left() == ids
    assert project.python(code).returncode == 0
    assert left() == []
    found = [job["id"] for job in lines(tmp_path / "kept")]
    assert sorted(found) == sorted(ids * archives)


def test_a_job_that_ran_again_after_it_was_archived_stays() -> None:
    first, second = finished(2)
    with engine.begin() as connection:
        held = retention.archived(connection, [first, second])
        transitions.retry(connection, [first], by="test")
    assert state(first) == "pending"
    task_id = sql("SELECT task_id FROM jobs WHERE id = :id", id=first)[0][0]
    finish(must_claim(task_id, worker()), ERROR)
    sql("UPDATE jobs SET finished_at = now() - interval '90 min' WHERE id = :id", id=first)
    with engine.begin() as connection:
        assert retention.delete_archived(connection, held, HOUR) == 1
    assert left() == [first]


def test_a_job_whose_child_was_recorded_after_it_was_archived_stays() -> None:
    [number] = finished(1)
    with engine.begin() as connection:
        held = retention.archived(connection, [number])
    child = record(parents=[number])
    with engine.begin() as connection:
        assert retention.delete_archived(connection, held, HOUR) == 0
    assert left() == [number, child.id]


def test_a_folder_that_cannot_be_written_is_one_line_and_nothing_is_deleted(tmp_path: Path) -> None:
    [number] = finished(1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        list(archive.archive_and_delete(HOUR, tmp_path / "file" / "folder"))
    assert left() == [number]


def test_parquet_without_pyarrow_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    [number] = finished(1)
    with pytest.raises(UsageError, match="pip install"):
        list(archive.archive_and_delete(HOUR, tmp_path, "parquet"))
    assert left() == [number]


def test_a_table_in_parquet_holds_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    [number] = finished(1, tags=["oxides"], parameters={"x": 1.5})
    [step] = archive.archive_and_delete(HOUR, tmp_path, "parquet")
    [job] = parquet.read_table(step.file).to_pylist()
    assert (job["id"], job["state"], job["tags"]) == (number, "failed", ["oxides"])
    assert json.loads(job["parameters"]) == {"x": 1.5}
    assert json.loads(job["attempts"])[0]["outcome"] == "failed"
