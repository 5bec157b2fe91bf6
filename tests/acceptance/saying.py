"""Jobs that return and print what they were given: after a disaster nothing of one may be with another."""

from __future__ import annotations

from collections import Counter

from simcelery.settings import Settings
from tests.conftest import Project
from tests.servers import ask

WORKFLOWS = '''
import time
from pathlib import Path
from simcelery import current_job, workflow

@workflow
def says(text: str, folder: str, pause: float = 0.0) -> str:
    """Leave a line in a file of its own, and print it, before and after a pause."""
    with Path(folder, text).open("a") as file:
        file.write("ran\\n")
    print(text, flush=True)
    time.sleep(pause)
    print(text, flush=True)
    return text
'''
# One after the other, as from a script that survives an outage: a key says which of them is which.
SUBMIT = """
import says, time
from simcelery.errors import ServiceError
for number in range({jobs}):
    while True:
        try:
            says.says.submit(f"job-{{number}}", {folder!r}, 0.1, key=f"job-{{number}}")
            break
        except ServiceError as error:
            time.sleep(0.1)
    print(number, flush=True)
"""


def add_to(project: Project) -> None:
    """Give a project this workflow, in place of others."""
    project.environment["SIMCELERY_WORKFLOWS"] = "says"
    (project.folder / "says.py").write_text(WORKFLOWS)
    (project.folder / "ran").mkdir()


def submits(project: Project, jobs: int) -> str:
    """A script that submits so many; it may be run again."""
    return SUBMIT.format(jobs=jobs, folder=str(project.folder / "ran"))


def ran(project: Project) -> Counter[str]:
    """How often each job was executed."""
    return Counter({one.name: len(one.read_text().split()) for one in (project.folder / "ran").iterdir()})


def finished(settings: Settings) -> dict[int, object]:
    """Those that have succeeded, and when."""
    rows = ask(settings, "SELECT id, finished_at FROM jobs WHERE state = 'succeeded'")
    return {row["id"]: row["finished_at"] for row in rows}


def every_outcome_is_its_own(settings: Settings) -> None:
    """What each job returned and printed is what it was given, and each succeeded once."""
    found = ask(
        settings,
        "SELECT parameters ->> 'text' AS text, result #>> '{}' AS result, log.text AS log, ended.outcomes"
        " FROM jobs, LATERAL (SELECT string_agg(text, '' ORDER BY attempt, seq) AS text FROM log_chunks"
        "  WHERE job_id = jobs.id AND log_chunks.attempt = jobs.attempt) AS log,"
        " LATERAL (SELECT array_agg(outcome) AS outcomes FROM attempts WHERE job_id = jobs.id) AS ended",
    )
    for row in found:
        assert row["result"] == row["text"]
        assert row["log"].split() == [row["text"]] * 2
        assert row["outcomes"].count("succeeded") == 1
