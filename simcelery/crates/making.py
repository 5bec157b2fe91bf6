"""Write a crate: one pass over the board, tables and metadata from what it found, and the checksums."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

from simcelery.board import engine, reads
from simcelery.board.reads import pages
from simcelery.board.reads.artifacts import Artifact
from simcelery.board.reads.jobs import Filter
from simcelery.board.reads.records import Record, records
from simcelery.board.unreadable import bad_rows
from simcelery.crates import cells, files, words
from simcelery.crates.files import MANIFEST, File
from simcelery.crates.graph import METADATA, Graph
from simcelery.crates.hiding import Hiding
from simcelery.errors import UsageError
from simcelery.execution import durable
from simcelery.failpoints import failpoint
from simcelery.quantities import LARGEST
from simcelery.storing import names as store_names
from simcelery.tables import files as table_files
from simcelery.tables.gathering import Gathered
from simcelery.tables.reading import Row

T = TypeVar("T")
_AT_ONCE = 50  # jobs that are read together: each may hold logs and a result of a megabyte
_PARQUET = {"encodingFormat": "application/vnd.apache.parquet"}
_NO_LICENSE = "none was given: ask the submitters before you use it"


class Get(Protocol):
    """Brings a file that a job has left to a path, whole, or raises an error of ours."""

    def __call__(self, one: Artifact, target: Path, /) -> None: ...


class Counted(Protocol):
    """Passes things on, and counts them."""

    def __call__(self, things: Iterable[T], /) -> Iterable[T]: ...


class Counting(Protocol):
    """Shows how far something is, of so many if that is known."""

    def __call__(self, what: str, total: int | None = None, /) -> AbstractContextManager[Counted]: ...


def _silently(what: str, total: int | None = None, /) -> AbstractContextManager[Counted]:
    return nullcontext(lambda things: things)


@dataclass(frozen=True)
class Made:
    """What is in a crate.

    Attributes:
        attempts: that have ended.
        logs: files with what attempts printed.
        files: all of them.
        size: of all of them, in bytes.
    """

    jobs: int
    attempts: int
    logs: int
    files: int
    size: int


def check(folder: Path) -> None:
    """Refuse what cannot be written, before anything is read.

    Raises:
        UsageError: a package is missing, or there is something in the folder.
    """
    if missing := [name for name in ("rocrate", "pyarrow") if not find_spec(name)]:
        raise UsageError(f"a crate needs {' and '.join(missing)}: pip install 'simcelery[crate]'")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} exists already, and is no empty folder: give another name")


def make(
    folder: Path,
    which: Filter,
    *,
    limit: int | None = None,
    title: str | None = None,
    license: str | None = None,
    counting: Counting = _silently,
    get: Get | None = None,
) -> Made:
    """Write the jobs that pass a filter into a new folder, which appears when it is complete.

    Parameters:
        title: what it is called; otherwise after workflows and tags.
        license: under which it may be used: the URL of a license, or its name.
        get: brings a file that a job has left to a path; None: such files are left out.

    Raises:
        UsageError: the folder cannot be written, a package is missing, or no job passes the filter.
        BoardUnreachableError: nothing is left behind.
    """
    try:
        check(folder)
        with (
            durable.complete_folder(Path(os.path.abspath(folder))) as partial,
            _Making(partial, get) as making,
        ):
            with counting("jobs read", _count(which, limit)) as counted:
                for record in counted(_read(which, limit)):
                    making.add(record)
            if not making.jobs:
                raise UsageError("no job matches, so there is nothing to export")
            made = making.finish(title, which.tags, license or _NO_LICENSE, counting)
            failpoint("before_crate")
            return made
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from error


def _count(which: Filter, limit: int | None) -> int:
    with engine.begin() as connection:
        return reads.count(connection, which, limit or LARGEST)


def _read(which: Filter, limit: int | None) -> Iterator[Record]:
    page = which if isinstance(which, pages.Page) else pages.Page.of(which)
    for some in pages.walk(
        page,
        records,
        lambda one: one.job.id,
        limit=limit,
        newest=False,
        at_once=_AT_ONCE,
        begin=engine.as_of_now,
    ):
        yield from some


@dataclass
class _Making:
    """A crate in its folder, which has not its name yet."""

    folder: Path
    get: Get | None = None
    jobs: int = 0
    _attempts: Gathered = field(default_factory=Gathered)
    _tables: dict[str, Gathered] = field(default_factory=dict)
    _graph: Graph = field(default_factory=Graph)
    _hiding: Hiding = field(default_factory=Hiding)
    _states: Counter[str] = field(default_factory=Counter)
    _logs: int = 0
    _left: int = 0
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> _Making:
        self._open.enter_context(self._attempts)
        return self

    def __exit__(self, *about: Any) -> None:
        self._open.close()

    def add(self, record: Record) -> None:
        """A job, its attempts, and what they printed."""
        record = self._hidden(record)
        job = record.job
        self.jobs += 1
        self._states[job.state] += 1
        paths = {one.attempt: files.log_of(job.id, one.attempt) for one in record.logs if one.text}
        logs = [
            files.written(self.folder, paths[one.attempt], one.text)
            for one in record.logs
            if one.attempt in paths
        ]
        self._logs += len(logs)
        if job.workflow not in self._tables:
            self._tables[job.workflow] = self._open.enter_context(Gathered())
        self._tables[job.workflow].add([Row(job.id, job.workflow, cells.of_job(record))])
        # Of no workflow: what one declares of its parameters says nothing of these columns.
        self._attempts.add(Row(job.id, "", row) for row in cells.of_attempts(record, paths))
        self._graph.add(record, logs, self._brought(record))

    def _brought(self, record: Record) -> list[File]:
        """The files that it has left, which are part of the crate from now on."""
        if self.get is None:
            return []
        found = []
        for one in record.artifacts:
            try:
                path = files.artifact_of(record.job.id, store_names.checked(one.name))
            except ValueError as error:  # no attempt of ours has registered it
                bad_rows.name({f"an artifact of job {record.job.id}": f"it is left out: {error}"})
                continue
            self.get(one, self.folder / path)
            found.append(File(path, one.size, one.sha256))
        self._left += len(found)
        return found

    def _hidden(self, record: Record) -> Record:
        """The same without passwords, still as it is stored."""
        hide = self._hiding.value
        return replace(
            record,
            job=replace(record.job, **{name: hide(value) for name, value in vars(record.job).items()}),
            attempts=[{name: hide(value) for name, value in one.items()} for one in record.attempts],
            logs=[replace(one, text=hide(one.text)) for one in record.logs],
        )

    def finish(self, title: str | None, tags: Iterable[str], license: str, counting: Counting) -> Made:
        """Everything else."""
        told = words.Told(
            title=title or words.title(list(self._tables), list(tags)),
            license=license,
            at=dt.datetime.now(dt.UTC),
            jobs=self.jobs,
            attempts=self._attempts.count,
            logs=self._logs,
            artifacts=self._left,
            states=self._states,
            tables={workflow: files.table_of(workflow) for workflow in self._tables},
            submitters=list(self._graph.agents),
            one_by_one=self._graph.is_one_by_one,
        )
        parts = self._tabulated(told, counting)
        parts[files.written(self.folder, "README.md", words.readme(told))] = {
            "name": "README",
            "encodingFormat": "text/markdown",
        }
        root = {
            "name": told.title,
            "description": words.description(told),
            "datePublished": told.at.isoformat(timespec="seconds"),
            "license": {"@id": license} if "://" in license else license,
        }
        self._graph.write(self.folder, root, parts)
        return self._summed_up(told, counting)

    def _tabulated(self, told: words.Told, counting: Counting) -> dict[File, dict[str, Any]]:
        """The tables, and what is to be said of them."""
        found: dict[File, dict[str, Any]] = {}
        for workflow, path in told.tables.items():
            table = self._tables[workflow]
            about = {"name": f"jobs of {workflow}", "description": "A row for each job.", **_PARQUET}
            found[self._write(path, table, table.everything(cells.OF_A_JOB), counting)] = about
        about = {"name": "attempts", "description": "A row for each attempt that has ended.", **_PARQUET}
        path = "attempts.parquet"
        found[self._write(path, self._attempts, self._attempts.as_they_are(), counting)] = about
        return found

    def _write(self, path: str, table: Gathered, columns: Any, counting: Counting) -> File:
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        with target.open("xb") as file, counting(f"rows of {path} written", table.count) as counted:
            table_files.write(file, target.suffix, columns, counted(table.rows()))
        return files.looked_at(self.folder, path)

    def _summed_up(self, told: words.Told, counting: Counting) -> Made:
        """The checksums of all files."""
        number = size = 0
        total = (
            told.logs + told.artifacts + len(told.tables) + len((METADATA, "README.md", "attempts.parquet"))
        )
        manifest = self.folder / MANIFEST
        with manifest.open("x", encoding="utf-8") as file, counting("files summed up", total) as counted:
            for found in counted(files.all_of(self.folder)):
                file.write(f"{found.sha256}  {found.path}\n")
                number, size = number + 1, size + found.size
        return Made(told.jobs, told.attempts, told.logs, number + 1, size + manifest.stat().st_size)
