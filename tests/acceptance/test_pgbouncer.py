"""Everything through a real PgBouncer in transaction mode, configured as docs/scale.md shows it."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from benchmarks import _bouncer
from simcelery import Job, get_job, settings
from simcelery.board import engine, transitions
from simcelery.board.values import ClaimRequest
from simcelery.services import Services
from tests.board_helpers import SUCCESS, attempts, record, registration, sql, worker
from tests.conftest import Project, make_project
from tests.waiting import wait_until, within

pytestmark = pytest.mark.skipif(_bouncer.MISSING is not None, reason=str(_bouncer.MISSING))

# Each transition, the server connection that it came by, and whether its commit waits for the disk.
WATCH = """
CREATE TABLE seen (old text, new text, server int, durable text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO seen VALUES (OLD.state, NEW.state, pg_backend_pid(), current_setting('synchronous_commit'));
  RETURN NULL;
END $$;
CREATE TRIGGER see AFTER UPDATE OF state ON jobs FOR EACH ROW EXECUTE FUNCTION see();
"""
ASKED = """
SELECT current_setting('synchronous_commit'), current_setting('statement_timeout'), pg_backend_pid()
"""
SEEN = "SELECT old, new, durable, server FROM seen WHERE old <> new"


@contextmanager
def through_bouncer(board: Services, folder: Path, connections: int) -> Iterator[Project]:
    """PgBouncer with so many server connections; a project whose workers and clients go through it."""
    with _bouncer.bouncer(board.database_url, default_pool_size=connections) as url:
        engine.dispose()
        settings.override({"database_url": url})
        project = make_project(Services(url, board.broker_url, ()), folder)
        try:
            yield project
        finally:
            project.end()
            engine.dispose()
            settings.override({"database_url": board.database_url})


@pytest.fixture
def bounced(board: Services, tmp_path: Path) -> Iterator[Project]:
    """Two server connections for everybody."""
    with through_bouncer(board, tmp_path, 2) as project:
        yield project


@pytest.fixture
def single_lane(board: Services, tmp_path: Path) -> Iterator[Project]:
    """One server connection for everybody: what one transaction leaves behind, the next one meets."""
    with psycopg.connect(board.database_url, autocommit=True) as direct:
        direct.execute(WATCH)
        with through_bouncer(board, tmp_path, 1) as project:
            yield project
        direct.execute("DROP FUNCTION see CASCADE; DROP TABLE seen")


def client(project: Project, code: str) -> list[Job]:
    """The jobs that a client of its own submits; `code` gives a list of them."""
    done = project.python(f"import sims\nfor job in {code}: print(job.id)")
    assert done.returncode == 0, done.stderr
    return [get_job(int(line)) for line in done.stdout.split()]


def test_jobs_run_and_are_cancelled(bounced: Project, tmp_path: Path) -> None:
    bounced.worker()
    [one] = client(bounced, "[sims.add.submit(1, 2)]")
    assert one.result(timeout=within(30)) == 3
    # By COPY, and by COPY into a temporary table what is not found.
    many = "sims.add.submit_many(({'a': n, 'b': 1} for n in range(%d)), dedupe=%s)"
    jobs = [job for given in ((250, False), (500, True)) for job in client(bounced, many % given)]
    wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == [(501,)], 60)
    assert [jobs[n].result() for n in (0, 249, 250, 749)] == [1, 250, 1, 500]
    [after] = client(bounced, "[sims.total.submit(values=[sims.add.submit(1, 1), sims.add.submit(2, 2)])]")
    assert after.result(timeout=within(30)) == 6
    [long] = client(bounced, f"[sims.trace.submit({str(tmp_path / 'count')!r}, pause=60)]")
    wait_until(lambda: long.state == "running")
    assert bounced.run("simcelery", "cancel", str(long.id), "--wait", "-y").returncode == 0
    assert long.state == "cancelled"


def test_a_job_of_a_killed_worker_runs_again(bounced: Project, tmp_path: Path) -> None:
    victim = bounced.worker("-c", "1")
    [job] = client(bounced, f"[sims.trace.submit({str(tmp_path / 'count')!r}, pause=3)]")
    wait_until(lambda: (tmp_path / "count").exists())
    os.kill(victim.pid, signal.SIGKILL)
    bounced.worker("-c", "1")
    assert job.result(timeout=within(60)) == "ran"
    assert [each["outcome"] for each in attempts(job.id)] == ["lost", "succeeded"]


def test_a_finish_is_durable_where_a_claim_was_not(single_lane: Project) -> None:
    job, mine = record(), worker()
    claims = transitions.claim(
        ClaimRequest(job.task_id, "w", uuid.uuid4(), registration(mine), os.getpid(), durable=False)
    )
    [claim] = claims
    # Whoever gets the server connection next.
    url = single_lane.environment["SIMCELERY_DATABASE_URL"]
    with psycopg.connect(url, prepare_threshold=None) as stranger:
        durable, timeout, server = stranger.execute(ASKED).fetchone() or ()
    transitions.finish_at_once([SUCCESS.of(claim)])
    assert (durable, timeout) == ("on", "0")
    seen = sql(SEEN)
    assert [tuple(each) for each in seen] == [
        ("pending", "running", "off", server),
        ("running", "succeeded", "on", server),
    ]


def test_a_worker_finishes_durably_what_it_claims_in_haste(single_lane: Project) -> None:
    single_lane.worker("-c", "1")
    for _ in range(2):  # only the second time they are known to be short when the first message comes
        jobs = client(single_lane, "sims.add.submit_many({'a': n} for n in range(50))")
        assert [job.result(timeout=within(60)) for job in jobs] == [n + 1 for n in range(50)]
    seen = [tuple(each) for each in sql(SEEN)]
    assert len({server for *_, server in seen}) == 1
    # A slice that takes too long puts back what it has not begun, which is claimed again.
    claimed = [durable for _, new, durable, _ in seen if new == "running"]
    finished = [durable for _, new, durable, _ in seen if new == "succeeded"]
    assert len(claimed) >= len(finished) == 100
    assert set(claimed) == {"on", "off"}  # with a finish, or by itself
    assert set(finished) == {"on"}
