"""``simcelery export --crate``: what real workers did, read back from a crate as others read it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas
import pytest
from rocrate.rocrate import ROCrate

import simcelery
from simcelery.crates import graph
from simcelery.describe.plain import jsonable, plain
from simcelery.settings import get_settings
from tests.board_helpers import attempts, sql
from tests.conftest import Project

_PROGRAM = """
import sys
from simcelery import workflow

@workflow
def shout(url: str) -> dict[str, float]:
    print("connecting to", url)
    print("and again", file=sys.stderr)
    if "bad" in url:
        raise ValueError(f"no answer from {url}")
    return {"length": len(url), "nothing": float("nan")}
"""


def checked(folder: Path) -> list[str]:
    """The files of a crate, each of which has the checksum that its manifest and its metadata say."""
    lines = (folder / "manifest-sha256.txt").read_text().splitlines()
    summed = dict(reversed(line.split("  ", 1)) for line in lines)
    there = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())
    assert there == sorted([*summed, "manifest-sha256.txt"])
    for path, sha256 in summed.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == sha256, path
    for entity in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]:
        if "sha256" in entity:
            assert summed[unquote(entity["@id"])] == entity["sha256"]
            assert int(entity["contentSize"]) == (folder / unquote(entity["@id"])).stat().st_size
    return there


def said(folder: Path) -> dict[str, Any]:
    """The metadata: what is said of each thing."""
    found = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    for entity in found:
        entity.get("hasPart", []).sort(key=lambda part: part["@id"])
    return {entity["@id"]: entity for entity in found}


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, None where there is nothing."""
    found = pandas.read_parquet(path, dtype_backend="pyarrow")
    return [{name: None if value is pandas.NA else value for name, value in row.items()}
            for row in found.to_dict("records")]  # fmt: skip


def everything(folder: Path) -> str:
    """All that can be read in a crate."""
    texts = [one.read_text() for one in folder.rglob("*") if one.suffix in (".txt", ".md", ".json")]
    return "".join([*texts, *(str(table(one)) for one in folder.rglob("*.parquet"))])


@pytest.fixture
def campaign(project: Project) -> Project:
    """Jobs that a real worker ran: successes, failures, several attempts, other parameters, dependants."""
    (project.folder / "loud.py").write_text(_PROGRAM)
    (project.folder / "simcelery.toml").write_text('workflows = ["sims", "loud"]\n')
    board = get_settings().board_url()
    for words in (
        ("init", "-q"),
        ("remote", "add", "origin", "https://me:token@example.org/sims.git"),
        ("add", "sims.py", "loud.py"),
        ("-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-qm", "one"),
    ):
        subprocess.run(["git", *words], cwd=project.folder, check=True)
    project.worker()
    for words in (
        ("sims.add", "a=1", "-t", "x"),
        ("sims.relaxed", "energy=-1.5", "-t", "x"),
        ("sims.flaky", "succeed_at=3", "-t", "x"),
        ("sims.picky", "kind=fail", "-t", "x"),
        ("loud.shout", f"url={board}", "-t", "x"),
        ("loud.shout", "url=redis://:bad@host:1/0", "-t", "x"),
    ):
        assert project.run("simcelery", "submit", *words).returncode == 0
    [(first,)] = sql("SELECT min(id) FROM jobs")
    project.run("simcelery", "submit", "sims.add", f"a=@{first}", "-t", "x")
    project.run("simcelery", "wait", "-t", "x", "--timeout", "60", "-o", "quiet")
    [(bad,)] = sql("SELECT id FROM jobs WHERE workflow = 'sims.picky'")
    assert project.run("simcelery", "retry", str(bad), "--set", "kind=key").returncode == 0
    project.run("simcelery", "wait", "-t", "x", "--timeout", "60", "-o", "quiet")
    return project


