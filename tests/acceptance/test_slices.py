"""Short jobs that are claimed, run and finished together, on real workers."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import redis

import simcelery
from simcelery import services
from simcelery.settings import Settings
from tests.acceptance.helpers import LINES
from tests.board_helpers import lane, sql
from tests.conftest import Project
from tests.servers import all_succeeded, ask, kill_server
from tests.waiting import wait_until, within

# Most jobs wait on the board, and are run without ever having had a message.
NARROW = {"SIMCELERY_PUBLISH_WINDOW": "20"}


def submit(project: Project, path: Path, count: int, workflow: str = "brief", **options: object) -> None:
    """Submit jobs 0, 1, 2… with a client of its own."""
    words = "".join(f", {name}={value!r}" for name, value in options.items())
    jobs = f"({{'path': {str(path)!r}, 'number': n}} for n in range({count}))"
    done = project.python(f"import sims; sims.{workflow}.submit_many({jobs}{words})", **NARROW)
    assert done.returncode == 0, done.stderr


def runs(path: Path) -> Counter[int]:
    """How often each number ran."""
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def count(condition: str) -> int:
    """The jobs for which it holds."""
    return int(sql(f"SELECT count(*) FROM jobs WHERE {condition}")[0][0])


def transactions() -> int:
    """In how many transactions jobs were finished."""
    return int(sql("SELECT count(DISTINCT xmin::text) FROM attempts")[0][0])


def settled(number: int) -> bool:
    return count("state = 'succeeded'") == number


@pytest.mark.parametrize("options", [{}, {"time_limit": 600}], ids=["plain", "with a time limit"])
def test_a_backlog_of_short_jobs_is_run_in_slices_each_with_its_own_row_attempt_and_log(
    project: Project, tmp_path: Path, options: dict[str, object]
) -> None:
    submit(project, tmp_path / "ran", 2000, **options)
    project.worker("-c", "2", **NARROW)
    wait_until(lambda: settled(2000), 60)
    assert runs(tmp_path / "ran") == Counter(range(2000))
    assert transactions() < 500
    assert sql("SELECT count(*), count(DISTINCT claim_id) FROM attempts") == [(2000, 2000)]
    wrong = sql(
        "SELECT j.id FROM jobs j LEFT JOIN log_chunks l ON l.job_id = j.id WHERE l.text IS DISTINCT FROM"
        " 'this is ' || (j.parameters->>'number') || E'\\n' OR j.result <> j.parameters->'number'"
    )
    assert wrong == []
    assert count("started_at < submitted_at OR finished_at < started_at OR attempt <> 1") == 0


def test_a_workflow_may_opt_out(project: Project, tmp_path: Path) -> None:
    submit(project, tmp_path / "ran", 200, "lone")
    project.worker("-c", "2", **NARROW)
    wait_until(lambda: settled(200), 60)
    assert transactions() == 200


def test_while_work_is_there_a_child_needs_few_messages_and_leaves_none(
    project: Project, tmp_path: Path
) -> None:
    """Also where each job is claimed by itself. Those whose jobs have run by then are dropped together."""
    submit(project, tmp_path / "ran", 300, "lone")
    project.worker("-c", "1", **NARROW)
    wait_until(lambda: settled(300), 60)
    assert runs(tmp_path / "ran") == Counter(range(300))
    found = simcelery.app.control.inspect(timeout=within(10), limit=1).stats()
    [messages] = [stats["total"]["sims.lone"] for stats in found.values()]
    assert messages < 100
    broker = redis.Redis.from_url(project.environment["SIMCELERY_BROKER_URL"])
    wait_until(lambda: not broker.exists(lane("sims.lone")))


def test_what_is_more_urgent_waits_for_no_longer_than_a_slice(project: Project, tmp_path: Path) -> None:
    """A child that goes on without a message looks after a quarter of a second at all lanes again."""
    submit(project, tmp_path / "ran", 600, "lone")
    project.worker("-c", "1", **NARROW)
    wait_until(lambda: count("state = 'succeeded'") > 50)
    words = f"{str(tmp_path / 'urgent')!r}, 1, priority=9"
    assert project.python(f"import sims; sims.brief.submit({words})", **NARROW).returncode == 0
    [urgent] = simcelery.jobs(workflow="sims.brief")
    urgent.wait(timeout=within(10))
    [(meanwhile,)] = sql(
        "SELECT count(*) FROM jobs AS other JOIN jobs AS urgent ON urgent.id = :id"
        " WHERE other.id <> urgent.id AND other.started_at BETWEEN urgent.submitted_at AND urgent.started_at",
        id=urgent.id,
    )
    assert meanwhile < 50  # each takes 20 ms; with both commands' own time it may be more than a slice


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("before_claim", "kill"),
        ("before_finish", "kill"),
        ("after_finish", "kill"),
        ("after_following", "kill"),
        ("after_following", "kill-parent"),
    ],
)
def test_a_process_killed_while_it_goes_on_costs_no_job(
    project: Project, tmp_path: Path, line: str, action: str
) -> None:
    once = tmp_path / "once"
    once.mkdir()
    submit(project, tmp_path / "ran", 200, "lone")
    worker = project.worker(
        "-c",
        "1",
        SIMCELERY_FAILPOINTS=f"{line}={action}@{9 if line == 'before_claim' else 30}",
        SIMCELERY_FAILPOINTS_ONCE=str(once),
        **NARROW,
    )
    wait_until((once / line).exists)
    if action == "kill-parent":
        assert worker.wait(within(20)) == -signal.SIGKILL
        project.worker("-c", "1", **NARROW)
    wait_until(lambda: settled(200), 60)
    ran = runs(tmp_path / "ran")
    assert set(ran) == set(range(200))
    assert sum(ran.values()) - 200 in ((0, 1) if action == "kill-parent" else (line == "before_finish",))
    assert sql("SELECT count(*) FROM attempts WHERE outcome = 'succeeded'") == [(200,)]
    if action == "kill":  # what was claimed for after it had not begun
        assert count("losses > 0") == (1 if line == "before_finish" else 0)


@pytest.mark.parametrize("action", ["kill", "kill-parent"])
@pytest.mark.parametrize("line", LINES)
def test_a_process_killed_at_any_line_inside_a_slice_costs_no_job(
    project: Project, tmp_path: Path, line: str, action: str
) -> None:
    once = tmp_path / "once"
    once.mkdir()
    (once / line).touch()
    submit(project, tmp_path / "ran", 1500)
    worker = project.worker(
        "-c",
        "1",
        SIMCELERY_FAILPOINTS=f"{line}={action}",
        SIMCELERY_FAILPOINTS_ONCE=str(once),
        **NARROW,
    )
    wait_until(lambda: count("state = 'succeeded'") > 100)
    (once / line).unlink()
    wait_until((once / line).exists)
    if action == "kill-parent":
        assert worker.wait(within(20)) == -signal.SIGKILL
        project.worker("-c", "1", **NARROW)
    wait_until(lambda: settled(1500), 60)
    ran = runs(tmp_path / "ran")
    assert set(ran) == set(range(1500))
    assert max(ran.values()) <= 2
    assert sql("SELECT count(*) FROM attempts WHERE outcome = 'succeeded'") == [(1500,)]
    if action == "kill":  # only the job that ran has lost anything
        assert count("losses > 0") <= 1


def test_a_job_that_kills_its_process_takes_no_other_of_its_slice_with_it(
    project: Project, tmp_path: Path
) -> None:
    submit(project, tmp_path / "ran", 1500)
    words = f"{str(tmp_path / 'ran')!r}, -1, deadly=True, max_losses=1, priority=5"
    assert project.python(f"import sims; sims.brief.submit({words})", **NARROW).returncode == 0
    project.worker("-c", "1", **NARROW)
    wait_until(lambda: settled(1500) and count("state = 'failed'") == 1, 60)
    assert sql("SELECT losses, error_type FROM jobs WHERE state = 'failed'") == [(2, "LostWorkerError")]
    assert count("losses > 0") == 1
    assert runs(tmp_path / "ran")[-1] == 2


def test_a_long_job_in_a_slice_holds_up_neither_what_is_ready_nor_what_waits(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "ran"
    lines = [f"{{'path': {str(path)!r}, 'number': {n}}}" for n in range(300)]
    lines.insert(150, f"{{'path': {str(path)!r}, 'number': 1000, 'pause': 60}}")
    done = project.python(f"import sims; sims.brief.submit_many([{', '.join(lines)}])", **NARROW)
    assert done.returncode == 0, done.stderr
    project.worker("-c", "2", **NARROW)
    wait_until(lambda: count("state = 'succeeded'") == 300, 30)
    assert count("state = 'running'") == 1
    assert runs(path) == Counter([*range(300), 1000])
    assert count("attempt <> 1") == 0  # what went back had not begun
    [long] = simcelery.jobs(state="running")
    long.cancel()
    wait_until(lambda: count("state = 'cancelled'") == 1)
    assert settled(300)


def run_beside_one_that_is_too_long(project: Project, path: Path, **how: object) -> None:
    """Run 300 jobs with a time limit, of which the one in the middle exceeds it."""
    jobs: list[dict[str, object]] = [{"path": str(path), "number": n} for n in range(300)]
    jobs[150] |= how
    done = project.python(f"import sims; sims.brief.submit_many({jobs}, time_limit=2)", **NARROW)
    assert done.returncode == 0, done.stderr
    project.worker("-c", "1", SIMCELERY_KILL_GRACE="1", **NARROW)
    wait_until(lambda: settled(299) and count("state = 'failed'") == 1, 60)


@pytest.mark.parametrize("stubborn", [False, True])
def test_the_time_limit_of_a_job_in_a_slice_ends_that_job_alone(
    project: Project, tmp_path: Path, stubborn: bool
) -> None:
    """Also one that does not let itself be interrupted: its process is killed, and it alone failed."""
    path = tmp_path / "ran"
    run_beside_one_that_is_too_long(project, path, pause=60, stubborn=stubborn)
    [failed] = simcelery.jobs(state="failed")
    assert failed.row().parameters["number"] == 150
    assert sql("SELECT cause, error_type FROM attempts WHERE outcome = 'failed'") == [
        ("time_limit", "TimeLimitError")
    ]
    assert count("losses > 0 OR attempt <> 1") == 0
    assert runs(path) == Counter(range(300))


def test_what_a_killed_process_held_beside_the_job_that_was_too_long_has_lost_nothing(
    project: Project, tmp_path: Path
) -> None:
    """A job that leaves no time to other threads: its slice could not be put back before the kill."""
    path = tmp_path / "ran"
    run_beside_one_that_is_too_long(project, path, hogs=True)
    assert sql("SELECT cause FROM attempts WHERE outcome = 'failed'") == [("time_limit",)]
    assert count("state = 'failed' AND parameters->>'number' = '150'") == 1
    assert count("losses > 0") == 0
    assert max(runs(path).values()) <= 2


def test_failures_are_written_with_the_other_jobs_of_their_slice(project: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "ran")
    code = f"""
        import sims
        sims.brief.submit_many({{'path': {path!r}, 'number': n, 'fails': n % 2 == 1}} for n in range(1000))
    """
    assert project.python(code, **NARROW).returncode == 0
    project.worker("-c", "1", SIMCELERY_QUARANTINE_AFTER="0", **NARROW)
    wait_until(lambda: settled(500) and count("state = 'failed'") == 500, 60)
    assert runs(tmp_path / "ran") == Counter(range(1000))
    assert transactions() < 250
    wrong = "error_message IS DISTINCT FROM 'no ' || (parameters->>'number') OR attempt <> 1"
    assert count(f"state = 'failed' AND ({wrong})") == 0


def test_a_job_of_a_slice_may_be_tried_again(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    lines = [f"{{'path': {str(path)!r}, 'number': {n}}}" for n in range(200)]
    lines[100] = f"{{'path': {str(path)!r}, 'number': 100, 'once': {str(tmp_path / 'once')!r}}}"
    done = project.python(
        f"import sims; sims.brief.submit_many([{', '.join(lines)}], max_attempts=2)", **NARROW
    )
    assert done.returncode == 0, done.stderr
    project.worker("-c", "1", **NARROW)
    wait_until(lambda: settled(200), 30)
    assert runs(path) == Counter([*range(200), 100])
    assert sql("SELECT DISTINCT attempt, failures FROM jobs ORDER BY 1") == [(1, 0), (2, 1)]


def test_an_urgent_job_is_the_next_to_start_however_many_others_wait(
    project: Project, tmp_path: Path
) -> None:
    submit(project, tmp_path / "ran", 50_000, "lone", priority=1)
    project.worker("-c", "1")
    wait_until(lambda: count("state = 'succeeded'") > 20)
    done = project.python(f"import sims; sims.lone.submit({str(tmp_path / 'urgent')!r}, -1, priority=9)")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: count("priority = 9 AND state = 'succeeded'") == 1)
    urgent = "(SELECT {} FROM jobs WHERE priority = 9)"
    # The one whose message the worker had taken already.
    between = f"started_at > {urgent.format('published_at')} AND started_at < {urgent.format('started_at')}"
    assert count(between) <= 1


def test_an_urgent_job_waits_for_no_more_than_the_slice_that_runs(project: Project, tmp_path: Path) -> None:
    submit(project, tmp_path / "ran", 50_000, priority=1)
    project.worker("-c", "1")
    wait_until(lambda: count("state = 'succeeded'") > 500)
    done = project.python(f"import sims; sims.lone.submit({str(tmp_path / 'urgent')!r}, -1, priority=9)")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: count("priority = 9 AND state = 'succeeded'") == 1)
    assert count("state = 'pending'") > 20_000
    assert sql("SELECT extract(epoch FROM started_at - submitted_at) < 5 FROM jobs WHERE priority = 9") == [
        (True,)
    ]


def test_a_worker_that_comes_later_takes_its_share(project: Project, tmp_path: Path) -> None:
    """Most messages that it gets are of jobs that the slices of the other have taken."""
    submit(project, tmp_path / "ran", 15_000)
    project.worker("-c", "1", **NARROW)
    wait_until(lambda: count("state = 'succeeded'") > 1000)
    project.worker("-c", "1", **NARROW)
    wait_until(lambda: settled(15_000), 60)
    shares = sql("SELECT count(*) FROM attempts GROUP BY worker_id ORDER BY worker_id")
    assert len(shares) == 2
    assert shares[1][0] > 500
    assert runs(tmp_path / "ran") == Counter(range(15_000))


def test_slices_of_one_queue_starve_no_other(project: Project, tmp_path: Path) -> None:
    submit(project, tmp_path / "ran", 30_000)
    submit(project, tmp_path / "others", 8, "lone", queue="other")
    project.worker("-c", "1", "-Q", "default,other", **NARROW)
    wait_until(lambda: count("queue = 'other' AND state = 'succeeded'") == 8, 60)
    assert count("state = 'pending'") > 10_000


def test_postgres_killed_just_after_asynchronous_claims_costs_no_job(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    """Such a claim may be gone with it: the job runs again under another claim, and only that one counts."""
    settings, project = own
    submit(project, tmp_path / "ran", 4000)
    worker = project.worker("-c", "2", **NARROW)
    for done in (300, 1200, 2400):
        wait_until(lambda done=done: len(runs(tmp_path / "ran")) > done)  # type: ignore[misc]
        kill_server(settings, "postgres")
        services.up(settings)
    wait_until(lambda: all_succeeded(settings, 4000), 90, every=0.3)
    assert set(runs(tmp_path / "ran")) == set(range(4000))
    ended = "SELECT count(*) AS n, count(DISTINCT job_id) AS jobs FROM attempts WHERE outcome = 'succeeded'"
    assert ask(settings, ended) == [{"n": 4000, "jobs": 4000}]
    assert ask(settings, "SELECT max(losses) AS n FROM jobs") == [{"n": 0}]
    assert worker.poll() is None


def fill_for_a_while(project: Project, path: Path, rounds: int) -> subprocess.Popen[bytes]:
    """A client that adds short jobs of one workflow whenever few wait: some always do."""
    code = f"""
        import simcelery, sims, time
        for round in range({rounds}):
            while simcelery.jobs(state="pending").counts().get("pending", 0) > 3000:
                time.sleep(0.05)
            sims.brief.submit_many({{'path': {str(path)!r}, 'number': n}} for n in range(1000))
    """
    return project.start_python(code)


@pytest.mark.parametrize("option", ["time_limit=600", "priority=4", "max_attempts=2"])
def test_a_job_whose_message_is_lost_starts_soon_in_a_lane_that_slices_keep_full(
    project: Project, tmp_path: Path, option: str
) -> None:
    """What slices leave behind hides that a message is missing: so each of them must bring what waits."""
    project.worker("-c", "2", SIMCELERY_TICK_EVERY="600")  # nothing is sent again
    submit(project, tmp_path / "first", 20)  # each is sent, and they prove short
    wait_until(lambda: settled(20))
    filling = fill_for_a_while(project, tmp_path / "ran", 400)
    try:
        wait_until(lambda: count("state = 'pending'") > 2000)
        client = redis.Redis.from_url(project.environment["SIMCELERY_BROKER_URL"])
        job = f"sims.brief.submit({str(tmp_path / 'lost')!r}, 1, {option})"
        # Recorded, never sent, and thought to have been sent.
        done = project.python(
            f"import sims; from simcelery import broker; broker.send = lambda jobs: jobs; print({job}.id)"
        )
        assert done.returncode == 0, done.stderr
        number = int(done.stdout)
        sql("UPDATE jobs SET published_at = now() WHERE id = :id AND state = 'pending'", id=number)
        assert client.llen(lane("sims.brief")) > 0
        wait_until(lambda: count(f"id = {number} AND state = 'succeeded'") == 1, 120)
        assert filling.poll() is None
    finally:
        filling.kill()
        filling.wait()


def test_what_slices_leave_behind_in_urgent_lanes_does_not_hold_up_others(
    project: Project, tmp_path: Path
) -> None:
    submit(project, tmp_path / "ran", 6000, priority=9)
    submit(project, tmp_path / "later", 1, "lone", priority=0)
    project.worker("-c", "1")
    wait_until(lambda: settled(6001), 90)
    after = "(SELECT max(finished_at) FROM jobs WHERE priority = 9)"
    assert count(f"priority = 0 AND started_at - {after} < interval '2 s'") == 1


def test_each_message_of_a_workflow_without_slices_brings_a_job(project: Project, tmp_path: Path) -> None:
    """Also where a worker counts its jobs, and one has a time limit: all messages name jobs that are gone."""
    submit(project, tmp_path / "ran", 6, "lone")
    done = project.python(
        f"import sims; sims.lone.submit({str(tmp_path / 'ran')!r}, 6, time_limit=600)", **NARROW
    )
    assert done.returncode == 0, done.stderr
    sql("UPDATE jobs SET task_id = gen_random_uuid()")
    project.worker("-c", "1", "--max-jobs", "7", SIMCELERY_TICK_EVERY="600")
    wait_until(lambda: settled(7), 30)
    assert runs(tmp_path / "ran") == Counter(range(7))
