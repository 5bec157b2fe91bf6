"""The commands of Slurm, PBS and Grid Engine, as far as they are used here, on a list of jobs in a file.

Run as ``scheduler.py COMMAND ARGUMENTS…``, by the files that `tests.fakes.schedulers` writes. In the folder
``FAKE_SCHEDULER``:

- ``jobs.json``: the batch jobs, each with ``id``, ``name``, ``state``, ``reason``, ``times``, ``hosts`` and,
  once it has ended, ``exit``; ``raw`` is printed instead of what would be made of these.
- ``COMMAND.mood``: what is odd about that command: ``before`` (lines printed first), ``deaf`` (does nothing),
  ``mute`` (prints no answer), ``error`` and ``code``, ``hangs``; ``once``: only the next time it is called;
  ``only``: only if that is one of its arguments.
- ``calls``: what was called, a line of JSON each.
- ``runs``: if there is such a file, what is submitted runs at once, as processes of this host; else it waits.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

FOLDER = Path(os.environ.get("FAKE_SCHEDULER", "."))
JOBS = FOLDER / "jobs.json"
SITE = FOLDER.parent.name  # what it calls itself
PBS_FIELDS = (
    *("comment", "exec_host", "stime", "ctime", "mtime", "Exit_status", "depend"),
    "estimated.start_time",
)


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


def add(kind: str, name: str | None, state: str, arguments: list[str]) -> str:
    found = jobs()
    id = str(100 + len(found))
    job = {"id": id, "name": name, "state": state}
    if (FOLDER / "runs").exists():
        job |= started(kind, id, arguments)
    save([*found, job])
    return id


# How a job is told that runs, that is being ended, and that has ended so.
WORDS = {
    "slurm": {"runs": "RUNNING", "ends": "COMPLETING", 0: "COMPLETED", 1: "FAILED", "cancelled": "CANCELLED"},
    "pbs": {"runs": "R", "ends": "E", 0: "F", 1: "F", "cancelled": "F"},
    "sge": {"runs": "r", "ends": "dr", 0: "gone", 1: "gone", "cancelled": "gone"},
}


def started(kind: str, id: str, arguments: list[str]) -> dict[str, Any]:
    """What is known of a job that runs from now on: its session, and where it is."""
    output = value(arguments, "--output", "-o") or os.devnull
    folder = value(arguments, "--chdir", "-wd") or str(Path.home())
    command = 'cd "$1"; "$2" >"$3" 2>&1; echo $? >"$4"'
    process = subprocess.Popen(
        ["/bin/sh", "-c", command, "sh", folder, arguments[-1], output, str(FOLDER / f"{id}.exit")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    host = socket.gethostname()
    where = {"slurm": host, "pbs": None, "sge": f"main.q@{host}"}[kind]
    begun = {"kind": kind, "session": process.pid, "state": WORDS[kind]["runs"], "exec_host": f"{host}/0"}
    return {**begun, **({"hosts": where} if where else {})}


def runs(job: dict[str, Any]) -> bool:
    """Whether it has begun, and its end was not noted."""
    return "session" in job and not job.get("over")


def lives(session: int) -> bool:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] not in "ZX" and int(fields[3]) == session:
                return True
    return False


def refresh() -> None:
    """Note what has ended."""
    found = jobs()
    for job in found:
        if not runs(job) or lives(job["session"]):
            continue
        job["over"] = True
        path = FOLDER / f"{job['id']}.exit"
        code = int(path.read_text()) if path.exists() else 128 + signal.SIGTERM
        cancelled = job.get("cancelled", False)
        job["state"] = WORDS[job["kind"]]["cancelled" if cancelled else min(code, 1)]
        job["Exit_status"] = str(256 + signal.SIGTERM if cancelled else code)
        failed = "100 : assumedly after job" if cancelled else "0"
        told = f"exit_status  {128 + signal.SIGTERM if cancelled else code}\nfailed       {failed}"
        job["exit"] = told if job["kind"] == "sge" else f"{code}:0"
    save(found)


def cancel(chosen: Any, state: str | None) -> None:
    """Those chosen get that state; without one they are gone. What runs is told to end."""
    kept = []
    for job in jobs():
        if not chosen(job):
            kept.append(job)
        elif runs(job):
            with suppress(ProcessLookupError):
                os.killpg(job["session"], signal.SIGTERM)
            kept.append({**job, "cancelled": True, "state": WORDS[job["kind"]]["ends"]})
        elif "session" in job:
            kept.append(job)  # it has ended
        elif state:
            kept.append({**job, "state": state})
    save(kept)


def sbatch(arguments: list[str]) -> str:
    if "--test-only" in arguments:
        when = "2026-12-01T10:00:00"
        where = "using 8 processors on nodes n[1-2] in partition main"
        print(f"sbatch: Job 7 to start at {when} {where}", file=sys.stderr)
        return ""
    id = add("slurm", value(arguments, "--job-name"), "PENDING", arguments)
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
        "|".join([job["id"], job["state"], job.get("exit", "0:0"), *ran(job), job["name"]])
        for job in jobs()
        if job["id"] in ids
    )


def ran(job: dict[str, Any]) -> list[str]:
    """When it began and ended, as Slurm tells it."""
    return list(job.get("times", ["", "Unknown", "Unknown"])[1:])


def scontrol(arguments: list[str]) -> str:
    what, name = arguments[-2:]
    if name == "config":
        told = f"ClusterName             = {SITE}\nSlurmctldHost[0]        = ctl(::1)"
        return f"Configuration data as of 2026-11-29T19:25:17\n{told}\n\nSlurmctld(primary) at ctl is UP"
    if what == "partition":
        return f"PartitionName={name} MaxNodes=4 MaxTime=1-00:00:00 State=UP"
    for job in jobs():
        if job["id"] == name:
            code = job.get("exit", "0:0")
            state, (began, at) = job["state"], ran(job)
            when = f"RunTime=1 SubmitTime=Unknown StartTime={began} EndTime={at} Deadline=N/A"
            of_it = f"JobName={job['name']} UserId=me(1) JobState={state} Reason=None ExitCode={code}"
            return f"JobId={name} {of_it} {when}"
    print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
    return failed(1)


def sinfo(arguments: list[str]) -> str:
    return "n1|idle|main*\nn1|idle|other\nn2|alloc|main*"


def qsub(arguments: list[str]) -> str:
    """Of PBS, or with ``-terse`` of Grid Engine."""
    if "-w" in arguments:
        return "verification: found suitable queue(s)"
    terse = "-terse" in arguments
    name = value(arguments, "-N")
    return add("sge", name, "qw", arguments) if terse else f"{add('pbs', name, 'Q', arguments)}.server"


def qselect(arguments: list[str]) -> str:
    name = value(arguments, "-N")
    return "\n".join(
        f"{job['id']}.server" for job in jobs() if name in (None, job["name"]) and job["state"] != "F"
    )


def qstat(arguments: list[str]) -> str:
    if "-B" in arguments:
        return f"Server: {SITE}\n    server_state = Active"
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
        if job["state"] != "gone"
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
    if runs := [job for job in jobs() if job["id"] == arguments[-1] and "exit" in job]:
        told = (f"jobname      {job['name']}\njobnumber    {job['id']}\n{job['exit']}" for job in runs)
        return "\n".join("=" * 62 + f"\n{run}" for run in told)
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
    known = [one for job in jobs() if job["state"] != "gone" for one in (job["id"], job["name"])]
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
            for name in os.environ
            if name in ("LC_ALL", "TZ", "SQUEUE_NAMES")
            or name.startswith(("SLURM_", "SBATCH_", "SIMCELERY_"))
        }
        file.write(
            json.dumps(
                {"command": command, "arguments": arguments, "cwd": str(Path.cwd()), "environment": told}
            )
            + "\n"
        )
    path = FOLDER / f"{command}.mood"
    mood = json.loads(path.read_text()) if path.exists() else {}
    if mood.get("once"):
        path.unlink()
    if "only" in mood and mood["only"] not in arguments:
        mood = {}
    print(mood.get("before", ""), end="", flush=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refresh()
        answer = "" if mood.get("deaf") else globals()[command](arguments)
    if mood.get("hangs"):
        time.sleep(3600)
    if answer and not mood.get("mute"):
        print(answer)
    print(mood.get("error", ""), end="", file=sys.stderr)
    sys.exit(mood.get("code", own_code))


if __name__ == "__main__":
    main()
