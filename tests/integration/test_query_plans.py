"""No hot statement reads a whole table: their plans on a filled board."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event

from simcelery import settings
from simcelery.board import (
    durations,
    engine,
    feed,
    fingerprints,
    leases,
    migrate,
    notifications,
    reads,
    retention,
    sql,
    subscriptions,
    transitions,
    turns,
)
from simcelery.board.reads import estimates, measures
from simcelery.board.reads.jobs import Filter
from simcelery.board.reads.undelivered import undelivered
from simcelery.board.transitions.claim import asked
from simcelery.board.transitions.finish import by_claim
from simcelery.board.values import ClaimRequest, Lane, Registration
from simcelery.services import Services
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from tests.board_helpers import ERROR, new_job

# As a board that works off its jobs in their order: the old ones are over, most of the new ones wait.
FILL = """
INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, ended_at)
SELECT 'w' || n, 'h', n, '{cpu}', 1, '0', now() + interval '1 h', CASE WHEN n <= 2000 THEN now() END
FROM generate_series(1, 2100) n;
CREATE TEMPORARY TABLE plan AS
SELECT n, now() - (30000 - n) * interval '20 s' AS at, n < 20000 AS over, n < 20100 AS ran,
    CASE WHEN n % 3000 = 7 THEN 'rare' ELSE 'cpu' END AS queue,
    CASE WHEN n < 20000 THEN CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END
        WHEN n < 20100 THEN 'running' WHEN n % 10 = 5 THEN 'blocked' WHEN n % 10 = 6 THEN 'scheduled'
        ELSE 'pending' END AS state
FROM generate_series(1, 30000) n;
INSERT INTO jobs (id, task_id, workflow, parameters, state, queue, priority, tags, attempt, max_attempts,
    max_losses, run_at, published_at, publish_count, unmet, worker_id, pid, claim_id, submitted_by,
    submitted_at, started_at, finished_at, settled_at, gate_id)
SELECT n, gen_random_uuid(), 'w' || n % 4, jsonb_build_object('n', n, 'text', repeat('x', 100)), state,
    queue, n % 3 * 2, ARRAY['batch' || n / 100], ran::int, 1, 5,
    CASE WHEN state = 'scheduled' THEN now() + interval '1 h' END,
    CASE WHEN state = 'pending' AND n % 20 = 1 THEN now() END, (n % 20 = 1)::int, (state = 'blocked')::int,
    CASE WHEN ran THEN 2001 + n % 100 END, CASE WHEN ran THEN 1 END, CASE WHEN ran THEN gen_random_uuid() END,
    'me', at, CASE WHEN ran THEN at END, CASE WHEN over THEN at END,
    CASE WHEN over AND n % 500 > 1 THEN at END, CASE WHEN n % 5 = 0 THEN 1 + n / 100 END
FROM plan;
INSERT INTO gates (workflow, submitted_by, closed_by, moving, changed_at)
SELECT 'w1', 'me', CASE WHEN n % 10 = 3 THEN 'fuse' WHEN n % 10 = 5 THEN 'canary' END, n % 10 = 7,
    now() - interval '9 days' FROM generate_series(1, 310) n;
INSERT INTO canaries SELECT gate_id, min(id) FROM jobs WHERE gate_id % 10 = 5 GROUP BY gate_id;
INSERT INTO attempts (job_id, attempt, claim_id, outcome, worker_id, pid, started_at, finished_at)
SELECT id, 1, claim_id, state, worker_id, pid, started_at, finished_at FROM jobs WHERE id < 20000;
INSERT INTO dependencies (job_id, parent_id)
SELECT id, id - 1 FROM jobs WHERE state = 'blocked' OR (id % 2 = 0 AND id < 20000);
INSERT INTO log_chunks SELECT id, 1, 1, 'text' FROM jobs WHERE id < 10000;
INSERT INTO steps (job_id, name, key, code, given, output, attempt, seconds)
    SELECT id, 'scf', n, '', '{}', '1', 1, 1 FROM jobs, generate_series(1, 3) AS n WHERE id < 10000;
