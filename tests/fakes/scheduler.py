"""The commands of Slurm, PBS and Grid Engine, as far as they are used here, on a list of jobs in a file.

Run as ``scheduler.py COMMAND ARGUMENTS…``, by the files that `tests.fakes.schedulers` writes. In the folder
``FAKE_SCHEDULER``:

- ``jobs.json``: the batch jobs, each with ``id``, ``name``, ``state``, ``reason``, ``times``, ``hosts`` and,
  once it has ended, ``exit``; ``raw`` is printed instead of what would be made of these.
- ``COMMAND.mood``: what is odd about that command: ``before`` (lines printed first), ``deaf`` (does nothing),
  ``mute`` (prints no answer), ``error`` and ``code``, ``hangs``.
- ``calls``: what was called, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

FOLDER = Path(os.environ.get("FAKE_SCHEDULER", "."))
JOBS = FOLDER / "jobs.json"
PBS_FIELDS = ("comment", "exec_host", "stime", "ctime", "Exit_status", "depend")


def jobs() -> list[dict[str, Any]]:
    return json.loads(JOBS.read_text()) if JOBS.exists() else []


def save(found: list[dict[str, Any]]) -> None:
    JOBS.write_text(json.dumps(found))


own_code = 0


def failed(code: int, answer: str = "") -> str:
    """The answer of a command that ends with this code of its own."""
    global own_code
    own_code = code
    return answer


def value(arguments: list[str], *names: str) -> str | None:
    """Of an option, ``--name=VALUE`` or ``-n VALUE``; the last one wins."""
    found = None
    for at, argument in enumerate(arguments):
        for name in names:
            if argument.startswith(f"{name}="):
                found = argument.partition("=")[2]
            elif argument == name:
                found = arguments[at + 1]
    return found


def add(name: str | None, state: str) -> str:
    found = jobs()
    id = str(100 + len(found))
    save([*found, {"id": id, "name": name, "state": state}])
    return id


def cancel(chosen: Any, state: str | None) -> None:
    """Those chosen get that state; without one they are gone."""
    rest = [job for job in jobs() if state or not chosen(job)]
    save([{**job, "state": state} if chosen(job) else job for job in rest])


def sbatch(arguments: list[str]) -> str:
    if "--test-only" in arguments:
        when = "2026-12-01T10:00:00"
        where = "using 8 processors on nodes n[1-2] in partition main"
        print(f"sbatch: Job 7 to start at {when} {where}", file=sys.stderr)
        return ""
    id = add(value(arguments, "--job-name"), "PENDING")
    cluster = value(arguments, "--clusters")
    return f"{id};{cluster}" if cluster else id


def squeue(arguments: list[str]) -> str:
    rows = []
    lists_all = value(arguments, "--states") == "all"
    for job in jobs():
        if not lists_all and job["state"] not in ("PENDING", "RUNNING"):
            continue
        submitted, starts, ends = job.get("times", ["2026-11-29T19:25:17", "N/A", "N/A"])
        fields = {
            "i": job["id"],
            "j": job["name"],
            "T": job["state"],
            "r": job.get("reason", "None"),
            "V": submitted,
        }
        fields |= {"S": starts, "e": ends, "N": job.get("hosts", "")}
        row = value(arguments, "--format") or ""
        pieces = row.split("%")
        rows.append(
            job.get("raw") or pieces[0] + "".join(str(fields[one[0]]) + one[1:] for one in pieces[1:])
        )
    return "\n".join(rows)


def scancel(arguments: list[str]) -> str:
    name = value(arguments, "--name")
    cancel(lambda job: job["id"] in arguments or job["name"] == name, "CANCELLED")
    return ""


def sacct(arguments: list[str]) -> str:
    ids = (value(arguments, "--jobs") or "").split(",")
    return "\n".join(
        f"{job['id']}|{job['state']}|{job.get('exit', '0:0')}" for job in jobs() if job["id"] in ids
    )


def scontrol(arguments: list[str]) -> str:
    what, name = arguments[-2:]
    if what == "partition":
        return f"PartitionName={name} MaxNodes=4 MaxTime=1-00:00:00 State=UP"
    for job in jobs():
        if job["id"] == name:
            code = job.get("exit", "0:0")
            return f"JobId={name} JobState={job['state']} Reason=None ExitCode={code} RunTime=1"
    print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
    return failed(1)


def sinfo(arguments: list[str]) -> str:
    return "n1\nn1\nn2"


def qsub(arguments: list[str]) -> str:
    """Of PBS, or with ``-terse`` of Grid Engine."""
    if "-w" in arguments:
        return "verification: found suitable queue(s)"
    terse = "-terse" in arguments
    id = add(value(arguments, "-N"), "qw" if terse else "Q")
    return id if terse else f"{id}.server"


def qselect(arguments: list[str]) -> str:
    name = value(arguments, "-N")
    return "\n".join(
        f"{job['id']}.server" for job in jobs() if name in (None, job["name"]) and job["state"] != "F"
    )


def qstat(arguments: list[str]) -> str:
    return grid_engine() if "-xml" in arguments else pbs(arguments)


def pbs(arguments: list[str]) -> str:
    found, gone = [], False
    for id in (argument for argument in arguments if not argument.startswith("-")):
        job = next((job for job in jobs() if f"{job['id']}.server" == id), None)
        if job is None or (job["state"] == "F" and "-x" not in arguments):
            print(f"qstat: Unknown Job Id {id}", file=sys.stderr)
            gone = True
            continue
        found.append(f"Job Id: {id}")
        found.append(job.get("raw") or f"    Job_Name = {job['name']}\n    job_state = {job['state']}")
        found += [f"    {field} = {job[field]}" for field in PBS_FIELDS if field in job]
        found.append("    Variable_List = PBS_O_HOME=/home/me,ODD=a\n\nb = c,\n\tPBS_O_LANG=C\n")
    return failed(153 if gone else 0, "\n".join(found))


def grid_engine() -> str:
    rows = [
        job.get("raw")
        or f"""    <job_list state="pending">
      <JB_job_number>{job["id"]}</JB_job_number>
      <JB_name>{escape(job["name"])}</JB_name>
      <state>{job["state"]}</state>
      <JB_submission_time>2026-11-29T19:25:17</JB_submission_time>
      <queue_name>{job.get("hosts", "")}</queue_name>
    </job_list>"""
        for job in jobs()
    ]
    return "\n".join(
        [
            "<?xml version='1.0'?>",
            "<job_info  xmlns:xsd='x'>",
            "  <job_info>",
            *rows,
            "</job_info>",
            "</job_info>",
        ]
    )


def qacct(arguments: list[str]) -> str:
    for job in jobs():
        if job["id"] == arguments[-1] and "exit" in job:
            return "=" * 62 + f"\njobnumber    {job['id']}\n{job['exit']}"
    print(f"error: job id {arguments[-1]} not found", file=sys.stderr)
    return failed(1)


def qdel(arguments: list[str]) -> str:
    """Of Grid Engine if it is given a user, as we do there."""
    if "-u" not in arguments:
        known = [f"{job['id']}.server" for job in jobs() if job["state"] != "F"]
        cancel(lambda job: f"{job['id']}.server" in arguments, "F")
        unknown = [id for id in arguments if id not in known]
        for id in unknown:
            print(f"qdel: Unknown Job Id {id}", file=sys.stderr)
        return failed(153 if unknown else 0)
    asked = arguments[arguments.index("-u") + 2 :]
    known = [one for job in jobs() for one in (job["id"], job["name"])]
    cancel(lambda job: job["id"] in asked or job["name"] in asked, None)
    told = (
        f"me has deleted {one}" if one in known else f'denied: job "{one}" does not exist' for one in asked
    )
    return failed(0 if set(asked) <= set(known) else 1, "\n".join(told))


def main() -> None:
    command, *arguments = sys.argv[1:]
    with (FOLDER / "calls").open("a") as file:
        told = {
            name: os.environ.get(name)
            for name in ("LC_ALL", "TZ", "SQUEUE_NAMES", "SLURM_JOB_ID", "SIMCELERY_ATTEMPT")
        }
        file.write(
            json.dumps(
                {"command": command, "arguments": arguments, "cwd": str(Path.cwd()), "environment": told}
            )
            + "\n"
        )
    path = FOLDER / f"{command}.mood"
    mood = json.loads(path.read_text()) if path.exists() else {}
    print(mood.get("before", ""), end="", flush=True)
    answer = "" if mood.get("deaf") else globals()[command](arguments)
    if mood.get("hangs"):
        time.sleep(3600)
    if answer and not mood.get("mute"):
        print(answer)
    print(mood.get("error", ""), end="", file=sys.stderr)
    sys.exit(mood.get("code", own_code))


if __name__ == "__main__":
    main()
