"""Job files: what they say is what is submitted, and what they cannot say is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcelery import workflow
from simcelery.cli.jobfiles import echo, entries, reading, yaml12
from simcelery.cli.root import root, run
from simcelery.cli.sources import items, pairs
from simcelery.cli.targets import Here, Target
from simcelery.cli.templates import Template, words
from simcelery.errors import UsageError
from simcelery.submission.options import Options
from simcelery.worker import builtin


@workflow(name="filed.anything")
def anything(a: Any, b: Any = None, c: float = 1.0, d: str = "", e: list[int] | None = None) -> None:
    """Takes what a command line can say."""


WORKFLOWS = {"filed.anything": anything, "command": builtin.command}


def find(name: str) -> Target:
    return Here(WORKFLOWS[name])


def options() -> list[click.Parameter]:
    found = root.get_command(click.Context(root), "submit")
    assert found is not None
    return found.params


def read(folder: Path, text: str, name: str = "job.toml") -> list[entries.Entry]:
    (folder / name).write_text(text, encoding="utf-8")
    return entries.entries(name, reading.read(str(folder / name)), options())[0]


def jobs(target: Target, found: Any) -> list[dict[str, Any]]:
    """What is recorded, but for what differs each time."""
    prepare = target.preparation(Options())
    return [{**prepare(item.values).__dict__, "task_id": None, "parameters_json": None} for item in found]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter("$job".__ne__), inner, max_size=3)
    ),
    max_leaves=6,
)
SAID = JSON.map(lambda value: json.dumps(value, ensure_ascii=False)) | TEXTS


def _is_no_reference(text: str) -> bool:
    return not text.startswith("@") or text.startswith("@@")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=SAID.filter(_is_no_reference),
    b=SAID.filter(_is_no_reference),
    c=st.floats().map(repr) | st.integers(-(2**53), 2**53).map(str),
    d=TEXTS.filter(_is_no_reference),
    grid=st.lists(st.integers(-5, 5), max_size=3),
)
def test_an_echoed_submission_is_the_same_submission(
    tmp_path: Path, a: str, b: str, c: str, d: str, grid: list[int]
) -> None:
    said = [f"a={a}", f"c={c}", f"d={d}"]
    axes = [f"b={','.join(map(str, grid))}"] if grid else []
    said += [] if grid else [f"b={b}"]
    target = find("filed.anything")
    try:
        expected = jobs(target, items(target, said, None, axes))
    except UsageError:
        return  # refused on the command line
    text = echo.written(target, None, pairs(said), None, pairs(axes), {})
    [entry] = read(tmp_path, text)
    assert jobs(*entry.resolved(find)) == expected


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    argv=st.lists(TEXTS, min_size=1, max_size=4), value=TEXTS.filter(_is_no_reference), filled=st.booleans()
)
def test_an_echoed_command_is_the_same_command(
    tmp_path: Path, argv: list[str], value: str, filled: bool
) -> None:
    argv = words([argv[0], *argv[1:], *(["{T}"] if filled else [])])
    said = [f"T={value}"] if filled else []
    shell = find("command")
    target = Template(shell, argv) if filled else shell
    found = items(target, said, None, []) if filled else [_Argv(argv)]
    try:
        expected = jobs(target, found)
    except UsageError:
        return
    [entry] = read(tmp_path, echo.written(target, argv, pairs(said), None, [], {}))
    assert jobs(*entry.resolved(find)) == expected


@pytest.mark.parametrize("option", ["--echo", "--dry-run"])
def test_what_is_nested_too_deeply_is_refused_in_one_line(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["submit", "filed.anything", f"a={'[' * 500}{']' * 500}", option]) == 2
    said = capsys.readouterr().err
    assert "nested" in said
    assert len(said.splitlines()) == 1


class _Argv:
    def __init__(self, argv: list[str]) -> None:
        self.values = {"argv": argv}


def test_options_are_those_of_the_command_line(tmp_path: Path) -> None:
    said = (
        "-p 8 -q cpu -t a -t b --dedupe --on-failed keep --max-attempts 3 --time-limit 1h30m "
        "--time-request 40m --run-at +2h"
    )
    verb = root.get_command(click.Context(root), "submit")
    assert verb is not None
    chosen = verb.make_context("submit", ["filed.anything", "a=1", *said.split()]).params
    text = echo.written(find("filed.anything"), None, [("a", "1")], None, [], echo.given(verb.params, chosen))
    [entry] = read(tmp_path, text)
    plain = {name: value for name, value in chosen.items() if name in entry.options()}
    assert entry.options() == plain
    assert chosen["priority"] == 8


FORMATS = {
    "job.toml": 'workflow = "filed.anything"\n[parameters]\na = {x = [1, 2.5, true, "no"]}\n'
    'd = "2020-01-01"\n',
    "job.yaml": "workflow: filed.anything\nparameters:\n  a: {x: [1, 2.5, true, no]}\n  d: 2020-01-01\n",
    "job.json": '{"workflow": "filed.anything",\n'
    ' "parameters": {"a": {"x": [1, 2.5, true, "no"]}, "d": "2020-01-01"}}',
}


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    found = [jobs(*read(tmp_path, text, name)[0].resolved(find)) for name, text in FORMATS.items()]
    assert found[0] == found[1] == found[2]
    assert found[0][0]["parameters"]["a"] == {"x": [1, 2.5, True, "no"]}


def test_jobs_of_a_list_share_what_stands_above_them(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
tags: [oxides]
workflow: filed.anything
parameters: {a: 1, c: 2}
job:
- name: last
  after: [first, second, 42, 5-8]
  after-any: [second, 7]
  command: [echo]
  parameters: {}
- name: first
  parameters: {a: 5}
- name: second
  priority: 9
  tag: other
  each: [{b: 1}, {b: 2}]
  grid: {e: [[1], [2]]}
""",
        "jobs.yaml",
    )
    assert [one.name for one in found] == ["first", "second", "last"]
    first, second, last = found
    assert last.waits_for == ["first", "second"]
    assert last.options()["after"] == ("42", "5-8")
    assert (last.waits_for_any, last.options()["after_any"]) == (["second"], ("7",))
    assert [one.options()["tags"] for one in found] == [("oxides",), ("other",), ("oxides",)]
    assert [job["parameters"]["a"] for job in jobs(*first.resolved(find))] == [5]
    assert [job["parameters"]["e"] for job in jobs(*second.resolved(find))] == [[1], [2], [1], [2]]


