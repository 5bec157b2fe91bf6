"""What people look at, on terminals of several widths: no line is too wide, and what matters is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from simcelery.cli.fit import cells
from simcelery.services import Services
from tests import board_helpers as put
from tests.conftest import Project, make_project
from tests.terminals import output

STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WORKFLOW = "my_project.relaxations.with_a_very_long_name.of_oxides_在高压下.final"
ERROR = (
    "no self-consistency (未収束) in /scratch/projects/oxides/CaTiO3/run after many steps, "
    "since the mixing parameter is far too large for it"
)
TAG = "高压氧化物"
OPTIONS = {"priority": 4, "max_attempts": 1, "max_losses": 5}
HOST = "node0123.cluster.a-long-name-of-a-university.example.org"


@pytest.fixture
def project(board: Services, tmp_path: Path) -> Project:
    made = make_project(board, tmp_path)
    made.environment |= {"SIMCELERY_HOME": str(tmp_path / "home"), "TERM": "xterm-256color"}
    return made


@pytest.fixture
def ids(board: Services) -> dict[str, int]:
    """Jobs in all states, with long names, errors and results, and as large numbers as people get."""
    put.sql("SELECT setval(pg_get_serial_sequence('jobs', 'id'), 12345600)")
    worker = put.worker(nodename=f"celery@{HOST}", host=HOST, queues=["default", "gpu", "large-memory"])
    wide = {f"quantity_{i}": 1.5**i for i in range(25)} | {"note": "a text " * 20, "where": "/scratch" * 12}
    values = {"structure": "/scratch/projects/oxides/CaTiO3/POSCAR", "fmax": 0.01, "元素": "钙钛氧"}
    failure = put.EndedAttempt(
        outcome=put.Outcome.FAILED,
        cause=put.Cause.ERROR,
        error_type="ConvergenceError",
        error_message=ERROR,
        traceback=f"Traceback (most recent call last):\n  File {'/scratch' * 20}\n    {'一二三四' * 50}\n",
    )
    found: dict[str, int] = {}
    for name, report in (
        ("succeeded", put.EndedAttempt(outcome=put.Outcome.SUCCEEDED, result=wide)),
        ("failed", failure),
        ("running", None),
    ):
        for number in (1, 2):
            job = put.record(parameters={**values, "n": number}, tags=(TAG, name))
            claimed = put.must_claim(job.task_id, worker)
            if report:
                put.finish(claimed, report)
        found[name] = job.id
    other = put.record(parameters={"x": 1, "y": 2}, tags=("other",))
    put.finish(
        put.must_claim(other.task_id, worker),
        put.EndedAttempt(outcome=put.Outcome.SUCCEEDED, result={"energy": -12.5}),
    )
    found["other"] = other.id
    found["scheduled"] = put.record(parameters=values, delay=3600.0).id
    found["pending"] = put.record(parameters=values, idempotency_key="k" * 64).id
    found["blocked"] = put.record(parameters=values, parents=[found["pending"]]).id
    found["cancelled"] = put.record(parameters=values).id
    put.cancel(found["cancelled"])
    put.sql("UPDATE jobs SET progress = to_jsonb(:p ::json)", p=json.dumps({"done": 1, "message": "长" * 80}))
    put.sql("UPDATE jobs SET workflow = :name, queue = 'large-memory'", name=WORKFLOW)
    put.sql("UPDATE jobs SET workflow = 'other.workflow' WHERE id = :id", id=other.id)
    put.sql("UPDATE workers SET note = :note", note="takes no jobs: " + "/scratch is full, " * 10)
    put.sql(
        "INSERT INTO workflows (name, description, parameters, queue, version, options) "
        "VALUES (:name, :text, to_jsonb(:schema ::json), 'large-memory', '1', to_jsonb(:options ::json))",
        options=json.dumps(dict.fromkeys(("time_limit", "soft_time_limit")) | OPTIONS),
        name=WORKFLOW,
        text="Relax, and relax again, 直到收敛. " * 5,
        schema=json.dumps(
            {"properties": {"a_parameter_" * 5: {"type": "number or text " * 5, "default": "长" * 60}}}
        ),
    )
    return found


# Call → what must be there, whatever the width, spaces aside.
CALLS: dict[str, list[str]] = {
    "list": ["{failed}", "ConvergenceError", "too large for it", "succeeded", "my_pro", "final"],
    "list -t {tag}": ["{failed}", "too large for it"],
    "status": ["2 succeeded|SUCCEEDED", "2 failed|FAILED", "1 cancelled|CANCELLED", "11", "final"],
    "status {failed}": ["{failed}", "too large for it"],
    "errors": ["1", "2", "ConvergenceError", "(未収束)", "far too large for it", "{failed}"],
    "watch -t succeeded": ["2/2", "2 succeeded", "Ctrl-C stops the watching"],
    "wait {running} --timeout 1": ["{running}", "1 running"],
    "wait {failed} {running} {pending} --timeout 1": ["1/3", "1 failed", "1 running", "1 pending"],
    "show {failed}": ["{failed}", "CaTiO3/POSCAR", "far too large for it", TAG, "一二三四", "my_pro"],
    "show {succeeded}": ["{succeeded}", "quantity_24", "16834.1", "钙钛氧"],
    "show {running}": ["{running}", "running"],
    "show {pending}": ["k" * 64],
    "explain {failed}": ["{failed}", "far too large for it"],
    "explain {running}": ["{running}", "my_pro"],
    "explain {pending}": ["{pending}", "large-memory"],
    "explain {blocked}": ["{pending}"],
    "explain {scheduled}": ["{scheduled}"],
    "results": ["{succeeded}", "quantity_", "--format csv", "other.workflow", "{other}", "-12.5"],
    "stats": ["finished", "final"],
    "workers": ["celery@", ".org", "2/1", "default", "gpu", "large-memory", "/scratch is full"],
    "workflows": ["my_pro", "final", "large-memory", "直到收敛"],
    "workflows {workflow}": ["number or text", "长长"],
    "doctor": ["postgres", "redis", "queues", "large-memory", "/scratch is full"],
    "wait {failed}": ["too large for it"],
    "spool": ["no outcomes are waiting"],
    "recover --dry-run": ["rescue", "prune"],
    "db current": ["schema"],
    "prune --older-than 30d --dry-run": ["would be deleted"],
    "submit {workflow} --dry-run": ["would be submitted", "final"],
}


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_what_matters_is_there(
    width: int, project: Project, ids: dict[str, int]
) -> None:
    names = {name: str(number) for name, number in ids.items()} | {"tag": TAG, "workflow": WORKFLOW}
    for call, expected in CALLS.items():
        shown = on_terminal(project, [part.format(**names) for part in call.split()], width)
        wide = [line for line in shown.splitlines() if cells(line) > width]
        assert not wide, f"{call}: {cells(wide[0])} cells\n{shown}"
        together = "".join(shown.split())
        for one in expected:
            either = [part.replace(" ", "") for part in one.format(**names).split("|")]
            assert any(part in together for part in either), f"{call}: {one}\n{shown}"


def on_terminal(project: Project, arguments: list[str], width: int) -> str:
    """What a command line shows on a terminal, without colours."""
    shown = output(project, arguments, terminal=True, width=width)
    return STYLE.sub("", shown.replace("\r", "\n"))  # a line that is written over counts as well


def test_watch_fits_the_height_whatever_the_number_of_workflows(project: Project, board: Services) -> None:
    for number in range(40):
        job = put.record(workflow=f"{WORKFLOW}_{number}", tags=("many",))
        put.cancel(job.id)
    for width in (60, 200):
        shown = on_terminal(project, ["watch", "-t", "many"], width)
        last = shown[shown.rindex("WORKFLOW") :].strip().splitlines()
        assert len([line for line in last if line]) <= 24
        together = "".join(shown.split())
        assert "40cancelled" in together
        assert re.search(r"\d+more", together)
        assert "Ctrl-Cstopsthewatching" in together
