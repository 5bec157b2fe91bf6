"""Whether the result of a job can ever be the value of a parameter, by what both workflows declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simcelery.misfits import Details, wanted
from simcelery.workflows.encoding import JobRef
from simcelery.workflows.parameters import Parameters

# By JSON's types, what a result of this type may be, and what it is called. A text may stand for what JSON
# has no form for.
_SAMPLES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "null": ("nothing", (None,)),
    "boolean": ("a boolean", (True, False)),
    "integer": ("an integer", (1, 0)),
    "number": ("a number", (1.5, 1.0)),
    "string": ("a string", ("x", "1", b"x", 1j)),
    "array": ("a list", ([],)),
    "object": ("a dictionary", ({},)),
}
_ANYTHING = frozenset(_SAMPLES)
_DEEP = 20


def jobs_in(value: Any) -> Iterator[tuple[JobRef, int | None]]:
    """The jobs that a parameter consists of: itself, or the items of a list; and the place of each there."""
    if isinstance(value, JobRef):
        yield value, None
    elif isinstance(value, list | tuple):
        yield from ((item, place) for place, item in enumerate(value) if isinstance(item, JobRef))


def never_fits(taking: Parameters, name: str, place: int | None, returns: Mapping[str, Any]) -> str | None:
    """In words what a result is and what is wanted instead, if it cannot fit, whatever it is; else None.

    Only its type counts: a text may be read as a number. Where a type says nothing, and where code of the
    user's own has a say, anything may fit.

    Parameters:
        name, place: of the parameter, and in the list that it is.
        returns: the JSON schema of the result.
    """
    path = () if place is None else (place,)
    nouns: list[str] = []
    reasons: dict[str, None] = {}
    for kind in sorted(kinds(returns, returns.get("$defs", {}))):
        noun, samples = _SAMPLES[kind]
        nouns.append(noun)
        for sample in samples:
            value = sample if place is None else [JobRef()] * place + [sample]
            here = [one for one in taking.misfits(name, value) if one["loc"][1 : len(path) + 1] == path]
            if not here or not all(map(_is_of_type, here)):
                return None
            reasons |= dict.fromkeys(noun for one in here for noun in wanted(one))
    return f"{' or '.join(nouns)}, and not {' or '.join(reasons)}" if reasons else None


def _is_of_type(error: Details) -> bool:
    return str(error["type"]).endswith("_type") or error["type"] == "none_required"


def kinds(schema: Any, defs: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """The JSON types of what a JSON schema describes; all of them where it does not say."""
    if not isinstance(schema, dict) or depth > _DEEP:
        return _ANYTHING
    if "$ref" in schema:
        return kinds(defs.get(schema["$ref"].rpartition("/")[2]), defs, depth + 1)
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return frozenset().union(*(kinds(one, defs, depth + 1) for one in several))
    said = schema.get("type")
    found = frozenset([said] if isinstance(said, str) else said or ())
    return found if found and found <= _ANYTHING else _ANYTHING
