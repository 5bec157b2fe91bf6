"""What a worker says of itself and of its jobs, as a user starts it and at every level."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import urlsplit

import pytest

from simcelery import services
from tests.acceptance.helpers import submit, submit_command
from tests.board_helpers import sql
from tests.conftest import BIN, Project
from tests.waiting import wait_until, within

LEVELS = [(), ("-l", "INFO")]
LINE = re.compile(r"^\[[^]]*: (?:INFO|WARNING|ERROR)/[^]]*\] (.*)$", re.MULTILINE)
ENDS = re.compile(r"^(?:job \d+|[\d,]+) (?:sims\.\w+|command) .*")
COUNTED = re.compile(r"([\d,]+) sims\.(\w+) jobs (succeeded|failed) in [\d.]+ s")


def all_done(number: int) -> bool:
    """Whether so many jobs have succeeded."""
    return sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == [(number,)]


def said(project: Project) -> list[str]:
    """What its workers logged, without the time."""
    return LINE.findall(project.logs())


def ends(project: Project) -> list[str]:
    """What they logged of the ends of jobs."""
    return [line for line in said(project) if ENDS.match(line)]


@pytest.mark.parametrize("level", LEVELS)
def test_one_line_tells_when_it_is_ready_and_with_what(
    project: Project, board: services.Services, level: tuple[str, ...]
) -> None:
    project.worker("-c", "3", "-Q", "gpu,cpu", level=level)
    [line] = [line for line in said(project) if "ready" in line]
    assert re.match(r"w0@\S+ ready\. Queues: cpu, gpu; workflows: \d\d; jobs at once: 3; ", line)
    for name, url in (("board", board.database_url), ("broker", board.broker_url)):
        parts = urlsplit(url)
        assert re.search(rf"{name}: \w+://\w*:\*\*\*@{parts.hostname}:{parts.port}/", line), line
        assert parts.password
        assert parts.password not in project.logs()


def test_a_misspelt_setting_is_named_in_one_line(project: Project) -> None:
    project.worker(level=(), SIMCELERY_DATABSE_URL="x", SIMCELERY_LEASES="9")
    [line] = [line for line in said(project) if "is not a setting" in line]
    assert line == (
        "environment: SIMCELERY_DATABSE_URL is not a setting; did you mean SIMCELERY_DATABASE_URL?; "
        "SIMCELERY_LEASES is not a setting; did you mean SIMCELERY_LEASE?"
    )
    project.worker(level=())
    assert project.logs().count("is not a setting") == 2


FIELDS = """
import logging, os, threading
from celery.signals import after_setup_logger
from simcelery import app, current_job, workflow

app.conf.worker_log_format = "<%(job)s %(attempt)s %(claim)s %(worker)s> %(message)s"
log = logging.getLogger("mine")

@after_setup_logger.connect
def to_a_file(logger, **_):
    handler = logging.FileHandler("fields.log")
    handler.setFormatter(logging.Formatter("%(job)s|%(attempt)s|%(claim)s|%(worker)s|%(message)s"))
    logger.addHandler(handler)

@workflow
def speaks() -> None:
    log.error("from the workflow", extra={"job": "mine"} if current_job().tags else None)
    thread = threading.Thread(target=log.error, args=("from a thread",))
    thread.start()
    thread.join()

@workflow(max_losses=1)
def dies() -> None:
    os.kill(os.getpid(), 9)
