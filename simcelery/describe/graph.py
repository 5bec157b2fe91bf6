"""Jobs and their dependencies, drawn: as lines of text, for Graphviz, and for Mermaid."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import many, one_line, shorten, spaced

if TYPE_CHECKING:
    from simcelery.board.reads.graph import Graph, Node

# By state, as names of colours that Graphviz and browsers know.
_COLOURS = {
    "succeeded": "palegreen",
    "failed": "lightcoral",
    "upstream_failed": "mistyrose",
    "cancelled": "lightgrey",
    "running": "lightskyblue",
    "pending": "lightyellow",
    "scheduled": "lightyellow",
    "blocked": "white",
}


@dataclass(frozen=True)
class _Group:
    """Jobs of one workflow that wait for the same jobs, and for which the same jobs wait."""

    nodes: tuple[Node, ...]

    @property
    def ids(self) -> list[int]:
        """Of its jobs."""
        return [node.id for node in self.nodes]

    def line(self) -> str:
        """``relax 42 failed: ValueError: diverged``, ``20 × relax (1-20): 19 succeeded, 1 failed``."""
        first = self.nodes[0]
        if len(self.nodes) == 1:
            error = f": {shorten(first.error)}" if first.error else ""
            return f"{one_line(first.workflow)} {first.id} {first.state or 'unreadable'}{error}"
        return f"{len(self.nodes):,} × {one_line(first.workflow)} ({spaced(self.ids)}): {self.counts()}"

    def counts(self) -> str:
        """``19 succeeded, 1 failed``."""
        states = Counter(str(node.state or "unreadable") for node in self.nodes)
        return ", ".join(f"{number:,} {state}" for state, number in states.most_common())


def as_json(graph: Graph) -> dict[str, Any]:
    """The nodes and the edges."""
    nodes = [
        {
            "id": node.id,
            "workflow": node.workflow,
            "state": node.state and str(node.state),
            "error": node.error,
        }
        for node in graph.nodes.values()
    ]
    edges = [list(edge) for edge in graph.edges]
    after_any = [list(edge) for edge in graph.edges if edge in graph.any_end]
    then = [list(edge) for edge in graph.edges if edge in graph.then]
    return {"nodes": nodes, "edges": edges, "after_any": after_any, "then": then, "more": graph.more}


@dataclass(frozen=True)
class Branch:
    """A group of jobs in a tree.

    Attributes:
        depth: how many groups stand above it.
        indent: what stands before its line.
        known: what is below it stands further up.
    """

    depth: int
    indent: str
    known: bool
    group: _Group


def branches(graph: Graph) -> Iterator[Branch]:
    """Each group of jobs below those that it waits for, drawn once."""
    groups, children, roots = _grouped(graph)
    drawn: set[int] = set()
    for root in roots:
        yield Branch(0, "", False, groups[root])
        yield from _below(root, groups, children, drawn)


def tree(graph: Graph) -> Iterator[str]:
    """The same as lines of text."""
    for one in branches(graph):
        yield f"{one.indent}{one.group.line()}{' (see above)' if one.known else ''}"
    if graph.more:
        yield f"… and more: only {many(len(graph.nodes))} are shown"


def _below(
    parent: int, groups: Sequence[_Group], children: dict[int, list[int]], drawn: set[int]
) -> Iterator[Branch]:
    # Not by recursion: a chain may be longer than Python's stack.
    stack = [(child, 1, "", child == children[parent][-1]) for child in reversed(children[parent])]
    while stack:
        group, depth, before, last = stack.pop()
        known = group in drawn and bool(children[group])
        yield Branch(depth, f"{before}{'└─ ' if last else '├─ '}", known, groups[group])
        if group in drawn:
            continue
        drawn.add(group)
        deeper = before + ("   " if last else "│  ")
        own = children[group]
        stack += [(child, depth + 1, deeper, child == own[-1]) for child in reversed(own)]


def _grouped(graph: Graph) -> tuple[list[_Group], dict[int, list[int]], list[int]]:
    """The groups, the children of each by number, and those that wait for nobody."""
    parents: dict[int, list[int]] = {number: [] for number in graph.nodes}
    dependents: dict[int, list[int]] = {number: [] for number in graph.nodes}
    for parent, child in graph.edges:
        parents[child].append(parent)
        dependents[parent].append(child)
    members: dict[tuple[Any, ...], list[Node]] = {}
    for number, node in graph.nodes.items():
        key = (node.workflow, tuple(parents[number]), tuple(dependents[number]))
        members.setdefault(key, []).append(node)
    groups = [_Group(tuple(nodes)) for nodes in members.values()]
    home = {number: at for at, group in enumerate(groups) for number in group.ids}
    children = {
        at: sorted({home[child] for child in dependents[group.ids[0]]}) for at, group in enumerate(groups)
    }
    return groups, children, [at for at, group in enumerate(groups) if not parents[group.ids[0]]]


def dot(graph: Graph) -> Iterator[str]:
    """For Graphviz: ``simcelery graph 42 --dot | dot -Tsvg``."""
    yield "digraph jobs {"
    yield '  node [shape=box, style="rounded,filled", fontname=Helvetica];'
    for node in graph.nodes.values():
        label = json.dumps(f"{one_line(node.workflow)} {node.id}\n{node.state or 'unreadable'}")
        yield f"  {node.id} [label={label}, fillcolor={_COLOURS.get(str(node.state), 'white')}];"
    for parent, child in graph.edges:
        style = " [style=dashed]" if (parent, child) in graph.any_end else ""
        if (parent, child) in graph.then:
            style = " [style=bold]"
        yield f"  {parent} -> {child}{style};"
    yield "}"


def mermaid(graph: Graph) -> Iterator[str]:
    """For Mermaid, as Markdown on many sites draws it."""
    yield "flowchart TD"
    for node in graph.nodes.values():
        label = f"{one_line(node.workflow)} {node.id}<br/>{node.state or 'unreadable'}"
        yield f'  n{node.id}["{_escaped(label)}"]:::{node.state or "unreadable"}'
    for parent, child in graph.edges:
        arrow = "-.->" if (parent, child) in graph.any_end else "-->"
        yield f"  n{parent} {'==>' if (parent, child) in graph.then else arrow} n{child}"
    for state in _states(graph.nodes.values()):
        yield f"  classDef {state} fill:{_COLOURS[state]}"


def _states(nodes: Iterable[Node]) -> list[str]:
    return sorted({str(node.state) for node in nodes if node.state})


def _escaped(text: str) -> str:
    """A text within quotation marks, as Mermaid reads it; its line break stays one."""
    return "<br/>".join(
        part.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
        for part in text.split("<br/>")
    )
