"""``--fields`` and ``-o jsonl``: the same names mean the same, whichever command prints them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from simcelery.conditions import reading
from simcelery.conditions.picking import pick
from tests.board_helpers import ERROR, finish, must_claim, record, sql, worker
from tests.conftest import Project
from tests.integration.test_conditions import ended
from tests.integration.test_results import FILL


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("id", 5),
        ("a", 1),
        ("b", [2, {"x": 3}]),
        ("b.1.x", 3),
        ("b[0]", 2),
        ("b.9", None),
        ("b.99999999999999999999", None),
        ("b.x", None),
        ("result.a", 4),
        ("parameters.c", None),
        ("c.0", None),
        ("`k-points`.1", 7),
    ],
)
def test_a_name_means_in_a_record_what_it_means_on_the_board(name: str, expected: Any) -> None:
    job = {
        "id": 5,
        "parameters": {"a": 1, "id": 6, "k-points": {"1": 7}},
        "result": {"a": 4, "b": [2, {"x": 3}]},
    }
    [found] = reading.fields(name)
    assert pick(job, found) == expected
    assert pick({**job, "result": None, "parameters": {}}, found) == (5 if name == "id" else None)


def test_commands_that_look_at_jobs_print_fields_in_every_output(project: Project) -> None:
    one, two = ended({"energy": -4.0}, n=1), ended({"energy": -2.0}, n=2)
    fields = ("--fields", "id,n,result.energy,nowhere")

    def out(*words: str) -> str:
        done = project.run("simcelery", *words)
        doubted = any("nowhere" in word for word in words) and words[0] != "show"
        told = "--fields: none of these jobs has a value for nowhere\n" if doubted else ""
        assert (done.returncode, done.stderr) == (0, told)
        return done.stdout

    expected = [{"id": each, "n": n, "result.energy": e, "nowhere": None} for each, n, e in
                ((one, 1, -4.0), (two, 2, -2.0))]  # fmt: skip
    for verb, found in (
        (("list",), expected[::-1]),
        (("list", "--after", str(one), "-n", "1"), expected[1:]),
        (("results",), expected),
        (("status", f"{one}-{two}"), expected),
    ):
        assert json.loads(out(*verb, *fields, "-o", "json")) == found, verb
        assert [json.loads(line) for line in out(*verb, *fields, "-o", "jsonl").splitlines()] == found, verb
    assert json.loads(out("show", str(one), *fields, "-o", "json")) == expected[0]
    assert json.loads(out("show", str(one), "--fields", "elapsed,tags.0,attempts", "-o", "jsonl")) == {
        "elapsed": 90.0, "tags.0": "t", "attempts": []}  # fmt: skip
    assert out("list", "--fields", "id,energy").split() == [
        "ID",
        "ENERGY",
        f"{two}",
        "-2.0",
        f"{one}",
        "-4.0",
    ]
    assert out("show", str(one), "--fields", "n,energy").split() == ["n", "1", "energy", "-4.0"]
    jobs = [json.loads(line) for line in out("list", "-o", "jsonl").splitlines()]
    assert jobs == json.loads(out("list", "-o", "json"))
    assert json.loads(out("status", "-o", "jsonl")) == json.loads(out("status", "-o", "json"))
    refused = project.run("simcelery", "status", "--fields", "id")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "'simcelery list --fields' prints fields" in refused.stderr


def test_groups_of_errors_have_fields_and_lines(project: Project) -> None:
    me = worker()
    for _ in range(2):
        finish(must_claim(record().task_id, me), ERROR)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return project.run("simcelery", "errors", *words)

    assert json.loads(run("--fields", "number,count,error_type,hosts.0", "-o", "jsonl").stdout) == {
        "number": 1, "count": 2, "error_type": "ValueError", "hosts.0": "test"}  # fmt: skip
    assert [json.loads(run("-o", "jsonl").stdout)] == json.loads(run("-o", "json").stdout)
    assert run("--fields", "count,error_type").stdout.split() == ["COUNT", "ERROR_TYPE", "2", "ValueError"]
    refused = run("--fields", "nubmer")
    assert refused.returncode == 2
    assert "--fields: there is no 'nubmer' here, but number, " in refused.stderr


def test_lines_come_as_the_jobs_are_read(project: Project) -> None:
    for _ in range(8):
        sql(FILL)
    words = ["simcelery", "results", "--fields", "id,n", "-o", "jsonl"]
    process = subprocess.Popen(words, cwd=project.folder, env=project.environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["n"] == 1
        assert process.poll() is None
        process.stdout.close()
        assert process.wait(60) == 141  # as others do whose reader has gone
    finally:
        process.kill()
        process.wait()