REFUSED = [
    ("job.toml", "tag = 4 4\nworkflow = 'x'", "(at line 1, column 9)"),
    ("job.toml", "[parameters]\na = 1\na = 2", "Cannot overwrite a value"),
    ("job.toml", "workflow = 1", "workflow must be a name"),
    ("job.toml", "worklow = 'x'", "there is no key 'worklow'; did you mean 'workflow'?"),
    ("job.toml", "workflow='x'\nprority=1", "did you mean 'priority'?"),
    (
        "job.toml",
        "workflow='x'\nfmax=1",
        "a parameter of the workflow stands with the others, under the key 'parameters'",
    ),
    ("job.toml", "workflow='x'\ntag='a'\ntags='b'", "a key is given twice"),
    ("job.toml", "workflow='x'\npriority=10", "priority: "),
    ("job.toml", "workflow='x'\npriority=true", "priority cannot be True"),
    ("job.toml", "workflow='x'\ndedupe=1", "dedupe must be true or false"),
    ("job.toml", "workflow='x'\non-failed='never'", "on-failed: "),
    ("job.toml", "workflow='x'\nwait=true", "there is no key 'wait'"),
    ("job.toml", "workflow='x'\ndatabase-url='postgresql://else/where'", "there is no key 'database-url'"),
    ("job.toml", "workflow='x'\nhome='/data'", "there is no key 'home'"),
    ("job.toml", "job = []", "must be a list of jobs"),
    ("job.toml", "job = 'x'", "must be a list of jobs"),
    ("job.toml", "name='x'\n[[job]]\nworkflow='x'", "'name' belongs to one of the jobs"),
    ("job.toml", "[[job]]\nname='a'\n[[job]]\nname='a'", "two jobs have the name 'a'"),
    (
        "job.toml",
        "[[job]]\nname='a'\nafter=['b']\n[[job]]\nname='b'\nafter='a'",
        "wait for each other: 'a', 'b'",
    ),
    ("job.toml", "[[job]]\nname='relax-1'\n[[job]]\nafter=['relax1']", "did you mean 'relax-1'?"),
    ("job.toml", "[[job]]\nafter=['-']", "no job of this file has the name '-'"),
    ("job.toml", "x = 1e999", "too large"),
    ("job.toml", "[parameters]\na = {'$job' = 4}", 'the key "$job" cannot be given'),
    ("job.json", '{"a": 1, "a": 2}', "the key 'a' is given twice"),
    ("job.json", '{"a": 1,}', "line 1 column"),
    ("job.json", "[1]", "it holds a list"),
    ("job.json", "[" * 100_000, "nested too deeply"),
    ("job.yaml", "a: " + "[" * 5_000, "nest"),
    ("job.toml", "a = " + "[" * 5_000, "nested too deeply"),
    ("job.yaml", "", "it holds nothing"),
    ("job.yaml", "a: &x [1]\nb: *x", "line 1: anchors and aliases"),
    ("job.yaml", "a: !!python/object/apply:os.system [ls]", "line 1: tags (!)"),
    ("job.yaml", "workflow: x\npriority: 07", "line 2: 07 begins with a zero"),
    ("job.yaml", "a: {<<: {b: 1}}", "line 1: merge keys"),
    ("job.yaml", "a: 1\n---\nb: 1", "a second document"),
    ("job.yaml", "%YAML 1.1\n---\na: 1", "directives"),
    ("job.yaml", "a: 1\na: 2", "line 2: the key 'a' is given twice"),
    ("job.yaml", "a: [1\nb: 2", "(at line 2, column 2)"),
    ("job.yaml", "1: 2", "a key must be text"),
    ("job.yaml", "a: \0", "not YAML"),
]


