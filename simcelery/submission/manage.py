"""Many jobs at once: the query that `simcelery.jobs` returns."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from simcelery.board import engine, reads
from simcelery.board.reads.jobs import Filter, JobRow
from simcelery.board.reads.pages import Page, walk
from simcelery.board.states import TERMINAL, State
from simcelery.conditions import reading
from simcelery.conditions.values import Condition, Name
from simcelery.crates import making
from simcelery.crates.making import Made
from simcelery.describe import sweep
from simcelery.describe.sweep import SweepExplanation
from simcelery.describe.words import compact
from simcelery.errors import EncodingError, JobNotFoundError, StateError, UsageError
from simcelery.quantities import LARGEST, parse_duration
from simcelery.readable import short
from simcelery.submission import artifacts, holding, notebook, releasing, revising
from simcelery.submission.actions import cancel, retry
from simcelery.submission.handle import Job, restore
from simcelery.submission.presence import check_there
from simcelery.tables import doubts, frames
from simcelery.tables.gathering import Gathered
from simcelery.tables.reading import of_fields, of_job
from simcelery.workflows.encoding import JobRef

log = logging.getLogger(__name__)
T = TypeVar("T")

_TASK_ID = Name(("task_id",), "task_id")
_AT_ONCE = 200  # jobs with all that they gave
_LOOKED_UP = 10_000  # ids
_COUNTED, _NAMED = 10_000, 5  # jobs that are counted, and ids that are named, where a query shows itself


class JobQuery:
    """The jobs that pass a filter: nothing is read before it is needed, and everything anew each time."""

    def __init__(self, which: Filter, where: str | None = None) -> None:
        self.which = which
        self._where = where

    def __repr__(self) -> str:
        found = notebook.look(lambda connection: reads.count(connection, self.which, _COUNTED + 1))
        return self._asked() if found is None else f"{self._asked()}: {_many(found)}"

    def _repr_html_(self) -> str:
        def ask(connection: Any) -> tuple[list[JobRow], int]:
            newest = reads.jobs(connection, self.which, limit=notebook.ROWS)
            return newest, reads.count(connection, self.which, _COUNTED + 1)

        rows, found = notebook.look(ask) or ([], None)
        note = notebook.SILENT if found is None else f"{_many(found)}, the newest first"
        return notebook.job_table(self._asked(), rows, note)

    def _asked(self) -> str:
        """The call of `jobs` that it stands for, ids shortened."""
        which = self.which
        state = which.states[0] if len(which.states) == 1 else which.states
        since = None if which.since is None else f"{which.since:g}s"
        given = {"state": state, "workflow": which.workflow, "tags": which.tags, "queue": which.queue}
        said = [] if which.ids is None else [f"ids={_short(which.ids)}"]
        given |= {"since": since, "where": self._where}
        said += [f"{name}={_short(value)}" for name, value in given.items() if value]
        return f"JobQuery({', '.join(said)})"

    def rows(self, limit: int | None = None) -> list[JobRow]:
        """All that the board says of them, oldest first."""
        self._check_ids()
        with engine.begin() as connection:
            return reads.jobs(connection, self.which, limit=limit, newest=False)

    def _page(self) -> Page:
        """What is read page by page: ids ascend."""
        ids = self.which.ids
        return Page.of(self.which if ids is None else replace(self.which, ids=sorted(set(ids))))

    def _rows(self) -> Iterator[JobRow]:
        """All that the board says of them, oldest first, a part at a time."""
        self._check_ids()
        for rows in walk(
            self._page(), reads.jobs, lambda row: row.id, newest=False, at_once=_AT_ONCE, begin=engine.begin
        ):
            yield from rows

    def _check_ids(self) -> None:
        """Whether the jobs that are named by their ids are there.

        Raises:
            JobNotFoundError: one is not on the board.
        """
        ids = sorted(set(self.which.ids or ()))
        with engine.begin() as connection:
            for start in range(0, len(ids), _LOOKED_UP):
                part = ids[start : start + _LOOKED_UP]
                known = reads.states(connection, part)
                if missing := [number for number in part if number not in known]:
                    raise JobNotFoundError(f"there is no job {missing[0]}")

    def _or_doubts(self, found: Iterable[T]) -> Iterator[T]:
        """What was found; if that is nothing, a warning names what may be misspelt in the condition."""
        empty = True
        for each in found:
            empty = False
            yield each
        if empty and self.which.where is not None and (text := doubts.said(self.which)):
            warnings.warn(f"where: {text}", stacklevel=3)

    def __iter__(self) -> Iterator[Job]:
        """Handles, oldest first; the jobs are read as they are asked for."""
        self._check_ids()
        for row in self._or_doubts(of_fields(self._page(), [_TASK_ID])):
            yield Job(row.id, UUID(row.cells["task_id"]), row.workflow)

    def __len__(self) -> int:
        return sum(self.counts().values())

    def count(self) -> int:
        """How many there are."""
        return len(self)

    def counts(self) -> dict[State, int]:
        """How many are in each state."""
        self._check_ids()
        with engine.begin() as connection:
            found = reads.counts(connection, self.which)
        list(self._or_doubts(found))
        return found

    def explain(self) -> SweepExplanation:
        """Why they are not running, or what became of them: each reason with the number of jobs.

        Printed, it is what ``simcelery explain`` prints; its `reasons` have codes for programs.
        """
        which = self.which
        same = sweep.in_words(
            ids=compact(which.ids or (), len(which.ids or ())),
            workflow=which.workflow,
            tags=which.tags,
            queue=which.queue,
            since=f"{which.since:g}" if which.since else None,
            where=self._where,
        )
        return sweep.explanation(sweep.read(which), same)

    def results(self, *, skip: bool = False) -> list[Any]:
        """The results of all of them, oldest first, with the types their workflows declare.

        Parameters:
            skip: leave out jobs that did not succeed (yet), and results that cannot be read, with a warning.
                The list then no longer pairs with the jobs.

        Raises:
            JobFailedError, JobCancelledError, UpstreamFailedError: of the first that did not succeed.
            StateError: one has not ended.
            EncodingError: one cannot be read, since others than workers wrote it.
        """
        found, unreadable = [], []
        for row in self._or_doubts(self._rows()):
            if row.state is not State.SUCCEEDED:
                if not skip:
                    raise _no_result(row)
                continue
            try:
                found.append(restore(row.workflow, row.result))
            except EncodingError as error:
                unreadable.append(f"job {row.id}: {error}")
                if not skip:
                    raise EncodingError(f"{unreadable[0]}; results(skip=True) leaves it out") from None
        if unreadable:
            more = f"; and {len(unreadable) - 1:,} more" if unreadable[1:] else ""
            log.warning("results that cannot be read are left out: %s%s", unreadable[0], more)
        return found

    def cancel(self) -> int:
        """Cancel them; how many were cancelled or asked to stop."""
        with engine.begin() as connection:
            ids = reads.ids(connection, self.which)
        at_once, requested = cancel(ids)
        return len(at_once) + len(requested)

    def retry(
        self,
        *,
        with_parents: bool = False,
        set: Mapping[str, Any] | None = None,
        from_scratch: bool = False,
    ) -> int:
        """Send back those that did not succeed; how many went back, descendants included.

        Parameters:
            set: new values for some of the parameters of all of them; see `Job.retry`. If they do not fit one
                of the jobs, none goes back.
            from_scratch: forget their steps and checkpoints.
        """
        with engine.begin() as connection:
            ids = reads.ids(connection, self.which)
        revisions = revising.plan(ids, set) if set else None
        return len(retry(ids, with_parents=with_parents, revisions=revisions, from_scratch=from_scratch))

    def hold(self) -> list[int]:
        """Hold those that wait: none begins until it is released; their ids. What runs goes on."""
        return holding.hold(self.which)

    def release(self) -> list[int]:
        """Release those that are held, by canaries, a fuse or hand; their ids. See `release`."""
        return releasing.release(self.which)

    def to_pandas(self, fields: str | Sequence[str] | None = None) -> Any:
        """A `pandas.DataFrame`, one row per job, oldest first.

        Parameters:
            fields: the columns, such as ``"id,fmax,energy,stress.0"`` or a list of such names. None: all that
                the board says of a job, and its parameters and results as columns of their own.

        Raises:
            UsageError: pandas is not installed, or `fields` are no names.
        """
        frames.check()
        with Gathered() as found:
            if fields is None:
                found.add(of_job(row) for row in self._or_doubts(self._rows()))
                return frames.frame(found.as_they_are(), found.rows())
            names = _names(fields)
            self._check_ids()
            found.add(self._or_doubts(of_fields(self._page(), names)))
            columns = found.of_fields(names)
            if found.count and (empty := doubts.empty(names, columns)):
                warnings.warn(f"fields: none of these jobs has a value for {', '.join(empty)}", stacklevel=2)
            return frames.frame(columns, found.rows())

    def to_crate(self, folder: str | Path, *, title: str | None = None, license: str | None = None) -> Made:
        """Write them with all that is known of them into a new folder, as ``simcelery export --crate`` does.

        Parameters:
            title: what it is called; otherwise after workflows and tags.
            license: under which others may use it: the URL of a licence, or its name.

        Returns:
            How many jobs, attempts, logs and files are in it, and its size in bytes.

        Raises:
            UsageError: the folder is not empty or cannot be written, a package is missing, or there are none.
        """
        return making.make(Path(folder), self._page(), title=title, license=license, get=artifacts.get)


def _no_result(row: JobRow) -> Exception:
    if row.state in TERMINAL:
        return Job(row.id, row.task_id, row.workflow).failure(row)
    return StateError(f"job {row.id} is {row.state}; wait for it, or leave it out with results(skip=True)")


def _names(given: str | Sequence[str]) -> tuple[Name, ...]:
    texts = given if isinstance(given, str) else ",".join(_texts("fields", given))
    try:
        return reading.fields(texts)
    except ValueError as error:
        raise UsageError(f"fields: {error}") from None


def _short(value: str | Sequence[Any]) -> str:
    if isinstance(value, str):
        return notebook.brief(repr(str(value)))
    first = ", ".join(notebook.brief(repr(each)) for each in value[:_NAMED])
    return f"[{first}{f', … {len(value):,} in all' if len(value) > _NAMED else ''}]"


def _many(found: int) -> str:
    if found > _COUNTED:
        return f"more than {_COUNTED:,} jobs"
    return f"{found:,} job{'' if found == 1 else 's'}"


def jobs(
    *,
    ids: Sequence[int] | None = None,
    state: str | Sequence[str] = (),
    workflow: str | None = None,
    tags: Sequence[str] = (),
    queue: str | None = None,
    since: float | str | None = None,
    where: str | None = None,
) -> JobQuery:
    """The jobs for which all of this holds.

    Parameters:
        ids: only these jobs; who reads the query gets a `JobNotFoundError` if one is not on the board.
        state: one or several of the eight states.
        tags: all of them.
        since: submitted in the last so many seconds, or ``"2d"``.
        where: a condition on columns, parameters and results, such as ``"energy < -3 and fmax <= 0.05"``.

    Raises:
        UsageError: a state that does not exist, a malformed duration or condition, or a value of the wrong
            type.
    """
    states = (state,) if isinstance(state, str) else _texts("state", state)
    for name in states:
        if name not in list(State):
            raise UsageError(f"there is no state {short(name)}; the states are: {', '.join(State)}")
    if isinstance(tags, str):
        raise UsageError(f"tags must be a list of words: write tags=[{short(tags)}]")
    for what, text in (("workflow", workflow), ("queue", queue)):
        if not isinstance(text, str | None):
            raise UsageError(f"{what} must be a name, not {short(text)}")
    try:
        seconds = None if since is None else parse_duration(since)
    except ValueError as error:
        raise UsageError(f"since: {error}") from None
    which = Filter(_ids(ids), states, workflow, _texts("tags", tags), queue, seconds, _condition(where))
    if where is not None:
        which.conditions()  # what is wrong with it is said at once
    return JobQuery(which, where)


def _condition(text: str | None) -> Condition | None:
    if not isinstance(text, str | None):
        raise UsageError(f"where must be a condition such as 'energy < -3', not {short(text)}")
    try:
        return None if text is None else reading.condition(text)
    except ValueError as error:
        raise UsageError(f"where: {error}") from None


def release(
    what: str | JobRef | int | Iterable[JobRef | int] | None = None,
    /,
    *,
    dry_run: bool = False,
    **filters: Any,
) -> list[int]:
    """Release jobs that are held, by canaries that did not succeed, by a fuse or by hand; their ids.

    ::

        simcelery.release("oxides")

    A sweep all of whose held jobs are named is opened, and its fuse counts anew. Where only some are named,
    these run, and the others stay held.

    Parameters:
        what: a tag, or jobs (handles or ids).
        dry_run: only say which they are.
        filters: as for `jobs`; with these, `what` may be left out.

    Raises:
        UsageError: nothing says which jobs are meant, or something is malformed.
        JobNotFoundError: a handle's job is no longer on the board.
    """
    if isinstance(what, str):
        filters["tags"] = [what, *filters.get("tags", ())]
    elif what is not None:
        some = [what] if isinstance(what, JobRef | int) else list(what)
        if handles := [job for job in some if isinstance(job, Job)]:
            with engine.begin() as connection:
                check_there(connection, handles)
        filters["ids"] = [job.id if isinstance(job, JobRef) else job for job in some]
    if not filters:
        raise UsageError("which jobs to release? Give a tag, jobs, or a filter such as workflow")
    which = jobs(**filters).which
    return releasing.held(which) if dry_run else releasing.release(which)


def _ids(given: Iterable[int] | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    try:
        found = tuple(map(index, given))
    except TypeError:
        raise UsageError(f"ids must be a list of job ids, such as [42], not {short(given)}") from None
    for number in found:
        if not 0 < number <= LARGEST:
            raise UsageError(f"{short(number)} is not a job id")
    return found


def _texts(name: str, given: Iterable[str]) -> tuple[str, ...]:
    found = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(one, str) for one in found):
        raise UsageError(f"{name} must be a list of words, not {short(given)}")
    return found
