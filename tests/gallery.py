"""A board on which every page of the web monitor has something to show, and those pages."""

from __future__ import annotations

import math
from dataclasses import replace

from tests import board_helpers as put

# By their names, with what is there once they are complete.
PAGES = {
    "overview": ("/board", ".uplot canvas"),
    "jobs": ("/board/jobs?tag=oxides", ".board-many a"),
    "job": ("/board/jobs/{FAILED}", ".board-log"),
    "family": ("/board/jobs/{FAMILY}", ".board-family li"),
    "latest": ("/board/sweeps", ".board-table a"),
    "sweeps": ("/board/sweeps?workflow=emt.relax&tag=oxides&x=fmax", ".uplot canvas"),
    "errors": ("/board/errors", ".board-table a"),
    "workers": ("/board/workers", "#part-workers .board-table"),
    "rules": ("/board/rules", "#part-schedules .board-table"),
    "confirm": ("/board/all/retry?tag=oxides", "#board-number"),
    "problem": ("/board/jobs/999999", ".alert-danger"),
    "wrong": ("/board/jobs?where=energy+%3C", ".alert-danger"),
}
# Those of which the documentation has pictures.
PICTURED = ("overview", "jobs", "job", "family", "sweeps", "errors", "workers", "rules", "confirm")
_NODES = ("node01", "node02", "node03")


def fill() -> dict[str, int]:
    """Put it on an empty board; the ids of the jobs that pages are about."""
    workers = [
        put.worker(
            nodename=f"cpu@{host}", host=host, concurrency=8, version="0.1.0", scheduler_job_id=f"48{at}"
        )
        for at, host in enumerate(_NODES)
    ]
    failed = 0
    for number in range(60):
        fmax = 10 ** (-4 + number / 20)
        name = ("NaCl", "MgO", "TiO2")[number % 3]
        job = put.record(
            workflow="emt.relax",
            parameters={"structure": f"{name}.cif", "fmax": round(fmax, 6)},
            tags=["oxides"],
        )
        claimed = put.must_claim(job.task_id, workers[number % 3], workflow="emt.relax")
        if number < 8:
            put.log(
                job.id, "step  energy    fmax\n" + "".join(f"{n:4}  -7.{n:03}  0.2{n}\n" for n in range(40))
            )
            error = replace(
                put.ERROR,
                error_type="ConvergenceError",
                error_message=f"no convergence after {400 + number} steps",
                traceback='Traceback:\n  File "relax.py", line 31, in relax\nConvergenceError',
            )
            put.finish(claimed, error)
            failed = job.id
        else:
            energy = -7.4 - 0.2 * (number % 3) + 0.3 * math.sqrt(fmax)
            put.finish(
                claimed, replace(put.SUCCESS, result={"energy": round(energy, 4), "steps": 400 - 5 * number})
            )
    parts = [put.record(workflow="emt.relax", parameters={"structure": f"{n}.cif"}) for n in range(5)]
    fit = put.record(workflow="emt.fit", parents=[job.id for job in parts], tags=["fit"])
    put.record(workflow="emt.plot", parents=[fit.id], queue="gpu")
    put.must_claim(parts[0].task_id, workers[0], workflow="emt.relax")
    _spread()
    _rules()
    return {"FAILED": failed, "FAMILY": fit.id}


def _spread() -> None:
    """As if the jobs had been submitted an hour ago, and one had ended each minute."""
    for table, number in (("jobs", "id"), ("attempts", "job_id")):
        ends = f"now() - make_interval(secs => 3600 - 58.0 * ({number} - (SELECT min(id) FROM jobs)))"
        begins = f"{ends} - make_interval(secs => 20 + 7 * ({number} % 11))"
        put.sql(
            f"UPDATE {table} SET started_at = {begins}, finished_at = {ends} WHERE finished_at IS NOT NULL"
        )
    put.sql("UPDATE jobs SET submitted_at = now() - interval '70 minutes'")


def _rules() -> None:
    put.sql(
        "INSERT INTO durations (workflow, tags, successes, median, p90) "
        "VALUES ('emt.relax', '{oxides}', 52, 50, 80)"
    )
    put.sql("INSERT INTO limits (name, most, set_by) VALUES ('tag:oxides', 8, 'ada')")
    put.sql(
        "INSERT INTO clusters (name, launcher, state, profile, wanted, started_by) "
        "VALUES ('cpu', 'slurm', 'active', '{}', 3, 'ada')"
    )
    put.sql(
        "INSERT INTO schedules (name, cron, timezone, missed, job, parameters, submitted_by, next_at) "
        "VALUES ('nightly', '0 2 * * *', 'UTC', 'once', '{\"workflow\": \"emt.fit\"}', '{}', 'ada', "
        "now() + interval '9 h')"
    )