@pytest.mark.parametrize(
    ("name", "text", "said"), REFUSED, ids=[f"{name}-{said[:30]}" for name, _, said in REFUSED]
)
def test_what_a_file_cannot_say_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        _ = [entry.resolved(find) for entry in read(tmp_path, text, name)]
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert name in str(refused.value) or name == "job.toml"


RESOLVED = [
    ("workflow='filed.anything'\ncommand=['x']", "either the key 'workflow' or the key 'command'"),
    ("tag='x'", "either the key 'workflow' or the key 'command'"),
    ("command='ls -l'", "command must be a list of texts"),
    ("workflow='filed.anything'\nparameters=[1]", "parameters must be names and values"),
    ("workflow='filed.anything'\neach='-'", "a file cannot ask for stdin"),
    ("workflow='filed.anything'\neach=3", "each must be a file"),
    ("workflow='filed.anything'\ngrid={a=3}", "grid: a must be a list of values"),
    ("workflow='filed.anything'\ntexts={a=3}", "texts: a must be a text"),
    ("workflow='filed.anything'\ntexts={a='3'}\nparameters={a=1}", "given twice, in parameters and texts"),
]


@pytest.mark.parametrize(("text", "said"), RESOLVED, ids=[said for _, said in RESOLVED])
def test_what_cannot_be_submitted_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    [entry] = read(tmp_path, text)
    with pytest.raises(UsageError, match=r"job\.toml: ") as refused, entry.named():
        entry.resolved(find)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ('texts = {a = "@one"}', "job 'two': '@one' would be text here, and not the result of the job"),
        ('grid = {a = "@one"}', "job 'two': '@one' would be text here, and not the result of the job"),
        ('parameters = {a = ["@two"]}', "these jobs wait for each other: 'two'"),
    ],
)
def test_a_name_that_cannot_stand_for_a_result_is_refused(tmp_path: Path, where: str, said: str) -> None:
    text = f'workflow = "filed.anything"\n[[job]]\nname = "one"\n[[job]]\nname = "two"\n{where}\n'
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)


def test_yaml_is_read_by_the_rules_of_version_1_2() -> None:
    text = "[no, on, yes, off, y, 1:30, 2020-01-01, 1e3, .5, 0o17, 0x1F, ~, true, 'true', +1, 1_000, =]"
    expected = [
        "no",
        "on",
        "yes",
        "off",
        "y",
        "1:30",
        "2020-01-01",
        1000.0,
        0.5,
        15,
        31,
        None,
        True,
        "true",
        1,
    ]
    assert yaml12.read(text) == [*expected, "1_000", "="]
    [nan, inf] = yaml12.read("[.nan, -.inf]")
    assert math.isnan(nan)
    assert inf == -math.inf
