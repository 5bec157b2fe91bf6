"""What people write is read as it was meant, or refused in one line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simcelery.cli import sources
from simcelery.cli.targets import Here
from simcelery.errors import ParametersError, UsageError
from simcelery.workflows.definition import Definition
from simcelery.workflows.parameters import readings
from simcelery.workflows.reading import Misread, strict

MISREAD = {
    '{"a": 1, "a": 2}': "the key 'a' is given twice",
    '[{"b": {"a": 1, "a": 1}}]': "the key 'a' is given twice",
    "1e400": "too large",
    "-1e400": "too large",
    "[1, 2e999]": "too large",
    "1e-400": "too small",
    "-0.001e-999": "too small",
    '{"$job": 1178}': "cannot be given as a value",
}


@pytest.mark.parametrize("text", MISREAD, ids=lambda text: text[:20])
def test_what_would_become_something_else_is_refused(text: str) -> None:
    with pytest.raises(Misread, match=MISREAD[text]):
        strict(text)
    with pytest.raises(Misread):
        readings(text)
    assert readings(text, prefer_text=True) == [text]


@pytest.mark.parametrize("text", ["0e5", "-0.0", "0.0e-999", "1e308", "5e-324", "NaN", "-Infinity", "[]"])
def test_what_can_be_kept_is_read(text: str) -> None:
    import json

    value = strict(text)
    expected = json.loads(text)
    assert value == expected or (math.isnan(value) and math.isnan(expected))


@pytest.fixture
def target() -> Here:
    def energy(structure: str, fmax: float = 0.05, label: str = "") -> float:
        return fmax

    return Here(Definition(energy, name="t.energy"))


def rows(target: Here, path: Path) -> list[dict[str, Any]]:
    return [item.values for item in sources.read_each(target, str(path))]


def write(tmp_path: Path, name: str, raw: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(raw)
    return path


REFUSED = {
    "quote never closed": (b'structure,fmax\nCu,"0.1\nAg,0.2\nAu,0.3\n', "line 2: not a valid table"),
    "text after a quote": (b'structure,fmax\n"Cu"x,0.1\n', "line 2: not a valid table"),
    "NUL": (b"structure,fmax\nC\0u,0.1\n", "NUL character"),
    "huge cell": (b"structure\n" + b"x" * 200_000 + b"\n", "line 2: not a valid table"),
    "semicolons": (b"structure;fmax\nCu;0.1\n", "separated by ';'"),
    "tabs in a .csv": (b"structure\tfmax\nCu\t0.1\n", r"separated by '\\t'"),
    "too many cells": (b"structure,fmax\nCu,0.1,2\n", "3 cells, but the header has 2"),
    "a number that is too large": (b"structure,fmax\nCu,1e400\n", "too large"),
    "latin-1": ("structure\n\xe9\n".encode("latin-1"), "not UTF-8"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_broken_table_loses_no_row_silently(target: Here, tmp_path: Path, what: str) -> None:
    raw, told = REFUSED[what]
    with pytest.raises((UsageError, ParametersError), match=told):
        rows(target, write(tmp_path, "t.csv", raw))


def test_a_tab_in_what_is_said_of_a_table_can_be_seen(target: Here, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 1: not a valid table \('\\t' expected after") as caught:
        rows(target, write(tmp_path, "t.tsv", b'"",x'))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("t.tsv", b"structure\tfmax\nCu\t0.1\n"),
        ("t.csv", b"\xef\xbb\xbfstructure,fmax\nCu,0.1\n"),
        ("t.csv", b"structure,fmax,,\nCu,0.1,,\n"),
        ("t.csv", b'structure,fmax\r\n"Cu",0.1\r\n'),
        ("t.jsonl", b'\xef\xbb\xbf{"structure": "Cu", "fmax": 0.1}\n'),
    ],
)
def test_a_table_is_read_as_its_name_says(target: Here, tmp_path: Path, name: str, raw: bytes) -> None:
    assert rows(target, write(tmp_path, name, raw)) == [{"structure": "Cu", "fmax": 0.1}]


@pytest.mark.parametrize("name", ["t.txt", "t.dat"])
def test_a_file_that_may_be_a_table_is_asked_about(target: Here, tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, b"structure fmax\nCu 0.1\n")
    with pytest.raises(UsageError, match=r"if it is a table, rename it to .csv"):
        rows(target, path)
    [named] = sources.read_each(target, f"structure={path}")
    assert named.values == {"structure": str(path)}


def test_a_json_line_that_is_nested_very_deep_is_refused(target: Here, tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", b'{"structure": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
    with pytest.raises(UsageError, match=r"line 1: not JSON: it is nested too deeply"):
        rows(target, path)


def test_a_repeated_key_in_a_json_line_is_refused(target: Here, tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", b'{"structure": "Cu"}\n{"structure": "Cu", "structure": "Ag"}\n')
    with pytest.raises(UsageError, match=r"line 2: the key 'structure' is given twice"):
        rows(target, path)


def test_a_byte_order_mark_on_stdin_is_no_part_of_it(target: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines() -> Iterator[str]:
        yield '\ufeff{"structure": "Cu"}\n'

    monkeypatch.setattr("sys.stdin", lines())
    assert [item.values for item in sources.read_each(target, "-")] == [{"structure": "Cu"}]
