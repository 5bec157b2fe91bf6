"""Everything about one job, as plain data: what ``show`` and ``explain`` tell, and the end of its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simcelery.board import reads
from simcelery.board.reads import artifacts, expected, graph, logs, workdirs
from simcelery.board.states import UNSUCCESSFUL, State
from simcelery.describe import again, revision, saved, story
from simcelery.describe import graph as drawing
from simcelery.describe.attempt import error_of, folder_of, late, origins
from simcelery.describe.explanation import Explanation, explanation
from simcelery.describe.facts import facts_of
from simcelery.describe.needs import in_words
from simcelery.describe.plain import plain
from simcelery.describe.words import duration, size, span
from simcelery.errors import JobNotFoundError
from simcelery.monitor import timeline
from simcelery.readable import json_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.reads.artifacts import Artifact
    from simcelery.board.reads.jobs import JobRow
    from simcelery.describe.graph import Branch
    from simcelery.monitor.timeline import Among, Timeline

_CHUNKS = 16  # of the log: 64 KiB
_LINES = 200
_MOST = 100  # neighbours that are named
_LONGEST = 20_000  # characters of a value


@dataclass(frozen=True)
class Log:
    """The end of what an attempt has printed. `cut`: there is more before it."""

    attempt: int
    text: str
    cut: bool


@dataclass(frozen=True, eq=False)
class Details:
    """A job.

    Attributes:
        facts: names and texts, those that say something.
        values: its parameters, and its result if it has one, as JSON, by what they are.
        attempts: cells of a table; notes: more about some of them, in lines.
        traceback: where the last attempt failed.
        among: where its time lies among those of jobs like it.
        family: the jobs that it depends on, and those that depend on it, as a tree.
        again: commands.
    """

    job: JobRow
    explained: Explanation
    facts: list[tuple[str, str]]
    parents: list[int]
    children: list[int]
    values: dict[str, str]
    attempts: list[tuple[object, ...]]
    notes: list[str]
    traceback: str
    corrections: list[dict[str, Any]]
    steps: list[tuple[object, ...]]
    artifacts: list[Artifact]
    log: Log | None
    times: Timeline
    among: Among | None
    family: list[Branch]
    again: list[str]

    @property
    def can(self) -> str:
        """What may be done: ``retry``, ``cancel``, ``hold``, ``release`` (and cancelled), or ``nothing``."""
        if self.job.state in UNSUCCESSFUL:
            return "retry"
        if self.job.state.is_terminal:
            return "nothing"
        if self.job.held:
            return "release"
        return "cancel" if self.job.state is State.RUNNING else "hold"


def read(connection: Connection, number: int) -> Details:
    """What the board says of a job.

    Raises:
        JobNotFoundError: it is not there.
    """
    row = reads.job(connection, number)
    if row is None:
        raise JobNotFoundError(f"there is no job {number}")
    told = explanation(story.of(connection, number))
    parents, children = reads.parents_of(connection, number), reads.dependents_of(connection, number)
    became = workdirs.became(connection, number)
    ended = [{**one, "workdir_now": workdirs.now(one, became)} for one in reads.attempts(connection, number)]
    facts = [*facts_of(row, parents, children), ("asks for", in_words(reads.needs(connection, number)))]
    checkpoint = reads.checkpoint(connection, number)
    facts.append(("checkpoint", saved.checkpoint_line(checkpoint) if checkpoint else ""))
    return Details(
        job=row,
        explained=told,
        facts=[(name, str(value)) for name, value in facts if value not in (None, "")],
        parents=parents.ids[:_MOST],
        children=children[:_MOST],
        values=_values(row),
        attempts=[_cells(one) for one in ended],
        notes=[*_revised(connection, number), *origins(ended), *_notes(ended)],
        traceback=(ended[-1]["traceback"] or "") if ended else "",
        corrections=reads.corrections(connection, number),
        steps=saved.step_rows(reads.steps(connection, number)),
        artifacts=artifacts.artifacts_of(connection, [number]).get(number, []),
        log=_log(connection, number),
        times=timeline.of(row, ended, reads.interventions(connection, number)),
        among=timeline.among(row, expected.learned(connection, number)),
        again=again.commands(row),
        # The last question: it tells Postgres how to plan what follows.
        family=_family(connection, number) if parents.ids or children else [],
    )


def _family(connection: Connection, number: int) -> list[Branch]:
    return list(drawing.branches(graph.graph(connection, [number], _MOST)))


def _values(row: JobRow) -> dict[str, str]:
    found = {"Parameters": {name: plain(value) for name, value in row.parameters.items()}}
    if row.state == "succeeded":
        found["Result"] = plain(row.result)
    return {name: _shortened(json_text(value, indent=2)) for name, value in found.items()}


def _shortened(text: str) -> str:
    more = len(text) - _LONGEST
    return text if more <= 0 else f"{text[:_LONGEST]}\n… {more:,} more characters: simcelery show -o json"


def _cells(one: dict[str, Any]) -> tuple[object, ...]:
    return (
        one["attempt"],
        one["outcome"],
        one["cause"] or "",
        one["host"] or "",
        span(one["started_at"], one["finished_at"]),
        duration(one["cpu_seconds"]),
        size(one["peak_memory"]),
        error_of(one),
    )


def _notes(ended: list[dict[str, Any]]) -> list[str]:
    found = [f"attempt {one['attempt']}, files: {folder_of(one)}" for one in ended if one["workdir"]]
    return found + [f"attempt {one['attempt']}, late: {late(one)}" for one in ended if one["late_outcome"]]


def _revised(connection: Connection, number: int) -> list[str]:
    return [revision.line(one) for one in reads.revisions(reads.stages(connection, number))]


def _log(connection: Connection, number: int) -> Log | None:
    found = logs.end_of(connection, number, _CHUNKS)
    if found is None:
        return None
    lines = found.text.rstrip("\n").split("\n")
    return Log(found.attempt, "\n".join(lines[-_LINES:]), len(lines) > _LINES)
