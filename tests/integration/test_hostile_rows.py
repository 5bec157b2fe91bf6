"""Rows that cannot be read: whoever looks at the board sees the others, and is told in a line or two."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

import simcelery
from simcelery.board import engine, reads
from simcelery.board.models import Base
from simcelery.board.reads.jobs import Filter
from simcelery.board.unreadable import bad_rows, mending
from simcelery.board.unreadable.loading import UNREADABLE, read_json
from simcelery.cli.root import VERBS
from simcelery.maintenance import archive, by_hand
from simcelery.maintenance.acts import ACTS
from simcelery.services import Services
from simcelery.settings import get_settings
from tests import board_helpers as put
from tests import hostile_rows
from tests.conftest import Project, make_project
from tests.terminals import answers, output
from tests.waiting import within

READS: dict[str, list[list[str]]] = {
    "doctor": [["doctor"]],
    "db": [["db", "current"], ["db", "check"]],
    "hold": [["hold", "-w", "w", "--dry-run"]],
    "release": [["release", "-w", "w", "--dry-run"]],
    "notify": [["notify"]],
    "limits": [["limits"]],
    "share": [["share"]],
    "cluster": [
        ["cluster"],
        *(["cluster", "list", name] for name in ("odd", "late", "timeless", "ever")),
        *(["cluster", "report", "--since", since, "--by", "tag"] for since in ("1h", "9000d")),
    ],
    "schedules": [["schedules"]],
    "workflows": [["workflows"], ["workflows", "deep"], ["workflows", "no"], ["workflows", "honest"]],
    "run": [["run", "listed"], ["run", "high", "x=1"]],
    "submit": [["submit", "listed", "--dry-run"], ["submit", "high", "x=1", "--dry-run"]],
    "list": [["list"], ["list", "-n", "1000"], ["list", "-s", "running"], ["list", "-t", "a"]],
    "status": [["status"], ["status", "1-9999"]],
    "watch": [["watch", "{honest}"]],
    "show": [["show", "{each}"]],
    "logs": [["logs", "1-9999"], ["logs", "{each}"], ["logs", "{honest}"], ["logs", "-s", "failed"]],
    "explain": [["explain", "{each}"]],
    "graph": [["graph", "1-9999"], ["graph", "1-9999", "--dot"], ["graph", "{honest}", "--mermaid"]],
    "files": [["files", "{each}"], ["files", "{honest}", "-o", "json"]],
    "wait": [["wait", "{honest}"], ["wait", "{each}", "--timeout", "0.1"]],
    "result": [["result", "{honest}"], ["result", "{each}"]],
    "results": [
        ["results"],
        ["results", "--format", "csv"],
        ["results", "--all", "--fields", "id,state,x.y,result.0,elapsed,tags,submitted_at", "-o", "jsonl"],
        ["results", "--where", "not (x.y = 1 or result > nan or submitted_at < '2026-01-01' or elapsed > 1)"],
    ],
    "export": [["export", "--crate", "crate"], ["export", "{each}", "--crate", "one-{each}"]],
    "errors": [["errors"]],
    "stats": [["stats"]],
    "cancel": [["cancel", "1-9999", "--dry-run"]],
    "retry": [["retry", "-s", "failed", "--dry-run"]],
    "workers": [["workers", "--all"], ["workers"]],
    "recover": [["recover", "--dry-run"]],
    "prune": [["prune", "--older-than", "1s", "--dry-run"]],
    "spool": [["spool"]],
    "completion": [["completion", "bash"]],
}
SHOW_NOTHING = {"up", "down", "demo", "schema", "relay", "monitor"}


@pytest.fixture
def project(board: Services, tmp_path: Path) -> Project:
    made = make_project(board, tmp_path)
    made.environment |= {"SIMCELERY_HOME": str(tmp_path / "home"), "TERM": "xterm-256color", "COLUMNS": "120"}
    return made


@pytest.fixture
def honest(board: Services) -> int:
    """A job that succeeded among all the hostile ones; the attempts are hostile, too."""
    worker = put.worker()
    job = put.record(parameters={"text": "HONEST"})
    put.finish(put.must_claim(job.task_id, worker), put.SUCCESS)
    put.sql(
        "INSERT INTO workflows (name, parameters, queue, version, options) "
        """VALUES ('honest', '{"properties": {"x": {"type": "integer"}}}', 'q', '1', '{}')"""
    )
    assert hostile_rows.write(board.database_url) > 60
    return job.id


def ids() -> list[int]:
    return [row.id for row in put.sql("SELECT id FROM jobs ORDER BY id")]


def test_every_table_has_rows_that_cannot_be_read() -> None:
    written = " ".join(hostile_rows.everything().values())
    tables = {table for table in Base.metadata.tables if table not in written.split()}
    assert not tables, f"tests/hostile_rows.py writes nothing into {tables}"


def test_all_verbs_are_looked_at() -> None:
    assert set(READS) | SHOW_NOTHING >= set(VERBS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("verb", READS)
def test_no_verb_stops_at_a_row(verb: str, project: Project, honest: int) -> None:
    calls = [
        [argument.format(honest=honest, each=number) for argument in (*call, *more)]
        for call in READS[verb]
        for number in (ids() if "{each}" in call else [honest])
        for more in ([], ["-o", "json"])
        if not (more and ("--format" in call or verb in ("completion", "db", "run")))
    ]
    for arguments, shown in zip(calls, answers(project, calls), strict=True):
        assert "Traceback" not in shown, f"{arguments}: {shown}"
        assert "Error:" not in shown, f"{arguments}: {shown}"
        told = [line for line in shown.splitlines() if "some of the board cannot be read" in line]
        assert len(told) <= 3, told
    if verb in ("list", "show", "results"):
        assert "HONEST" in output(project, [verb, str(honest)], terminal=False)


def test_json_output_is_json_whatever_is_in_a_row(project: Project, honest: int) -> None:
    for call in (
        ["list", "-n", "1000"],
        ["results"],
        ["status"],
        ["workers", "--all"],
        ["workflows"],
        ["errors"],
    ):
        shown = output(project, [*call, "-o", "json"], terminal=False, errors=False)
        json.loads(shown)
    listed = json.loads(output(project, ["list", "-n", "1000", "-o", "json"], terminal=False, errors=False))
    assert {job["id"] for job in listed} == set(ids()) - _in_no_state()
    named = json.dumps(listed)
    assert UNREADABLE in named


def test_a_crate_holds_all_that_can_be_read_and_what_cannot_is_named(project: Project, honest: int) -> None:
    done = project.run("simcelery", "export", "--crate", "crate", "-o", "json", timeout=within(120))
    assert done.returncode == 0, done.stderr
    assert "some of the board cannot be read" in done.stderr
    assert json.loads(done.stdout)["jobs"] == len(set(ids()) - _in_no_state())
    crate = project.folder / "crate"
    assert "HONEST" in (crate / "ro-crate-metadata.json").read_text()
    json.loads((crate / "ro-crate-metadata.json").read_text(), parse_constant=pytest.fail)
    rows = [row for one in crate.glob("jobs/*.parquet") for row in parquet.read_table(one).to_pylist()]
    assert {row["id"] for row in rows} == set(ids()) - _in_no_state()


def _in_no_state() -> set[int]:
    return {row.id for row in put.sql("SELECT id FROM jobs WHERE state = 'resting'")}


def test_handles_and_queries_show_or_skip(honest: int, caplog: pytest.LogCaptureFixture) -> None:
    found = simcelery.jobs()
    assert len(found.rows()) == len(ids()) - len(_in_no_state())
    assert sum(found.counts().values()) == len(found.rows())
    results = found.results(skip=True)
    assert results.count(1) >= 4
    for handle in found:
        assert handle.state
        assert handle.row().id == handle.id
        assert isinstance(handle.progress, dict | None)
        handle.log()
        for attempt in handle.attempts():
            assert isinstance(attempt["late_outcome"], dict | None)
    bad = [job for job in found if job.row().result == {"$float": "abc"}]
    with pytest.raises(simcelery.errors.EncodingError, match=r"cannot be read: .*abc"):
        bad[0].result()
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert any("results that cannot be read are left out" in line for line in said)


def test_no_act_of_recovery_stops_and_all_rows_can_be_changed_afterwards(
    honest: int, board: Services, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    fresh = put.record(parameters={"text": "HONEST"})
    put.sql("UPDATE jobs SET submitted_at = now() - interval '1 h' WHERE id = :id", id=fresh.id)
    settings = get_settings()
    for act in ACTS:
        mending.despite_bad_rows(act.do)
    list(by_hand.recover(dry_run=False))
    assert put.row(fresh.id).published_at is not None
    done = list(archive.archive_and_delete(0.0, tmp_path / "archive"))
    assert sum(step.jobs for step in done) > 5
    with engine.begin() as connection:
        left = reads.jobs(connection, Filter())
    assert all(isinstance(row.parameters, dict) for row in left)
    with engine.begin() as connection:
        assert reads.counts(connection, Filter())
    assert settings
    told = [record.getMessage() for record in caplog.records]
    lines = [line for line in told if not line.startswith("a notification to ")]  # one for each of these
    assert not [line for line in lines if "failed; the other acts continue" in line]
    assert put.sql("SELECT count(*) FROM notifications WHERE error IS NULL AND next_at <= now()") == [(0,)]
    assert put.sql("SELECT count(*) FROM jobs WHERE gate_id = 9223372036854775807") == [(0,)]
    assert len(lines) < 10, lines


def test_a_parquet_archive_takes_every_row(honest: int, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    mending.mend()
    steps = list(archive.archive_and_delete(0.0, tmp_path / "archive", "parquet"))
    assert sum(step.jobs for step in steps) > 5


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("[" * 300 + "]" * 300, True),
        ("[" * 400 + "]" * 400, False),
        ("[" + ",".join(["[]"] * 5000) + "]", True),
        (json.dumps(["[" * 5000, '"{' * 5000, "\\" * 500]), True),
        ("9" * 5000, False),
        ("1e400", True),
    ],
)
def test_json_is_read_or_named(text: str, readable: bool) -> None:
    value: Any = read_json(text)
    assert bad_rows.trouble(value) is None if readable else bad_rows.trouble(value)
