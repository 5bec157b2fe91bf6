"""Make text from others safe to show: it cannot steer a terminal, hide anything, or start a line of its own.

Names, parameters, errors, output and notes come from whoever may submit or run a job. Everything that the
command line prints or a worker logs passes through here. JSON keeps such characters as escapes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import Any, TextIO

_INSTEAD = "�"


def readable(text: str) -> str:
    """The text with its line breaks; control, text-direction and zero-width characters are replaced."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text.replace("\r\n", "\n").expandtabs(4)))


def _shown(char: str) -> str:
    if char.isprintable() or char == "\n":
        return char
    return " " if char.isspace() else _INSTEAD


def line(text: object) -> str:
    """The same in one line; spaces are kept."""
    return readable(str(text)).replace("\n", " ")


def short(value: object, most: int = 60) -> str:
    """A value's repr, shortened to one line for a message."""
    try:
        # Only the beginning of a long text is shown, so only that is looked at.
        text = repr(value[: most + 1] if isinstance(value, str) else value)
    except Exception:  # a number of thousands of digits, or an object of the user's own
        text = f"<{type(value).__name__}>"
    text = " ".join(text[: 10 * most].split())
    return text if len(text) <= most else text[: most - 3] + "..."


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON in which the characters that `readable` would replace are escaped, so that no data is lost."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
# Unambiguous, so that a long text does not cause backtracking.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan|infinity)", re.IGNORECASE)


def csv_cell(cell: Any) -> Any:
    """A value in a file of CSV: a number stays one, and no spreadsheet will take a text for a formula."""
    if isinstance(cell, dict | list):
        return json_text(cell)
    if not isinstance(cell, str):
        return cell
    # A leading apostrophe tells spreadsheets that the rest is text.
    formula = _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return readable(f"'{cell}" if formula else cell).replace("\n", "\\n")  # one line per job


class ReadableStream:
    """A stream to which only readable text is written; everything else is passed on to the stream behind it.

    Attributes:
        behind: the stream itself, for writing styled text that has already been made readable.
    """

    def __init__(self, stream: TextIO) -> None:
        self.behind = stream

    def write(self, text: str) -> int:
        """Write the text, made readable."""
        self.behind.write(readable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line, made readable."""
        for text in lines:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)


class ReadableRecords(logging.Filter):
    """Makes a record's message one readable line, and indents the lines of its traceback."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record and keep it."""
        record.msg, record.args = line(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _indented(record.exc_text)
        if record.stack_info:
            record.stack_info = _indented(record.stack_info)
        return True


def _indented(text: str) -> str:
    return "\n".join(f"    {each}" for each in readable(text).split("\n"))