INSERT INTO checkpoints (job_id, attempt, state) SELECT id, 1, '1' FROM jobs WHERE id < 10000;
INSERT INTO subscriptions (address, events, workflow, jobs, submitted_by, look_at, unfinished, done_at)
SELECT 'mailto:me@x', '{done,first-failure}', 'w1', int8multirange(int8range(n * 100, n * 100 + 90)), 'me',
    now() + interval '1 h', 29000, CASE WHEN n % 50 > 0 THEN now() END FROM generate_series(1, 290) n;
INSERT INTO notifications (id, subscription_id, event, body, sent_at)
SELECT gen_random_uuid(), id, 'done', '{}', CASE WHEN id % 50 > 0 THEN now() END
FROM subscriptions, generate_series(1, 20);
INSERT INTO fingerprints SELECT id, id FROM jobs WHERE id < 29900;
"""
ONE_WORKER = b"""
INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, registration)
VALUES ('first', 'h', 1, '{cpu}', 1, '0', now() + interval '1 h', '4f7a5c1e-0000-4000-8000-000000000001')
"""
FIRST = Registration(1, uuid.UUID("4f7a5c1e-0000-4000-8000-000000000001"))
# The plans of statements within functions are not shown by EXPLAIN.
EXPLAINED = b"""
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET client_min_messages = log
"""
LAST = 30_000
MINE = 2001  # a worker
ME = Registration(MINE, uuid.uuid4())
CLAIM = uuid.uuid4()
LANE = Lane("cpu", "w1", 4)


@pytest.fixture(scope="module")
def filled(servers: Services) -> Iterator[Settings]:
    """A board of 30,000 jobs, in a database of its own."""
    with database(servers, "filled") as made:
        with connected(made) as connection:
            connection.execute(FILL.encode())
            connection.execute("VACUUM ANALYZE")
        yield made


@contextmanager
def database(servers: Services, name: str) -> Iterator[Settings]:
    """An empty board in a database of its own."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = f"{servers.database_url.rpartition('/')[0]}/{name}"
    made = replace(settings.get_settings(), database_url=Secret(url))
    migrate.upgrade(made)
    yield made
    engine.dispose()
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def connected(board: Settings) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(board.board_url().replace("+psycopg", ""), autocommit=True, prepare_threshold=None)


