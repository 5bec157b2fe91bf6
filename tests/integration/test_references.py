"""Results of other jobs as values on the command line and in files: `energies=@17-20`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.board_helpers import finish, must_claim, row, settle, worker
from tests.conftest import Project


def submit(project: Project, *arguments: str) -> list[int]:
    done = project.run("simcelery", "submit", *arguments, "-o", "quiet")
    assert done.returncode == 0, done.stderr
    return list(map(int, done.stdout.split()))


@pytest.fixture
def numbers(project: Project) -> list[int]:
    return submit(project, "sims.add", "--grid", "a=1:4:1")


def test_a_range_is_the_list_of_its_results_and_a_dependency(project: Project, numbers: list[int]) -> None:
    [total] = submit(project, "sims.total", f"values=@{numbers[0]}-{numbers[2]},{numbers[3]}")
    assert row(total).parameters == {"values": [{"$job": number} for number in numbers]}
    assert (row(total).state, row(total).unmet) == ("blocked", 4)
    project.worker()
    assert project.run("simcelery", "wait", str(total)).returncode == 0
    assert json.loads(project.run("simcelery", "result", str(total)).stdout) == 2 + 3 + 4 + 5


def test_one_job_is_its_result(project: Project, numbers: list[int]) -> None:
    [added] = submit(project, "sims.add", "a=@last", f"b=@{numbers[0]}")
    assert row(added).parameters == {"a": {"$job": numbers[3]}, "b": {"$job": numbers[0]}}


def test_references_stand_in_tables_json_lines_and_grids(project: Project, numbers: list[int]) -> None:
    first, second, *_ = numbers
    Path(project.folder, "t.csv").write_text(f"a,b\n@{first},1\n2,@{second}\n")
    Path(project.folder, "t.jsonl").write_text(f'{{"values": "@{first}-{second}"}}\n')
    expected = [{"a": {"$job": first}, "b": 1}, {"a": 2, "b": {"$job": second}}]
    assert [row(n).parameters for n in submit(project, "sims.add", "--each", "t.csv")] == expected
    [total] = submit(project, "sims.total", "--each", "t.jsonl")
    assert row(total).parameters == {"values": [{"$job": first}, {"$job": second}]}
    ids = submit(project, "sims.add", "--grid", f"a=@{first},@{second}")
    assert [row(n).parameters["a"] for n in ids] == [{"$job": first}, {"$job": second}]


def test_a_doubled_sign_is_text_and_so_is_what_names_no_job(project: Project, numbers: list[int]) -> None:
    for given, recorded in (
        ("@@1", "@1"),
        ("@@@1", "@@1"),
        ("@home", "@home"),
        ("@@home", "@@home"),
        ("a@1", "a@1"),
    ):
        [number] = submit(project, "sims.complains", f"text={given}")
        assert row(number).parameters == {"text": recorded}


def test_a_text_in_quotes_beside_a_reference_stays_as_it_is(project: Project, numbers: list[int]) -> None:
    texts = ["@", "@1", "@@1", "@@@1", "@@@@1-2", "@home", "@@home", "@@@home"]
    quoted = ", ".join(f'"{text}": "{text}"' for text in texts)
    [echo] = submit(project, "sims.echo", f'value={{{quoted}, "n": @{numbers[0]}}}')
    assert row(echo).parameters == {"value": {text: text for text in texts} | {"n": {"$job": numbers[0]}}}


def test_a_key_that_stands_twice_beside_a_reference_is_refused(project: Project, numbers: list[int]) -> None:
    done = project.run("simcelery", "submit", "sims.echo", f'value={{"a": @{numbers[0]}, "a": 2}}')
    assert (done.returncode, done.stdout) == (2, "")
    assert "the key 'a' is given twice" in done.stderr


def test_a_job_that_is_not_there_is_one_line_and_nothing_is_recorded(
    project: Project, numbers: list[int]
) -> None:
    Path(project.folder, "t.csv").write_text("a\n1\n@999999\n")
    for arguments in (("sims.add", "a=@999999"), ("sims.add", "--each", "t.csv")):
        done = project.run("simcelery", "submit", *arguments)
        assert done.returncode == 2, done.stderr
        assert "there is no job 999999" in done.stderr
        assert done.stderr.count("\n") == 1
    assert "t.csv line 3: " in done.stderr
    settle()
    assert len(project.run("simcelery", "list", "-o", "quiet").stdout.split()) == 4


def test_a_result_that_can_never_fit_is_refused_at_once(project: Project, numbers: list[int]) -> None:
    [relaxed] = submit(project, "sims.relaxed", "energy=1")
    result = f"the result of job {relaxed} (sims.relaxed) is a dictionary"
    for workflow, argument, said in (
        ("sims.add", f"a=@{relaxed}", f"sims.add: parameter 'a': {result}, and not an integer"),
        ("sims.total", f"values=@{numbers[0]},{relaxed}", f"item 2 of parameter 'values': {result}"),
    ):
        done = project.run("simcelery", "submit", workflow, argument)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    submit(project, "sims.echo", f"value=@{relaxed}")
    claimed = must_claim(row(relaxed).task_id, worker(), workflow="sims.relaxed")
    assert finish(claimed) is not None
    submit(project, "sims.add", f"a=@{relaxed}")  # its result is not what it has declared


def test_a_command_takes_no_results(project: Project, numbers: list[int]) -> None:
    done = project.run("simcelery", "submit", f"a=@{numbers[0]}", "--", "echo", "{a}")
    assert done.returncode == 2
    assert "a: its value is the result of a job, which cannot be part of the command" in done.stderr


def test_they_stand_within_lists_and_objects(project: Project, numbers: list[int]) -> None:
    first, second, *_ = numbers
    [total] = submit(project, "sims.total", f"values=[@{first}, 3,@{second}]")
    assert row(total).parameters == {"values": [{"$job": first}, 3, {"$job": second}]}
    assert (row(total).state, row(total).unmet) == ("blocked", 2)
    nested = f'{{"a": [@{first}-{second}], "b": {{"c": @last}}, "d": "@{first}"}}'
    [echo] = submit(project, "sims.echo", f"value={nested}")
    expected = {"a": [[{"$job": first}, {"$job": second}]], "b": {"c": {"$job": total}}, "d": f"@{first}"}
    assert row(echo).parameters == {"value": expected}
    echoed = project.run("simcelery", "submit", "sims.echo", f"value={nested}", "--echo")
    assert echoed.returncode == 0, echoed.stderr
    Path(project.folder, "echoed.toml").write_text(echoed.stdout)
    [again] = submit(project, "echoed.toml")
    assert row(again).parameters == {"value": {**expected, "b": {"c": {"$job": echo}}}}
    echoed = project.run("simcelery", "submit", "sims.echo", 'value=[@last,null,"@last"]', "--echo")
    assert echoed.returncode == 0, echoed.stderr
    Path(project.folder, "echoed.toml").write_text(echoed.stdout)
    submit(project, "sims.echo", "value=1")  # from now on another one is the last
    [with_null] = submit(project, "echoed.toml")
    assert row(with_null).parameters == {"value": [{"$job": again}, None, "@last"]}
    Path(project.folder, "t.jsonl").write_text(f'{{"values": ["@{first}", 4]}}\n')
    [total] = submit(project, "sims.total", "--each", "t.jsonl")
    assert row(total).parameters == {"values": [{"$job": first}, 4]}
    for text in ("[@home]", '["@1"', '["a@1"]'):
        [number] = submit(project, "sims.complains", f"text={text}")
        assert row(number).parameters == {"text": text}
    project.worker()
    assert project.run("simcelery", "wait", str(total)).returncode == 0
    assert json.loads(project.run("simcelery", "result", str(total)).stdout) == 2 + 4
