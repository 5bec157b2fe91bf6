"""Each attempt has a folder of its own, so that two runs of a job never share files."""

from __future__ import annotations

from pathlib import Path


def attempt_folder(root: Path, job_id: int, attempt: int) -> Path:
    """``root/000/042/17.1`` for attempt 1 of job 42017: a thousand entries per folder at most.

    It is made if it is missing.
    """
    folder = root / f"{job_id // 1_000_000:03}" / f"{job_id // 1000 % 1000:03}" / f"{job_id}.{attempt}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
