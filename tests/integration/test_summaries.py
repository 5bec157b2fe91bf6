"""What people ask of a large board: throughput, times, errors, pages; each through an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, event

from simcelery.board import engine, reads
from simcelery.board.reads import pages, summaries
from simcelery.board.reads.jobs import Filter
from simcelery.board.reads.pages import Page
from simcelery.board.reads.summaries import Spread
from simcelery.services import Services
from tests.board_helpers import sql
from tests.conftest import empty

JOBS = 100_000
HOUR, DAY = 3600.0, 86_400.0

# The jobs finished over the last two days but an hour, one every 1.7 s; every 50th of workflow w0 failed.
# They waited 100 s and ran 1 to 100 s. The last 2,000 are pending.
FILL = f"""
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, tags, max_attempts, max_losses,
    submitted_by, submitted_at, started_at, finished_at, attempt, worker_id, error_type, error_message)
SELECT gen_random_uuid(), 'w' || n % 5, '{{}}', state, 'default', 4, ARRAY['t' || n % 1000], 1, 5, 'test',
    ended - make_interval(secs => 101 + n % 100),
    CASE WHEN state <> 'pending' THEN ended - make_interval(secs => 1 + n % 100) END,
    CASE WHEN state <> 'pending' THEN ended END,
    1, :worker + n / 50 % 2,
    CASE WHEN state = 'failed' THEN CASE WHEN n % 150 = 0 THEN 'OSError' ELSE 'ValueError' END END,
    CASE WHEN state = 'failed' THEN 'no convergence of /scratch/' || n || '/in.cif after ' || n || '.5 steps'
        || E'\\nline ' || n END
FROM (SELECT n, now() - interval '1 hour' - make_interval(secs => ({JOBS} - n) * 169200.0 / {JOBS}) AS ended,
        CASE WHEN n > {JOBS} - 2000 THEN 'pending' WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END AS state
    FROM generate_series(1, {JOBS}) n) AS numbers
