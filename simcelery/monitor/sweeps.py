"""Jobs as points: a parameter that varies against a result, or another parameter, as plain data."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from simcelery.board.reads import table
from simcelery.board.reads.filters import Filter
from simcelery.board.states import State
from simcelery.board.unreadable import bad_rows
from simcelery.conditions import reading
from simcelery.conditions.values import Name
from simcelery.describe.job import text_of
from simcelery.describe.plain import jsonable, plain
from simcelery.errors import UsageError
from simcelery.monitor.wanted import Wanted
from simcelery.tables.gathering import Gathered
from simcelery.tables.reading import of_everything

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.tables.gathering import Column

MOST = 5000  # points
LISTED = 200  # in the table beside them
_RECENT, _SWEEPS = 2000, 20  # newest jobs, and kinds of them, that are offered where nothing was chosen
_SAMPLE = 50  # jobs, of those that succeeded and of the others, whose fields are looked at
_NAMES = 40  # on an axis of texts
_LOGARITHMIC = 100.0  # between the smallest and the largest of positive numbers
_HEADS = ("parameters.arguments.", "parameters.", "result.")
_STATE, _ELAPSED = Name(("state",), "state"), "elapsed"


@dataclass(frozen=True)
class Recent:
    """How many of the newest jobs have this workflow and these tags."""

    workflow: str
    tags: tuple[str, ...]
    number: int

    def query(self) -> str:
        """They as the end of an address; a tag with a comma would be read as two."""
        return Wanted(
            workflow=self.workflow, tag=",".join(tag for tag in self.tags if "," not in tag)
        ).query()


@dataclass(frozen=True)
class Chosen:
    """The jobs that were asked for, by id: their states. `cut`: there are more, and these are the newest."""

    states: dict[int, State]
    cut: bool = False

    def counts(self) -> list[tuple[State, int]]:
        """How many are in each state, in the order of states."""
        counted = Counter(self.states.values())
        return [(state, counted[state]) for state in State if counted[state]]

    def sample(self) -> list[int]:
        """Some of them, by chance, but the same ones each time: a regular choice may miss what varies."""
        chance = random.Random(0)
        found: list[int] = []
        for succeeded in (True, False):
            some = [id for id, state in self.states.items() if (state is State.SUCCEEDED) == succeeded]
            found += chance.sample(some, min(len(some), _SAMPLE))
        return found


@dataclass(frozen=True)
class Offered:
    """What the axes may be, each by its name as `reading.fields` reads it, with its title."""

    parameters: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)

    def axes(self, x: str, y: str) -> tuple[str, str]:
        """What was asked for, or what says most: a parameter, and a result."""
        x = x or next(iter(self.parameters), "id")
        others = [name for name in (*self.results, *self.parameters) if name != x]
        return x, y or next(iter(others), _ELAPSED)


@dataclass(frozen=True)
class Axis:
    """Values along an axis; None: there is none, or it is not finite.

    Attributes:
        names: of texts, what stands at 0, 1, …: the first 40, others have no value.
    """

    title: str
    values: list[float | None]
    names: list[str] | None = None

    @property
    def logarithmic(self) -> bool:
        """Whether small ones would not be told apart otherwise."""
        known = [value for value in self.values if value is not None]
        return self.names is None and bool(known) and 0 < min(known) * _LOGARITHMIC <= max(known)

    def told(self) -> dict[str, Any]:
        """What the script that draws it needs besides the values."""
        return {"title": self.title, "names": self.names, "log": self.logarithmic}


@dataclass(frozen=True)
class Points:
    """Jobs with their place; in the order of `x`.

    Attributes:
        rows: id, state, and both values.
        without: how many have no value on the first axis, and so no place.
    """

    x: Axis
    y: Axis
    rows: list[tuple[int, State, Any, Any]]
    without: int = 0

    def chart(self) -> dict[str, Any]:
        """They, for the script that draws them: a line of values for each state."""
        there = {row[1] for row in self.rows}
        states = [state for state in State if state in there]
        lines = [
            [y if row[1] is state else None for row, y in zip(self.rows, self.y.values, strict=True)]
            for state in states
        ]
        return {
            "kind": "sweep",
            "lines": [self.x.values, *lines],
            "states": states,
            "state": [states.index(row[1]) for row in self.rows],
            "ids": [row[0] for row in self.rows],
            "x": self.x.told(),
            "y": self.y.told(),
        }

    def listed(self) -> list[tuple[int, State, str, str]]:
        """Some of them, those that did not succeed first, with their values as text."""
        some = sorted(self.rows, key=lambda row: row[1] is State.SUCCEEDED)[:LISTED]
        return [(number, state, _text(x), _text(y)) for number, state, x, y in some]


def recent(connection: Connection) -> list[Recent]:
    """What there was lately, the newest first; no single jobs, of which there is nothing to draw."""
    names = [Name((name,), name) for name in ("workflow", "tags")]
    rows = table.fields(connection, Filter(), names, limit=_RECENT, newest=True)
    counted = Counter((workflow, tuple(sorted(bad_rows.words(tags)))) for _, workflow, tags in rows)
    return [Recent(workflow, tags, number) for (workflow, tags), number in counted.items() if number > 1][
        :_SWEEPS
    ]


def choose(connection: Connection, which: Filter) -> Chosen:
    """The newest of the jobs that pass a filter, no more than can be drawn."""
    rows = table.fields(connection, which, [_STATE], limit=MOST + 1, newest=True)
    known = {number: state for number, told in rows[:MOST] if (state := bad_rows.state(told))}
    return Chosen(known, len(rows) > MOST)


def offer(ids: Sequence[int]) -> Offered:
    """What varies in these jobs, and what they give: as the columns of ``simcelery results``."""
    with Gathered() as found:
        found.add(of_everything(Filter(ids=sorted(ids)), ("state",)))
        columns, _ = found.telling()
    drawable = [one for one in columns if one.kind.is_scalar]
    parameters = {_written(one): one.title for one in drawable if one.name.startswith("parameters.")}
    results = {
        _written(one): one.title
        for one in drawable
        if one.name.partition(".")[0] == "result" and one.kind.is_numeric
    }
    return Offered(parameters, {**results, _ELAPSED: "seconds it took"})


def _written(column: Column) -> str:
    """The name of a column as it is read again; a part of it may have any character but a backquote."""
    head = next((head for head in _HEADS if column.name.startswith(head)), "")
    rest = column.name.removeprefix(head)
    return head + (rest if re.fullmatch(r"\w+", rest) else f"`{rest}`")


def place(connection: Connection, chosen: Chosen, offered: Offered, x: str, y: str) -> Points:
    """Where the jobs are.

    Raises:
        UsageError: an axis is no name of a field.
    """
    names = [_name("x", x), _name("y", y)]
    read = table.fields(connection, Filter(ids=sorted(chosen.states)), names, limit=None, newest=True)
    found = [(number, jsonable(plain(one)), jsonable(plain(other))) for number, one, other in read]
    titles = offered.parameters | offered.results
    across = _axis(titles.get(x, x), [one for _, one, _ in found])
    along = _axis(titles.get(y, y), [other for _, _, other in found])
    order = sorted((value, at) for at, value in enumerate(across.values) if value is not None)
    rows = [
        (number, chosen.states[number], one, other) for number, one, other in (found[at] for _, at in order)
    ]
    return Points(
        replace(across, values=[value for value, _ in order]),
        replace(along, values=[along.values[at] for _, at in order]),
        rows,
        len(found) - len(rows),
    )


def _name(what: str, text: str) -> Name:
    try:
        name, *others = reading.fields(text)
    except ValueError as error:
        raise UsageError(f"{what}: {error}") from None
    if others:
        raise UsageError(f"{what} must be one field, not several")
    return name


def _axis(title: str, values: Sequence[Any]) -> Axis:
    if all(value is None or _is_number(value) for value in values):
        return Axis(title, [None if value is None else _finite(value) for value in values])
    texts = [None if value is None else _text(value) for value in values]
    names = sorted({text for text in texts if text is not None})[:_NAMES]
    places = {name: float(at) for at, name in enumerate(names)}
    return Axis(title, [None if text is None else places.get(text) for text in texts], names)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: float) -> float | None:
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number with hundreds of digits
        return None


def _text(value: Any) -> str:
    return "" if value is None else text_of(value, 60)
