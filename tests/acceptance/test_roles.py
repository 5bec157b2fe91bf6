"""People and workers log in to Postgres, each in a role: what is their part works, all else is one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from simcelery.board import engine, migrate
from simcelery.cli.root import VERBS
from simcelery.services import Services
from tests import monitors
from tests.conftest import Project, empty, make_project
from tests.logins import Board, board_with_roles
from tests.waiting import wait_until

READS, SUBMITS, WORKS, MANAGES, STRANGER = "ada_reads", "ada_submits", "works", "manages", "stranger"
REFUSED = "does not let {} do that (permission denied for "


@pytest.fixture(scope="module")
def given(servers: Services) -> Iterator[Board]:
    with board_with_roles(servers, "roles") as made:
        yield made


@pytest.fixture(scope="module")
def site(given: Board, servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a worker that logs in as one."""
    empty(servers)
    made = make_project(replace(servers, database_url=given.database_url), tmp_path_factory.mktemp("site"))
    made.worker(SIMCELERY_DATABASE_URL=given.url(WORKS))
    yield made
    assert "does not let" not in made.logs()
    made.end()


def run(site: Project, given: Board, login: str, *words: str, code: int = 0) -> str:
    """What a command of this login prints."""
    done = site.run("simcelery", *words, SIMCELERY_DATABASE_URL=given.url(login))
    assert done.returncode == code, done.stderr
    return done.stdout


# The verbs by the least that they need. Who reads sees:
SEES = {
    "list": [["list"]],
    "status": [["status"]],
    "show": [["show", "1"]],
    "logs": [["logs", "1"]],
    "explain": [["explain", "1"]],
    "graph": [["graph", "1"]],
    "files": [["files", "1"]],
    "wait": [["wait", "1"]],
    "watch": [["watch", "1"]],
    "result": [["result", "1"]],
    "results": [["results"]],
    "export": [["export", "1", "--crate", "crate"]],
    "errors": [["errors"]],
    "stats": [["stats"]],
    "workers": [["workers"]],
    "workflows": [["workflows"], ["workflows", "sims.add"]],
    "doctor": [["doctor"]],
    "notify": [["notify"]],
    "limits": [["limits"]],
    "share": [["share"]],
    "schedules": [["schedules"]],
    "cluster": [["cluster"], ["cluster", "report"]],
    "db": [["db", "current"], ["db", "check"]],
    "spool": [["spool"]],
    "prune": [["prune", "--older-than", "1d", "--dry-run"]],
}
# What changes something, who may do it, and who may not.
DOES = [
    (SUBMITS, READS, ["submit", "sims.add", "a=1"]),
    (
        SUBMITS,
        READS,
        ["submit", "sims.add", "--each", "many.csv", "--dedupe", "--tag", "many", "--canary", "2"],
    ),
    (SUBMITS, READS, ["submit", "sims.add", "--each", "many.csv", "--dedupe"]),
    (
        SUBMITS,
        READS,
        ["submit", "sims.add", "a=1", "--after", "1", "--memory", "1M", "--notify", "http://127.0.0.1:1/"],
    ),
    (SUBMITS, READS, ["release", "many"]),
    (SUBMITS, READS, ["submit", "sims.add", "a=1", "--tag", "later", "--run-at", "2099-01-01"]),
    (SUBMITS, READS, ["hold", "later"]),
    (SUBMITS, READS, ["release", "later"]),
    (SUBMITS, READS, ["cancel", "-t", "later", "-y"]),
    (SUBMITS, READS, ["retry", "-t", "later", "-y"]),
    (SUBMITS, READS, ["notify", "remove", "1"]),
    (SUBMITS, READS, ["schedules", "add", "nightly", "0 3 * * *", "sims.add", "a=1"]),
    (SUBMITS, READS, ["schedules", "run", "nightly"]),
    (SUBMITS, READS, ["schedules", "remove", "nightly"]),
    (WORKS, SUBMITS, ["limits", "set", "tag:licence", "8"]),
    (WORKS, SUBMITS, ["limits", "remove", "tag:licence"]),
    (WORKS, SUBMITS, ["recover"]),
    (WORKS, SUBMITS, ["prune", "--older-than", "0s", "-y"]),
    (MANAGES, WORKS, ["share", "shared", "--by", "submitter"]),
    (MANAGES, WORKS, ["share", "shared", "--by", "nobody"]),
    (MANAGES, SUBMITS, ["prune", "--older-than", "0s", "-y"]),
    (MANAGES, WORKS, ["db", "upgrade"]),
]
# These do nothing with the board, or start servers or all of the above.
ELSEWHERE = {"up", "down", "demo", "run", "relay", "schema", "completion", "monitor"}


def test_of_every_verb_it_is_decided_who_may_use_it() -> None:
    assert set(SEES) | {words[0] for _, _, words in DOES} | ELSEWHERE == set(VERBS)


