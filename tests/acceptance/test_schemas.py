"""What commands really print is what their JSON schemas say."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import jsonschema

from simcelery import schemas
from tests.conftest import Project
from tests.unit.test_schemas import KEPT


def check(name: str, printed: str) -> Any:
    """One object, a list of them, or lines of them."""
    try:
        found = json.loads(printed)
    except ValueError:
        found = [json.loads(line) for line in printed.splitlines()]
    schema = schemas.read(name)
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    for each in found if isinstance(found, list) else [found]:
        checker.validate(each)
        assert set(KEPT.get(name, "").split()) <= set(each)
    return found


def test_what_commands_print_is_what_their_schemas_say(project: Project) -> None:
    def run(name: str, *words: str) -> Any:
        done = project.run("simcelery", *words, *(() if "-o" in words else ("-o", "json")))
        assert done.returncode in (0, 1, 3), done.stderr
        return check(name, done.stdout)

    run("planned-job", "submit", "sims.add", "a=1", "--dry-run")
    run("planned-job", "submit", "sims.add", "a=1", "--dry-run", "--dedupe")
    one = run("job", "submit", "sims.add", "a=1", "-t", "x")["id"]
    bad = run("job", "submit", "sims.picky", "kind=key", "-t", "x")["id"]
    run("explain", "explain", str(one))
    project.worker()
    assert {job["state"] for job in run("job", "wait", "-t", "x", "--timeout", "60")} == {
        "succeeded",
        "failed",
    }
    run("planned-job", "submit", "sims.add", "--grid", "a=1,7", "--dry-run", "--dedupe")
    run("job", "submit", "sims.add", "a=5", "-q", "nowhere", "--notify", "mailto:me@example.org")
    [told] = run("subscription", "notify")
    run("notify-test", "notify", "test", "mailto:me@example.org")
    run("notify-remove", "notify", "remove", str(told["id"]))
    run("limit", "limits", "set", "tag:x", "7")
    run("limit", "limits")
    run("cluster-plan", "cluster", "start", "1", "--on", "local", "--dry-run")
    run("cluster", "cluster", "start", "0", "--on", "local", "--name", "none")
    run("cluster", "cluster")
    run("cluster-report", "cluster", "report", "none", "--by", "tag")
    run("cluster", "cluster", "stop", "none")
    run("share", "share", "rare", "--by", "tag")
    run("share", "share", "rare", "--by", "nobody")
    run("schedule", "schedules", "add", "nightly", "30 2 * * *", "sims.add", "a=1")
    run("schedules-run", "schedules", "run", "nightly")
    run("schedule", "schedules", "pause", "nightly")
    run("schedule", "schedules")
    run("schedules-remove", "schedules", "remove", "nightly")
    run("limits-remove", "limits", "remove", "tag:x")
    run("job", "list")
    run("job", "list", "-o", "jsonl")
    run("job", "results")
    run("job", "status", str(one))
    run("job", "result", str(one))
    run("job-details", "show", str(bad))
    run("job-details", "show", str(one), "-o", "jsonl")
    run("results-file", "results", "-O", "a.csv")
    run("export", "export", "--crate", "crate")
    run("status", "status")
    run("errors", "errors", "-o", "jsonl")
    run("explain-many", "explain", "-w", "sims.add")
    run("logs", "logs", str(bad))
    run("logs", "logs", "-s", "failed")
    done = run("job", "submit", "--wait", "-o", "json", "--", "sh", "-c", "echo so > out.txt")["id"]
    run("log-file", "logs", str(done), "--file", "out.txt")
    run("worker", "workers")
    run("workflow", "workflows")
    run("workflow", "workflows", "sims.add")
    run("stats", "stats")
    run("watch", "watch", "-t", "x")
    run("dry-run", "retry", str(bad), "--dry-run")
    run("dry-run", "retry", str(bad), "--set", "kind=value", "--dry-run")
    run("retry", "retry", str(bad), "--set", "kind=value")
    run("dry-run", "release", "-t", "x", "--dry-run")
    run("release", "release", "-t", "x")
    run("dry-run", "cancel", "-q", "nowhere", "--dry-run")
    run("stopped", "cancel", "-q", "nowhere", "-y", "--wait")
    run("cancel", "cancel", "-q", "nowhere", "-y")
    run("recover", "recover", "--dry-run")
    run("prune", "prune", "--older-than", "30d", "--dry-run")
    run("spooled", "spool")
    run("spool-push", "spool", "push")
    run("relay-token", "relay", "token", "node")
    run("relay", "relay", "list")
    run("relay-revoke", "relay", "revoke", "node")
    run("doctor", "doctor")
    run("up", "up")
    run("db", "db", "check")
    run("db-upgrade", "db", "upgrade")
    run("db-roles", "db", "roles", "--dry-run")
    listed = project.run("simcelery", "schema", "-o", "quiet").stdout.split()
    assert listed == schemas.names()
    assert json.loads(project.run("simcelery", "schema", "job").stdout) == schemas.read("job")
    refused = project.run("simcelery", "schema", "jbo")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("simcelery: there is no schema 'jbo'; there are cancel, ")


def test_what_echo_writes_fits_the_schema_of_job_files(project: Project) -> None:
    checker = jsonschema.Draft202012Validator(schemas.read("job-file"))
    (project.folder / "points.csv").write_text("a,b\n1,2\n")
    number = check("job", project.run("simcelery", "submit", "sims.add", "a=1", "-o", "json").stdout)["id"]
    for words in (
        ("sims.add", "a=1", "-t", "x", "-t", "y", "--priority", "7", "--after", "last", "--run-at", "+1h"),
        ("sims.add", "--each", "points.csv", "--canary", "1", "--max-fails", "5%", "--dedupe"),
        ("sims.add", "--grid", "a=1,2,3", "b=2", "--time-limit", "1h", "--max-attempts", "3", "-q", "gpu"),
        ("sims.add", f"a=@{number}", "--key", "k", "--on-failed", "keep"),
        ("sims.echo", "value=null", "--notify", "mailto:me@example.org", "--on", "done,held"),
        ("T=1", "--grid", "P=0:1:0.5", "--", "echo", "{T}", "{P}"),
    ):
        done = project.run("simcelery", "submit", "--echo", *words)
        assert done.returncode == 0, done.stderr
        checker.validate(tomllib.loads(done.stdout))
