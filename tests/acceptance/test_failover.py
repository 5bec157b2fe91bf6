"""The primary of a real Postgres is killed under load, and its standby takes over."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from simcelery.board import engine, migrate
from simcelery.services import Services
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from tests.acceptance import saying
from tests.acceptance.saying import every_outcome_is_its_own, finished, ran
from tests.conftest import Project, make_project
from tests.programs import BIN
from tests.servers import all_succeeded, ask
from tests.standbys import Pair, pair
from tests.waiting import wait_until, within


@pytest.fixture
def servers_of_postgres() -> Iterator[Pair]:
    with pair() as made:
        yield made


@pytest.fixture
def settings(servers_of_postgres: Pair, board: Services) -> Iterator[Settings]:
    """Those of a board on these servers, with the Redis of all tests."""
    urls = {"database_url": Secret(servers_of_postgres.url), "broker_url": Secret(board.broker_url)}
    made = Settings(**urls)
    migrate.upgrade(made)
    yield made
    engine.dispose()


@pytest.fixture
def project(settings: Settings, board: Services, tmp_path: Path) -> Iterator[Project]:
    made = make_project(board, tmp_path)
    made.environment["SIMCELERY_DATABASE_URL"] = settings.board_url().replace("+psycopg", "")
    made.environment["SIMCELERY_HOME"] = str(tmp_path / "home")
    saying.add_to(made)
    yield made
    made.end()


def started(project: Project, code: str) -> subprocess.Popen[str]:
    """A client's Python code, that is told through its standard input when to go on."""
    process = subprocess.Popen(
        [str(BIN / "python"), "-c", code],
        cwd=project.folder,
        env=project.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    project.processes.append(process)
    return process


def said_by_doctor(project: Project) -> str:
    """Whether nothing is lost in a failover."""
    checks = json.loads(project.run("simcelery", "doctor", "-o", "json").stdout)["checks"]
    [verdict] = [one["verdict"] for one in checks if one["name"] == "failover"]
    return str(verdict)


def nothing_odd(project: Project) -> None:
    """No worker met an error that it does not know."""
    for odd in ("Traceback", "a new pool child replaces it"):
        assert odd not in project.logs()


# Waits for the result of a job that runs meanwhile.
WAITS = """
import says
assert says.says.submit("waited", {folder!r}, 5.0, priority=9).result(timeout=90) == "waited"
"""


@pytest.mark.timeout(240)
def test_a_synchronous_failover_under_load_loses_nothing_and_workers_go_on(
    project: Project, settings: Settings, servers_of_postgres: Pair
) -> None:
    servers_of_postgres.be_synchronous()
    workers = [project.worker("-c", "2") for _ in range(2)]
    submission = project.start_python(saying.submits(project, 150))
    waits = project.start_python(WAITS.format(folder=str(project.folder / "ran")))
    wait_until(lambda: len(finished(settings)) >= 30 and ran(project)["waited"])
    before = finished(settings)
    servers_of_postgres.kill(0)
    # For longer than a lease, so that all of them have lapsed when the standby takes over.
    tried = "the lease could not be renewed"
    wait_until(lambda: min(log.count(tried) for log in project.log_of_each().values()) > 10)
    servers_of_postgres.promote()
    assert (submission.wait(within(90)), waits.wait(within(90))) == (0, 0)
    wait_until(lambda: all_succeeded(settings, 151), 60)
    after = finished(settings)
    assert before == {number: after[number] for number in before}
    assert set(ran(project)) == {"waited", *(f"job-{number}" for number in range(150))}
    every_outcome_is_its_own(settings)
    assert [worker.poll() for worker in workers] == [None, None]
    assert len(ask(settings, "SELECT id FROM workers WHERE ended_at IS NULL")) == 2
    assert not ask(settings, "SELECT job_id FROM attempts WHERE outcome <> 'succeeded'")
    nothing_odd(project)


@pytest.mark.timeout(240)
def test_while_the_only_synchronous_standby_is_away_outcomes_wait_and_none_is_lost(
    project: Project, settings: Settings, servers_of_postgres: Pair
) -> None:
    assert said_by_doctor(project) == "warn"
    servers_of_postgres.be_synchronous()
    assert said_by_doctor(project) == "ok"
    worker = project.worker("-c", "2")
    submission = project.start_python(saying.submits(project, 20))
    wait_until(lambda: len(finished(settings)) >= 5)
    with servers_of_postgres.frozen_standby():
        known = finished(settings)
        ours = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        wait_until(lambda: ask(settings, ours)[0]["n"] >= 2)
        assert len(finished(settings).keys() - known.keys()) <= 2  # what it had confirmed before
    assert submission.wait(within(90)) == 0
    wait_until(lambda: all_succeeded(settings, 20), 60)
    assert ran(project) == Counter({f"job-{number}": 1 for number in range(20)})
    every_outcome_is_its_own(settings)
    assert worker.poll() is None


# What an asynchronous standby never hears of.
LOST = """
import says
from simcelery.errors import JobNotFoundError
jobs = says.says.submit_many([dict(text=f"lost-{{n}}", folder={folder!r}, pause=0.3) for n in range({jobs})])
print(*jobs.ids, flush=True)
input()
for job in jobs:
    try:
        print("got", job.id, job.result(timeout=60), flush=True)
    except JobNotFoundError as error:
        print("error", error, flush=True)
"""


@pytest.mark.timeout(300)
def test_after_an_asynchronous_failover_what_was_lost_runs_again_or_is_gone_and_nothing_is_mixed_up(
    project: Project, settings: Settings, servers_of_postgres: Pair, board: Services
) -> None:
    old = project.worker("-c", "2")
    folder = str(project.folder / "ran")

    def submit(text: str, count: int, pause: float) -> None:
        jobs = [{"text": f"{text}-{n}", "folder": folder, "pause": pause} for n in range(count)]
        assert project.python(f"import says; says.says.submit_many({jobs!r})").returncode == 0

    submit("done", 10, 0.0)
    wait_until(lambda: len(finished(settings)) == 10)
    # Their claims are known; how they end, is not.
    submit("running", 2, 4.0)
    wait_until(lambda: ran(project)["running-0"] == ran(project)["running-1"] == 1)
    # Known as pending; that they were claimed, is not.
    submit("waiting", 6, 3.0)
    servers_of_postgres.wait_for_standby()
    servers_of_postgres.cut()

    lost = 80  # more than an id is ahead on a standby
    client = started(project, LOST.format(folder=folder, jobs=lost))
    assert client.stdin is not None and client.stdout is not None  # noqa: PT018
    gone = set(map(int, client.stdout.readline().split()))
    assert len(gone) == lost
    late = project.worker("-c", "2")
    wait_until(lambda: len(finished(settings)) >= 12 + 6 and ran(project)["lost-3"] == 1, 90)

    known = servers_of_postgres.execute(1, "SELECT max(id) FROM jobs")
    servers_of_postgres.kill(0)
    servers_of_postgres.promote()
    submit("new", lost, 0.3)
    again = {row["id"] for row in ask(settings, "SELECT id FROM jobs WHERE id > %s", known[0][0])}
    assert again & gone, "no id was given out twice: the test shows nothing"
    wait_until(lambda: all_succeeded(settings, 10 + 2 + 6 + lost), 120)
    every_outcome_is_its_own(settings)
    times = ran(project)
    assert all(times[f"new-{n}"] == 1 for n in range(lost))
    assert all(times[f"done-{n}"] == 1 for n in range(10))
    assert all(
        times[f"{name}"] >= 1 for name in ("running-0", "running-1", *(f"waiting-{n}" for n in range(6)))
    )

    # Whoever holds handles of what is gone hears that it is gone, and gets nobody else's result.
    answers = client.communicate("go on\n", timeout=within(60))[0].splitlines()
    assert len(answers) == lost
    assert all(re.fullmatch(r"error job \d+ is no longer on the board", answer) for answer in answers), (
        answers
    )

    # The worker that the new primary does not know ends, for its supervisor to start it again.
    wait_until(lambda: late.poll() is not None)
    assert late.returncode == 1
    log = project.log_of_each()
    assert log["worker2.log"].count("the board no longer knows this worker") == 1
    assert old.poll() is None
    nothing_odd(project)
    # No message is left that leads nowhere.
    with redis.Redis.from_url(board.broker_url) as server:
        wait_until(lambda: not [key for key in server.scan_iter() if server.type(key) == b"list"], 60)
