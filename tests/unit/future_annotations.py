"""A module as scientists write it: annotations are text until somebody asks for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Node:
    value: float
    children: list[Node] = field(default_factory=list)


def walk(node: Node, *, weights: dict[str, np.ndarray] | None = None) -> list[Node]:
    return [node, *node.children]


def later(early: Later) -> Later:
    return early


def hidden(price: Decimal) -> float:
    return float(price)


@dataclass
class Later:
    n: int


@dataclass
class Dangling:
    other: Nowhere  # type: ignore[name-defined]  # noqa: F821


def dangling(x: Dangling) -> None: ...


def frame(x: int) -> Thread: ...
def frames(x: int) -> dict[str, Thread]: ...
def nowhere(x: int) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821