def test_each_does_its_part_with_a_real_worker(site: Project, given: Board) -> None:
    """Claims, finishes, logs, files, retries, cancels and what is done by turns."""
    assert run(site, given, SUBMITS, "submit", "sims.add", "a=1", "--wait") == "2\n"
    run(site, given, SUBMITS, "submit", "sims.flaky", "succeed_at=2", "--wait")
    run(site, given, SUBMITS, "submit", "sims.picky", "kind=fail", "--wait", code=1)
    run(site, given, SUBMITS, "retry", "last", "--set", "kind=key", "-y")
    run(site, given, SUBMITS, "wait", "last", code=1)
    folder = site.folder / "parts"
    folder.mkdir()
    run(site, given, SUBMITS, "submit", "sims.writes", "name=out.txt", "size=60", f"folder={folder}")
    wait_until(lambda: "running" in run(site, given, READS, "list", "-n", "1"))
    assert "step 7" in run(site, given, SUBMITS, "logs", "last", "--file", "out.txt")
    run(site, given, SUBMITS, "cancel", "last", "-y", "--wait")
    assert "cancelled" in run(site, given, READS, "list", "-n", "1")
    run(site, given, SUBMITS, "submit", "--wait", "--", "sh", "-c", "echo spoken")
    assert "spoken" in run(site, given, READS, "logs", "last")


@pytest.mark.parametrize("verb", SEES)
def test_who_reads_sees_everything(site: Project, given: Board, verb: str) -> None:
    run(site, given, SUBMITS, "submit", "sims.add", "a=5", "--dedupe", "--wait")
    for words in SEES[verb]:
        run(site, given, READS, *words)


def test_what_changes_something_is_for_those_whose_part_it_is(site: Project, given: Board) -> None:
    (site.folder / "many.csv").write_text("a,b\n" + "".join(f"{n},2\n" for n in range(300)))
    for may, may_not, words in DOES:
        refused = site.run("simcelery", *words, SIMCELERY_DATABASE_URL=given.url(may_not))
        assert refused.returncode == 2, (words, refused.stdout, refused.stderr)
        assert f"does not let {may_not} do that (" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert refused.stderr.count("\n") == 1
        run(site, given, may, *words)


@pytest.mark.parametrize("login", [READS, SUBMITS, STRANGER])
def test_a_worker_whose_login_may_not_work_ends_in_one_line(site: Project, given: Board, login: str) -> None:
    words = ("celery", "-A", "simcelery", "worker", "-c", "1")
    done = site.run(*words, SIMCELERY_DATABASE_URL=given.url(login))
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("simcelery: ")]
    assert len(said) == 1
    assert REFUSED.format(login) in said[0]
    assert "Traceback" not in done.stderr


def test_who_is_in_no_role_sees_nothing(site: Project, given: Board) -> None:
    refused = site.run("simcelery", "list", SIMCELERY_DATABASE_URL=given.url(STRANGER))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert REFUSED.format(STRANGER) in refused.stderr
    doctor = site.run("simcelery", "doctor", "-o", "json", SIMCELERY_DATABASE_URL=given.url(STRANGER))
    [check] = [one for one in json.loads(doctor.stdout)["checks"] if one["verdict"] == "FAIL"]
    assert REFUSED.format(STRANGER) in check["found"]


@pytest.mark.parametrize(
    ("login", "may"),
    [
        (READS, "ada_reads may read"),
        (SUBMITS, "ada_submits may read, submit"),
        (WORKS, "works may read, submit, work"),
        (MANAGES, "manages may read, submit, work, manage the board"),
    ],
)
def test_doctor_says_what_a_login_may_do(site: Project, given: Board, login: str, may: str) -> None:
    checks = json.loads(run(site, given, login, "doctor", "-o", "json"))["checks"]
    assert [one["found"] for one in checks if one["name"] == "login"] == [may]


def test_the_monitor_shows_the_board_to_who_reads(site: Project, given: Board) -> None:
    run(site, given, SUBMITS, "submit", "sims.add", "a=7", "--wait")
    site.environment["SIMCELERY_DATABASE_URL"] = given.url(READS)
    monitor = monitors.start(site)
    for page in ("/board", "/board/jobs", "/board/workers", "/board/errors"):
        assert monitor.get(page).status == 200
    assert "sims.add" in monitor.get("/board/jobs").text


def test_the_sql_for_an_administrator_is_what_is_needed(
    servers: Services, site: Project, tmp_path: Path
) -> None:
    """Who may not make roles prints it, and somebody else executes it."""
    with psycopg.connect(servers.database_url, autocommit=True) as server:
        server.execute("CREATE ROLE owner_of_it LOGIN PASSWORD 'of-a-test'")
        server.execute("CREATE DATABASE owned OWNER owner_of_it")
        made = Board(servers.database_url.rpartition("/")[0] + "/owned")
        try:
            migrate.upgrade(made.settings("owner_of_it"))
            refused = site.run("simcelery", "db", "roles", SIMCELERY_DATABASE_URL=made.url("owner_of_it"))
            assert refused.returncode == 2
            assert (
                "and nothing was done: give the SQL that 'simcelery db roles --dry-run' prints"
                in refused.stderr
            )
            assert refused.stderr.count("\n") == 1
            printed = run(site, made, "owner_of_it", "db", "roles", "--dry-run")
            with made.connect() as administrator:
                administrator.execute(printed)
            with made.connect(READS) as connection:
                connection.execute("TABLE jobs")
            run(site, made, "owner_of_it", "db", "upgrade")
            assert "simcelery_submit" in run(site, made, "owner_of_it", "db", "roles")
        finally:
            engine.dispose()
            server.execute("DROP DATABASE owned WITH (FORCE)")
            server.execute("DROP ROLE owner_of_it")
