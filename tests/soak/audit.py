"""The audit: what the board says, what the executions' files say, and what was expected, must agree."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

from simcelery.execution.processes import MARK
from tests.soak.load import Expected

Row = dict[str, Any]


@dataclass(frozen=True)
class Board:
    """All that the board says."""

    jobs: dict[str, list[Row]]  # by token
    attempts: dict[int, list[Row]]  # by job, in their order
    quarantined: frozenset[str]  # the nodenames of workers that have been in quarantine

    @classmethod
    def read(cls, url: str, logs: Path) -> Board:
        """One look, in one transaction. Of a quarantine that is over only the workers' `logs` tell."""
        jobs, attempts = defaultdict(list), defaultdict(list)
        with psycopg.connect(url, row_factory=dict_row) as connection:
            for row in connection.execute("SELECT * FROM jobs ORDER BY id"):
                jobs[token_of(row)].append(row)
            for row in connection.execute("SELECT * FROM attempts ORDER BY job_id, attempt"):
                attempts[row["job_id"]].append(row)
        return cls(jobs, attempts, frozenset(_quarantined(logs)))


def _quarantined(logs: Path) -> Iterator[str]:
    for path in logs.glob("worker*.log"):
        text = path.read_text(errors="replace")
        banner = re.search(r"^ -------------- (\S+@\S+) ", text, re.MULTILINE)
        if banner and "this worker is in quarantine" in text:
            yield banner.group(1)


def token_of(job: Mapping[str, Any]) -> str:
    """What names the job in this soak."""
    parameters = job["parameters"]
    return str(parameters["argv"][-1] if "argv" in parameters else parameters["token"])


def problems(
    board: Board, expected: Mapping[str, Expected], executions: Path, repeated: Set[str] = frozenset()
) -> Iterator[str]:
    """Everything that is wrong.

    Parameters:
        repeated: the tokens of jobs whose executions the board may not know of: an older state was restored.
    """
    for token in sorted(expected.keys() - board.jobs.keys()):
        yield f"{token}: lost: it was submitted, and is not on the board"
    for token in sorted(board.jobs.keys() - expected.keys()):
        yield f"{token}: nobody submitted it"
    for token in sorted(expected.keys() & board.jobs.keys()):
        rows = board.jobs[token]
        if len(rows) > 1:
            yield f"{token}: {len(rows)} jobs for one submission: {[row['id'] for row in rows]}"
        job, wanted = rows[0], expected[token]
        ran = executed(executions / token)
        for problem in [
            *_of_job(job, wanted),
            *_of_attempts(job, board.attempts[job["id"]], board.quarantined),
            *_of_executions(job, board.attempts[job["id"]], ran, token in repeated),
        ]:
            yield f"{token} (job {job['id']}): {problem}"


def executed(path: Path) -> Counter[int]:
    """Attempt → how often it was executed."""
    if not path.exists():
        return Counter()
    words = path.read_text().split()
    return Counter(int(word.partition("@")[0].partition(".")[2]) for word in words)


def _of_job(job: Row, wanted: Expected) -> Iterator[str]:
    if job["state"] != wanted.state:
        yield f"is {job['state']}, and should be {wanted.state}: {job['error_type']}: {job['error_message']}"
    elif wanted.state == "succeeded" and not _as_expected(job["result"], wanted.result):
        yield f"its result is {job['result']}, and should be {wanted.result}"
    if job["finished_at"] is None:
        yield "is not finished"
    if wanted.kind == "outage" and job["attempt"] != 1:
        yield f"was attempted {job['attempt']} times, and only Postgres was away"
    if wanted.state == "failed" and job["failures"] != wanted.max_attempts:
        yield f"failed after {job['failures']} failures, and should after {wanted.max_attempts}"


