"""Jobs that wait for others, on real workers that are killed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.board_helpers import sql
from tests.conftest import Project
from tests.waiting import wait_until, within

# 20 chains of ten short jobs each, and a job that adds up their ends.
CHAINS = """
import sims
ends = list(range(20))
for _ in range(10):
    ends = [sims.add.submit(end) for end in ends]
bad = sims.picky.submit("final")
fallen = sims.add.submit(1, after=[bad])
report = sims.about_parents.submit(after_any=[*ends, bad, fallen])
print(sims.total.submit(ends).id, report.id)
"""
TOO_EARLY = """
SELECT child.id FROM dependencies AS edge
JOIN jobs AS child ON child.id = edge.job_id JOIN jobs AS parent ON parent.id = edge.parent_id
WHERE child.started_at < parent.finished_at
"""
LINES = {"after_following": 3, "after_finish": 5, "before_finish": 7, "after_run": 40}


@pytest.mark.parametrize("action", ["kill", "kill-parent"])
def test_no_dependent_starts_early_or_is_forgotten_whoever_is_killed(
    project: Project, tmp_path: Path, action: str
) -> None:
    done = project.python(CHAINS)
    assert done.returncode == 0, done.stderr
    once = tmp_path / "once"
    once.mkdir()
    armed = ",".join(f"{line}={action}@{nth}" for line, nth in LINES.items())
    environment = {"SIMCELERY_FAILPOINTS": armed, "SIMCELERY_FAILPOINTS_ONCE": str(once)}
    worker = project.worker("-c", "1", **environment)
    if action == "kill-parent":
        for _ in LINES:
            assert worker.wait(within(30)) == -signal.SIGKILL
            worker = project.worker("-c", "1", **environment)
    wait_until(lambda: sql("SELECT bool_and(finished_at IS NOT NULL) FROM jobs") == [(True,)], 60)
    assert {path.name for path in once.iterdir()} == LINES.keys()
    total, report = map(int, done.stdout.split())
    assert sql("SELECT result FROM jobs WHERE id = :id", id=total) == [(20 * 10 + 190,)]
    assert sql("SELECT result FROM jobs WHERE id = :id", id=report) == [
        ({"succeeded": 20, "failed": 1, "upstream_failed": 1},)
    ]
    assert sql(TOO_EARLY) == []
    assert sql("SELECT count(*), count(DISTINCT job_id) FROM attempts WHERE outcome = 'succeeded'") == [
        (202, 202)
    ]
