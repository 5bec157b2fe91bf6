"""Jobs that go on in others, on real workers that are killed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from simcelery.errors import UpstreamFailedError
from tests.acceptance.helpers import submit
from tests.board_helpers import row, sql
from tests.conftest import Project
from tests.waiting import wait_until, within

LINES = (
    "after_run",
    "before_finish",
    "continuation_recorded",
    "before_finish_commit",
    "after_finish",
    "before_settle",
)
BEGUN = 12


@pytest.mark.parametrize("action", ["kill", "kill-parent"])
def test_a_crash_leaves_neither_two_jobs_to_go_on_in_nor_none(
    project: Project, tmp_path: Path, action: str
) -> None:
    once = tmp_path / "once"
    once.mkdir()
    armed = ",".join(f"{line}={action}@2" for line in LINES)
    environment = {"SIMCELERY_FAILPOINTS": armed, "SIMCELERY_FAILPOINTS_ONCE": str(once)}
    job = submit(project, f"countdown.submit({str(tmp_path / 'ran')!r}, {BEGUN}, tags=['mine'])")
    workers = [project.worker("-c", "1", **environment)]

    def is_over() -> bool:
        if workers[-1].poll() is not None:  # its own process comes there as well, to report a dead child
            workers.append(project.worker("-c", "1", **environment))
        return job.state.is_terminal

    wait_until(is_over, 60)
    assert job.result() == 42
    assert {path.name for path in once.iterdir()} == set(LINES)
    assert sql("SELECT parameters->'left', state, result, tags, priority FROM jobs ORDER BY id") == [
        (left, "succeeded", 42, ["mine"], 4 if left == BEGUN else 7) for left in range(BEGUN, -1, -1)
    ]
    edges = sql("SELECT job_id, parent_id FROM dependencies WHERE kind = 'then' ORDER BY job_id")
    ids = [number for (number,) in sql("SELECT id FROM jobs ORDER BY id")]
    assert edges == list(itertools.pairwise(ids))
    ran = [int(left) for left in (tmp_path / "ran").read_text().split()]
    assert set(ran) == set(range(BEGUN + 1))
    assert len(ran) <= BEGUN + 1 + len(LINES)
    assert sql("SELECT count(*) FROM attempts WHERE outcome = 'succeeded'") == [(BEGUN + 1,)]


def test_what_fails_at_the_end_names_its_error_at_the_beginning(project: Project, tmp_path: Path) -> None:
    project.worker("-c", "1")
    job = submit(project, f"countdown.submit({str(tmp_path / 'ran')!r}, 2, 'diverged')")
    with pytest.raises(UpstreamFailedError, match=f"job {job.id} .*could not go on: .*ValueError: diverged"):
        job.result(timeout=within(30))
    for how, why in (
        ("type", "missing parameters 'path', 'left'"),
        ("queue", "jobs do not expire; cancel them"),
    ):
        astray = submit(project, f"goes_astray.submit({how!r})")
        astray.wait(timeout=within(30))
        assert row(astray.id).state == "failed"
        assert "goes_astray: it cannot go on in sims.countdown: " in str(row(astray.id).error)
        assert why in str(row(astray.id).error)


def test_a_second_attempt_finds_the_jobs_that_the_first_has_submitted(project: Project) -> None:
    project.worker("-c", "1")
    job = submit(project, "campaign.submit([1, 2, 3, 3])")
    assert job.result(timeout=within(60)) == 9 + 14 + 100
    assert row(job.id).attempt == 2
    found = sql("SELECT workflow, count(*), count(DISTINCT parent_id) FROM jobs GROUP BY workflow ORDER BY 1")
    assert found == [("sims.add", 7, 1), ("sims.campaign", 1, 0), ("sims.total", 1, 1)]
