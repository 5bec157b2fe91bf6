"""Short jobs that a limit or a share keeps from running in slices are named where somebody would wonder."""

from __future__ import annotations

import pytest

import simcelery
from simcelery.board import engine, shares
from tests.board_helpers import SUCCESS, finish, must_claim, record, sql, worker
from tests.conftest import Project

pytestmark = pytest.mark.usefixtures("board")


def test_stats_and_explain_say_why_short_jobs_are_claimed_one_by_one(project: Project) -> None:
    me = worker(workflows=["w"])
    for _ in range(2):
        finish(must_claim(record(tags=["licence"]).task_id, me), SUCCESS)
    record(tags=["licence"])

    def said() -> tuple[str, str]:
        return project.run("simcelery", "stats").stderr, str(simcelery.jobs(state="pending").explain())

    assert "one by one" not in "".join(said())
    simcelery.limits.set("tag:other", 5)
    simcelery.limits.set("host:*", 5)
    assert "one by one" not in "".join(said())
    simcelery.limits.set("tag:licence", 5)
    told, explained = said()
    why = "claimed one by one, not in slices, since tag:licence limits them"
    assert f"jobs of w are short, but {why}" in told
    assert f"they are {why}" in explained
    sql("DELETE FROM limits")
    with engine.begin() as connection:
        shares.share(connection, "default", "tag", "test")
    assert all("not in slices, since queue 'default' is shared" in one for one in said())
    sql("UPDATE attempts SET started_at = finished_at - interval '2 s'")
    sql("UPDATE jobs SET started_at = finished_at - interval '2 s' WHERE state = 'succeeded'")
    assert "one by one" not in "".join(said())
    with engine.begin() as connection:
        shares.stop(connection, "default")
