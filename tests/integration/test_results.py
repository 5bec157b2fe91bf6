"""``simcelery results`` of more jobs than one page holds."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from typing import Any

import pytest
from sqlalchemy import Connection

from simcelery.board.reads import pages
from simcelery.services import Services
from tests.board_helpers import sql
from tests.conftest import Project

FILL = """
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
    submitted_by, started_at, finished_at, attempt, result, tags)
SELECT gen_random_uuid(), 'w', jsonb_build_object('n', n),
    CASE WHEN n = 2400 THEN 'failed' ELSE 'succeeded' END, 'default', 4, 1, 5, 'test', now(), now(), 1,
    CASE WHEN n = 2500 THEN '{"energy": -1.5}' WHEN n <> 2400 THEN to_jsonb(n * 2) END, '{many}'
FROM generate_series(1, 2500) n
"""


def results(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    return project.run("simcelery", "results", *options)


def test_every_page_is_printed_and_every_column_named(project: Project) -> None:
    sql(FILL)
    first, last = sql("SELECT min(id), max(id) FROM jobs")[0]
    found = json.loads(results(project, "-t", "many", "-o", "json").stdout)
    assert [job["id"] for job in found] == [n for n in range(first, last + 1) if n != first + 2399]
    rows = list(csv.DictReader(io.StringIO(results(project, "-t", "many", "--format", "csv").stdout)))
    assert len(rows) == 2499
    assert rows[1233] == {
        "id": str(first + 1233),
        "workflow": "w",
        "parameters.n": "1234",
        "result": "2468",
        "result.energy": "",
    }
    assert (rows[-1]["result"], rows[-1]["result.energy"]) == ("", "-1.5")


def test_beyond_the_limit_failures_still_count(project: Project) -> None:
    sql(FILL)
    first, last = sql("SELECT min(id), max(id) FROM jobs")[0]
    done = results(project, f"{first}-{last}", "-n", "3", "-o", "quiet")
    assert (done.returncode, done.stdout.split()) == (1, [str(first + n) for n in range(3)])
    assert "1 of 2,500 jobs did not succeed (yet)" in done.stderr


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("limit", [None, 1, 1500])
def test_named_jobs_are_asked_for_a_thousand_at_a_time(
    board: Services, newest: bool, limit: int | None
) -> None:
    sql(FILL)
    first, last = sql("SELECT min(id), max(id) FROM jobs")[0]
    named = range(first, last + 1, 2)
    asked: list[int] = []

    def read(connection: Connection, page: pages.Page, **how: Any) -> list[int]:
        asked.append(len(page.ids or ()))
        return pages.ids(connection, page, **how)

    found = pages.walk(pages.Page(ids=named, states=["succeeded"]), read, int, limit=limit, newest=newest)
    there = [n for n in named if n != first + 2399]
    assert [n for some in found for n in some] == (there[::-1] if newest else there)[:limit]
    assert max(asked) <= 1000


def test_results_of_other_states_are_not_those_that_succeeded(project: Project) -> None:
    sql(FILL)
    done = results(project, "-s", "failed")
    assert (done.returncode, done.stdout) == (2, "")
    assert "simcelery list -s failed" in done.stderr
    assert results(project, "-s", "succeeded", "-n", "1", "-o", "quiet").returncode == 0
