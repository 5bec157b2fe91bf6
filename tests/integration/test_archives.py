"""An archive holds all that the board knows of a job, since prune deletes that."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from simcelery import escalation
from simcelery.board import artifacts, engine, retention, sql
from simcelery.board.artifacts import NewArtifact
from simcelery.board.models import Base
from simcelery.board.states import Cause
from simcelery.needs import Needs, Room
from tests.board_helpers import ERROR, finish, must_claim, record, worker
from tests.board_helpers import sql as execute

# What is of use only while a job waits, runs or is not yet deleted.
PASSING = {"grants", "passed_over", "canaries", "throttled", "workdirs", "file_requests"}


def test_every_table_that_belongs_to_jobs_is_archived_or_passing() -> None:
    text = str(sql.statement("archived_jobs"))
    of_jobs = {
        table.name
        for table in Base.metadata.tables.values()
        if any(key.column.table.name == "jobs" for key in table.foreign_keys)
    }
    assert {name for name in of_jobs if f"FROM {name}" not in text} == PASSING


@pytest.mark.usefixtures("board")
def test_it_says_what_a_job_asked_for_got_left_and_waited_for() -> None:
    rule = {"out_of_memory": {"memory": "x2", "max": "10G"}}
    first, last = record(), record()
    job = record(
        needs=Needs(cores=2, memory=4 * 2**30, escalation=escalation.checked(rule)),
        parents=frozenset({first.id}),
        after_any=frozenset({last.id}),
    )
    me = worker(room=Room(64, 2**40))
    for parent in (first, last):
        finish(must_claim(parent.task_id, me))
    finish(must_claim(job.task_id, me), replace(ERROR, cause=Cause.OUT_OF_MEMORY))
    claimed = must_claim(job.task_id, me)
    artifacts.save(claimed, [NewArtifact("traj.nc", "/scratch/traj.nc", "node1", 1, "abc", None)])
    execute("INSERT INTO dependencies VALUES (:job, :last, 'then')", job=first.id, last=last.id)
    finish(claimed)
    before, _, whole = _archived(first.id, last.id, job.id)
    assert (before["goes_on_in"], before["after_any"], before["needs"]) == (last.id, [], None)
    assert (whole["parents"], whole["after_any"]) == ([first.id, last.id], [last.id])
    assert whole["needs"] == {
        "cores": 2,
        "memory": 8 * 2**30,
        "gpus": None,
        "escalation": json.loads(escalation.checked(rule) or ""),
    }
    [grown] = whole["escalations"]
    assert (grown["attempt"], grown["before"]) == (1, {"memory": 4 * 2**30})
    [left] = whole["artifacts"]
    assert (left["name"], left["attempt"], left["sha256"], left["host"]) == ("traj.nc", 2, "abc", "node1")


def _archived(*ids: int) -> list[dict[str, Any]]:
    with engine.begin() as connection:
        return [json.loads(one.line) for one in retention.archived(connection, list(ids))]