"""


@pytest.fixture(scope="module")
def large(servers: Services) -> Iterator[None]:
    """A board of 100,000 jobs."""
    empty(servers)
    [(worker,)] = sql(
        "INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at)"
        " SELECT 'w@' || h, h, 1, '{}', 1, '0', now() FROM unnest(ARRAY['n1', 'n2']) h RETURNING id"
    )[:1]
    sql(FILL, worker=worker)
    with engine.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE jobs")
    yield
    empty(servers)


@pytest.fixture
def connection(large: None) -> Iterator[Connection]:
    """A transaction on it."""
    with engine.begin() as opened:
        yield opened


def test_throughput_counts_each_job_in_one_interval(connection: Connection) -> None:
    hours = summaries.throughput(connection, Filter(), DAY, 24)
    assert len(hours) == 24
    assert {(b.start - a.start).total_seconds() for a, b in pairwise(hours)} == {HOUR}
    [(finished, ago)] = sql(
        "SELECT count(*), extract(epoch FROM now() - min(finished_at)) / 3600 FROM jobs"
        " WHERE finished_at > now() - interval '1 day'"
    )
    assert abs(sum(hour.finished for hour in hours) - finished) <= 2  # this now() is a moment later
    assert 23.9 < ago <= 24
    assert [hour.finished == 0 for hour in hours] == [False] * 23 + [True]  # the newest are pending
    some = summaries.throughput(connection, Filter(workflow="w1", tags=["t1"]), 3 * DAY, 1)
    assert some[0].finished == 98  # of 100, two are pending


def test_how_long_jobs_waited_is_told_by_intervals(connection: Connection) -> None:
    assert summaries.waited(connection, DAY, 24) == [100.0] * 23 + [None]
    connection.exec_driver_sql(
        "UPDATE jobs SET started_at = started_at + make_interval("
        "secs => CASE WHEN id > newest - 50 THEN 7 ELSE 900 END) "
        "FROM (SELECT max(id) AS newest FROM jobs WHERE state <> 'pending') AS ended "
        "WHERE finished_at > now() - interval '2 hours'"
    )
    told = summaries.waited(connection, 2 * HOUR, 2)
    connection.rollback()
    assert told == [107.0, None], "of the last ones of an interval"


@pytest.mark.parametrize("window", [DAY, 3 * DAY, 2 * HOUR, HOUR / 2])
@pytest.mark.parametrize("running", [False, True])
def test_the_time_in_which_jobs_ended(connection: Connection, window: float, running: bool) -> None:
    if running:
        connection.exec_driver_sql(
            "UPDATE jobs SET state = 'running', pid = 1, worker_id = (SELECT min(id) FROM workers), "
            "claim_id = gen_random_uuid(), started_at = now() WHERE id = (SELECT max(id) FROM jobs)"
        )
    found = summaries.period(connection, Filter(), window)
    hours = summaries.throughput(connection, Filter(), window, 24)
    [(count, start, last, now)] = connection.exec_driver_sql(
        "WITH w AS (SELECT now() - make_interval(secs => %(window)s) AS begin) "
        "SELECT count(*), greatest(min(started_at), min(begin)), max(finished_at), now() FROM jobs, w "
        "WHERE finished_at > begin AND finished_at <= now()",
        {"window": window},
    ).all()
    connection.rollback()
    assert sum(hour.finished for hour in hours) == count
    if not count:
        assert found is None
        return
    assert found is not None
    assert (found.start, found.until, found.running) == (start, now if running else last, running)
    assert found.seconds == (found.until - start).total_seconds()


def test_jobs_that_were_never_started_ended_all_the_same(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE jobs SET started_at = NULL WHERE workflow = 'w1'")
    found = summaries.period(connection, Filter(workflow="w1"), DAY)
    connection.rollback()
    assert found is not None
    assert 0 < found.seconds < DAY


def test_times_by_workflow(connection: Connection) -> None:
    found = {each.workflow: each for each in summaries.times(connection, Filter(), 3 * DAY, JOBS)}
    assert list(found) == ["w0", "w1", "w2", "w3", "w4"]
    assert found["w0"].ended == {"succeeded": 17_640, "failed": 1960}
    assert found["w1"].ended == {"succeeded": 19_600}
    assert found["w1"].waiting == Spread(100, 100, 100)
    # n % 100 of w1 is 1, 6 … 96.
    running = found["w1"].running
    assert running is not None
    assert (running.median, running.max) == (pytest.approx(49.5), pytest.approx(97))
    assert 87 <= running.p90 <= 92


def test_times_are_those_of_the_newest(connection: Connection) -> None:
    newest = summaries.times(connection, Filter(), 3 * DAY, 10)
    assert sum(each.finished for each in newest) == 10
    assert summaries.times(connection, Filter(workflow="nosuch"), 3 * DAY, 10) == []


def test_waiting_of_a_second_attempt_tells_nothing(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE jobs SET attempt = 2 WHERE workflow = 'w2' AND tags = ARRAY['t2']")
    [found] = summaries.times(connection, Filter(workflow="w2", tags=["t2"]), 3 * DAY, 10)
    assert found.waiting is None
    assert found.running is not None
    connection.rollback()


def test_errors_are_grouped_whatever_their_paths_and_numbers(connection: Connection) -> None:
    larger, smaller = summaries.errors(connection, Filter(), JOBS)
    message = "no convergence of <path> after # steps"
    assert (larger.error_type, larger.message, larger.count) == ("ValueError", message, 1307)
    assert (smaller.error_type, smaller.message, smaller.count) == ("OSError", message, 653)
    assert larger.count + smaller.count == 1960
    assert larger.hosts == ["n1", "n2"]
    assert larger.workflows == ["w0"]
    [(newest,)] = sql("SELECT max(id) FROM jobs WHERE error_type = 'ValueError'")
    assert larger.example == newest


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("residual 1.5e-3 > 10", "residual # > #"),
        ("<Atoms at 0x7f3a9c> of H2O", "<Atoms at #> of H#O"),
        ("no '/a/b c' nor ~/x/y.cif", "no '<path> c' nor <path>"),
        ("in eV/Å, not in km/h", "in eV/Å, not in km/h"),
        ("job 6f1c2a34-9b1e-4c55-8f0a-0123456789ab", "job #"),
        ("first\nsecond 2", "first"),
        (None, ""),
        ("x" * 500, "x" * 200),
    ],
)
def test_what_tells_no_errors_apart(connection: Connection, message: str | None, shown: str) -> None:
    [(number,)] = sql("SELECT max(id) FROM jobs WHERE state = 'failed'")
    statement = "UPDATE jobs SET error_message = %(message)s WHERE id = %(number)s"
    connection.exec_driver_sql(statement, {"message": message, "number": number})
    [group] = summaries.errors(connection, Filter(ids=[number]), 10)
    assert group.message == shown
    assert summaries.ids_with_error(connection, Filter(), group.error_type, shown) == [number]
    connection.rollback()


def test_all_jobs_of_an_error_are_found_not_only_the_newest(connection: Connection) -> None:
    [group] = summaries.errors(connection, Filter(), 1)
    assert group.count == 1
    ids = summaries.ids_with_error(connection, Filter(), group.error_type, group.message)
    [(expected,)] = sql("SELECT count(*) FROM jobs WHERE error_type = :type", type=group.error_type)
    assert len(ids) == expected
    assert ids == sorted(ids)
    assert ids == summaries.ids_with_error(connection, Filter(), group.error_type, None)
    assert summaries.ids_with_error(connection, Filter(workflow="w1"), group.error_type, None) == []


def test_errors_of_jobs_that_did_not_fail(connection: Connection) -> None:
    assert summaries.errors(connection, Filter(states=["succeeded"]), 10) == []
    assert summaries.errors(connection, Filter(states=["cancelled"]), 10) == []
    assert len(summaries.errors(connection, Filter(states=["failed", "succeeded"]), JOBS)) == 2


def test_pages_hold_each_job_once(connection: Connection) -> None:
    every = reads.ids(connection, Filter(workflow="w3"))
    seen: list[int] = []
    page = Page(workflow="w3")
    for size in [3000] * 6 + [2000]:
        found = pages.ids(connection, page, limit=3000)
        assert len(found) == size
        seen += found
        page = Page(workflow="w3", before=found[-1])
    assert seen == every[::-1]
    between = Page(workflow="w3", after=every[2], before=every[7])
    assert pages.ids(connection, between, limit=100) == every[6:2:-1]
    assert [row.id for row in reads.jobs(connection, between, limit=2)] == [every[6], every[5]]
    following = Page(workflow="w3", after=every[2])
    assert following.follows
    assert pages.ids(connection, following, limit=2, newest=False) == every[3:5]


Asked = Callable[[Connection], Any]


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        pytest.param(lambda c: summaries.throughput(c, Filter(), DAY, 24), "jobs_finished", id="stats"),
        pytest.param(lambda c: summaries.period(c, Filter(), DAY), "jobs_finished", id="stats-period"),
        pytest.param(lambda c: summaries.waited(c, HOUR * 2, 60), "jobs_finished", id="monitor"),
        pytest.param(
            lambda c: summaries.throughput(c, Filter(workflow="w1"), HOUR * 2, 24),
            "jobs_finished",
            id="stats-w",
        ),
        pytest.param(lambda c: summaries.times(c, Filter(), DAY, 20_000), "jobs_finished", id="stats-times"),
        pytest.param(lambda c: summaries.errors(c, Filter(), 500), "jobs_unsuccessful", id="errors"),
        pytest.param(
            lambda c: summaries.errors(c, Filter(tags=["t50"]), 500),
            "jobs_unsuccessful|jobs_tags",
            id="errors-t",
        ),
        pytest.param(
            lambda c: summaries.ids_with_error(c, Filter(), "OSError", "m"),
            "jobs_unsuccessful|jobs_kind",
            id="retry-error",
        ),
        pytest.param(lambda c: pages.ids(c, Page(before=50_000), limit=20), "jobs_pkey", id="list-before"),
        pytest.param(lambda c: reads.jobs(c, Page(after=500), limit=21), "jobs_pkey", id="list-after"),
        pytest.param(lambda c: reads.counts_by_workflow(c, Filter()), "jobs_", id="watch"),
        pytest.param(lambda c: reads.counts_by_workflow(c, Filter(workflow="w1")), "jobs_", id="watch-w"),
        pytest.param(lambda c: reads.counts_by_workflow(c, Filter(tags=["t1"])), "jobs_", id="watch-t"),
    ],
)
def test_an_index_is_read_and_never_the_whole_table(connection: Connection, ask: Asked, index: str) -> None:
    plan = _plan(connection, ask)
    assert any(f"using {name}" in plan or f"on {name}" in plan for name in _indexes(index)), plan
    assert "Seq Scan on jobs" not in plan


def _indexes(names: str) -> list[str]:
    known = [name for (name,) in sql("SELECT indexname FROM pg_indexes WHERE tablename = 'jobs'")]
    return [name for name in known if name.startswith(tuple(names.split("|")))]


def _plan(connection: Connection, ask: Asked) -> str:
    """The plans of all statements that a question consists of."""
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        asked.append((statement, parameters))

    event.listen(connection.engine, "before_cursor_execute", note)
    try:
        ask(connection)
    finally:
        event.remove(connection.engine, "before_cursor_execute", note)
    plans = [connection.exec_driver_sql(f"EXPLAIN {statement}", given) for statement, given in asked]
    return "\n".join(line for plan in plans for (line,) in plan)
