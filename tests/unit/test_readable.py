"""What people read: nothing of others steers a terminal or begins a line of a log."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from simcelery.readable import ReadableRecords, csv_cell, json_text, line, readable


@pytest.mark.parametrize(
    "text", ["plain", "Ä ψ ∂E/∂x", "e\u0301 👍 日本語 🇳🇴", "two\nlines", "  indented  twice"]
)
def test_what_people_write_stays(text: str) -> None:
    assert readable(text) == text


@pytest.mark.parametrize(
    "char", ["\0", "\x1b", "\x07", "\x08", "\x7f", "\x9b", "\x9d", "\u200b", "\u200d", "\u2060", "\ufeff",
             "\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u061c", "\u00ad", "\U000e0041", "\ud800"]
)  # fmt: skip
def test_what_steers_or_hides_is_replaced(char: str) -> None:
    assert readable(f"a{char}b") == "a�b"


@pytest.mark.parametrize("char", ["\r", "\v", "\f", "\x85", "\u2028", "\u2029", "\x1c", "\xa0"])
def test_other_white_space_is_a_space(char: str) -> None:
    assert readable(f"a{char}b") == "a b"


def test_a_line_is_one_line() -> None:
    assert line("a\r\nb\nc") == "a b c"


def test_json_reads_back_as_it_was() -> None:
    value = {"\x1b\u202e": ["\x9b\u200b\U000e0041\n", "ψ"], "x": [1.5]}
    text = json_text(value)
    assert json.loads(text) == value
    assert text.isprintable()
    assert "ψ" in text
    assert json.loads(json_text(value, indent=2)) == value


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1-1", "'-1-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'   =1"),
        ("\r=1", "' =1"),
        ("\n=1", "'\\n=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("-1.5", "-1.5"),
        ("+3e-7", "+3e-7"),
        ("-inf", "-inf"),
        ("two\nlines", "two\\nlines"),
        ("-", "'-"),
        (-1.5, -1.5),
        (None, None),
        (["=1"], '["=1"]'),
    ],
)
def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers(cell: object, shown: object) -> None:
    assert csv_cell(cell) == shown


def test_a_record_of_the_log_is_one_line_and_its_traceback_is_indented() -> None:
    forged = "no\n[2030-01-01 00:00:00,000: ERROR/MainProcess] forged\x1b[2J"
    try:
        raise ValueError(forged)
    except ValueError:
        found = logging.LogRecord("x", logging.ERROR, "", 1, "job %s", (forged,), sys.exc_info())
    assert ReadableRecords().filter(found)
    first, *rest = logging.Formatter("%(message)s").format(found).splitlines()
    assert first == "job no [2030-01-01 00:00:00,000: ERROR/MainProcess] forged�[2J"
    assert any("forged�[2J" in each for each in rest)
    assert all(each.startswith("    ") for each in rest)
