"""Gather rows in a file until all columns are known, and what each of them holds.

Any job may bring a new column, or a value of another kind. So nothing is decided by the first rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self

from simcelery.board.reads.fields import COLUMNS
from simcelery.conditions.values import Name
from simcelery.tables import declared
from simcelery.tables.declared import UNKNOWN, Declared
from simcelery.tables.kinds import (
    BOOLEAN,
    HUGE,
    INT64,
    MIXED,
    NOTHING,
    NUMBER,
    TEXT,
    TIME,
    Kind,
    key,
    kind_of,
    settled,
    united,
)
from simcelery.tables.reading import Row

_OF_COLUMNS = {"boolean": BOOLEAN, "integer": INT64, "seconds": NUMBER, "text": TEXT, "time": TIME}
_HEADS = ("parameters.arguments.", "parameters.", "result.")
_FIRST = ("id", "workflow", "state", "error")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of the cells it is made of.
        title: what it is called.
    """

    name: str
    title: str
    kind: Kind


@dataclass
class _Seen:
    """What the rows so far have said of a column."""

    kind: Kind = NOTHING
    count: int = 0
    first: str | None = None
    differs: bool = False

    def see(self, value: Any) -> None:
        self.kind = united(self.kind, kind_of(value))
        self.count += 1
        if not self.differs:
            text = key(value)
            self.differs = self.first is not None and text != self.first
            self.first = text


@dataclass
class Gathered:
    """Rows in a temporary file, and their columns. A context manager, which removes the file."""

    count: int = 0
    _file: IO[str] = field(default_factory=lambda: TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _workflows: dict[str, None] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, and note what is in them."""
        for row in rows:
            self.count += 1
            self._workflows[row.workflow] = None
            for name, value in row.cells.items():
                if name not in self._seen:
                    self._seen[name] = _Seen()
                self._seen[name].see(value)
            self._file.write(json.dumps(row.cells) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The cells of each row, in the order in which they were added."""
        self._file.seek(0)
        return map(json.loads, self._file)

    def of_fields(self, names: Sequence[Name]) -> list[Column]:
        """The columns of a table of these fields."""
        told = self._declared()
        return [Column(name.text, name.text, self._kind(name.text, name.parts, told)) for name in names]

    def as_they_are(self) -> list[Column]:
        """All columns under the names of their cells, in the order in which they came."""
        told = self._declared()
        return [Column(name, name, self._kind(name, _parts(name), told)) for name in self._seen]

    def everything(self, first: Sequence[str] = _FIRST) -> list[Column]:
        """All columns by their full names, parameters before results, each in the order of the signature.

        Parameters:
            first: those that come before, as far as they are there.
        """
        told = self._declared()
        names = [name for name in first if name in self._seen] or ["id"]
        for head, declared_names in (("parameters", "parameters"), ("result", "results")):
            order = [f"{head}.{name}" for one in told for name in getattr(one, declared_names)]
            here = [name for name in self._seen if name == head or name.startswith(f"{head}.")]
            names += dict.fromkeys([*(name for name in order if name in self._seen), *here])
        return [Column(name, name, self._kind(name, _parts(name), told)) for name in names]

    def telling(self) -> tuple[list[Column], list[Column]]:
        """The columns that tell the jobs apart: parameters that vary, and the scalars of the result.

        Returns:
            Those, with short titles where these are unique, and all others that vary.
        """
        whole = self.everything()
        varying = [column for column in whole if column.name == "id" or self._varies(column)]
        chosen = [column for column in varying if not _is_result(column.name) or column.kind.is_scalar]
        short = [_short(column.name) for column in chosen]
        titles = [
            column.name if short.count(brief) > 1 else brief
            for column, brief in zip(chosen, short, strict=True)
        ]
        named = [Column(one.name, title, one.kind) for one, title in zip(chosen, titles, strict=True)]
        return named, [column for column in varying if column not in chosen]

    def _varies(self, column: Column) -> bool:
        if _is_result(column.name) or column.name in ("state", "error"):
            return True
        seen = self._seen[column.name]
        few = self.count == 1 and column.name != "workflow"
        return few or seen.differs or seen.count < self.count

    def _declared(self) -> list[Declared]:
        known = declared.by_workflow()
        return [known.get(name, UNKNOWN) for name in self._workflows]

    def _kind(self, name: str, parts: Sequence[str], told: Sequence[Declared]) -> Kind:
        column = COLUMNS.get(parts[0])
        if column and column.kind != "value":
            return _OF_COLUMNS[column.kind]
        seen = self._seen[name].kind if name in self._seen else NOTHING
        ours = NOTHING
        for one in told:
            ours = united(ours, one.kind(parts))
        return seen if ours in (MIXED, HUGE) else settled(ours, seen)


def _short(name: str) -> str:
    """``x`` of ``parameters.x``, of ``result.x``, and of ``parameters.arguments.x``, which is of a call."""
    head = next((head for head in _HEADS if name.startswith(head)), "")
    return name.removeprefix(head)


def _is_result(name: str) -> bool:
    return name == "result" or name.startswith("result.")


def _parts(name: str) -> tuple[str, ...]:
    head, _, rest = name.partition(".")
    return (head, rest) if rest else (head,)
