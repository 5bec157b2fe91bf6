"""Workflows of the soak. Each notes its executions in a file of its token's name."""

from __future__ import annotations

import os
import time
from pathlib import Path

from simcelery import current_job, workflow

PATIENT = 1000  # losses; the faults of a soak must not use up a job's own


def note(token: str) -> None:
    """Append which attempt runs: one line for each execution."""
    me = current_job()
    with Path(os.environ["SOAK_EXECUTIONS"], token).open("a") as file:
        file.write(f"{me.id}.{me.attempt}\n")


@workflow(max_losses=PATIENT)
def work(token: str, seconds: float = 0.0) -> str:
    note(token)
    time.sleep(seconds)
    return f"{token} is done"


@workflow(max_losses=PATIENT, max_attempts=4, retry_delay=0.5)
def flaky(token: str, succeed_at: int) -> str:
    note(token)
    if current_job().attempt < succeed_at:
        raise ValueError("diverged")
    return f"{token} is done"


@workflow(max_losses=PATIENT, max_attempts=2, retry_delay=0.3)
def hopeless(token: str) -> str:
    note(token)
    raise ValueError("never converges")


@workflow(max_losses=PATIENT)
def join(token: str, parts: list[str]) -> str:
    note(token)
    return f"{token}: " + ", ".join(parts)