def plans(board: Settings, ask: Callable[[Connection], object]) -> str:
    """The plans of all statements that a function executes."""
    seen: list[tuple[str, Any]] = []

    def note(driver: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    with engine.begin(board) as connection:
        event.listen(connection, "before_cursor_execute", note)
        ask(connection)
        event.remove(connection, "before_cursor_execute", note)
        connection.rollback()
    lines = []
    with engine.begin(board) as connection:
        for statement, parameters in seen:
            is_setting = statement.lstrip().startswith("SET ")
            told = connection.exec_driver_sql(statement if is_setting else f"EXPLAIN {statement}", parameters)
            lines += [] if is_setting else [line for (line,) in told]
    return "\n".join(lines)


def body_of(function: str) -> str:
    """What a function in SQL asks, whose plan cannot be seen from outside."""
    return sql.statement(f"functions/{function}").split("$$")[1]


def listed(**which: Any) -> Callable[[Connection], object]:
    return lambda connection: reads.jobs(connection, Filter(**which), limit=20)


def counted(**which: Any) -> Callable[[Connection], object]:
    return lambda connection: reads.counts_by_workflow(connection, Filter(**which))


ASKED: dict[str, tuple[Callable[[Connection], object], tuple[str, ...]]] = {
    # What every job costs.
    "finish": (
        lambda c: transitions.finish(c, by_claim(CLAIM, CLAIM), ERROR),
        ("jobs_task_id_key",),
    ),
    # What recovery and leases ask again and again.
    "lanes": (lambda c: feed.lanes(c, 2000), ("jobs_unpublished", "jobs_published")),
    "unpublished": (lambda c: feed.unpublished(c, LANE, 100), ("jobs_unpublished",)),
    "overdue": (lambda c: feed.overdue(c, LANE, 100), ("jobs_published",)),
    "anything pending in a lane": (
        lambda c: feed.anything_pending(c, LANE),
        ("jobs_unpublished", "jobs_published"),
    ),
    "mark published": (
        lambda c: sql.execute(c, "mark_published", ids=[LAST]),
        ("jobs_pkey",),
    ),
    "stage": (lambda c: transitions.stage(c, 1000), ("jobs_scheduled",)),
    "rescue": (lambda c: transitions.rescue(c, grace=0.0, limit=1000, judge=MINE), ("jobs_running",)),
    "settle": (lambda c: transitions.settle(c, 1000), ("jobs_unsettled", "dependencies_p", "jobs_pkey")),
    "learn": (
        durations.learn,
        ("Index Scan Backward using jobs_succeeded",),
    ),
    "prune": (
        lambda c: retention.delete_finished(c, 6 * 86400.0, 1000),
        ("jobs_finished", "dependencies_parent"),
    ),
    "archive": (
        lambda c: retention.archived(c, [1, 2, 3]),
        ("jobs_pkey", "attempts_pkey", "steps_pkey", "log_chunks_pkey", "dependencies_pkey"),
    ),
    # What is asked for those who want to be told.
    "who is to be told": (
        subscriptions.to_look_at,
        ("jobs_pkey", "jobs_unsuccessful", "subscriptions_active"),
    ),
    "whether all have ended": (lambda c: subscriptions.first_unfinished(c, 1), ("jobs_pkey",)),
    "whether one has failed": (lambda c: subscriptions.first_failure(c, 1), ("jobs_unsuccessful",)),
    "how the jobs of a subscription stand": (lambda c: subscriptions.states(c, 1), ("jobs_pkey",)),
    "what is to be sent": (lambda c: notifications.take(c, 1, 20), ("notifications_to_send",)),
    "whether one is held": (lambda c: subscriptions.held_job(c, 205), ("jobs_gate",)),
    # What gates cost.
    "gates at which there is something to do": (transitions.gates_due, ("jobs_gate", "jobs_pkey")),
    "hold": (lambda c: transitions.hold(c, 253, 1000), ("jobs_gate",)),
    "let go": (lambda c: transitions.let_go(c, 257, 1000), ("jobs_gate",)),
    "what is behind no gate": (lambda c: retention.forget_gates(c, 0.0, 1000), ("jobs_gate",)),
    # What dedupe asks.
    "the same parameters": (
        lambda c: fingerprints.same(c, {f"{n}": new_job(parameters={"n": n}) for n in range(100)}),
        ("fingerprints_fingerprint", "fingerprints_pkey", "jobs_pkey"),
    ),
    "how far fingerprints are behind": (
        lambda c: sql.execute(c, "fingerprints_behind", most=1001),
        ("fingerprints_pkey", "Index Only Scan using jobs_pkey"),
    ),
    # What people ask.
    "list": (listed(), ("jobs_pkey",)),
    "list a state": (listed(states=["failed"]), ("jobs_",)),
    "list a queue": (listed(queue="rare"), ("jobs_kind",)),
    "list a range of ids": (
        listed(ids=range(10_000, 20_000)),
        ("jobs_pkey", "id >= '10000'::bigint", "id <= '19999'::bigint"),
    ),
    "list no such workflow": (listed(workflow="none"), ("jobs_kind",)),
    "list an old tag": (listed(tags=["batch3"]), ("jobs_tags",)),
    "list the last minute": (listed(since=60.0), ("jobs_pkey",)),
    "status": (counted(), ("Index Only Scan using jobs_kind",)),
    "status of a workflow": (counted(workflow="w1"), ("Index Only Scan using jobs_kind",)),
    "status of a tag": (counted(tags=["batch3"]), ("jobs_tags",)),
    "counts": (lambda c: reads.counts(c, Filter()), ("Index Only Scan using jobs_kind",)),
    "wait": (lambda c: reads.states(c, range(1000)), ("jobs_pkey",)),
    "results": (lambda c: reads.results(c, range(1000)), ("jobs_pkey",)),
    "show": (lambda c: (reads.job(c, 5), reads.attempts(c, 5), reads.log(c, 5)), ("log_chunks_pkey",)),
    "explain": (
        lambda c: reads.number_before(c, reads.job(c, LAST - 1)),  # type: ignore[arg-type]
        ("jobs_unpublished", "jobs_published"),
    ),
    "how long it usually takes": (
        lambda c: estimates.usual(c, ["w1", "w2", "rare", "none"]),
        ("Index Scan Backward using jobs_succeeded",),
    ),
    "what is unfinished": (
        lambda c: estimates.unfinished(c, Filter(workflow="none")),
        ("jobs_kind",),
    ),
    "how long the oldest has been waiting": (
        measures.oldest_pending,
        ("jobs_published", "jobs_unpublished", "attempts_pkey", "dependencies_pkey"),
    ),
    "how many workers are lost": (measures.lost_workers, ("jobs_running",)),
    "how much work autoscalers see": (
        lambda c: c.exec_driver_sql(body_of("simcelery_demand").replace("p_queue", "'cpu'")),
        ("jobs_published", "jobs_unpublished"),
    ),
    "unserved": (reads.unserved, ("Index Only Scan using jobs_kind", "workers_live")),
    "what did not arrive": (lambda c: undelivered(c, 1), ("notifications_undelivered",)),
    "what never fits": (lambda c: reads.large(c, Filter()), ("workers_live",)),
    "anything left": (lambda c: reads.anything_left(c, ["none"], ["w1"], 1), ("jobs_",)),
    "anything pending": (lambda c: reads.anything_pending(c, ["cpu"], ["none"]), ("jobs_",)),
}


@pytest.mark.parametrize("name", ASKED)
def test_no_table_that_grows_is_read_as_a_whole(name: str, filled: Settings) -> None:
    ask, indexes = ASKED[name]
    plan = plans(filled, ask)
    assert not re.search(
        r"Seq Scan on (jobs|attempts|dependencies|log_chunks|steps|checkpoints|fingerprints|notifications)",
        plan,
    ), plan
    for index in indexes:
        assert index in plan, plan


@pytest.mark.parametrize(
    "ids",
    [
        range(9000, 12_000),
        [*range(9000, 10_500), *range(11_000, 9500, -1), 29_999, 40_000],
        range(1, 20_000, 7),
    ],
    ids=["one range", "ranges that overlap", "too many ranges"],
)
def test_many_ids_are_the_same_jobs_however_they_are_asked_for(ids: Sequence[int], filled: Settings) -> None:
    with engine.begin(filled) as connection:
        assert reads.ids(connection, Filter(ids=ids)) == sorted({each for each in ids if each <= LAST})


EMPTY = {
    "new": "",
    "analyzed": "VACUUM ANALYZE",
    "truncated": "TRUNCATE jobs RESTART IDENTITY CASCADE",
    "truncated and analyzed": "TRUNCATE jobs RESTART IDENTITY CASCADE; ANALYZE",
    "deleted": "DELETE FROM dependencies; DELETE FROM jobs; ANALYZE",
}


@pytest.mark.parametrize("how", EMPTY)
def test_functions_planned_on_an_empty_board_suit_a_large_one(servers: Services, how: str) -> None:
    """A connection keeps its plans, and a million jobs may arrive before Postgres has counted them."""
    wanted = ClaimRequest(uuid.uuid4(), "w1", CLAIM, FIRST, 1, "cpu", more=50)
    times = '"waited": 0, "ago": 0'
    ended = f'[{{"id": {LAST}, "claim_id": "{CLAIM}", "outcome": "succeeded", {times}, "log": "text"}}]'
    said: list[str] = []
    with database(servers, "grown") as board, connected(board) as worker, connected(board) as other:
        worker.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        worker.execute(EXPLAINED)
        for table in ("jobs", "attempts", "dependencies", "log_chunks"):
            # Otherwise Postgres may count the rows meanwhile, and plan anew.
            other.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())

        def work() -> int:
            claimed = worker.execute(sql.statement("claim").encode(), asked(wanted)).rowcount
            worker.execute(sql.statement("finish").encode(), {"ended": ended})
            worker.execute(
                sql.statement("renew").encode(), leases._renewal(FIRST, 20.0, None, ["w"], None, [5])
            )
            worker.execute(sql.statement("take_turns").encode(), turns.asked({"stage": 1.0}, "me", 40))
            return claimed

        if how not in ("new", "analyzed"):
            other.execute(FILL.encode())
            other.execute("ANALYZE")
            other.execute("DROP TABLE plan")
        for statement in filter(None, EMPTY[how].split(";")):
            other.execute(statement.encode())
        other.execute("DELETE FROM workers; ALTER TABLE workers ALTER id RESTART")
        other.execute(ONE_WORKER)
        assert work() == 0
        other.execute(FILL.encode())
        said.clear()
        assert work() == 51
        settings = worker.execute(
            "SELECT proconfig FROM pg_proc WHERE proname ~ '^(claim_jobs|finish_attempts)$'"
        )
        # Whatever this Postgres was built with, others compile what they think expensive.
        assert ["jit=off" in of_function for (of_function,) in settings] == [True, True]
    plan = "\n".join(said)
    used = set(re.findall(r"using (jobs\w+|dependencies\w+|log_chunks\w+|workers_live)", plan))
    assert used == {
        "jobs_running",
        "workers_live",
        "jobs_task_id_key",
        "jobs_slice",
        "jobs_published",
        "jobs_unpublished",
        "jobs_pkey",
        "dependencies_parent",
        "log_chunks_pkey",
    }, plan
    assert not re.search(r"(Seq|Bitmap Heap) Scan on (jobs|dep|log)|Hash Join|Merge", plan), plan


