"""Write a table to a file: Parquet, CSV, lines of JSON, or a JSON list.

The file appears under its name only when it is complete.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from simcelery.errors import UsageError
from simcelery.execution import durable
from simcelery.readable import csv_cell, json_text
from simcelery.tables.gathering import Column
from simcelery.tables.kinds import TIME, Kind, within

Cells = dict[str, Any]
_ROWS, _BYTES = 20_000, 32 * 2**20  # of a row group of Parquet, as far as it is in memory


def check(path: Path, *, replace: bool) -> None:
    """Refuse a file that cannot be written, before anything is read.

    Raises:
        UsageError: its name says no format, it exists, or pyarrow is missing.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"{path}: the name must end with {', '.join(_FORMATS)}, which says the format")
    if path.suffix.lower() == ".parquet" and not find_spec("pyarrow"):
        raise UsageError("Parquet needs pyarrow: pip install 'simcelery[parquet]', or write a .csv file")
    if path.is_dir() or (path.exists() and not replace):
        raise UsageError(f"{path} exists already: give another name, or --force to replace it")


def surprises(column: Column, suffix: str) -> str:
    """Why a file of this kind has text where nobody expects it, in words; "" where it has not."""
    as_they_are = suffix.lower() in (".json", ".jsonl") or (
        suffix.lower() == ".csv" and column.kind.is_numeric
    )
    return "" if as_they_are else column.kind.surprises


@contextmanager
def complete(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """A file that gets its name after the block, and leaves nothing behind if that raises.

    Raises:
        UsageError: it cannot be written, or meanwhile another one of this name exists.
    """
    try:
        with durable.complete(path, lambda: check(path, replace=replace)) as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def write(file: IO[bytes], suffix: str, columns: Sequence[Column], rows: Iterable[Cells]) -> None:
    """Write the columns of the rows in the format of a suffix."""
    _FORMATS[suffix.lower()](file, columns, rows)


def _lines(file: IO[bytes], columns: Sequence[Column], rows: Iterable[Cells]) -> None:
    for row in rows:
        file.write(f"{json_text(_titled(row, columns))}\n".encode())


def _list(file: IO[bytes], columns: Sequence[Column], rows: Iterable[Cells]) -> None:
    start = b"["
    for row in rows:
        file.write(start + f"\n  {json_text(_titled(row, columns))}".encode())
        start = b","
    file.write(b"[]\n" if start == b"[" else b"\n]\n")


def _titled(row: Cells, columns: Sequence[Column]) -> Cells:
    return {column.title: row.get(column.name) for column in columns}


def _csv(file: IO[bytes], columns: Sequence[Column], rows: Iterable[Cells]) -> None:
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([csv_cell(column.title) for column in columns])
    writer.writerows([csv_cell(row.get(column.name)) for column in columns] for row in rows)
    text.detach()


def _parquet(file: IO[bytes], columns: Sequence[Column], rows: Iterable[Cells]) -> None:
    pyarrow = import_module("pyarrow")
    schema = pyarrow.schema([(column.title, _type(pyarrow, column.kind)) for column in columns])
    with import_module("pyarrow.parquet").ParquetWriter(file, schema, compression="zstd") as writer:
        for some in _groups(rows):
            arrays = [
                pyarrow.array([_value(row.get(column.name), column.kind) for row in some], wanted.type)
                for column, wanted in zip(columns, schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _groups(rows: Iterable[Cells]) -> Iterator[list[Cells]]:
    """The rows in groups that fit into memory."""
    some: list[Cells] = []
    size = 0
    for row in rows:
        some.append(row)
        size += _size(row)
        if len(some) >= _ROWS or size >= _BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _size(value: Any) -> int:
    """About how many bytes a value takes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _type(pyarrow: Any, kind: Kind) -> Any:
    if kind.is_text:
        return pyarrow.string()
    if kind.of is not None:
        return pyarrow.list_(_type(pyarrow, kind.of))
    return {
        "nothing": pyarrow.null(),
        "boolean": pyarrow.bool_(),
        "integer": pyarrow.int64(),
        "int64": pyarrow.int64(),
        "number": pyarrow.float64(),
        "time": pyarrow.timestamp("us", tz="UTC"),
    }[kind.name]


def _value(value: Any, kind: Kind) -> Any:
    if kind == TIME:
        return value and datetime.fromisoformat(value)
    return within(value, kind)


_FORMATS: dict[str, Callable[[IO[bytes], Sequence[Column], Iterable[Cells]], None]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _lines,
    ".json": _list,
}
