"""A job that very many wait for leads Postgres' estimates astray: nothing reads a table for each child."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, text

from simcelery.board import engine, reads, retention, sql, transitions
from simcelery.board.transitions.claim import asked
from simcelery.board.transitions.finish import by_claim
from simcelery.board.values import ClaimRequest, Registration
from simcelery.services import Services
from simcelery.settings import Settings
from tests.board_helpers import SUCCESS, new_job
from tests.integration.test_query_plans import connected, database

# Job 1 has 100,000 children. Beside it: job 200,000 has 3,000; and some have none.
RELAXATION, CHILDREN = 1, 100_000
FAILED, FEW = 200_000, 3000
KEY = uuid.UUID("4f7a5c1e-0000-4000-8000-000000000001")
OLD, RUNNING, PENDING = 300_000, 310_000, 320_000
FILL = """
CREATE FUNCTION fill(first bigint, number bigint, state text, waits boolean) RETURNS void LANGUAGE sql AS $$
  INSERT INTO jobs (id, task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
      attempt, worker_id, pid, claim_id, submitted_by, started_at, finished_at, settled_at, unmet)
  SELECT n, gen_random_uuid(), 'w', '{}', state, 'default', 4, 1, 5, ran::int,
      CASE WHEN ran THEN 1 END, CASE WHEN ran THEN n END, CASE WHEN ran THEN gen_random_uuid() END, 'me',
      CASE WHEN ran THEN now() - interval '9 d' END, CASE WHEN over THEN now() - interval '8 d' END,
      CASE WHEN over THEN now() END, waits::int
  FROM generate_series(first, first + number - 1) AS n,
    LATERAL (SELECT state IN ('running', 'failed', 'succeeded') AS ran,
                    state IN ('failed', 'succeeded', 'upstream_failed') AS over) AS known
$$;
INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, registration)
VALUES ('w', 'h', 1, '{default}', 1, '0', now() + interval '1 h', '4f7a5c1e-0000-4000-8000-000000000001');
SELECT fill(1, 1, 'running', false), fill(200000, 1, 'failed', false), fill(200001, 3000, 'blocked', true),
  fill(300000, 3000, 'succeeded', false), fill(310000, 3000, 'running', false),
  fill(320000, 3000, 'pending', false);
