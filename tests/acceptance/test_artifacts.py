"""Files of jobs in a store: there and whole if their job has succeeded, and nothing else for long."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from simcelery.maintenance import prune
from simcelery.maintenance.effects import BY_HAND
from simcelery.settings import override
from simcelery.storing import store
from simcelery.storing.program import ToStore, put_all
from simcelery.storing.store import StoreError
from simcelery.submission import files
from tests.acceptance.helpers import submit, submit_command
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.waiting import wait_until, within

LINES = ["before_artifacts_saved", "artifacts_saved", "stored", "artifacts_stored"]


def test_whatever_is_killed_a_job_that_succeeded_has_its_file_and_no_other_stays(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, once = tmp_path / "store", tmp_path / "once"
    once.mkdir()
    project.environment["SIMCELERY_ARTIFACT_URL"] = str(stored)
    armed = ",".join(f"{line}=kill" for line in LINES)
    project.worker("-c", "1", SIMCELERY_FAILPOINTS=armed, SIMCELERY_FAILPOINTS_ONCE=str(once))
    job = submit(project, "leaves_a_file.submit('the energies')")
    job.wait(timeout=within(60))
    assert [one["outcome"] for one in attempts(job.id)] == ["lost"] * 4 + ["succeeded"]
    assert sorted(path.name for path in once.iterdir()) == sorted(LINES)
    [one] = job.artifacts()
    assert (one.name, one.size, one.attempt) == ("out/traj.nc", 12, 5)
    shutil.rmtree(attempts(job.id)[-1]["workdir"])
    got = project.run("simcelery", "files", str(job.id), "get", "-O", str(tmp_path / "into"))
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "into" / "out" / "traj.nc").read_text() == "the energies"
    child = submit(project, f"reads_its_parents_file.submit(after=[{job.id}])")
    assert child.result(timeout=within(60)) == "the energies"
    monkeypatch.setenv("SIMCELERY_ARTIFACT_URL", str(stored))
    override({})
    sql("UPDATE artifacts SET next_at = now() WHERE next_at IS NOT NULL")
    prune.tick(BY_HAND)
    assert [str(path) for path in stored.rglob("*") if path.is_file()] == [one.url]
    Path(one.url or "").write_text("damaged")
    got = project.run("simcelery", "files", str(job.id), "get", "out/traj.nc", "-O", str(tmp_path / "anew"))
    assert (got.returncode, len(got.stderr.splitlines())) == (2, 1)
    assert "is not the file that was registered: its SHA-256 is" in got.stderr
    assert not (tmp_path / "anew" / "out" / "traj.nc").exists()


def test_without_a_store_files_stay_there_and_a_worker_sends_them(project: Project, tmp_path: Path) -> None:
    project.worker("-c", "1")
    job = submit_command(project, "sh", "-c", "yes | head -c 2500000 > a.dat; echo 1 > b.dat")
    assert job.result(timeout=within(30))["exit_code"] == 0
    assert job.artifacts() == []
    done = project.run(
        *("simcelery", "submit", "-o", "quiet", "--artifact", "*.dat", "--", "sh", "-c"),
        "yes | head -c 2500000 > a.dat; echo 1 > b.dat",
    )
    number = int(done.stdout)
    wait_until(lambda: row(number).state == "succeeded", 60)
    listed = json.loads(project.run("simcelery", "files", str(number), "-o", "json").stdout)
    assert [(one["name"], one["size"], one["url"]) for one in listed["files"]] == [
        ("a.dat", 2_500_000, None),
        ("b.dat", 2, None),
    ]
    assert "b.dat" in project.run("simcelery", "show", str(number)).stdout
    fields = ("--where", "artifacts is not null", "--fields", "id,artifacts", "-o", "jsonl")
    told = project.run("simcelery", "results", str(number), *fields).stdout
    assert json.loads(told) == {"id": number, "artifacts": ["a.dat", "b.dat"]}
    with (tmp_path / "sent").open("wb") as file:  # as on another machine
        files.whole(number, listed["files"][0]["path"], 1, file)
    assert store.checksum(tmp_path / "sent") == listed["files"][0]["sha256"]
    made = project.run("simcelery", "export", str(number), "--crate", str(tmp_path / "crate"))
    assert made.returncode == 0, made.stderr
    kept = tmp_path / "crate" / "artifacts" / str(number)
    assert store.checksum(kept / "a.dat") == listed["files"][0]["sha256"]
    graph = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_text())["@graph"]
    ids = {entity["@id"]: entity for entity in graph}
    assert ids[f"artifacts/{number}/a.dat"]["sha256"] == listed["files"][0]["sha256"]
    of_attempt = ids[f"#job-{number}-attempt-1"]["result"]
    assert {"@id": f"artifacts/{number}/b.dat"} in of_attempt
    assert f"artifacts/{number}/b.dat" in (tmp_path / "crate" / "manifest-sha256.txt").read_text()
    aside = tmp_path / "elsewhere"
    got = project.run("simcelery", "files", str(number), "get", "a.dat", "-O", str(aside), "-o", "quiet")
    assert got.stdout == f"{aside}/a.dat\n", got.stderr
    assert store.checksum(aside / "a.dat") == listed["files"][0]["sha256"]
    (aside / "b.dat").write_text("mine")
    (aside / "a.dat").unlink()
    refused = project.run("simcelery", "files", str(number), "get", "-O", str(aside))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"simcelery: {aside}/b.dat exists already, and is another file: ")
    assert [path.read_text() for path in aside.iterdir()] == ["mine"]
    forced = project.run("simcelery", "files", str(number), "get", "-O", str(aside), "--force", "-o", "quiet")
    assert forced.stdout == f"{aside}/a.dat\n{aside}/b.dat\n", forced.stderr
    again = project.run("simcelery", "files", str(number), "get", "-O", str(aside), "-o", "quiet")
    assert again.stdout == forced.stdout, again.stderr
    lost = submit(project, "leaves_a_file.submit('x', then='remove')")
    lost.wait(timeout=within(30))
    assert "No such file or directory" in (row(lost.id).error or "")
    assert row(lost.id).state == "failed"
    none = project.run("simcelery", "files", str(lost.id), "get")
    assert none.stderr == f"simcelery: job {lost.id} has no artifacts\n"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    """A store that speaks S3, with a bucket."""
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in of_s3(host, port).items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="sims")
    yield server
    server.stop()


def of_s3(host: str, port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_a_worker_stores_files_in_s3_and_an_outage_is_a_failure_with_its_cause(
    s3: ThreadedMotoServer, project: Project, tmp_path: Path
) -> None:
    project.environment |= of_s3(*s3.get_host_and_port())
    project.environment |= {"SIMCELERY_ARTIFACT_URL": "s3://sims/jobs", "SIMCELERY_ARTIFACT_TIMEOUT": "1"}
    project.worker("-c", "1")
    jobs = [submit(project, f"leaves_a_file.submit('run {n}')") for n in range(2)]
    for number, job in enumerate(jobs):
        job.result(timeout=within(60))
        [one] = job.artifacts()
        assert (one.url or "").startswith("s3://sims/jobs/")
        store.get(one.url or "", tmp_path / "back", one.sha256)
        assert (tmp_path / "back").read_text() == f"run {number}"
    assert len({one["pid"] for job in jobs for one in attempts(job.id)}) == 1  # nothing was left in the child
    store.delete(jobs[0].artifacts()[0].url or "")
    s3.stop()
    job = submit(project, "leaves_a_file.submit('x')")
    job.wait(timeout=within(90))
    assert row(job.id).state == "failed"
    assert (row(job.id).error or "").startswith("StoreError: cannot store traj.nc at s3://sims/jobs/")
    assert job.artifacts() == []
    (tmp_path / "x").touch()
    with pytest.raises(StoreError, match=r"cannot store x at s3://sims/x: "):
        put_all([ToStore(str(tmp_path / "x"), "s3://sims/x", 0)], timeout=0.5)
