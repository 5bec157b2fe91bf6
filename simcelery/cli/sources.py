"""Where the parameters of many jobs come from: ``name=value``, ``--each`` and ``--grid``."""

from __future__ import annotations

import csv
import glob
import itertools
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from simcelery.cli import references
from simcelery.errors import JobNotFoundError, ParametersError, UsageError
from simcelery.readable import short
from simcelery.workflows.reading import Misread, strict

if TYPE_CHECKING:
    from simcelery.cli.targets import Target

MOST_JOBS = 10_000_000
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 40  # characters: twice as many as a double needs
# Enough digits for sums of doubles to be exact.
_EXACT = Context(prec=1500)


@dataclass(frozen=True)
class Item:
    """The parameters of one job. `where` says in error messages where they came from: ``a.csv line 3``."""

    values: dict[str, Any]
    where: str = ""


def pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    """``name=value`` as pairs.

    Raises:
        UsageError: a text is not of this form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            hint = ""
            if os.path.exists(text):
                hint = "; a pattern for files must be quoted: --each '*.cif'"
            raise UsageError(f"{short(text)} is not of the form NAME=VALUE{hint}")
        if name in found:
            raise UsageError(f"parameter {short(name)} is given twice")
        found[name] = value
    return list(found.items())


@dataclass(frozen=True)
class Items:
    """The parameters of all jobs: those given, combined with each row or file and each point of the grid.

    They are read while iterating, again for each iteration; stdin (`once`) can be read only once.
    """

    target: Target
    base: dict[str, Any]
    each: str | list[Item] | None
    axes: list[list[tuple[str, Any]]]

    @property
    def once(self) -> bool:
        """Whether they cannot be read again."""
        return self.each == "-"

    def __iter__(self) -> Iterator[Item]:
        """The jobs' parameters, one job after the other.

        Raises:
            UsageError, ParametersError: something cannot be read or is invalid; one line says where.
        """
        count = 0
        for row in self._rows():
            for combination in itertools.product(*self.axes):
                count += 1
                if count > MOST_JOBS:
                    raise UsageError(f"this is more than {MOST_JOBS:,} jobs: submit them in parts")
                yield self._item(row, dict(combination))
        if not count:
            raise UsageError(f"--each {self.each}: it holds no jobs")

    def _rows(self) -> Iterable[Item]:
        if self.each is None:
            return [Item({})]
        return read_each(self.target, self.each) if isinstance(self.each, str) else self.each

    def _item(self, row: Item, point: dict[str, Any]) -> Item:
        for names in (
            self.base.keys() & row.values.keys(),
            self.base.keys() & point.keys(),
            row.values.keys() & point.keys(),
        ):
            if names:
                where = f"{row.where}: " if row.where else ""
                raise UsageError(f"{where}parameter {min(names)!r} is given twice")
        return Item({**self.base, **row.values, **point}, row.where)


def items(target: Target, parameters: Sequence[str], each: str | None, grid: Sequence[str]) -> Items:
    """The parameters of all jobs.

    Raises:
        UsageError, ParametersError: something on the command line cannot be read or is invalid.
    """
    return Items(target, read_values(target, pairs(parameters)), each, grid_axes(target, grid))


def read_values(target: Target, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Values as the workflow's parameters want them, and jobs whose results are wanted."""
    plain, jobs = references.split(texts)
    return target.parse(plain) | jobs


# --- --each ----------------------------------------------------------------------------------------


