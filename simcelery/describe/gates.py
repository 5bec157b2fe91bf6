"""Why jobs are held, whose fault it is, and what to do: in words, from what has been read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import compact, listed, many, shorten

if TYPE_CHECKING:
    from simcelery.board.reads.gates import CanaryRow, ClosedGate, Kind

_MOST_OF_AN_ERROR = 200  # characters
_NAMED = 5  # ids in a sentence
_NOT_A_TAG = re.compile(r"-.*|last|[0-9,-]+")


def sentence(gate: ClosedGate) -> str:
    """``held: canary 17 failed: ValueError: …``."""
    return f"held: {why(gate)}"


def loud(gate: ClosedGate) -> str:
    """The same with how many wait, and how they are released: a line by itself."""
    return f"{sentence(gate)}; {many(gate.held)} {_verb(gate.held, 'waits', 'wait')}: {command(gate)}"


def why(gate: ClosedGate) -> str:
    """Why a gate is closed."""
    if gate.closed_by == "hand":
        return f"by hand ({gate.held_by})"
    if gate.closed_by == "fuse":
        return f"{gate.failed:,} of {gate.ended:,} failed{_of_a_kind(gate.kind)}"
    ended = [canary for canary in gate.canaries if canary.state in _HOW]
    if not ended:
        return _not_yet(gate.canaries)
    first = ended[0]
    said = _HOW[first.state] + (f": {shorten(first.error, _MOST_OF_AN_ERROR)}" if first.error else "")
    one = f"canary {first.id} {said}"
    if len(ended) == 1:
        return one + (f" (on {first.host})" if first.host and first.state == "failed" else "")
    others = listed([canary.id for canary in ended[1:]], _NAMED)
    more = f"{one}; canar{'y' if len(ended) == 2 else 'ies'} {others} did not succeed either"
    alike = gate.kind is not None and gate.kind.jobs > 1
    return more + (f"; {where}" if alike and gate.kind and (where := blame(gate.kind)) else "")


_HOW = {"failed": "failed", "cancelled": "was cancelled", "upstream_failed": "was given up"}


def _not_yet(canaries: Sequence[CanaryRow]) -> str:
    left = [canary for canary in canaries if canary.state != "succeeded"]
    states = ", ".join(sorted({canary.state for canary in left}))
    done = len(canaries) - len(left)
    if not left:
        return "its canaries have succeeded, so it is released in a moment"
    which = f"canar{'y' if len(left) == 1 else 'ies'} {listed([canary.id for canary in left], _NAMED)}"
    have = _verb(len(left), "has", "have")
    return f"until {which} {have} succeeded ({states}; {done} of {len(canaries)} done)"


def _of_a_kind(kind: Kind | None) -> str:
    if kind is None:
        return ""
    number = "all" if kind.jobs == kind.of else f"{kind.jobs:,}"
    newest = f" of the newest {kind.of:,}" if kind.jobs < kind.of else ""
    where = f", {found}" if (found := blame(kind)) else ""
    return f" ({number}{newest} with {shorten(kind.error, _MOST_OF_AN_ERROR)}{where})"


def fault(kind: Kind) -> str | None:
    """Whose fault errors of a kind are: ``workflow``, ``node``, or None where that is not known.

    The same on several hosts is not the fault of one of them; on a single host it is, if jobs of the sweep
    succeed elsewhere, and none there.
    """
    if len(kind.hosts) > 1:
        return "workflow"
    if kind.hosts and kind.others and kind.hosts[0] not in kind.others:
        return "node"
    return None


def blame(kind: Kind) -> str:
    """``on 3 hosts: the workflow's fault``."""
    if not kind.hosts:
        return ""
    if len(kind.hosts) > 1:
        return f"on {len(kind.hosts)} hosts: the workflow's fault"
    [host] = kind.hosts
    if fault(kind) == "node":
        return f"only on {host}, while others succeeded elsewhere: the node's fault"
    if not kind.others:
        return f"all on {host}, and nothing ran elsewhere: the fault of the workflow or of that node"
    return f"only on {host}, where others succeeded"


def command(gate: ClosedGate) -> str:
    """The command that releases what a gate holds."""
    if not gate.tags:
        span = str(gate.first) if gate.first == gate.last else f"{gate.first}-{gate.last}"
        return f"simcelery release {span}"
    if len(gate.tags) == 1 and not _NOT_A_TAG.fullmatch(gate.tags[0]):
        return f"simcelery release {quote(gate.tags[0])}"
    return "simcelery release " + " ".join(f"-t {quote(tag)}" for tag in gate.tags)


def advice(gate: ClosedGate) -> str:
    """What to do about it."""
    if gate.closed_by == "fuse":
        return f"mend the cause, then {command(gate)}; the failed ones run again with simcelery retry"
    if gate.closed_by == "hand":
        return f"to let them run: {command(gate)}"
    in_spite = f"to run them in spite of it: {command(gate)}"
    ended = [canary for canary in gate.canaries if canary.state in _HOW]
    if not ended:
        return in_spite
    parents = " --with-parents" if any(canary.state == "upstream_failed" for canary in ended) else ""
    again = f"simcelery retry {compact([canary.id for canary in ended])}{parents}"
    return f"mend the cause, then {again}: when all canaries have succeeded, the others run; {in_spite}"


def needs_somebody(gate: ClosedGate) -> bool:
    """Whether nothing will happen until somebody does something."""
    return gate.closed_by in ("fuse", "hand") or any(canary.state in _HOW for canary in gate.canaries)


def as_json(gate: ClosedGate) -> dict[str, Any]:
    """A closed gate for ``--output json``."""
    kind = gate.kind
    return {
        "by": gate.closed_by,
        "workflow": gate.workflow,
        "tags": list(gate.tags),
        "jobs": gate.held,
        "failed": gate.failed,
        "ended": gate.ended,
        "canaries": {str(canary.id): canary.state for canary in gate.canaries},
        "error": kind.error if kind else None,
        "hosts": list(kind.hosts) if kind else [],
        "fault": fault(kind) if kind else None,
        "text": sentence(gate),
        "release": command(gate),
    }


def _verb(number: int, one: str, several: str) -> str:
    return one if number == 1 else several
