"""What is wrong with the parameters of a call, in one line: which, which part of it, and why."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from simcelery.misfits import MISSING, UNEXPECTED, Details, is_none_of, misfit, wanted
from simcelery.readable import short
from simcelery.workflows.encoding import contains_job

_NOTHING = object()


def unknown_parameter(workflow: str, name: str, known: Collection[str]) -> str:
    """One line about a parameter that a workflow does not have."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{workflow}: there is no parameter {name!r}; {hint}it takes: {', '.join(known) or 'none'}"


def missing_parameters(workflow: str, names: Sequence[str]) -> str:
    """One line about parameters that are not given and have no default."""
    return f"{workflow}: missing parameter{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


@dataclasses.dataclass
class _Place:
    """Where in a value an error lies.

    Attributes:
        path: the keys, positions and names of fields that lead there.
        union: how long the path is where the types of a union part, or None.
        before: what pydantic's location says up to there.
        is_key: whether it is about a key of a dictionary, and not about the value there.
    """

    error: Details
    path: list[Any] = dataclasses.field(default_factory=list)
    union: int | None = None
    before: tuple[Any, ...] = ()
    is_key: bool = False

    @property
    def what(self) -> str | None:
        """What to call that which does not fit, where it is not the value there."""
        return f"the key {short(self.error['input'])}" if self.is_key else None


def one_misfit(name: str, value: Any, errors: Sequence[Details]) -> str:
    """One line about a parameter that does not fit: which part of it, what was given, and what is wrong.

    Parameters:
        value: what was given for it.
        errors: what pydantic found in it. Of those for the types of a union the one that lies deepest is
            meant, for most of the value fits there.
    """
    places = [_place(error, value) for error in errors]
    first = places[0]
    rivals = [first]
    if first.union is not None:
        rivals = [place for place in places if (place.union, place.before) == (first.union, first.before)]
    meant = max(rivals, key=lambda place: (len(place.path), place.error["type"] not in MISSING | UNEXPECTED))
    where = f"parameter {name!r}{''.join(map(_step, meant.path))}"
    if meant.error["type"] in MISSING:
        return f"{where} is missing"
    if meant.error["type"] in UNEXPECTED:
        return f"{where} is not a field of its class; leave it out"
    if len(meant.path) == meant.union:
        return f"{where}: {_fits_no_type(rivals)}"
    return f"{where}: {misfit(meant.error, meant.what)}"


def certain(value: Any, errors: Sequence[Details]) -> list[Details]:
    """Those that stay, whatever results the jobs in a value will have.

    Not one within a union: with these results another of its types may fit.
    """
    return [
        error
        for error in errors
        if (error["type"] in MISSING or not contains_job(error["input"]))
        and _place(error, value).union is None
    ]


def _fits_no_type(rivals: Sequence[_Place]) -> str:
    """Of no type of a union. Where it is of one and wrong in another way, that way is meant."""
    nouns: dict[str, None] = {}
    for place in rivals:
        of_type = wanted(place.error)
        if not of_type:
            return misfit(place.error, place.what)
        nouns |= dict.fromkeys(of_type)
    return f"{short(rivals[0].error['input'])} {is_none_of(list(nouns))}"


def _place(error: Details, value: Any) -> _Place:
    """Pydantic's location holds the names of validators and of a union's types too, which lead nowhere."""
    place = _Place(error, is_key=error["type"] == "invalid_key")
    location = error["loc"][1:]
    for at, part in enumerate(location):
        inner = _inside(value, part)
        if inner is not _NOTHING or (error["type"] in MISSING and part == location[-1]):
            place.path.append(part)
            value = inner
        elif part == "[key]":
            place.is_key = True
        elif isinstance(part, str) and place.union is None:
            place.union, place.before = len(place.path), location[:at]
    if place.is_key and place.path:
        place.path.pop()
    return place


def _inside(value: Any, part: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(part, _NOTHING)
    if isinstance(part, int):
        value = value.tolist() if type(value).__module__ == "numpy" else value
        is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return value[part] if is_list and part < len(value) else _NOTHING
    cls = type(value)
    fields = getattr(cls, "__dataclass_fields__", None) or getattr(cls, "model_fields", {})
    return getattr(value, part, _NOTHING) if part in fields else _NOTHING


def _step(part: Any) -> str:
    return f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{short(part, 40)}]"
