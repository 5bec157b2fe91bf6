"""The two formats of an archive: lines of JSON, or a table in Parquet."""

from __future__ import annotations

import gzip
import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any, Literal, Protocol, get_args

from simcelery.errors import UsageError

log = logging.getLogger(__name__)

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[str, ...] = get_args(Format)

# Of a table: numbers and times as such, what has a shape of its own as JSON, everything else as text.
_NUMBERS = ("id", "priority", "parent_id", "attempt", "failures", "losses", "max_attempts", "max_losses")
_TIMES = ("submitted_at", "started_at", "finished_at", "run_at")
_TEXTS = ("task_id", "workflow", "state", "queue", "error_type", "error_message", "submitted_by", "log")
_SHAPED = ("parameters", "result", "parents", "attempts", "revisions", "steps")


class Archive(Protocol):
    """An open archive."""

    def write(self, lines: Sequence[str]) -> None:
        """Add jobs, given as lines of JSON."""


def check(kind: Format) -> None:
    """Refuse a format that cannot be written here.

    Raises:
        UsageError: pyarrow is missing.
    """
    if kind == "parquet" and not find_spec("pyarrow"):
        raise UsageError("Parquet needs pyarrow: pip install 'simcelery[parquet]', or use --format jsonl")


def suffix(kind: Format) -> str:
    """The suffix of the file's name."""
    return "jsonl.gz" if kind == "jsonl" else "parquet"


@contextmanager
def opened(file: IO[bytes], kind: Format) -> Iterator[Archive]:
    """An archive in an open file; it is complete after the block, unless that raises."""
    if kind == "jsonl":
        with gzip.open(file, "wb", compresslevel=6) as packed:
            yield _Lines(packed)
        return
    pyarrow = import_module("pyarrow")
    schema = _schema(pyarrow)
    with import_module("pyarrow.parquet").ParquetWriter(file, schema, compression="zstd") as writer:
        yield _Table(writer, schema, pyarrow)


class _Lines:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, lines: Sequence[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode())


class _Table:
    def __init__(self, writer: Any, schema: Any, pyarrow: Any) -> None:
        self._writer, self._schema, self._pyarrow = writer, schema, pyarrow

    def write(self, lines: Sequence[str]) -> None:
        rows = [_row(line) for line in lines]
        self._writer.write_table(self._pyarrow.Table.from_pylist(rows, self._schema))


def _row(line: str) -> dict[str, Any]:
    """A job as cells; one that cannot be parsed is kept whole, as text in the column ``others``."""
    try:
        return _cells(json.loads(line))
    except (ValueError, TypeError, RecursionError) as error:
        found = re.match(r'\{"id": (\d+)', line)  # the shortest name of all comes first
        log.warning("job %s is archived as text: %s", found and found[1], error)
        return {"id": int(found[1]) if found else None, "others": line}


def _cells(job: dict[str, Any]) -> dict[str, Any]:
    cells = {name: job[name] for name in (*_NUMBERS, *_TEXTS)}
    cells |= {name: job[name] and datetime.fromisoformat(job[name]) for name in _TIMES}
    cells |= {name: None if job[name] is None else json.dumps(job[name]) for name in _SHAPED}
    others = {name: value for name, value in job.items() if name not in cells and name != "tags"}
    return cells | {"tags": job["tags"], "others": json.dumps(others)}


def _schema(pyarrow: Any) -> Any:
    moment = pyarrow.timestamp("us", tz="UTC")
    return pyarrow.schema(
        [
            *((name, pyarrow.int64()) for name in _NUMBERS),
            *((name, moment) for name in _TIMES),
            *((name, pyarrow.string()) for name in (*_TEXTS, *_SHAPED, "others")),
            ("tags", pyarrow.list_(pyarrow.string())),
        ]
    )