def read_each(target: Target, each: str) -> Iterator[Item]:
    """One item for each row of a file or stdin, or for each file that a pattern names.

    Raises:
        UsageError, ParametersError: as `Items`.
    """
    name, equals, pattern = each.partition("=")
    if equals and name.isidentifier():
        return _files(target, name, pattern)
    if each == "-":
        return _stdin()
    suffix = Path(each).suffix.lower()
    if not glob.has_magic(each) and suffix in (".jsonl", ".ndjson", *_SEPARATORS):
        return _rows(target, each, _SEPARATORS.get(suffix))
    if not glob.has_magic(each) and suffix in (".txt", ".dat"):
        raise UsageError(
            f"--each {each}: if it is a table, rename it to .csv (commas) or .tsv (tabs); if the file itself "
            f"is the value of a parameter, write --each NAME={quote(each)}"
        )
    if len(target.required) != 1:
        names = ", ".join(target.required) or "none"
        raise UsageError(
            f"--each {each}: which parameter takes the files? Write --each NAME={quote(each)} "
            f"(required by {target.name}: {names})"
        )
    return _files(target, target.required[0], each)


def _files(target: Target, name: str, pattern: str) -> Iterator[Item]:
    paths = sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise UsageError(f"--each: no file matches {pattern!r}")
    # Absolute whatever the parameter's type: these are files, and a worker runs in another folder.
    return (_parsed(target, path, [(name, os.path.abspath(path))]) for path in paths)


# The separator between cells, by the file's suffix.
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def _rows(target: Target, path: str, separator: str | None) -> Iterator[Item]:
    """The rows of a file, read line by line since it may not fit into memory.

    Parameters:
        separator: between the cells of a table; None for JSON lines.
    """
    with _faults_of(path), open(path, encoding="utf-8-sig", newline="" if separator else None) as file:
        yield from _table(target, path, file, separator) if separator else _json_lines(path, file)


def _stdin() -> Iterator[Item]:
    with _faults_of("-"):
        yield from _json_lines("stdin", sys.stdin)


@contextmanager
def _faults_of(each: str) -> Iterator[None]:
    """Report in one line why a file cannot be read."""
    try:
        yield
    except UnicodeDecodeError:
        raise UsageError(f"--each {each}: it is not UTF-8 text") from None
    except UnicodeEncodeError:
        raise UsageError(f"--each {short(each)}: not a possible file name") from None
    except OSError as error:
        raise UsageError(f"--each {each}: {error.strerror}") from None


def _json_lines(where: str, lines: Iterable[str]) -> Iterator[Item]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{where} line {number}"
        try:
            values = strict(line.removeprefix("\ufeff") if number == 1 else line)
        except Misread as error:
            raise UsageError(f"{place}: {error}") from None
        except ValueError as error:
            raise UsageError(f"{place}: not JSON: {error}") from None
        if not isinstance(values, dict):
            raise UsageError(f"{place}: not a JSON object with parameters")
        yield Item({name: _value(place, value) for name, value in values.items()}, place)


def _value(where: str, value: Any) -> Any:
    try:
        return references.filled(value)
    except JobNotFoundError as error:
        raise JobNotFoundError(f"{where}: {error}") from None


