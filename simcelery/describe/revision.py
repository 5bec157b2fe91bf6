"""What differs between the parameters of two attempts, or of two jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simcelery.describe.plain import jsonable, plain
from simcelery.describe.words import moment, one_line, shorten
from simcelery.readable import json_text

if TYPE_CHECKING:
    from simcelery.board.values import Revision

_MOST = 60  # characters of a value
_NOTHING = object()


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The encoded parameters that differ, before and after; one that is not there counts as null.

    1 and 1.0 differ: they are not the same to a workflow.
    """
    return {
        name: (before.get(name), after.get(name))
        for name in {**before, **after}
        if _text(before.get(name, _NOTHING)) != _text(after.get(name, _NOTHING))
    }


def _text(encoded: Any) -> str:
    return "" if encoded is _NOTHING else json.dumps(encoded, sort_keys=True)


def in_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """``fmax 0.05 → 0.02, kpts [2,2,2] → [4,4,4]``; nothing where they are the same."""
    return ", ".join(
        f"{one_line(name)} {_value(old)} → {_value(new)}"
        for name, (old, new) in differing(before, after).items()
    )


def had(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """``fmax 0.05 (now 0.02)``, for an attempt that ran with other parameters than the job has now."""
    return ", ".join(
        f"{one_line(name)} {_value(old)} (now {_value(new)})"
        for name, (old, new) in differing(then, now).items()
    )


def _value(encoded: Any) -> str:
    return shorten(json_text(plain(encoded)), _MOST)


def as_json(revision: Mapping[str, Any]) -> dict[str, Any]:
    """A revision of `reads.revisions` as JSON."""
    told = {name: jsonable(value) for name, value in revision.items() if name not in ("before", "after")}
    return {**told, "changes": changes(revision["before"], revision["after"])}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """``{"fmax": {"from": 0.05, "to": 0.02}}``."""
    return {
        name: {"from": plain(old), "to": plain(new)} for name, (old, new) in differing(before, after).items()
    }


def line(revision: Mapping[str, Any]) -> str:
    """A revision of `reads.revisions` in a line: what changed, after which attempt, who wanted it."""
    attempt = revision["last_attempt"]
    when = f"after attempt {attempt}" if attempt else "before it first ran"
    what = in_words(revision["before"], revision["after"]) or "from scratch"
    return f"{when}: {what}; by {one_line(revision['revised_by'])}, {moment(revision['revised_at'])}"


def planned(revision: Revision) -> dict[str, Any]:
    """What a retry would change in a job, as JSON."""
    return {
        "id": revision.job_id,
        "workflow": revision.workflow,
        "changes": changes(revision.before, revision.parameters),
    }