def _as_expected(result: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(result, dict) and wanted.items() <= result.items()
    return bool(result == wanted)


def _of_attempts(job: Row, attempts: list[Row], quarantined: frozenset[str]) -> Iterator[str]:
    numbers = [row["attempt"] for row in attempts]
    if numbers != list(range(1, job["attempt"] + 1)):
        yield f"attempts {numbers}, and the job counts {job['attempt']}"
    outcomes = Counter(row["outcome"] for row in attempts)
    if outcomes["succeeded"] != (job["state"] == "succeeded"):
        yield f"is {job['state']} with {outcomes['succeeded']} succeeded attempts"
    if outcomes["succeeded"] and attempts[-1]["outcome"] != "succeeded":
        yield "was attempted again after its success"
    accepted = Counter((row["late_outcome"] or {}).get("accepted_after") for row in attempts)
    # The last failures of a worker in quarantine are handed back: they stay in the record, and do not count.
    handed_back = sum(row["outcome"] == "failed" and row["nodename"] in quarantined for row in attempts)
    if not outcomes["failed"] - handed_back <= job["failures"] <= outcomes["failed"]:
        yield f"counts {job['failures']} failures, and has {outcomes['failed']} failed attempts"
    if job["losses"] != outcomes["lost"] + accepted["lost"]:
        yield f"counts {job['losses']} losses, and has {outcomes['lost']} lost attempts"
    if len({row["claim_id"] for row in attempts}) != len(attempts):
        yield "two attempts share a claim"


def _of_executions(job: Row, attempts: list[Row], ran: Counter[int], repeated: bool) -> Iterator[str]:
    for number, times in sorted(ran.items()):
        if repeated:
            continue
        if times > 1:
            yield f"attempt {number} was executed {times} times"
        if number > len(attempts):
            yield f"attempt {number} was executed, and is not on the board"
    for row in attempts:
        if row["outcome"] in ("succeeded", "failed") and not ran[row["attempt"]]:
            yield f"attempt {row['attempt']} {row['outcome']} without having been executed"


def left_running(home: Path) -> Iterator[str]:
    """Processes of jobs, or of workers, that should be gone."""
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            ours = environment.get("SIMCELERY_HOME") == str(home)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                of_job = f" of attempt {environment[MARK]}" if MARK in environment else ""
                yield f"process {process.pid}{of_job} is left: {' '.join(process.cmdline())}"
        except psutil.Error:
            continue


def task_ids(url: str) -> set[str]:
    """Of all jobs on the board."""
    with psycopg.connect(url) as connection:
        return {str(task_id) for (task_id,) in connection.execute("SELECT task_id FROM jobs")}


def in_spool(spool: Path, undone: Set[str]) -> list[str]:
    """Files in the spool, but for those of jobs that the board has not known since a backup was restored.

    Parameters:
        undone: the task ids of these jobs.
    """
    files = sorted(spool.glob("*"))
    return [f"{path} is left in the spool" for path in files if path.name.partition(".")[0] not in undone]


def slowest_rescue(
    url: str, kills: Iterable[tuple[int, float]], outages: Iterable[tuple[str, float, float]]
) -> float | None:
    """Seconds from the kill -9 of a worker to the end of its jobs on the board, where Postgres was up."""
    away = [(since, until) for server, since, until in outages if server == "postgres"]
    longest = None
    with psycopg.connect(url) as connection:
        for pid, at in kills:
            row = connection.execute(
                "SELECT extract(epoch FROM max(a.finished_at))"
                " FROM attempts a JOIN workers w ON w.id = a.worker_id"
                " WHERE w.pid = %s AND w.started_at < to_timestamp(%s) AND a.finished_at > to_timestamp(%s)"
                " AND a.outcome = 'lost' AND a.finished_at < to_timestamp(%s)",
                (pid, at, at, at + 600),
            ).fetchone()
            ended = row and row[0] and float(row[0])
            if ended and not any(since < ended and until > at - 30 for since, until in away):
                longest = max(longest or 0.0, ended - at)
    return longest


def figures(board: Board, executions: Path) -> dict[str, int]:
    """What happened, in numbers."""
    rows = [row for rows in board.attempts.values() for row in rows]
    jobs = [job for jobs in board.jobs.values() for job in jobs]
    late = [row["late_outcome"] for row in rows if row["late_outcome"]]
    return {
        "jobs": len(jobs),
        **{f"jobs {state}": n for state, n in sorted(Counter(job["state"] for job in jobs).items())},
        "attempts": len(rows),
        "executions": sum(executed(path).total() for path in executions.iterdir()),
        **{
            f"attempts {outcome}": n for outcome, n in sorted(Counter(row["outcome"] for row in rows).items())
        },
        "workers that were in quarantine": len(board.quarantined),
        "most losses of a job": max((job["losses"] for job in jobs), default=0),
        "late successes accepted": sum("accepted_after" in one for one in late),
        "late outcomes kept aside": sum("accepted_after" not in one for one in late),
    }


def drained(url: str) -> bool:
    """Whether every job on the board is finished."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM jobs WHERE finished_at IS NULL").fetchone()
    return row is not None and row[0] == 0


def stuck(url: str) -> list[str]:
    """Jobs that are not finished, with what the board says of them."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        rows = connection.execute(
            "SELECT * FROM jobs WHERE finished_at IS NULL ORDER BY id LIMIT 20"
        ).fetchall()
    shown = (
        "state",
        "attempt",
        "worker_id",
        "pid",
        "published_at",
        "publish_count",
        "run_at",
        "unmet",
        "started_at",
    )
    return [
        f"{token_of(row)} (job {row['id']}) is stuck: { {name: row[name] for name in shown} }" for row in rows
    ]


def wait_drained(url: str, timeout: float) -> bool:
    """Whether the board was drained in time."""
    deadline = time.monotonic() + timeout
    while not drained(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
