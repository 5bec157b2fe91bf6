"""COPY: write rows to the board by the thousand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

_AT_ONCE = 1_000_000  # characters: a write costs more than a line


def copy(driver: psycopg.Connection[Any], into: str, lines: Iterable[str]) -> None:
    """COPY lines of cells, separated by tabs, into a table.

    Parameters:
        into: the table and its columns.
    """
    block: list[str] = []
    size = 0
    with driver.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN".encode()) as sink:
        for line in lines:
            block.append(line)
            size += len(line)
            if size >= _AT_ONCE:
                sink.write("".join(block))
                block, size = [], 0
        sink.write("".join(block))


def cell(value: Any) -> str:
    """A value in the format that COPY reads."""
    if value is None:
        return r"\N"
    if isinstance(value, list | tuple):
        return escaped("{" + ",".join(map(_quoted, value)) + "}")
    return escaped(str(value))


def escaped(text: str) -> str:
    """Text with the characters escaped that separate cells and lines."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if text.isprintable():
        return text
    return text.replace("\n", r"\n").replace("\r", r"\r").replace("\t", r"\t")


def _quoted(item: Any) -> str:
    text = str(item).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
