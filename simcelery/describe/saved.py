"""What the attempts of a job have saved to go on from: its steps, its checkpoint, and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simcelery.describe.plain import jsonable, plain
from simcelery.describe.words import ago, duration, one_line, shorten
from simcelery.readable import json_text


def steps_as_json(steps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The steps as `simcelery show -o json` has them."""
    return [{**one, "output": jsonable(plain(one["output"]))} for one in steps]


def checkpoint_as_json(checkpoint: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The checkpoint as `simcelery show -o json` has it."""
    return None if checkpoint is None else {**checkpoint, "state": jsonable(plain(checkpoint["state"]))}


def step_rows(steps: Iterable[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """For each step its name, what it was given, its output, its attempt and how long it took."""
    return [
        (
            one["name"],
            ", ".join(f"{name}={value}" for name, value in one["given"].items()),
            shorten(json_text(plain(one["output"]))),
            one["attempt"],
            duration(one["seconds"]),
        )
        for one in steps
    ]


def checkpoint_line(checkpoint: Mapping[str, Any]) -> str:
    """``{"done": 3}, by attempt 1, 5 min ago``."""
    state = shorten(json_text(plain(checkpoint["state"])))
    return f"{state}, by attempt {checkpoint['attempt']}, {ago(checkpoint['saved_at'])}"


def restart_line(one: Mapping[str, Any]) -> str:
    """``attempt 4 continues attempt 3: CONTCAR -> POSCAR``."""
    return f"attempt {one['attempt']} continues attempt {one['continues']}: {one_line(one['files'])}"
