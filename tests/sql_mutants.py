"""The statements that decide, each changed on purpose, one change at a time: a part of `make mutants`.

Each change makes a promise of the board false. The tests of `TESTS` run against a schema that was installed
from the changed file, and one of them has to fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

_STATE = "functions/state_after"
_FINISH = "functions/finish_attempts"
_CLAIM = "functions/claim_jobs"
_UNBLOCK = "functions/unblock_dependents"
# What has to notice a change of a file: modules of tests/races, the quickest first.
TESTS = {
    _STATE: ("finish", "claim_and_finish", "rescue", "cancel_and_retry"),
    _FINISH: ("finish", "claim_and_finish", "republish", "slices", "rescue", "dependencies", "locks"),
    _CLAIM: ("slices", "claim_and_finish", "rescue", "locks"),
    _UNBLOCK: ("dependencies", "locks"),
    "put_back": ("slices", "republish", "locks"),
    "mark_published": ("republish", "locks"),
    "lanes": ("republish",),
}
# How much longer than without a change the tests may take, before they are taken to hang.
PATIENCE = 3.0


@dataclass(frozen=True)
class Change:
    """A file of `simcelery/board/sql`, a text in it, what takes its place, and what that breaks."""

    file: str
    old: str
    new: str
    breaks: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path("simcelery/board/sql") / f"{self.file}.sql"


CHANGES = (
    Change(_STATE, "p_failures < p_max_attempts", "p_failures <= p_max_attempts", "one attempt too many"),
    Change(_STATE, "p_losses <= p_max_losses", "p_losses < p_max_losses", "one loss too few"),
    Change(_STATE, "AND p_may_retry ", "", "an error that no attempt mends is tried again"),
    Change(
        _STATE, "p_outcome = 'cancelled' OR p_cancelled", "p_outcome = 'cancelled'", "a cancel is forgotten"
    ),
    Change(
        _STATE, "p_outcome = 'cancelled' OR p_cancelled", "p_cancelled", "a cancelled attempt has no state"
    ),
    Change(
        _STATE,
        "WHEN p_outcome = 'succeeded'  ",
        "WHEN p_outcome = 'succeeded' AND NOT p_cancelled",
        "a success is thrown away",
    ),
    Change(
        _STATE,
        "WHEN p_outcome = 'released'                                                  THEN 'pending'",
        "WHEN p_outcome = 'released' THEN 'failed'",
        "a shutdown fails a job",
    ),
    Change(
        _FINISH, "jobs.claim_id IS NOT DISTINCT FROM given.claim_id", "TRUE", "a zombie ends a newer attempt"
    ),
    Change(_FINISH, "ORDER BY id FOR UPDATE", "ORDER BY id DESC FOR UPDATE", "two finishes wait in a circle"),
    Change(_FINISH, "ORDER BY id FOR UPDATE", "ORDER BY id", "an edge recorded meanwhile is not seen"),
    Change(
        _FINISH,
        "state || '' IN ('pending', 'scheduled')",
        "state || '' IN ('pending', 'scheduled', 'failed')",
        "a success comes after the job has failed",
    ),
    Change(
        _FINISH,
        "outcome = 'succeeded' AND state || '' IN ('pending', 'scheduled')",
        "state || '' IN ('pending', 'scheduled')",
        "a late error counts",
    ),
    Change(
        _FINISH,
        " OR (outcome = 'succeeded' AND state || '' IN ('pending', 'scheduled'))",
        "",
        "a late success is thrown away",
    ),
    Change(
        _FINISH,
        "failures = failures + (outcome = 'failed')::integer",
        "failures = failures",
        "a job fails for ever",
    ),
    Change(
        _FINISH,
        "losses = losses + (outcome = 'lost')::integer",
        "losses = losses + 2 * (outcome = 'lost')::integer",
        "a loss counts twice",
    ),
    Change(
        _FINISH,
        "losses = losses + (outcome = 'lost')::integer",
        "losses = losses + (outcome IN ('lost', 'released'))::integer",
        "a release counts as a loss",
    ),
    Change(
        _FINISH,
        "published_at = CASE outcome WHEN 'succeeded' THEN published_at END",
        "published_at = published_at",
        "no message is sent for the next attempt",
    ),
    Change(
        _FINISH,
        "publish_count = CASE outcome WHEN 'succeeded' THEN publish_count ELSE 0 END",
        "publish_count = publish_count",
        "the next attempt's message is sent again too late",
    ),
    Change(_FINISH, "THEN now() + make_interval(secs => retry_in)", "THEN now()", "no pause before a retry"),
    Change(
        _FINISH,
        "least(started_at + make_interval(secs => waited), now()) AS began",
        "started_at AS began",
        "a job of a slice began when another did",
    ),
    Change(
        _FINISH,
        "THEN greatest(began, now() - make_interval(secs => ago))",
        "THEN now()",
        "it ended when it was reported",
    ),
    Change(
        _FINISH,
        "after NOT IN ('scheduled', 'pending')",
        "after <> 'scheduled'",
        "a waiting job has ended",
    ),
    Change(
        _FINISH,
        "OR NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)",
        "OR TRUE",
        "dependents of a job in a slice wait for settle",
    ),
    Change(
        _FINISH,
        "IF FOUND AND p_ended->0->>'outcome' = 'succeeded'",
        "IF FOUND",
        "dependents run after a failed parent",
    ),
    Change(_FINISH, "IF FOUND AND ", "IF ", "a report that came twice unblocks twice"),
    Change(
        _FINISH,
        "result = CASE outcome WHEN 'succeeded' THEN given.result ELSE jobs.result END",
        "result = jobs.result",
        "the result is lost",
    ),
    Change(
        _FINISH,
        "late_outcome = jsonb_build_object('accepted_after', earlier.outcome)",
        "late_outcome = earlier.late_outcome",
        "nobody sees that a success came late",
    ),
    Change(
        _FINISH,
        "outcome = excluded.outcome, cause",
        "outcome = earlier.outcome, cause",
        "the attempt stays lost although its success counts",
    ),
    Change(
        _CLAIM,
        "AND ended_at IS NULL AND lease_expires_at > now()",
        "AND ended_at IS NULL",
        "a worker whose lease is over claims",
    ),
    Change(_CLAIM, "AND ended_at IS NULL AND lease", "AND lease", "a buried worker claims"),
    Change(_CLAIM, " AND registration = p_registration", "", "another worker with the same number claims"),
    Change(
        _CLAIM,
        "AND state || '' = 'pending'\n            AND cancel",
        "\n            AND cancel",
        "a job runs twice",
    ),
    Change(_CLAIM, " AND workflow || '' = p_workflow", "", "a forged message runs a job as another workflow"),
    Change(_CLAIM, "LIMIT 1 FOR UPDATE SKIP LOCKED", "LIMIT 1 FOR UPDATE", "children on one backlog wait"),
    Change(
        _CLAIM, "LIMIT p_more FOR UPDATE SKIP LOCKED", "LIMIT p_more FOR UPDATE", "slices wait for each other"
    ),
    Change(
        _CLAIM,
        "ORDER BY priority DESC, published_at",
        "ORDER BY priority DESC, published_at DESC",
        "what was lost longest ago starves",
    ),
    Change(_CLAIM, "priority >= p_least", "priority >= 0", "an urgent message brings a job that is not"),
    Change(_CLAIM, "AND losses = 0\n", "\n", "a job that kills its child takes others with it"),
    Change(_CLAIM, "AND time_limit IS NULL AND", "AND", "a time limit falls on a slice"),
    Change(
        _CLAIM,
        "AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)",
        "",
        "a parent travels in a slice",
    ),
    Change(
        _CLAIM,
        "ORDER BY priority DESC, id\n                LIMIT p_more",
        "ORDER BY priority, id\n                LIMIT p_more",
        "the least urgent go first",
    ),
    Change(_CLAIM, "total < 4194304", "TRUE", "a slice fills the memory"),
    Change(_UNBLOCK, "unmet > 1", "unmet > 2", "a job runs before its last parent"),
    Change(_UNBLOCK, "unmet = unmet - 1", "unmet = unmet", "no job with two parents ever runs"),
    Change(_UNBLOCK, "WHEN run_at > now() THEN 'scheduled' ", "", "a job runs before its time"),
    Change(
        _UNBLOCK,
        "UPDATE jobs SET settled_at = 'epoch' WHERE id = p_parent",
        "NULL",
        "beyond 2,000 dependents the others wait for ever",
    ),
    Change(
        _UNBLOCK,
        "WHERE parent_id = p_parent ORDER BY job_id",
        "WHERE parent_id = p_parent ORDER BY job_id DESC",
        "two parents that finish wait in a circle",
    ),
    Change("put_back", "        USING (id, claim_id)\n", "        USING (id)\n", "a newer claim is put back"),
    Change(
        "put_back",
        "WHERE state = 'running' ORDER BY id FOR UPDATE OF jobs",
        "WHERE state = 'running' ORDER BY id DESC FOR UPDATE OF jobs",
        "two that put back wait in a circle",
    ),
    Change("put_back", "attempt = attempt - 1, ", "", "a job that was never begun has used an attempt"),
    Change(
        "put_back", "published_at = NULL, publish_count = 0", "publish_count = 0", "no message is sent anew"
    ),
    Change(
        "put_back",
        "CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END",
        "'pending'",
        "a cancel is forgotten",
    ),
    Change("mark_published", "FOR UPDATE SKIP LOCKED", "FOR UPDATE", "a mark waits for whoever claims"),
    Change(
        "mark_published",
        "ORDER BY id FOR UPDATE",
        "ORDER BY id DESC FOR UPDATE",
        "two marks wait in a circle",
    ),
    Change("mark_published", "+ 1\n", "\n", "a lost message is sent again as often as the first time"),
    Change(
        "lanes",
        "(jobs.queue, jobs.workflow) > (fresh.queue, fresh.workflow)",
        "jobs.queue > fresh.queue",
        "the second workflow of a queue starves",
    ),
    Change(
        "lanes", "ORDER BY lane.priority DESC", "ORDER BY lane.priority", "the least urgent are sent first"
    ),
    Change(
        "lanes",
        "published_at IS NOT NULL AND jobs.queue = lane.queue",
        "jobs.queue = lane.queue",
        "unsent jobs count as sent",
    ),
)


def survivors() -> list[Change]:
    """The changes that no test notices. Two are tried at a time, each in a copy of the project of its own.

    Raises:
        RuntimeError: the tests fail without any change.
    """
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(2):
            copies.put(_copy(Path(scratch) / str(number)))
        limits = {file: _time_of(file, Path(scratch) / "0") * PATIENCE for file in TESTS}
        noticed = list(pool.map(lambda change: _is_noticed(change, copies, limits[change.file]), CHANGES))
    return [change for change, seen in zip(CHANGES, noticed, strict=True) if not seen]


def _copy(folder: Path) -> Path:
    for name in ("simcelery", "tests"):
        shutil.copytree(name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", folder)
    return folder


def _time_of(file: str, folder: Path) -> float:
    """How long the tests of a statement take without any change."""
    began = time.monotonic()
    if not _passes(file, folder, None):
        raise RuntimeError(f"without any change tests fail: {', '.join(TESTS[file])}")
    return time.monotonic() - began


def _is_noticed(change: Change, copies: SimpleQueue[Path], limit: float) -> bool:
    folder = copies.get()
    file = folder / change.path
    text = file.read_text()
    try:
        file.write_text(text.replace(change.old, change.new))
        return not _passes(change.file, folder, limit)
    finally:
        file.write_text(text)
        copies.put(folder)


def _passes(file: str, folder: Path, limit: float | None) -> bool:
    """Whether all tests of a statement pass there; those that hang do not."""
    tests = [f"tests/races/test_{name}.py" for name in TESTS[file]]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            output, _ = run.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            run.kill()
            return False
    if run.returncode not in (0, 1):
        raise RuntimeError(output)
    return run.returncode == 0