def _table(target: Target, where: str, lines: Iterable[str], separator: str) -> Iterator[Item]:
    """A table with parameter names as its header; an empty cell means the parameter's default."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    header: list[str] | None = None
    for row in _cells(where, reader):
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = _header(where, row, separator)
            continue
        place = f"{where} line {reader.line_num}"
        row = _without_empty_end(row, len(header))
        if len(row) != len(header):
            raise UsageError(f"{place}: {len(row)} cells, but the header has {len(header)}")
        texts = [(name, cell) for name, cell in zip(header, row, strict=True) if cell.strip()]
        yield _parsed(target, place, texts)


def _cells(where: str, reader: Any) -> Iterator[list[str]]:
    """The rows of a table, as long as its quoting is valid."""
    while True:
        began = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            said = str(error).replace("\t", r"\t")
            raise UsageError(
                f"{where} line {began}: not a valid table ({said}); write a cell that holds quotes "
                'as "a ""quoted"" word"'
            ) from None
        if row is None:
            return
        if any("\0" in cell for cell in row):
            raise UsageError(f"{where} line {reader.line_num}: holds a NUL character; is this a text file?")
        yield row


def _header(where: str, row: list[str], separator: str) -> list[str]:
    names = _without_empty_end([cell.strip() for cell in row], 0)
    if len(set(names)) < len(names):
        raise UsageError(f"{where}: two columns have the same name")
    other = next((char for char in ";\t,|" if char != separator and char in names[0]), None)
    if len(names) == 1 and other:
        raise UsageError(
            f"{where}: its columns seem to be separated by {other!r}, but {separator!r} is expected: "
            "save it with commas as .csv or with tabs as .tsv"
        )
    return names


def _without_empty_end(cells: list[str], at_least: int) -> list[str]:
    """The row without the empty cells that spreadsheets append."""
    end = len(cells)
    while end > at_least and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def _parsed(target: Target, where: str, texts: list[tuple[str, str]]) -> Item:
    try:
        return Item(read_values(target, texts), where)
    except (ParametersError, JobNotFoundError) as error:
        raise type(error)(f"{where}: {error}") from None


# --- --grid ----------------------------------------------------------------------------------------


def grid_axes(target: Target, grid: Sequence[str]) -> list[list[tuple[str, Any]]]:
    """For each ``--grid``, its name paired with each of its values; the grid is their product.

    Raises:
        UsageError, ParametersError: as `items`.
    """
    axes = []
    for name, text in pairs(grid):
        values = [read_values(target, [(name, value)])[name] for value in grid_values(text)]
        if not values:
            raise UsageError(f"--grid {name}: {short(text)} holds no values")
        axes.append([(name, value) for value in values])
    if math.prod(map(len, axes)) > MOST_JOBS:
        raise UsageError(f"--grid: this is more than {MOST_JOBS:,} jobs: submit them in parts")
    return axes


def grid_values(text: str) -> list[str]:
    """The values of ``1,2,3`` or ``0.9:1.1:0.05`` (both ends included) as texts.

    Commas within brackets or quotes do not separate values.

    Raises:
        UsageError: a range never ends, or holds too many values.
    """
    found: list[str] = []
    for part in _split(text):
        ends = part.split(":", 3)
        found += _range(part, ends) if len(ends) == 3 and all(map(_NUMBER.fullmatch, ends)) else [part]
        if len(found) > MOST_JOBS:
            raise UsageError(f"--grid: {short(text)} is more than {MOST_JOBS:,} values")
    return found


def _range(text: str, ends: list[str]) -> list[str]:
    # Decimal: 0.9 + 0.05 + 0.05 is 1.0, not 1.0000000000000002.
    start, stop, step = (_decimal(text, end) for end in ends)
    length = _EXACT.subtract(stop, start)
    if step == 0 or length * step < 0:
        raise UsageError(f"--grid: {short(text)} never reaches its end: write START:STOP:STEP")
    count = _EXACT.divide_int(length, step) + 1
    if count > MOST_JOBS:
        raise UsageError(f"--grid: {short(text)} is more than {MOST_JOBS:,} values")
    return [f"{_EXACT.fma(Decimal(i), step, start):f}" for i in range(int(count))]


def _decimal(text: str, end: str) -> Decimal:
    if len(end) > _LONGEST_NUMBER:
        raise UsageError(f"--grid: {short(text)}: numbers may have at most {_LONGEST_NUMBER} characters")
    mantissa = end.lower().partition("e")[0]
    if math.isinf(float(end)) or (float(end) == 0 and mantissa.strip("+-0.")):
        raise UsageError(f"--grid: {short(text)}: {end} is too large or too small for double precision")
    return Decimal(mantissa) if float(end) == 0 else Decimal(end)


def _split(text: str) -> list[str]:
    parts, began, depth, quoted = [], 0, 0, False
    for at, char in enumerate(text):
        quoted ^= char == '"'
        if not quoted:
            depth += (char in "[{") - (char in "]}")
        if char == "," and depth == 0 and not quoted:
            parts.append(text[began:at])
            began = at + 1
    parts.append(text[began:])
    return [part.strip() for part in parts if part.strip()]
