"""Make tables and lines fit a width: important columns stay whole, less important ones shrink.

Widths count terminal cells: a Chinese character takes two, a combining accent none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

GAP = 2  # cells between two columns
_CUT, _MIDDLE = 10, 16  # cells that a shortened column keeps
# A wrapping column gets cells enough for two lines of text, within these limits, or moves below its row.
_NARROW, _COMFORTABLE = 24, 44
_INDENT = 2  # cells, of text below its row
_WORD = re.compile(r"[^ ]+ *| +")  # other kinds of space do not break


@dataclass(frozen=True)
class Column:
    """A column of a table. Its flags say how it shrinks; without one it is always shown whole.

    Attributes:
        right: aligned to the right.
        flexible: may be cut at the end.
        middle: may be cut in the middle, the least telling part of names and paths.
        wrapped: may take several lines, or lines of its own below the row; nothing is cut.
        spare: left out if there is no room, the last such column first.
        coloured: a cell that holds a known word, such as a state, gets that word's colour.
    """

    name: str
    right: bool = False
    flexible: bool = False
    middle: bool = False
    wrapped: bool = False
    spare: bool = False
    coloured: bool = False

    @property
    def heading(self) -> str:
        """The name in capitals, unless it holds a unit: GPa must not become GPA."""
        return self.name if "(" in self.name else self.name.upper()

    def least(self, natural: int) -> int:
        """The cells it needs at least, out of those it would fill."""
        if self.wrapped:
            return min(natural, max(_NARROW, min(-(-natural // 2), _COMFORTABLE)))
        return min(natural, _MIDDLE if self.middle else _CUT if self.flexible else natural)


@dataclass(frozen=True)
class Layout:
    """The arrangement of a table's columns, which are given by index.

    Attributes:
        widths: the width of each column that stands side by side with others.
        below: columns with lines of their own below the row.
        left_out: columns that are not shown.
        folded: even so the width is too small, and every cell is broken over several lines.
    """

    widths: dict[int, int]
    below: Sequence[int]
    left_out: Sequence[int]
    folded: bool = False


def layout(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Layout:
    """Arrange the columns in a table of this width."""
    natural = [
        max([cells(column.heading), *(row[i].cell_len for row in rows)]) for i, column in enumerate(columns)
    ]
    least = [column.least(wish) for column, wish in zip(columns, natural, strict=True)]
    spare = [i for i, column in enumerate(columns) if column.spare]
    wrapped = [i for i, column in enumerate(columns) if column.wrapped]
    for below in ([], wrapped):
        for kept in range(len(spare), -1, -1):
            left_out = spare[kept:]
            beside = [i for i in range(len(columns)) if i not in {*below, *left_out}]
            room = width - GAP * (len(beside) - 1) - sum(least[i] for i in beside)
            if room >= 0:
                return Layout(_shared(columns, beside, least, natural, room), below, left_out)
    # Not even this fits: narrow all columns alike, and fold even those that are otherwise shown whole.
    room = max(0, width - GAP * (len(beside) - 1) - len(beside))
    return Layout(_shared(columns, beside, [1] * len(columns), natural, room), below, left_out, True)


def _shared(
    columns: Sequence[Column], beside: Sequence[int], least: Sequence[int], natural: Sequence[int], room: int
) -> dict[int, int]:
    """The widths after sharing out the remaining room: wrapped columns first, then the narrowest."""
    widths = {i: least[i] for i in beside}
    for some in ([i for i in beside if columns[i].wrapped], beside):
        while room and (wanting := [i for i in some if widths[i] < natural[i]]):
            widths[min(wanting, key=widths.__getitem__)] += 1
            room -= 1
    return widths


def table(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Iterator[Text]:
    """The lines of a table, headings first; none is wider than `width`."""
    from rich.text import Text

    place = layout(columns, rows, width)
    headings = [Text(column.heading, "bold") for column in columns]
    for row in (headings, *rows):
        pieces = {i: _pieces(row[i], columns[i], wide) for i, wide in place.widths.items()}
        for number in range(max(map(len, pieces.values()), default=0)):
            line = Text()
            for i, wide in place.widths.items():
                piece = pieces[i][number] if number < len(pieces[i]) else Text()
                space = " " * (wide - piece.cell_len)
                line.append_text(Text.assemble(space, piece) if columns[i].right else piece + Text(space))
                line.append(" " * GAP)
            line.rstrip()
            yield line
        for i in place.below:
            for piece in wrapped(row[i], max(1, width - _INDENT)) if row[i].plain else ():
                yield Text.assemble(" " * _INDENT, piece)


def _pieces(cell: Text, column: Column, width: int) -> list[Text]:
    if cell.cell_len <= width:
        return [cell]
    if column.flexible or column.middle:
        return [shortened(cell, width, middle=column.middle)]
    return wrapped(cell, width)


def cells(text: str) -> int:
    """The width of a text on a terminal, in cells."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shortened(text: Text, width: int, *, middle: bool = False) -> Text:
    """The text, with an ellipsis in place of what does not fit."""
    if text.cell_len <= width:
        return text
    plain = text.plain
    tail = _fitting(plain[::-1], (width - 1) // 2) if middle else 0
    head = _fitting(plain, width - 1 - cells(plain[len(plain) - tail :]))
    return text[:head] + type(text)("…") + text[len(plain) - tail :]


def wrapped(text: Text, width: int) -> list[Text]:
    """The text in lines that fit, broken at spaces where possible."""
    lines = list(text.divide(_breaks(text.plain, width)))
    for line in lines:
        line.rstrip()
    return lines


def wrapped_line(text: str, width: int, hang: int = 0) -> list[str]:
    """The same for plain text; lines after the first are indented by `hang` cells."""
    hang = min(hang, width // 2)
    breaks = _breaks(text, width, hang)
    parts = [text[start:end].rstrip() for start, end in pairwise([0, *breaks, len(text)])]
    return [parts[0], *(" " * hang + part for part in parts[1:])]


def _breaks(text: str, width: int, hang: int = 0) -> list[int]:
    """The positions where new lines begin; all lines but the first are `hang` cells narrower."""
    found: list[int] = []
    start, room = 0, width
    for match in _WORD.finditer(text):
        word = match.group().rstrip()
        end = match.start() + len(word)
        while cells(text[start:end]) > room:
            # A word wider than a line is broken where it stands.
            moves = start < match.start() and cells(word) <= width - hang
            start = match.start() if moves else start + max(1, _fitting(text[start:end], room))
            room = width - hang
            found.append(start)
    return found


def _fitting(text: str, width: int) -> int:
    """How many leading characters fit."""
    end = min(len(text), max(0, width))
    while cells(text[:end]) > width and end:
        end -= 1
    while end < len(text) and cells(text[: end + 1]) <= width:
        end += 1
    return end
