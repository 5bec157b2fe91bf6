"""Hostile text in every column of the board: no verb lets it steer a terminal or a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from simcelery.cli.root import VERBS
from simcelery.services import Services
from tests import board_helpers as put
from tests.conftest import Project, make_project
from tests.terminals import output

HOSTILE = (
    "\x1b]0;EVIL\x07\x1b[38;5;201mEVIL\x1b[2J\x1bP0;1|EVIL\x1b\\\x9b31mEVIL\x85\u202eEVIL\u2066\u200f"
    "\u200b\u200d\u2060\ufeff\u00ad\u2028EVIL\u2029\u061c\U000e0041\rEVIL\x7f\x08\nsimcelery: EVIL\t\v\fEVIL"
)
# What rich and we ourselves write: styles, and the cursor of bars that move.
OWN = re.compile(r"\r(?=\n|\x1b\[)|\x1b\[(?!38;5;201m|2J)[0-9;?]*[AKhlm]|\n")
NAME = f"=w{HOSTILE}"

CALLS: dict[str, list[list[str]]] = {
    "doctor": [["doctor"]],
    "db": [["db", "current"], ["db", "check"]],
    "workflows": [["workflows"], ["workflows", NAME], ["workflows", f"no{HOSTILE}"]],
    "run": [["run", NAME], ["run", "command", f"{HOSTILE}=1"], ["run", "command", f"argv=no-such-{HOSTILE}"]],
    "submit": [
        ["submit", NAME, "--dry-run"],
        ["submit", f"no{HOSTILE}"],
        ["submit", "command", f"argv={HOSTILE}", "--dry-run"],
        ["submit", "command", "--each", f"no{HOSTILE}.csv"],
        ["submit", f"{HOSTILE}=1", "--", "true"],
        ["submit", "T=1", "--", "true", f"x{{T}}{HOSTILE}{{no}}"],
        ["submit", "-q", HOSTILE, "--run-at", HOSTILE, "--", "true"],
        ["submit", "-t", HOSTILE, "--key", HOSTILE, "--wait", "--timeout", "1", "--", HOSTILE],
    ],
    "list": [["list"], ["list", "-w", NAME], ["list", HOSTILE]],
    "status": [["status"], ["status", "1-9999"]],
    "watch": [["watch", "-t", "done"]],
    "show": [["show", "{failed}"], ["show", "{succeeded}"], ["show", "{running}"], ["show", "{pending}"]],
    "logs": [["logs", "{failed}"], ["logs", "1-9999"], ["logs", "-w", NAME], ["logs", HOSTILE]],
    "explain": [
        ["explain", "{failed}"],
        ["explain", "{running}"],
        ["explain", "{pending}"],
        ["explain", "{held}"],
        ["explain", "1-9999"],
    ],
    "graph": [["graph", "1-9999"], ["graph", "{failed}", "--dot"], ["graph", "{held}", "--mermaid"]],
    "wait": [["wait", "{failed}"], ["wait", "{succeeded}"], ["wait", "{running}", "--timeout", "1"]],
    "result": [["result", "{succeeded}"], ["result", "{failed}"]],
    "results": [["results"], ["results", "--format", "csv"]],
    "export": [["export", "--crate", "crate"], ["export", "--crate", f"crate{HOSTILE}"]],
    "errors": [["errors"]],
    "stats": [["stats"]],
    "cancel": [["cancel", "{pending}", "-y"], ["cancel", "-w", NAME, "--dry-run"]],
    "retry": [
        ["retry", "{failed}", "-y"],
        ["retry", "{succeeded}"],
        ["retry", "--error", f"no{HOSTILE}"],
        ["retry", "--error", f"/({HOSTILE}/"],
    ],
    "hold": [["hold", NAME, "--dry-run"], ["hold", HOSTILE], ["hold", "{held}"]],
    "release": [["release", NAME, "--dry-run"], ["release", HOSTILE], ["release", "{held}"]],
    "notify": [
        ["notify"],
        ["notify", "list", "-o", "json"],
        ["notify", "test", HOSTILE],
        ["notify", "remove", "7"],
    ],
    "limits": [
        ["limits"],
        ["limits", "set", HOSTILE, "8"],
        ["limits", "set", f"tag:{HOSTILE}", "8"],
        ["limits", "remove", HOSTILE],
    ],
    "share": [["share"], ["share", HOSTILE, "--by", "tag"]],
    "cluster": [
        ["cluster"],
        ["cluster", "list", "c"],
        *(["cluster", "report", "--by", by] for by in ("tag", "workflow", "submitter")),
        ["cluster", "report", HOSTILE],
        ["cluster", "logs", "c"],
        ["cluster", "start", "1", "--on", HOSTILE],
        ["cluster", "start", "1", "--on", "local", "--name", HOSTILE],
        ["cluster", "scale", HOSTILE, "1"],
        ["cluster", "logs", HOSTILE],
        ["cluster", "stop", HOSTILE],
    ],
    "schedules": [
        ["schedules"],
        ["schedules", "add", HOSTILE, "@daily", "--", "true"],
        ["schedules", "add", "x", HOSTILE, "--", "true"],
        ["schedules", "add", "x", "@daily", "--timezone", HOSTILE, "--", "true"],
        ["schedules", "run", HOSTILE],
        ["schedules", "remove", HOSTILE],
    ],
    "files": [
        ["files", "{succeeded}"],
        ["files", "{succeeded}", "get", HOSTILE],
        ["files", "{failed}", "-o", "json"],
    ],
    "workers": [["workers", "--all"]],
    "recover": [["recover"]],
    "prune": [["prune", "--older-than", "30d", "--dry-run"], ["prune", "--older-than", HOSTILE]],
    "spool": [["spool"], ["spool", "push"]],
    "completion": [["completion", "bash"]],
}
# A sweep that is held, somebody who is told so, other parameters, and where an attempt's code came from.
AROUND_JOBS = [
    "INSERT INTO gates (workflow, tags, submitted_by, canary, closed_by) "
    "VALUES ('w', '{done}', 'me', 1, 'canary')",
    "INSERT INTO canaries SELECT id, :failed FROM gates",
    "UPDATE jobs SET state = 'blocked', unmet = 1, gate_id = (SELECT id FROM gates) WHERE id = :held",
    "INSERT INTO subscriptions (address, events, workflow, jobs, submitted_by, look_at) "
    "VALUES ('https://example.org/', '{done}', 'w', '{[1,9]}', 'me', now())",
    "INSERT INTO notifications (id, subscription_id, event, body, error, given_up_at) "
    "SELECT gen_random_uuid(), id, 'done', to_jsonb(CAST(:details AS json)), 'no', now() FROM subscriptions",
    "INSERT INTO environments (hash, details) SELECT gen_random_uuid(), to_jsonb(CAST(:details AS json))",
    "UPDATE attempts SET environment_id = (SELECT max(id) FROM environments)",
    "INSERT INTO revisions (job_id, revision, parameters, last_attempt, revised_by) "
    "VALUES (:failed, 1, to_jsonb(CAST(:details AS json)), 1, 'me')",
    "INSERT INTO interventions (job_id, kind, by) VALUES (:failed, 'retry', 'me')",
    "INSERT INTO limits (name, most, set_by) VALUES ('tag:x', 1, 'me')",
    "INSERT INTO clusters (name, launcher, profile, wanted, state, note, started_by) "
    "VALUES ('c', 'slurm', to_jsonb(CAST(:details AS json)), 1, 'paused', 'x', 'me')",
    "INSERT INTO allocations (cluster, name, state, word, reason, told, tail, cores, ran_from) "
    "VALUES ('c', 'simcelery-c-1', 'waiting', 'x', 'x', 'x', 'x', 4, now() - interval '1 h')",
    "UPDATE workers SET allocation = 'simcelery-c-1'",
    "INSERT INTO shares (queue, by, set_by) VALUES ('q', 'tag', 'me')",
    "INSERT INTO schedules (name, cron, timezone, missed, job, parameters, submitted_by, last_job_id) "
    "VALUES ('x', '@daily', 'UTC', 'once', to_jsonb(CAST(:details AS json)), '{}', 'me', :failed)",
    "INSERT INTO artifacts (job_id, attempt, claim_id, name, path, host, size, sha256) "
    "SELECT job_id, attempt, claim_id, 'a', '/a', 'h', 1, 'x' FROM attempts WHERE outcome = 'succeeded'",
    "INSERT INTO restarts (job_id, attempt, continues, files) VALUES (:failed, 1, 0, 'a')",
    "INSERT INTO escalations (job_id, attempt, cause, before, after) "
    "SELECT :failed, 1, 'out_of_memory', made, made FROM to_jsonb(CAST(:details AS json)) AS made",
]
HARMLESS = {"schema", "up", "down", "demo", "relay", "monitor"}  # they show nothing of the board's


@pytest.fixture
def project(board: Services, tmp_path: Path) -> Project:
    made = make_project(board, tmp_path)
    made.environment |= {"SIMCELERY_HOME": str(tmp_path / "home"), "TERM": "xterm-256color", "COLUMNS": "120"}
    return made


@pytest.fixture
def ids(board: Services, project: Project) -> dict[str, int]:
    """Jobs in all states, workers, a catalogue, and then every text on the board is hostile."""
    ids: dict[str, int] = {}
    values = {"text": HOSTILE, f"=key{HOSTILE}": [HOSTILE], "number": -1.5, "formula": "=1+1", "cr": "\r=1+1"}
    worker = put.worker()
    for name, report in (
        ("succeeded", put.EndedAttempt(outcome=put.Outcome.SUCCEEDED, result=values)),
        ("failed", replace(put.ERROR, log=HOSTILE)),
        ("running", None),
    ):
        job = put.record(parameters=values, tags=("done",) if report else ())
        claimed = put.must_claim(job.task_id, worker)
        if report:
            put.finish(claimed, report)
        ids[name] = job.id
    ids["pending"] = put.record(parameters=values).id
    ids["child"] = put.record(parameters=values, parents=[ids["pending"]]).id
    put.sql("UPDATE jobs SET progress = to_jsonb(:p ::json)", p=json.dumps({"done": 1, "message": HOSTILE}))
    put.sql(
        "INSERT INTO workflows (name, parameters, queue, version, options) "
        "VALUES ('w', to_jsonb(:schema ::json), 'q', '1', '{}')",
        schema=json.dumps(
            {"properties": {HOSTILE: {"type": HOSTILE, "default": HOSTILE}}, "required": [HOSTILE]}
        ),
    )
    ids["held"] = put.record(parameters=values).id
    for statement in AROUND_JOBS:
        put.sql(statement, failed=ids["failed"], held=ids["held"], details=json.dumps({HOSTILE: HOSTILE}))
    poison(board)
    spool = Path(project.environment["SIMCELERY_HOME"]) / "spool"
    spool.mkdir(parents=True)
    (spool / f"{HOSTILE.replace('/', '')[:60]}.json").write_text("no JSON" + HOSTILE)
    return ids


def poison(board: Services) -> None:
    """Hostile text in each column of text that takes it."""
    with psycopg.connect(board.database_url, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'ARRAY') "
            "AND table_name IN ('jobs', 'attempts', 'workers', 'workflows', 'gates', 'subscriptions', "
            "'notifications', 'revisions', 'environments', 'limits', 'shares', 'schedules', 'artifacts', "
            "'restarts', 'escalations', 'clusters', 'allocations', 'interventions')"
        ).fetchall()
        poisoned = set()
        for table, column, kind in columns:
            if (table, column) == ("jobs", "tags"):
                new = "tags || ARRAY[%(text)s]"
            else:
                new = "ARRAY[%(text)s]" if kind == "ARRAY" else "%(text)s"
            # A state, a cause and the like have CHECKs; and what is unique is so in one row only.
            with suppress(
                psycopg.errors.IntegrityError, psycopg.errors.DataError, psycopg.errors.DatatypeMismatch
            ):
                one = " WHERE id = (SELECT min(id) FROM jobs)" if column == "idempotency_key" else ""
                connection.execute(f"UPDATE {table} SET {column} = {new}{one}", {"text": NAME})
                poisoned.add((table, column))
    assert {
        ("jobs", "workflow"),
        ("jobs", "error_message"),
        ("jobs", "tags"),
        ("attempts", "traceback"),
    } < poisoned
    assert {("workers", "nodename"), ("workers", "note"), ("workflows", "description")} < poisoned
    assert {("gates", "tags"), ("subscriptions", "address"), ("notifications", "error")} < poisoned
    assert {("revisions", "revised_by"), ("limits", "name"), ("shares", "queue")} < poisoned
    assert {
        ("schedules", "cron"),
        ("artifacts", "name"),
        ("restarts", "files"),
        ("interventions", "by"),
    } < poisoned
    assert {("clusters", "note"), ("allocations", "reason"), ("allocations", "tail")} < poisoned


def test_all_verbs_are_looked_at() -> None:
    assert set(CALLS) | HARMLESS == set(VERBS)


@pytest.mark.parametrize("verb", CALLS)
def test_nothing_of_others_steers_the_terminal(verb: str, project: Project, ids: dict[str, int]) -> None:
    for call in CALLS[verb]:
        arguments = [argument.format(**ids) if argument[:1] == "{" else argument for argument in call]
        for terminal in (True, False):
            shown = output(project, arguments, terminal)
            left = OWN.sub("", shown) if terminal else shown.replace("\n", "")
            assert left.isprintable(), f"{call}, {terminal=}: {left!r}"
            # Each line that claims to be ours begins where ours do; a log is what the job printed.
            assert verb == "logs" or not re.search(r"^simcelery: EVIL", shown, re.MULTILINE), shown


@pytest.mark.parametrize(
    "call",
    [
        ["list"],
        ["status"],
        ["show", "{failed}"],
        ["results"],
        ["errors"],
        ["workers"],
        ["workflows"],
        ["explain", "{running}"],
        ["logs", "{failed}"],
        ["doctor"],
        ["watch", "-t", "done"],
    ],
)
def test_json_keeps_it_as_escapes(call: list[str], project: Project, ids: dict[str, int]) -> None:
    arguments = [argument.format(**ids) if argument[:1] == "{" else argument for argument in call]
    shown = output(project, [*arguments, "-o", "json"], terminal=False, errors=False)
    assert shown.replace("\n", "").isprintable()
    found = json.dumps(json.loads(shown), ensure_ascii=False)
    if call[0] not in ("doctor", "explain", "watch"):
        assert json.dumps(HOSTILE, ensure_ascii=False)[1:-1] in found


def test_no_cell_of_a_csv_is_a_formula(project: Project, ids: dict[str, int]) -> None:
    shown = project.run("simcelery", "results", "--format", "csv").stdout
    header, row = csv.reader(io.StringIO(shown))
    cells = dict(zip(header, row, strict=True))
    assert cells["result.number"] == "-1.5"
    assert cells["result.formula"] == "'=1+1"
    assert cells["result.cr"] == "' =1+1"
    assert cells["workflow"].startswith("'=w")
    assert not [cell for cell in (*header, *row) if cell[:1] in "=+@\t\r" and cell]
    assert shown.replace("\n", "").isprintable()