def test_a_claim_near_the_end_of_an_allocation_reads_no_lane_as_a_whole(servers: Services) -> None:
    """Nothing fits: neither of the jobs of the lane nor of what a limit keeps waiting."""
    said: list[str] = []
    with database(servers, "ending") as board, connected(board) as worker:
        worker.execute(FILL.encode())
        worker.execute("UPDATE jobs SET time_request = 3600 WHERE state = 'pending'; DELETE FROM workers")
        worker.execute("ALTER TABLE workers ALTER id RESTART")
        worker.execute(ONE_WORKER)
        worker.execute("UPDATE workers SET ends_at = now() + interval '1 minute'")
        worker.execute("VACUUM ANALYZE")
        worker.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        worker.execute(EXPLAINED)
        worker.execute("SET auto_explain.log_analyze = on")
        for set_up in ("", "INSERT INTO limits (name, most, set_by) VALUES ('workflow:w1', 1, 'me')"):
            if set_up:
                worker.execute(set_up.encode())
            wanted = ClaimRequest(uuid.uuid4(), "w1", CLAIM, FIRST, 1, "cpu")
            assert worker.execute(sql.statement("claim").encode(), asked(wanted)).rowcount == 0
    plan = "\n".join(said)
    for index in ("jobs_published", "jobs_unpublished", "jobs_requested"):
        assert index in plan, plan
    assert not re.search(r"(Seq|Bitmap Heap) Scan on jobs", plan), plan
    read = [int(rows) for rows in re.findall(r"Scan.* on jobs .*actual .*rows=(\d+)", plan)]
    left_out = [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
    assert 0 < max(read) <= 500, plan
    assert max(left_out, default=0) <= 1, plan


def test_a_step_of_settle_ends_when_there_is_nothing_to_do(filled: Settings) -> None:
    """The children of all old failures are told within a few steps, and then none is looked at again."""
    for _ in range(100):
        with engine.begin(filled) as connection:
            if not transitions.settle(connection, 1000).more:
                break
    plan = plans(filled, lambda connection: connection.execute(transitions.unsettled(10)))
    assert "jobs_unsettled" in plan
    with engine.begin(filled) as connection:
        assert connection.scalars(transitions.unsettled(10)).all() == []
