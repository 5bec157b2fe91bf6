"""Tables that fit a terminal: what matters stays, whatever the width and the letters."""

from __future__ import annotations

import pytest
from rich.text import Text

from simcelery.cli import fit
from simcelery.cli.fit import Column

MESSAGE = "ConvergenceError: 未収束: no self-consistency after 200 steps, the last residual was too large"
WORKFLOW = "my_project.relaxations.with_a_very_long_name.of_oxides_在高压下.final"
COLUMNS = (
    Column("id", right=True),
    Column("workflow", middle=True),
    Column("parameters", flexible=True),
    Column("took", right=True, spare=True),
    Column("error", wrapped=True),
)
ROW = ("12345678", WORKFLOW, "structure=/scratch/oxides/CaTiO3.cif, fmax=0.01", "1h30m", MESSAGE)


def drawn(columns: tuple[Column, ...], row: tuple[str, ...], width: int) -> list[str]:
    """The lines of a table of one row."""
    return [line.plain for line in fit.table(columns, [[Text(cell) for cell in row]], width)]


@pytest.mark.parametrize("width", [20, 33, 60, 80, 100, 120, 200, 400])
def test_no_line_is_wider_and_what_matters_is_whole(width: int) -> None:
    lines = drawn(COLUMNS, ROW, width)
    assert max(map(fit.cells, lines)) <= width
    together = "".join("".join(lines).split())
    assert "".join(MESSAGE.split()) in together or width >= 100  # beside others it is in columns of its own
    assert "".join(ROW[0].split()) in together or width < 33
    if width >= 60:
        assert ROW[0] in lines[2 if lines[1].strip() == "ERROR" else 1]
        assert "my_proj" in together
        assert together.count("final") == 1


def test_what_takes_more_than_two_lines_goes_below_its_row() -> None:
    heading, below, first, *rest = drawn(COLUMNS, ROW, 80)
    assert heading.split()[:2] == ["ID", "WORKFLOW"]
    assert below == "  ERROR"
    assert first.startswith("12345678  my_proj")
    assert " ".join(line.strip() for line in rest) == MESSAGE
    assert all(line.startswith("  ") for line in rest)


def test_what_is_spare_is_left_out_first_and_told() -> None:
    columns = (Column("id"), Column("a", spare=True), Column("b", spare=True))
    rows = [[Text("x" * 10)] * 3]
    for width, left_out in ((34, []), (33, [2]), (22, [2]), (21, [1, 2])):
        assert list(fit.layout(columns, rows, width).left_out) == left_out


def test_everything_is_whole_where_there_is_room() -> None:
    heading, row = drawn(COLUMNS, ROW, 400)
    assert all(cell in row for cell in ROW)
    assert heading.split() == ["ID", "WORKFLOW", "PARAMETERS", "TOOK", "ERROR"]
    assert fit.cells(row.partition(MESSAGE)[0]) == heading.index("ERROR")  # wide letters are counted as such


@pytest.mark.parametrize("text", ["a" * 30, "在" * 15, "e\u0301" * 30, "在a" * 10, ""])
@pytest.mark.parametrize("width", [1, 2, 5, 10, 11])
@pytest.mark.parametrize("middle", [True, False])
def test_shortened_text_fits_and_keeps_its_ends(text: str, width: int, middle: bool) -> None:
    shown = fit.shortened(Text(text), width, middle=middle).plain
    assert fit.cells(shown) <= width
    if width >= 5 and text:
        assert shown[0] == text[0]
        assert shown.count("…") == 1
        assert shown.endswith("…") != middle


def test_lines_are_broken_at_spaces_and_hang() -> None:
    text = "  error  one two three four"
    assert fit.wrapped_line(text, 80) == [text]
    assert fit.wrapped_line(text, 16, hang=9) == ["  error  one two", "        three", "        four"]
    assert fit.wrapped_line("/a/very/long/path/that/has/no/spaces", 10, hang=2) == [
        "/a/very/lo",
        "  ng/path/",
        "  that/has",
        "  /no/spac",
        "  es",
    ]
    assert fit.wrapped_line("", 10) == [""]
