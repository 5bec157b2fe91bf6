"""The files that jobs have left, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simcelery.describe.plain import jsonable

if TYPE_CHECKING:
    from simcelery.board.reads.artifacts import Artifact


def as_json(one: Artifact) -> dict[str, Any]:
    """A file for ``--output json``."""
    return {name: jsonable(value) for name, value in vars(one).items() if name != "job_id"}