def test_a_crate_holds_what_the_board_holds_and_no_password(campaign: Project) -> None:
    done = campaign.run("simcelery", "export", "-t", "x", "--crate", "crate", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    folder = campaign.folder / "crate"
    there = checked(folder)
    jobs = list(simcelery.jobs(tags=["x"]))
    ran = {job.id: attempts(job.id) for job in jobs}
    told = json.loads(done.stdout)
    assert (told["jobs"], told["files"]) == (7, len(there))
    assert told["attempts"] == sum(map(len, ran.values())) == 10
    assert not list(campaign.folder.glob(".crate*"))

    rows = table(folder / "attempts.parquet")
    assert [(row["job"], row["attempt"]) for row in rows] == [
        (number, one["attempt"]) for number, them in ran.items() for one in them
    ]
    for row, one in zip(rows, (one for them in ran.values() for one in them), strict=True):
        environment = one["environment"]
        for name in ("outcome", "cause", "host", "nodename", "pid", "cpu_seconds", "peak_memory", "seed",
                     "workdir", "code_version"):  # fmt: skip
            assert row[name] == one[name], name
        for name in ("python", "simcelery", "package", "version", "source", "tree", "repository", "commit",
                     "dirty"):  # fmt: skip
            assert row[name] == environment[name], name
        assert row["claim_id"] == str(one["claim_id"])
        assert (row["started_at"], row["finished_at"]) == (one["started_at"], one["finished_at"])
        if row["workflow"] != "loud.shout":
            assert json.loads(row["parameters"]) == plain(one["parameters"])
    assert [json.loads(row["parameters"]) for row in rows if row["workflow"] == "sims.picky"] == [
        {"kind": "fail"},
        {"kind": "key"},
    ]

    for job in jobs:
        [row] = [row for row in table(folder / f"jobs/{job.workflow}.parquet") if row["id"] == job.id]
        about = job.row()
        assert (row["state"], row["attempt"]) == (about.state, about.attempt)
        assert row["finished_at"] == about.finished_at
        if job.workflow == "sims.relaxed":
            assert row["result.energy"] == -1.5
    last = jobs[-1].row()
    assert last.workflow == "sims.add"
    assert [row["parents"] for row in table(folder / "jobs/sims.add.parquet")][-1] == [jobs[0].id]

    loud = [job for job in jobs if job.workflow == "loud.shout"]
    for job in loud:
        [log] = [row["log"] for row in rows if row["job"] == job.id]
        printed = (folder / log).read_text()
        assert printed.startswith("connecting to ")
        assert "***" in printed
        assert "and again\n" in printed
    found, settings = everything(folder), get_settings()
    for url in (settings.board_url(), settings.redis_url()):
        password = urlsplit(url).password
        assert password
        assert password not in found
    assert ":bad@" not in found
    assert "redis://:***@host:1/0" in found


def test_its_metadata_are_read_by_those_who_read_such_metadata(campaign: Project) -> None:
    done = campaign.run(
        *("simcelery", "export", "-t", "x", "--crate", "crate"),
        *("--title", "Ten attempts", "--license", "https://spdx.org/licenses/CC-BY-4.0"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("7 jobs, 10 attempts, 2 logs in crate: ")
    crate = ROCrate(campaign.folder / "crate")
    root = crate.root_dataset
    assert (root["name"], root["license"]["@type"]) == ("Ten attempts", "CreativeWork")
    assert {one.id for one in crate.data_entities} >= {"attempts.parquet", "README.md", "logs/"}
    actions = {one.id: one for one in root["mentions"]}
    known = {f"#job-{job.id}-attempt-{one['attempt']}": (job, one) for job in simcelery.jobs(tags=["x"])
             for one in attempts(job.id)}  # fmt: skip
    assert actions.keys() == known.keys()
    for name, (job, attempt) in known.items():
        action = actions[name]
        succeeded = attempt["outcome"] == "succeeded"
        status = "CompletedActionStatus" if succeeded else "FailedActionStatus"
        assert action["actionStatus"] == f"http://schema.org/{status}"
        assert ("error" in action) == (not succeeded)
        assert action["agent"]["name"] == job.row().submitted_by
        assert action["startTime"][:19] == jsonable(attempt["started_at"])[:19]
        assert action["instrument"]["name"] == job.workflow
        [code] = [one for one in action["instrument"]["softwareRequirements"] if one.id.startswith("#code-")]
        assert code["name"] == attempt["environment"]["package"]
        assert code["codeRepository"] == "https://example.org/sims.git"
        assert code["version"] == attempt["environment"]["commit"]
        about = {one["name"]: one["value"] for one in code["additionalProperty"]}
        assert about["differs from the commit"] == ("yes" if attempt["environment"]["dirty"] else "no")
        given = action["object"] if isinstance(action["object"], list) else [action["object"]]
        values = {one["name"]: one["value"] for one in given}
        assert values.pop("random seed") == str(attempt["seed"])
        assert values.keys() == attempt["parameters"].keys()
    [relaxed] = [actions[f"#job-{job.id}-attempt-1"] for job in simcelery.jobs(workflow="sims.relaxed")]
    assert {one["name"]: one["value"] for one in relaxed["result"]} == {
        "energy": -1.5,
        "positions": "[[0.0, 1.0, 2.0]]",
    }
    crate.write(campaign.folder / "again")  # all that it names is there, and none of it is lost
    assert said(campaign.folder / "again") == said(campaign.folder / "crate")


def test_of_very_many_attempts_those_that_ended_alike_are_described_together(
    campaign: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_MOST_ATTEMPTS", 9)
    folder = campaign.folder / "crate"
    ids = [job.id for job in simcelery.jobs(tags=["x"])]
    made = simcelery.jobs(ids=ids[::-1]).to_crate(folder, title="Seven jobs")
    assert (made.jobs, made.attempts) == (7, 10)
    checked(folder)
    crate = ROCrate(folder)
    said = sorted(action["name"] for action in crate.root_dataset["mentions"])
    assert said == [
        "1 successful attempt of loud.shout",
        "1 successful attempt of sims.flaky",
        "1 successful attempt of sims.relaxed",
        "1 unsuccessful attempt of loud.shout",
        "2 successful attempts of sims.add",
        "2 unsuccessful attempts of sims.flaky",
        "2 unsuccessful attempts of sims.picky",
    ]
    assert all(action["object"].id.startswith("jobs/") for action in crate.root_dataset["mentions"])
    assert not [one for one in crate.data_entities if one.id.endswith(".1.txt")]


def test_nothing_half_written_is_left_and_nothing_is_overwritten(project: Project) -> None:
    def export(*words: str, **environment: str) -> tuple[int, str]:
        done = project.run("simcelery", "export", *words, **environment)
        return done.returncode, done.stderr or done.stdout

    def there() -> set[str]:
        return {one.name for one in project.folder.iterdir()} - before

    before = {one.name for one in project.folder.iterdir()}
    nothing = (2, "simcelery: no job matches, so there is nothing to export\n")
    assert export("--crate", "crate") == nothing
    assert there() == set()
    project.run("simcelery", "submit", "sims.add", "a=1")  # it never runs: an attempt is no must
    assert export("--crate", "crate", SIMCELERY_FAILPOINTS="before_crate=raise")[0] == 70
    assert there() == set()
    killed, _ = export("--crate", "crate", SIMCELERY_FAILPOINTS="before_crate=kill")
    assert killed == -9
    assert "crate" not in there()
    (project.folder / "crate").mkdir()
    code, said = export("--crate", "crate")
    assert (code, said.partition(" in crate")[0]) == (0, "1 job, 0 attempts, 0 logs")
    assert [row["state"] for row in table(project.folder / "crate/jobs/sims.add.parquet")] == ["pending"]
    before_that = checked(project.folder / "crate")
    full = (2, "simcelery: crate exists already, and is no empty folder: give another name\n")
    assert export("--crate", "crate") == full
    assert export("--crate", "simcelery.toml")[0] == 2
    assert export("--crate", "no/where") == (
        2,
        "simcelery: no/where cannot be written: No such file or directory\n",
    )
    assert checked(project.folder / "crate") == before_that


def test_a_package_that_is_missing_is_named_in_one_line(project: Project) -> None:
    done = project.python("""
        import sys
        sys.modules["rocrate"] = None
        sys.argv = ["simcelery", "export", "--crate", "crate"]
        from simcelery.cli import main
        main()
    """)
    assert done.returncode == 2
    assert done.stderr == "simcelery: a crate needs rocrate: pip install 'simcelery[crate]'\n"
