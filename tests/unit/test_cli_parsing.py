"""What the command line reads: selectors, filters, grids, files, times."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from simcelery.cli import selectors, sources
from simcelery.cli.options import Filters, duration
from simcelery.cli.recording import prepared
from simcelery.cli.selectors import Selection
from simcelery.cli.sources import Item, grid_values, pairs
from simcelery.cli.targets import Here, OnBoard
from simcelery.cli.verbs.submit import parse_run_at
from simcelery.errors import ParametersError, UsageError
from simcelery.settings import get_settings
from simcelery.submission.options import Options
from simcelery.submission.workflow import Workflow
from simcelery.worker.parent.announced import entry


def _relax(structure: str, fmax: float = 0.05, steps: int | None = None) -> float:
    """Relax."""
    return fmax


RELAX = Workflow(_relax, name="relax")


@pytest.fixture
def target() -> Here:
    return Here(RELAX)


# --- selectors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["42"], Selection((42,), single=True)),
        (["last"], Selection(last=True, single=True)),
        (["1-5,8"], Selection((8,), ((1, 5),))),
        (["3", "1", "3"], Selection((3, 1))),
        (["7,", "last"], Selection((7,), last=True)),
        (["5-5"], Selection((), ((5, 5),))),
        (["-"], Selection((10, 11, 12), ((20, 30),))),
        (["9", "-"], Selection((9, 10, 11, 12), ((20, 30),))),
    ],
)
def test_selectors(texts: list[str], expected: Selection) -> None:
    assert selectors.parse(texts, lambda: "10\n11, 12\t20-30\n") == expected


def test_no_selector_is_none_but_an_empty_stdin_names_no_job() -> None:
    assert selectors.parse([]) is None
    empty = selectors.parse(["-"], lambda: "\n")
    assert empty == Selection()
    # An empty list must never become "all jobs".
    assert Filters().to_board(list(empty.numbers)).ids == []


def test_one_id_from_stdin_is_a_list_all_the_same() -> None:
    found = selectors.parse(["-"], lambda: "42")
    assert found is not None
    assert not found.single


@pytest.mark.parametrize("text", ["x", "1..5", "-3", "5-1", "1-", "1.5", "", ",", "99999999999999999999"])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(UsageError):
        selectors.parse([text])


def test_acting_on_everything_needs_to_be_said() -> None:
    with pytest.raises(UsageError, match="which jobs to cancel"):
        selectors.require(None, Filters(limit=5), "cancel")
    selectors.require(None, Filters(workflow="w"), "cancel")
    selectors.require(Selection(), Filters(), "cancel")


# --- filters ---------------------------------------------------------------------------------------


def test_filters_become_the_boards() -> None:
    given = Filters(("failed",), "relax", ("a", "b"), "cpu", "1h30m", 5)
    found = given.to_board([1])
    assert (found.ids, found.states, found.workflow, found.tags) == ([1], ("failed",), "relax", ("a", "b"))
    assert (found.queue, found.since) == ("cpu", 5400.0)
    assert given.to_board(states=["pending"]).states == ("pending",)


def test_durations() -> None:
    assert duration("--x", "2d") == 172800
    assert duration("--x", "01:00:30") == 3630
    assert duration("--x", None) is None
    with pytest.raises(UsageError, match="--x: 'soon' is not a duration"):
        duration("--x", "soon")


def test_run_at() -> None:
    assert parse_run_at("+2h") == (None, 7200.0)
    moment, delay = parse_run_at("2030-01-31T08:00+01:00")
    assert moment == dt.datetime(2030, 1, 31, 7, tzinfo=dt.UTC)
    assert delay is None
    naive, _ = parse_run_at("2030-01-31")
    assert naive == dt.datetime(2030, 1, 31).astimezone()
    for text in ("noon", "2h", "+noon"):
        with pytest.raises(UsageError):
            parse_run_at(text)


# --- parameters ------------------------------------------------------------------------------------


def test_pairs() -> None:
    assert pairs(["a=1", "b=x=y", "c="]) == [("a", "1"), ("b", "x=y"), ("c", "")]


@pytest.mark.parametrize("texts", [["a"], ["=1"], ["a b=1"], ["a=1", "a=2"], ["1a=2"]])
def test_what_is_no_pair(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        pairs(texts)


def test_an_unquoted_pattern_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.cif").touch()
    with pytest.raises(UsageError, match="a pattern for files must be quoted"):
        pairs(["b.cif"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3", ["1", "2", "3"]),
        ("0.9:1.1:0.05", ["0.90", "0.95", "1.00", "1.05", "1.10"]),
        ("1:5:2", ["1", "3", "5"]),
        ("1:6:2", ["1", "3", "5"]),
        ("3:1:-1", ["3", "2", "1"]),
        ("1e-2:3e-2:1e-2", ["0.01", "0.02", "0.03"]),
        ("[1,2],[3,4]", ["[1,2]", "[3,4]"]),
        ('{"a": 1, "b": 2},x', ['{"a": 1, "b": 2}', "x"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("a:b:c,16:9", ["a:b:c", "16:9"]),
        ("1,5:7:1", ["1", "5", "6", "7"]),
    ],
)
def test_grid_values(text: str, expected: list[str]) -> None:
    assert grid_values(text) == expected


@pytest.mark.parametrize("text", ["1:2:0", "1:2:-1", "2:1:0.5", "0:1:1e-12"])
def test_a_range_without_end(text: str) -> None:
    with pytest.raises(UsageError, match="--grid"):
        grid_values(text)


def test_a_grid_is_a_product(target: Here) -> None:
    found = sources.items(target, ["structure=Cu"], None, ["fmax=0.1,0.2", "steps=1,2"])
    assert [item.values for item in found] == [
        {"structure": "Cu", "fmax": fmax, "steps": steps} for fmax in (0.1, 0.2) for steps in (1, 2)
    ]


def test_json_lines(target: Here, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"structure": "Cu"}\n\n{"structure": "Ag", "fmax": 1}\n')
    assert list(sources.items(target, [], str(file), [])) == [
        Item({"structure": "Cu"}, f"{file} line 1"),
        Item({"structure": "Ag", "fmax": 1}, f"{file} line 3"),
    ]


def test_a_table(target: Here, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('\ufeffstructure,fmax,steps\n"Cu, fcc",,3\n\nAg,1e-3,\n', encoding="utf-8")
    found = sources.items(target, [], str(file), [])
    assert [item.values for item in found] == [
        {"structure": "Cu, fcc", "steps": 3},
        {"structure": "Ag", "fmax": 0.001},
    ]


def test_files(target: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.cif", "a.cif", "c.xyz"):
        (tmp_path / name).touch()
    found = [Item({"structure": str(tmp_path / name)}, name) for name in ("a.cif", "b.cif")]
    assert list(sources.items(target, [], "structure=*.cif", [])) == found
    assert list(sources.items(target, [], "*.cif", [])) == found
    assert [item.values for item in sources.items(target, [], "c.xyz", ["fmax=1,2"])] == [
        {"structure": str(tmp_path / "c.xyz"), "fmax": 1},
        {"structure": str(tmp_path / "c.xyz"), "fmax": 2},
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", "{", "a.jsonl line 1: not JSON"),
        ("a.jsonl", '{"structure": 1}\n[1]', "a.jsonl line 2: not a JSON object"),
        ("a.jsonl", "\n", "it holds no jobs"),
        ("a.csv", "structure,fmax\nCu", "a.csv line 2: 1 cells, but the header has 2"),
        (
            "a.csv",
            "structure,fmx\nCu,1",
            "a.csv line 2: relax: there is no parameter 'fmx'; did you mean 'fmax'",
        ),
        ("a.csv", "structure,fmax\nCu,x", "a.csv line 2: relax: parameter 'fmax'"),
        ("a.csv", "fmax,fmax\n1,2", "two columns have the same name"),
        ("a.csv", "steps,fmax\n1,2", "a.csv line 2: parameter 'steps' is given twice"),
        ("a.csv", "structure\n", "it holds no jobs"),
    ],
)
def test_a_bad_file_says_where(
    target: Here, name: str, text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises((UsageError, ParametersError)) as caught:
        list(sources.items(target, ["steps=1"], name, []))
    assert expected in str(caught.value)


def test_validation_says_where(target: Here, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"structure": "Cu"}\n{"structure": "Cu", "fmax": "tight"}\n')
    with pytest.raises(ParametersError, match=r"a\.jsonl line 2: relax: parameter 'fmax'"):
        list(prepared(target, sources.items(target, [], str(file), []), Options()))


# --- a workflow that only the board knows ----------------------------------------------------------


@pytest.mark.parametrize(
    "texts", [["structure=Cu"], ["structure=7", "fmax=1"], ["structure=x", "steps=3", "fmax=0.5"]]
)
def test_without_the_code_the_same_job_is_recorded(target: Here, texts: list[str]) -> None:
    remote = OnBoard(entry(RELAX, get_settings()))
    assert remote.required == target.required == ["structure"]
    options = Options(dedupe=True, priority=7, tags=["t"], time_limit="1h")
    jobs = [each.preparation(options)(each.parse(pairs(texts))) for each in (target, remote)]
    different = {"task_id", "parameters_json"}
    values: list[dict[str, Any]] = [
        {name: value for name, value in vars(job).items() if name not in different} for job in jobs
    ]
    assert values[0] == values[1]


def test_without_the_code_names_are_checked() -> None:
    remote = OnBoard(entry(RELAX, get_settings()))
    with pytest.raises(ParametersError, match="no parameter 'fmx'; it takes: structure, fmax, steps"):
        remote.parse([("fmx", "1")])
    with pytest.raises(ParametersError, match="no parameter 'fmx'"):
        remote.preparation(Options())({"structure": "Cu", "fmx": 1})
    with pytest.raises(ParametersError, match="missing parameter 'structure'"):
        remote.preparation(Options())({})