"""


def test_records_say_of_which_attempt_they_tell(project: Project) -> None:
    """In a format of the user's own, from parent, pool child and thread; and in no process do they fail."""
    (project.folder / "spoken.py").write_text(FIELDS)
    (project.folder / "simcelery.toml").write_text('workflows = ["spoken"]\n')
    project.worker("-c", "1")
    done = project.python(
        "import logging, spoken; logging.basicConfig(format='%(job)s %(worker)s %(message)s'); "
        "jobs = [spoken.speaks.submit(), spoken.dies.submit(), spoken.speaks.submit(tags=['t'])]; "
        "[job.wait(timeout=60) for job in jobs]; logging.warning('in a client'); print(*jobs)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["None None in a client"]
    told = {
        (job, attempt, claim, message)
        for job, attempt, claim, worker, message in (
            line.split("|", 4)
            for line in (project.folder / "fields.log").read_text().splitlines()
            if line.count("|") >= 4
        )
        if worker.startswith("w0@")
    }
    claims = {
        (str(job), str(attempt)): str(claim)
        for job, attempt, claim in sql("SELECT job_id, attempt, claim_id FROM attempts")
    }
    spoke, died, _ = (str(one) for [one] in sql("SELECT id FROM jobs ORDER BY id"))
    own = (spoke, "1", claims[spoke, "1"])
    assert {(*own, "from the workflow"), (*own, "from a thread")} <= told
    assert [one[:3] for one in told if one[3].startswith(f"job {spoke} spoken.speaks succeeded")] == [own]
    lost = [one[:3] for one in told if one[3].startswith(f"job {died} spoken.dies ")]
    assert sorted(lost) == [(died, number, claims[died, number]) for number in ("1", "2")]
    assert [one[0] for one in told if one[3] == "from the workflow" and one[0] != spoke] == ["mine"]
    assert {one[:3] for one in told if " ready. " in one[3]} == {("None", "None", "None")}
    assert f"<{spoke} 1 {own[2]} w0@" in project.logs()
    assert "Logging error" not in project.logs()


@pytest.mark.parametrize("level", LEVELS)
def test_every_end_has_one_line_with_its_reason_in_short(project: Project, level: tuple[str, ...]) -> None:
    project.worker(level=level)
    expected = {
        submit(project, "add.submit(1)"): [r"succeeded in 0\.\d+ s"],
        submit(project, "flaky.submit(2)"): [
            r"failed after \S+ s and is scheduled again: ValueError: attempt 1 diverged",
            r"succeeded in \S+ s",
        ],
        submit(project, "picky.submit('fail')"): [r"failed after \S+ s: Fail: hopeless"],
        submit(project, "slow.submit(60.0)"): [r"failed after [12]\.\d s: TimeLimitError: .*"],
        submit(project, "misbehave.submit('os._exit')"): [
            r"was interrupted after \S+ s and is pending again: LostWorkerError: .*",
            r"failed after \S+ s: LostWorkerError: .*",
        ],
        submit_command(project, "sh", "-c", "exit 3"): [r"failed after \S+ s: CommandError: exit code 3.*"],
    }
    number = sum(map(len, expected.values()))
    wait_until(lambda: len(ends(project)) >= number, 100)
    for job, lines in expected.items():
        found = [line for line in said(project) if re.match(rf"job {job.id}\b", line)]
        assert len(found) == len(lines), said(project)
        for line, words in zip(found, lines, strict=True):
            assert re.fullmatch(rf"job {job.id} {job.workflow} {words}", line)
    assert len(ends(project)) == number
    assert not re.search("received|raised expected", project.logs())


def test_what_was_cancelled_or_handed_back_has_a_line_too(project: Project) -> None:
    worker = project.worker(level=())
    cancelled, held = (submit(project, f"listener.submit('p{n}', 'stay')") for n in range(2))
    wait_until(lambda: cancelled.state == held.state == "running", 60)
    cancelled.cancel()
    wait_until(lambda: len(ends(project)) == 1, 60)
    worker.terminate()
    worker.wait(within(60))
    first, second = ends(project)
    assert re.fullmatch(rf"job {cancelled.id} sims\.listener was cancelled after \S+ s: .*", first)
    assert re.match(rf"job {held.id} sims\.listener was interrupted after \S+ s and is pending again", second)


def test_an_error_of_a_job_begins_no_line_and_is_cut(project: Project) -> None:
    project.worker(level=())
    job = submit(project, r"complains.submit('\x1b[2Jx\n[2026: ERROR/X] forged\u202e' + 'z' * 500)")
    wait_until(lambda: ends(project), 30)
    [line] = ends(project)
    assert line.startswith(f"job {job.id} sims.complains failed after ")
    assert len(line) < 300
    assert line.isprintable()
    assert "\x1b" not in project.logs()


def test_a_worker_that_was_asked_to_be_quiet_is(project: Project) -> None:
    process = subprocess.Popen(
        [str(BIN / "celery"), "-A", "simcelery", "worker", "-c", "1", "-l", "WARNING"],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    project.processes.append(process)
    assert submit(project, "add.submit(1)").result(timeout=within(60)) == 2
    process.terminate()
    _, errors = process.communicate(timeout=within(60))
    assert b"INFO" not in errors


def test_thousands_of_short_jobs_are_counted_and_none_is_left_out(project: Project) -> None:
    project.worker("-c", "1", level=())
    done = project.python("import sims; sims.echo.submit_many({'value': n} for n in range(3000))")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: all_done(3000), 120)
    wait_until(lambda: told(project) == 3000, 30)  # what a child has counted it tells within a second
    assert len(ends(project)) < 100


def told(project: Project) -> int:
    """Of how many ends its workers' lines tell."""
    lines = ends(project)
    counted = [found[1] for line in lines if (found := COUNTED.fullmatch(line))]
    return len(lines) - len(counted) + sum(int(number.replace(",", "")) for number in counted)
