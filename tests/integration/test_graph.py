"""``graph``: what jobs depend on, and what depends on them."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from simcelery.cli.root import run
from tests.board_helpers import ERROR, finish, must_claim, record, settle, sql, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


def drawn(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["graph", *words]) == 0
    return capsys.readouterr().out


def campaign() -> tuple[int, list[int], int]:
    """A relaxation, four points, and a fit of them; beside it a job that has nothing to do with it."""
    relax = record(workflow="relax")
    points = [record(workflow="point", parents=[relax.id]) for _ in range(4)]
    fit = record(workflow="fit", parents=[one.id for one in points])
    record(workflow="other")
    me = worker()
    finish(must_claim(relax.task_id, me, workflow="relax"))
    finish(must_claim(points[0].task_id, me, workflow="point"))
    finish(must_claim(points[1].task_id, me, workflow="point"), ERROR)
    settle()
    return relax.id, [one.id for one in points], fit.id


def test_a_tree_has_a_line_for_all_jobs_that_are_alike(capsys: pytest.CaptureFixture[str]) -> None:
    relax, points, fit = campaign()
    for number in (relax, points[0], fit):
        text = drawn(capsys, str(number))
        assert f"relax {relax} succeeded\n" in text
        assert f"   └─ fit {fit} upstream_failed" in text
    assert f"└─ 4 × point ({points[0]}-{points[-1]}): 2 pending, 1 succeeded, 1 failed\n" in drawn(
        capsys, str(relax)
    )
    assert "other" not in text


def test_json_has_all_nodes_and_edges(capsys: pytest.CaptureFixture[str]) -> None:
    relax, points, fit = campaign()
    found = json.loads(drawn(capsys, str(fit), "-o", "json"))
    assert [node["id"] for node in found["nodes"]] == [relax, *points, fit]
    assert found["edges"] == sorted([*([relax, one] for one in points), *([one, fit] for one in points)])
    assert found["nodes"][2]["error"] == "ValueError: boom"
    assert found["more"] is False
    assert drawn(capsys, str(fit), "-o", "quiet").split() == [str(number) for number in (relax, *points, fit)]


def test_who_waits_only_for_an_end_is_drawn_with_a_dashed_line(capsys: pytest.CaptureFixture[str]) -> None:
    parent, needed = record(workflow="relax"), record(workflow="relax")
    report = record(workflow="report", parents=[needed.id], after_any=frozenset({parent.id}))
    found = json.loads(drawn(capsys, str(report.id), "-o", "json"))
    assert found["edges"] == [[parent.id, report.id], [needed.id, report.id]]
    assert found["after_any"] == [[parent.id, report.id]]
    dot = drawn(capsys, str(report.id), "--dot")
    assert f"  {parent.id} -> {report.id} [style=dashed];\n  {needed.id} -> {report.id};\n" in dot
    mermaid = drawn(capsys, str(report.id), "--mermaid")
    assert f"  n{parent.id} -.-> n{report.id}\n  n{needed.id} --> n{report.id}\n" in mermaid


def test_graphviz_and_mermaid_get_what_they_read(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = 'a"b\\<c>&[d]'
    parent = record(workflow=hostile)
    child = record(workflow="w", parents=[parent.id])
    dot = drawn(capsys, str(child.id), "--dot")
    assert f"  {parent.id} -> {child.id};\n" in dot
    if shutil.which("dot"):
        done = subprocess.run(
            ["dot", "-Tplain"], input=dot, capture_output=True, text=True, check=True, timeout=within(30)
        )
        assert done.stdout.count("node ") == 2
    mermaid = drawn(capsys, str(child.id), "--mermaid")
    assert mermaid.startswith("flowchart TD\n")
    assert f'  n{parent.id}["a#quot;b\\#lt;c#gt;#amp;[d] {parent.id}<br/>pending"]:::pending\n' in mermaid
    assert f"  n{parent.id} --> n{child.id}\n" in mermaid
    assert "  classDef blocked fill:white\n" in mermaid


def test_a_long_chain_and_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """Longer than Python's stack."""
    first = record()
    sql(
        "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,"
        " submitted_by, unmet) SELECT gen_random_uuid(), 'w', '{}', 'blocked', 'default', 4, 1, 5, 'me', 1"
        " FROM generate_series(1, 1500)"
    )
    sql(
        "INSERT INTO dependencies (job_id, parent_id) SELECT id, id - 1 FROM jobs WHERE id > :id", id=first.id
    )
    lines = drawn(capsys, str(first.id)).splitlines()
    assert len(lines) == 1501
    some = drawn(capsys, str(first.id), "-n", "10").splitlines()
    assert len(some) == 11
    assert some[-1] == "… and more: only 10 jobs are shown"


def test_a_diamond_is_drawn_once(capsys: pytest.CaptureFixture[str]) -> None:
    top = record(workflow="top")
    left, right = record(workflow="left", parents=[top.id]), record(workflow="right", parents=[top.id])
    bottom = record(workflow="bottom", parents=[left.id, right.id])
    last = record(workflow="last", parents=[bottom.id])
    assert drawn(capsys, str(top.id)).splitlines() == [
        f"top {top.id} pending",
        f"├─ left {left.id} blocked",
        f"│  └─ bottom {bottom.id} blocked",
        f"│     └─ last {last.id} blocked",
        f"└─ right {right.id} blocked",
        f"   └─ bottom {bottom.id} blocked (see above)",
    ]