UPDATE jobs SET settled_at = NULL WHERE id = 200000;
"""
FILL_CHILDREN = """
SELECT fill(2, 100000, 'blocked', true);
INSERT INTO dependencies (job_id, parent_id) SELECT n, 1 FROM generate_series(2, 100001) AS n;
INSERT INTO dependencies (job_id, parent_id) SELECT n, 200000 FROM generate_series(200001, 203000) AS n;
"""
# How far Postgres knows the board when the statements are planned.
STATISTICS = {
    "fresh": (FILL, FILL_CHILDREN, "VACUUM ANALYZE"),
    "stale": ("VACUUM ANALYZE", FILL, "ANALYZE", FILL_CHILDREN),
    "none": (FILL, FILL_CHILDREN),
}
EXPLAINED = """
LOAD 'auto_explain';
SET LOCAL auto_explain.log_min_duration = 0;
SET LOCAL auto_explain.log_nested_statements = on;
SET LOCAL auto_explain.log_analyze = on;
SET LOCAL auto_explain.log_timing = off;
SET LOCAL auto_explain.log_format = json;
SET LOCAL client_min_messages = log
"""


@dataclass
class Executed:
    """What Postgres did, in functions and for foreign keys too.

    Attributes:
        nodes: of all plans.
    """

    nodes: list[dict[str, Any]] = field(default_factory=list)

    def note(self, said: str) -> None:
        if plan := re.search(r"plan:\n(\{.*)", said, re.DOTALL):
            self._add(json.loads(plan[1])["Plan"])

    def _add(self, node: dict[str, Any]) -> None:
        self.nodes.append(node)
        for below in node.get("Plans", ()):
            self._add(below)

    def on(self, *tables: str) -> list[dict[str, Any]]:
        return [node for node in self.nodes if node.get("Relation Name") in tables]

    def told(self) -> str:
        """The nodes that read most, one a line."""
        nodes = self.on("jobs", "dependencies")
        nodes.sort(key=_read, reverse=True)
        names = ("Actual Loops", "Relation Name", "Index Name", "Index Cond", "Filter")
        return "\n".join(str([_read(node), *(node.get(name) for name in names)]) for node in nodes[:10])

    def rows(self) -> float:
        """How many rows of jobs and dependencies were read."""
        return sum(_read(node) for node in self.on("jobs", "dependencies"))


def _read(node: dict[str, Any]) -> float:
    """How many rows it read, in all its loops."""
    passed_over = sum(node.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck"))
    return (node["Actual Rows"] + passed_over) * node["Actual Loops"]


@pytest.fixture(scope="module", params=STATISTICS)
def board(request: pytest.FixtureRequest, servers: Services) -> Iterator[Settings]:
    """A board with such a job, in a database of its own."""
    with database(servers, "fan_out") as made:
        with connected(made) as connection:
            for table in ("jobs", "dependencies"):
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
            for statement in STATISTICS[request.param]:
                connection.execute(statement.encode())
        yield made


def executed(board: Settings, act: Callable[[Connection], object], before: str = "SELECT") -> Executed:
    """What an act did, which is then rolled back."""
    found = Executed()

    def hear(notice: Any) -> None:
        found.note(notice.message_primary or "")

    with engine.begin(board) as connection:
        connection.execute(text(before))
        driver: Any = connection.connection.driver_connection
        connection.exec_driver_sql(EXPLAINED)
        driver.add_notice_handler(hear)
        try:
            act(connection)
            connection.execute(text("SELECT"))  # a plan is told of after its statement
        finally:
            driver.remove_notice_handler(hear)
        connection.rollback()
    assert found.nodes, "nothing was heard of it"
    return found


def settle(steps: int) -> Callable[[Connection], object]:
    def act(connection: Connection) -> int:
        done, place = 0, None
        for _ in range(steps):
            step = transitions.settle(connection, 1000, place)
            done, place = done + len(step.failed) + len(step.ready), step.place
        return done

    return act


def finish(connection: Connection) -> None:
    """The success of the job with 100,000 children, and of one without."""
    for number in (RELAXATION, RUNNING):
        row = connection.execute(text("SELECT task_id, claim_id FROM jobs WHERE id = :id"), {"id": number})
        assert transitions.finish(connection, by_claim(*row.one()), SUCCESS)


def finish_together(connection: Connection) -> None:
    rows = connection.execute(
        text("SELECT id, claim_id FROM jobs WHERE id BETWEEN :first AND :first + 499"), {"first": RUNNING}
    )
    ended = engine.as_json([{"id": row.id, "claim_id": row.claim_id.hex} | _SUCCESS for row in rows])
    assert len(connection.exec_driver_sql(sql.statement("finish"), {"ended": ended}).all()) == 500


_SUCCESS = {"outcome": "succeeded", "waited": 0, "ago": 0}


def claim(connection: Connection) -> None:
    wanted = ClaimRequest(uuid.uuid4(), "w", uuid.uuid4(), Registration(1, KEY), 1, "default", more=500)
    assert len(connection.exec_driver_sql(sql.statement("claim"), asked(wanted)).all()) == 501


def record(connection: Connection) -> None:
    transitions.record(connection, [new_job(id=500_000, parents=[RELAXATION, OLD])])


def archive(connection: Connection) -> None:
    found = retention.archived(connection, range(OLD, OLD + 500))
    assert retention.delete_archived(connection, found, 86400.0) == 500


def read(connection: Connection) -> None:
    assert reads.dependents_of(connection, OLD) == []
    assert reads.parents_of(connection, OLD).ids == []


def a_third(state: str, settled: str = "now()") -> str:
    """The first 1,000 children, and all 3,000 of the other parent, are over."""
    return f"""
    UPDATE jobs SET state = '{state}', finished_at = now() - interval '8 d', settled_at = {settled}
    WHERE id BETWEEN 2 AND 1001 OR id BETWEEN 200001 AND 203000;
    """


RELAXATION_OVER = """
UPDATE jobs SET state = '{}', finished_at = now() - interval '8 d' WHERE id = 1;
"""
# What is done → what, how the board is before, and how many rows of jobs and dependencies it may read.
ACTS: dict[str, tuple[Callable[[Connection], object], str, int]] = {
    "settle 3,000 children": (settle(6), "SELECT", 100_000),
    "settle 100,000 children, the first": (settle(1), RELAXATION_OVER.format("failed"), 60_000),
    "settle what was left blocked": (
        settle(3),
        "UPDATE jobs SET settled_at = now() WHERE id = 200000",
        60_000,
    ),
    "unblock": (finish, "SELECT", 30_000),
    "finish a slice": (finish_together, "SELECT", 5000),
    "claim a slice": (claim, "SELECT", 5000),
    "record a child": (record, "SELECT", 50),
    "retry a parent of 3,000": (
        lambda c: transitions.retry(c, [FAILED], by="test"),
        a_third("upstream_failed"),
        100_000,
    ),
    "retry a child": (
        lambda c: transitions.retry(c, [FAILED + 1], with_parents=True, by="test"),
        a_third("upstream_failed"),
        100_000,
    ),
    "retry jobs without children": (
        lambda c: transitions.retry(c, range(OLD, OLD + 1000), by="test"),
        "UPDATE jobs SET state = 'failed' WHERE id >= 300000 AND state = 'succeeded'",
        20_000,
    ),
    "prune jobs without children": (lambda c: retention.delete_finished(c, 86400.0, 1000), "SELECT", 60_000),
    "prune a parent and its children": (
        lambda c: retention.delete_finished(c, 86400.0, 4000),
        a_third("upstream_failed"),
        150_000,
    ),
    "count what would be pruned": (lambda c: retention.count_prunable(c, 86400.0), "SELECT", 110_000),
    "archive": (archive, "SELECT", 30_000),
    "show": (read, "SELECT", 10),
}


@pytest.mark.parametrize("name", ACTS)
def test_nothing_reads_a_table_for_each_child(name: str, board: Settings) -> None:
    act, before, most = ACTS[name]
    found = executed(board, act, before)
    whole = [node for node in found.on("jobs", "dependencies") if node["Node Type"] == "Seq Scan"]
    assert not whole, whole
    assert found.rows() <= most, found.told()
