"""Slurm, through sbatch, squeue, sacct and scancel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from simcelery.quantities import parse_duration
from simcelery.schedulers.asking import Answer, Refused, Unknown, ask, for_new_jobs
from simcelery.schedulers.hostlists import expanded
from simcelery.schedulers.options import value_of
from simcelery.schedulers.request import Request, clock, mebibytes
from simcelery.schedulers.scheduler import Scheduler, at_once, expect
from simcelery.schedulers.seen import Cause, End, Plan, Seen, State
from simcelery.schedulers.slurm_reasons import explained, never_starts

_ID = re.compile(r"([0-9]+(?:;[\w.-]+)?)", re.ASCII)
_PLANNED = re.compile(r"Job [0-9]+ to start at (\S+) .*? on (?:nodes )?(\S+)(?: in partition (\S+))?")
_SHOWN = re.compile(
    r"^JobId=.*? JobName=(\S+) .*?JobState=(\S+) Reason=.*? ExitCode=([0-9]+:[0-9]+)"
    r"(?:.*? StartTime=(\S+) EndTime=(\S+))?"
)
_SETTING = re.compile(r"^(\S+) += (\S+)", re.MULTILINE)
_NAMES_OF_MANY = ("cluster", "linux")  # those of the examples
_GONE = re.compile("Invalid job id|already completing or completed", re.IGNORECASE)
_VERDICT = re.compile("Batch job submission failed: (.*)")
_USABLE = re.compile("(idle|mix|alloc|comp|plnd|resv)[-~#%^!@$+]*")
_CHOOSES = ("-x", "--exclude"), ("-w", "--nodelist"), ("-F", "--nodefile")
_PREFIX = re.compile(r"(sbatch|allocation failure): (error: |fatal: )?(Batch job submission failed: )?")

# The name comes last: it may hold what separates the others.
_FORMAT = "%i|%T|%r|%V|%S|%e|%N|%j"
_ROW = re.compile(r"([0-9]+(?:[_+][^|]*)?)\|([^|]+)\|(.*?)\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|(.*)")
_ROW_ID = re.compile(r"([0-9]+(?:[_+][^|]*)?)\|")

_STATES = {
    State.WAITING: (
        "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT",
    ),
    State.RUNNING: ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"),
}  # fmt: skip
_STATE_OF = {word: state for state, words in _STATES.items() for word in words}
_CAUSES = {
    "COMPLETED": Cause.FINISHED,
    "FAILED": Cause.FAILED,
    "TIMEOUT": Cause.WALLTIME,
    "DEADLINE": Cause.WALLTIME,
    "OUT_OF_MEMORY": Cause.OUT_OF_MEMORY,
    "NODE_FAIL": Cause.NODE_FAILURE,
    "BOOT_FAIL": Cause.NODE_FAILURE,
    "PREEMPTED": Cause.PREEMPTED,
    "CANCELLED": Cause.CANCELLED,
}
# What of the caller's own allocation would mislead the new one, or not be asked like it later; where Slurm is
# stays.
_OF_ALLOCATION = (
    *("SLURM_", "SBATCH_WAIT", "SBATCH_ARRAY_INX"),
    *("SBATCH_CLUSTERS", "SBATCH_JOB_NAME", "SBATCH_REQUEUE"),
)
_WHERE = ("SLURM_CONF", "SLURM_CLUSTERS")


class Slurm(Scheduler):
    """Slurm, or one cluster of several that are under one Slurm.

    Parameters:
        cluster: which; None: that of this host.
    """

    launcher = "slurm"
    commands = ("sbatch", "squeue", "scancel", "scontrol")
    ours = (
        "-J", "--job-name", "-o", "--output", "-a", "--array", "-W", "--wait", "--parsable", "--test-only",
        "--requeue", "--wrap",
    )  # fmt: skip
    flags = "HkOQsv"

    def __init__(self, cluster: str | None = None) -> None:
        super().__init__()
        self._cluster = cluster
        self._where = [] if cluster is None else [f"--clusters={cluster}"]

    def site(self) -> str:
        """As `Scheduler.site`: the name of the cluster, which is never changed."""
        told = dict(_SETTING.findall(expect(self._ask("scontrol", "show", "config"))))
        name = told.get("ClusterName")
        if name is None:
            raise Unknown("scontrol: it does not tell the name of the cluster")
        host = told.get("SlurmctldHost[0]") or told.get("ControlMachine") or ""
        return f"{name} of {host.partition('(')[0]}" if name in _NAMES_OF_MANY else name

    def header(self, request: Request) -> list[str]:
        """As `Scheduler.header`."""
        output = str(request.output).replace("%", "%%")  # % begins what sbatch fills in
        asked = [
            f"--job-name={request.name}",
            f"--output={output}",
            f"--chdir={request.folder}",
            "--no-requeue",
            f"--nodes={request.nodes}",
            "--ntasks-per-node=1",
            request.cores and f"--cpus-per-task={request.cores}",
            request.memory and f"--mem={mebibytes(request.memory)}M",
            request.gpus and f"--gres=gpu:{request.gpus}",
            request.walltime and f"--time={clock(request.walltime)}",
            request.partition and f"--partition={request.partition}",
            request.account and f"--account={request.account}",
            request.exclude and f"--exclude={','.join(request.exclude)}",
        ]
        return [*(text for text in asked if isinstance(text, str) and text), *request.options]

    def submit(self, request: Request) -> str:
        """As `Scheduler.submit`."""
        id, _, cluster = self._id_of(self._sbatch("--parsable", request), _ID).partition(";")
        if cluster and self._cluster not in (None, cluster):
            raise Unknown(f"sbatch: it was submitted to cluster {cluster}, and not to {self._cluster}")
        return id

    def plan(self, request: Request) -> Plan | None:
        """As `Scheduler.plan`. The time is what Slurm's backfill reckons; it may begin earlier."""
        answer = self._sbatch("--test-only", request)
        planned = _PLANNED.search(answer.err)
        if planned is None:
            return Plan(None, (), answer.told)
        if planned[3]:
            self._check_limits(request, planned[3])
        # Said in the time zone of this process, whose environment it was given.
        starts_at = _time(planned[1])
        local = starts_at and starts_at.replace(tzinfo=None).astimezone(UTC)
        return Plan(local, expanded(planned[2]), planned[0])

    def nodes(self, partition: str | None) -> dict[str, bool] | None:
        """As `Scheduler.nodes`."""
        where = [] if partition is None else [f"--partition={partition}"]
        answer = expect(self._ask("sinfo", "--noheader", "--Node", "--format=%N|%t|%P", *where))
        rows = [row.split("|") for row in answer.splitlines() if row.count("|") == 2]
        if partition is None:  # that of requests without one is marked
            rows = [row for row in rows if row[2].endswith("*")] or rows
        return {name: _USABLE.fullmatch(state) is not None for name, state, _ in rows}

    def cannot_exclude(self, options: Sequence[str]) -> str | None:
        """As `Scheduler.cannot_exclude`."""
        chosen = any(value_of(options, *names) is not None for names in _CHOOSES)
        return "its options choose the nodes themselves" if chosen else None

    def look(self) -> list[Seen]:
        """As `Scheduler.look`."""
        user = f"--user={os.getuid()}"
        answer = self._ask("squeue", "--noheader", "--states=all", user, f"--format={_FORMAT}")
        if "slurm_load_jobs error" in answer.err:
            raise Unknown(f"squeue: {answer.told}")
        rows = (row for row in expect(answer).splitlines() if row.strip() and not row.startswith("CLUSTER: "))
        return [seen for row in rows if (seen := self._seen(row))]

    def ends(self, jobs: Mapping[str, str]) -> dict[str, End]:
        """As `Scheduler.ends`: from the accounting, else from what the controller still remembers."""
        found: dict[str, End] = {}
        for part in at_once(list(jobs)):
            found |= {id: end for id, end, name in self._accounted(part) if jobs.get(id) == name}
        for id, name in jobs.items():
            if id in found:
                continue
            try:
                shown = self._ask("scontrol", "--oneliner", "show", "job", id).out
            except Unknown:
                break
            match = _SHOWN.search(shown)
            if match and match[1] == name and (end := _end(match[2], match[3])):
                found[id] = _timed(end, match[4] or "", match[5] or "")
        return found

    def cancel(self, ids: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """As `Scheduler.cancel`."""
        for part in at_once(ids):
            expect(self._ask("scancel", "--quiet", *part), _GONE)
        for name in names:
            expect(self._ask("scancel", "--quiet", f"--user={os.getuid()}", f"--name={name}"), _GONE)

    def _ask(self, command: str, *arguments: str) -> Answer:
        return ask(command, *self._where, *arguments)

    def _sbatch(self, how: str, request: Request) -> Answer:
        request = self._ready(request)
        environment = for_new_jobs(*_OF_ALLOCATION, keeping=_WHERE)
        command = ("sbatch", how, *self._where, *self.header(request), str(request.script))
        answer = ask(*command, environment=environment)
        if answer.code != 0:
            verdict = _VERDICT.search(answer.err)
            raise self._no(answer, _told(answer), verdict and verdict[1])
        return answer

    def _check_limits(self, request: Request, partition: str) -> None:
        """Refuse what would wait for ever: many Slurms take requests beyond the limits of a partition."""
        if any(option.startswith(("-q", "--qos")) for option in request.options):
            return  # a quality of service may lift them
        try:
            shown = self._ask("scontrol", "--oneliner", "show", "partition", partition).out
        except Unknown:
            return
        limits = dict(pair.split("=", 1) for pair in shown.split() if "=" in pair)
        longest, most = _seconds(limits.get("MaxTime", "")), limits.get("MaxNodes", "")
        if longest is not None and request.walltime is not None and request.walltime > longest:
            raise Refused(f"partition {partition} allows {clock(longest)}, not {clock(request.walltime)}")
        if most.isdecimal() and request.nodes > int(most):
            raise Refused(f"partition {partition} allows {most} nodes, not {request.nodes}")

    def _seen(self, row: str) -> Seen | None:
        match = _ROW.fullmatch(row)
        if match is None:
            begins = _ROW_ID.match(row)
            return self._unreadable(row, begins[1] if begins else None)
        id, word, reason, submitted, starts, ends, hosts, name = match.groups()
        end = _end(word, reason=reason)
        state = State.ENDED if end else _STATE_OF.get(word)
        if state is None:
            self._unreadable(row, id)
        waits = state is State.WAITING
        return Seen(
            id,
            name,
            state,
            word,
            reason=None if reason == "None" and not waits else reason,
            explained=explained(reason) if waits else None,
            never_starts=waits and never_starts(reason),
            submitted_at=_time(submitted),
            starts_at=_time(starts),
            ends_at=_time(ends),
            hosts=() if hosts.startswith("(") else expanded(hosts),
            end=end,
        )

    def _accounted(self, ids: Sequence[str]) -> Iterator[tuple[str, End, str]]:
        """Id, end and name; nothing where there is no accounting, or it does not answer."""
        asked = "JobID,State,ExitCode,Start,End,JobName"
        try:
            answer = self._ask("sacct", "-X", "-P", "-n", f"--format={asked}", f"--jobs={','.join(ids)}")
        except Unknown:
            return
        for row in answer.out.splitlines():
            if row.count("|") >= 5:
                id, state, code, began, at, name = row.split("|", 5)
                if end := _end(state, code):
                    yield id, _timed(end, began, at), name


def _end(told: str, code: str | None = None, reason: str | None = None) -> End | None:
    """None if that is not the word of an end.

    Parameters:
        told: the state; behind its word sacct adds details.
        code: ``<exit code>:<signal>``.
    """
    word = told.split()[0] if told.strip() else ""
    cause = _CAUSES.get(word)
    if cause is None:
        return None
    details = f" ({reason})" if reason and reason != "None" else ""
    return End(cause, _exit_code(cause, code), told.strip() + details)


def _timed(end: End, began: str, at: str) -> End:
    return replace(end, began_at=_time(began), at=_time(at))


def _exit_code(cause: Cause, code: str | None) -> int | None:
    if code is None or not re.fullmatch("[0-9]{1,3}:[0-9]{1,3}", code):
        return 0 if cause is Cause.FINISHED else None
    own, number = map(int, code.split(":"))
    if (own == number == 0 and cause is not Cause.FINISHED) or number > 64:
        return None  # it never came to an end of its own; or that is no signal, but a word of Slurm's
    return 128 + number if number else own


def _told(answer: Answer) -> str:
    """The sentences with which sbatch refuses, without what stands before them."""
    sentences = [_PREFIX.sub("", text.strip()) for text in answer.err.splitlines() if _PREFIX.match(text)]
    return "; ".join(dict.fromkeys(sentences)) or answer.told


def _time(text: str) -> datetime | None:
    """In UTC; None for N/A and its like."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def _seconds(text: str) -> float | None:
    try:
        return parse_duration(text)
    except ValueError:  # UNLIMITED
        return None
