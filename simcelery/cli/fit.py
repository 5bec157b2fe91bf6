"""Tables and lines that fit a width: what matters stays whole, and what does not gives way to it.

Widths are those of a terminal's cells: a Chinese character takes two, an accent none.
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
_CUT, _MIDDLE = 10, 16  # a column that gives way keeps so many cells
_NARROW, _COMFORTABLE = 24, 44  # one that wraps has so many, two lines' worth, or goes below its row
_INDENT = 2  # of what is below its row
_WORD = re.compile(r"[^ ]+ *| +")  # other spaces hold together


@dataclass(frozen=True)
class Column:
    """A column of a table. What it is called says how it gives way; by default it is shown whole.

    Attributes:
        right: aligned to the right.
        flexible: cut at the end.
        middle: cut in the middle, where names and paths tell least.
        wrapped: takes several lines, or lines of its own below the row: nothing of it is lost.
        spare: left out where there is no room, the last one first.
        coloured: a cell with a known word has its colour.
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
        """In capitals, unless it has a unit: GPa is not GPA."""
        return self.name if "(" in self.name else self.name.upper()

    def least(self, natural: int) -> int:
        """The cells that it needs of those that it would like."""
        if self.wrapped:
            return min(natural, max(_NARROW, min(-(-natural // 2), _COMFORTABLE)))
        return min(natural, _MIDDLE if self.middle else _CUT if self.flexible else natural)


@dataclass(frozen=True)
class Layout:
    """Where the columns of a table stand, by their numbers.

    Attributes:
        widths: of those side by side.
        below: those with lines of their own.
        left_out: those without a place.
        folded: the width is too small all the same: whatever there is, is broken over lines.
    """

    widths: dict[int, int]
    below: Sequence[int]
    left_out: Sequence[int]
    folded: bool = False


def layout(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Layout:
    """The places of the columns in a table of this width."""
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
    # Not even this fits: all are narrowed alike, and what is whole elsewhere is folded.
    room = max(0, width - GAP * (len(beside) - 1) - len(beside))
    return Layout(_shared(columns, beside, [1] * len(columns), natural, room), below, left_out, True)


def _shared(
    columns: Sequence[Column], beside: Sequence[int], least: Sequence[int], natural: Sequence[int], room: int
) -> dict[int, int]:
    """The widths when the room that is left is shared out: the wrapped first, then whoever is narrowest."""
    widths = {i: least[i] for i in beside}
    for some in ([i for i in beside if columns[i].wrapped], beside):
        while room and (wanting := [i for i in some if widths[i] < natural[i]]):
            widths[min(wanting, key=widths.__getitem__)] += 1
            room -= 1
    return widths


def table(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Iterator[Text]:
    """The lines of a table, its headings first; none is wider than `width`."""
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
    """How wide a text is on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shortened(text: Text, width: int, *, middle: bool = False) -> Text:
    """The text with an ellipsis for what does not fit."""
    if text.cell_len <= width:
        return text
    plain = text.plain
    tail = _fitting(plain[::-1], (width - 1) // 2) if middle else 0
    head = _fitting(plain, width - 1 - cells(plain[len(plain) - tail :]))
    return text[:head] + type(text)("…") + text[len(plain) - tail :]


def wrapped(text: Text, width: int) -> list[Text]:
    """The text in lines that fit, broken at spaces where there are any."""
    lines = list(text.divide(_breaks(text.plain, width)))
    for line in lines:
        line.rstrip()
    return lines


def wrapped_line(text: str, width: int, hang: int = 0) -> list[str]:
    """The same for plain text; from the second line on it is indented by `hang` cells."""
    hang = min(hang, width // 2)
    breaks = _breaks(text, width, hang)
    parts = [text[start:end].rstrip() for start, end in pairwise([0, *breaks, len(text)])]
    return [parts[0], *(" " * hang + part for part in parts[1:])]


def _breaks(text: str, width: int, hang: int = 0) -> list[int]:
    """Where new lines begin; all but the first have `hang` cells less."""
    found: list[int] = []
    start, room = 0, width
    for match in _WORD.finditer(text):
        word = match.group().rstrip()
        end = match.start() + len(word)
        while cells(text[start:end]) > room:
            # A word that is wider than a line is folded where it stands.
            moves = start < match.start() and cells(word) <= width - hang
            start = match.start() if moves else start + max(1, _fitting(text[start:end], room))
            room = width - hang
            found.append(start)
    return found


def _fitting(text: str, width: int) -> int:
    """How many characters from the beginning fit."""
    end = min(len(text), max(0, width))
    while cells(text[:end]) > width and end:
        end -= 1
    while end < len(text) and cells(text[: end + 1]) <= width:
        end += 1
    return end
