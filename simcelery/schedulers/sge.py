"""Grid Engine, through qsub, qstat, qacct and qdel."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree  # nosec B405

from simcelery.schedulers.asking import Refused, Unknown, ask, for_new_jobs
from simcelery.schedulers.request import Request, mebibytes
from simcelery.schedulers.scheduler import Scheduler, at_once, expect, own_name
from simcelery.schedulers.seen import Cause, End, Plan, Seen, State

_ID = re.compile(r"([0-9]+)(?:\.[0-9]+-[0-9]+:[0-9]+)?", re.ASCII)
# Each job is read for itself: one that is not well-formed must not spoil the others.
_ROW = re.compile(r"<job_list\b.*?</job_list>", re.DOTALL)
_ROW_ID = re.compile(r"<JB_job_number>([0-9]+)<")
# What qdel says of each job when it says that it failed for one of them.
_GONE = re.compile("does not exist|do not exist|has (deleted|registered)|already in deletion", re.IGNORECASE)
_RUNS = re.compile("^=+$", re.MULTILINE)  # what qacct prints before each
_LETTERS = re.compile("[dEhqrRsSNtTwPz]+")
_HOSTS = re.compile(r"\b(h|hostname)=")
_CHOSEN = "its options choose the hosts themselves"
_SHEBANG = re.compile(rb"#! *(/\S+)")


_ROOT = "/var/lib/gridengine"  # without SGE_ROOT, as Debian has it


class Sge(Scheduler):
    """Grid Engine, of whichever house."""

    launcher = "sge"
    commands = ("qsub", "qstat", "qdel")
    ours = ("-N", "-o", "-e", "-j", "-t", "-sync", "-terse", "-@")

    def site(self) -> str:
        """As `Scheduler.site`: the cell, and the host that serves it unless it is replaced by another."""
        root = os.environ.get("SGE_ROOT") or _ROOT
        cell = Path(os.path.realpath(root)) / (os.environ.get("SGE_CELL") or "default")
        for name in ("shadow_masters", "act_qmaster"):
            with suppress(OSError, IndexError):
                return f"{cell} of {(cell / 'common' / name).read_text(errors='replace').split()[0]}"
        raise Unknown(f"sge: cannot read {cell}/common/act_qmaster")

    def header(self, request: Request) -> list[str]:
        """As `Scheduler.header`. What several hosts are asked for by has a name of the site's own."""
        asked = [
            "-N",
            request.name,
            "-j",
            "y",
            "-o",
            str(request.output),
            "-wd",
            str(request.folder),
            "-r",
            "n",
        ]
        if "-pe" not in request.options:
            if request.nodes > 1:
                raise Refused(
                    'sge: give the parallel environment for several hosts: options = ["-pe", NAME, SLOTS]'
                )
            asked += ["-pe", "smp", str(request.cores)] if (request.cores or 1) > 1 else []
        for resource in _resources(request):
            asked += ["-l", resource]
        if request.partition:
            asked += ["-q", request.partition]
        if request.account:
            asked += ["-P", request.account]
        return [*asked, *request.options]

    def submit(self, request: Request) -> str:
        """As `Scheduler.submit`."""
        command = ("qsub", "-terse", *self._asked(request))
        return self._id_of(ask(*command, environment=for_new_jobs(), folder=request.folder), _ID)

    def plan(self, request: Request) -> Plan | None:
        """As `Scheduler.plan`: whether it could run if nothing else did, without a time."""
        command = ("qsub", "-w", "v", *self._asked(request))
        answer = ask(*command, environment=for_new_jobs(), folder=request.folder)
        if answer.code != 0:
            raise self._no(answer)
        return Plan(None, (), answer.told)

    def cannot_exclude(self, options: Sequence[str]) -> str | None:
        """As `Scheduler.cannot_exclude`."""
        return _CHOSEN if any(map(_HOSTS.search, options)) else None

    def look(self) -> list[Seen]:
        """As `Scheduler.look`. It lists only what has not ended."""
        text = expect(ask("qstat", "-xml", "-u", own_name()))
        if "</job_info>" not in text:
            raise Unknown(f"qstat: its answer is not complete: {text[-100:]!r}")
        return [seen for row in _ROW.findall(text) if (seen := self._seen(row))]

    def ends(self, jobs: Mapping[str, str]) -> dict[str, End]:
        """As `Scheduler.ends`: one by one, since qacct looks at no more than the first of several."""
        found: dict[str, End] = {}
        for id, name in jobs.items():
            try:
                answer = ask("qacct", "-j", id)
            except Unknown:  # it reads the whole account, which takes long on an old cluster
                break
            fields = _fields(answer.out, name)
            if answer.code == 0 and (end := _end(fields)):
                began, at = (_account_time(fields.get(name, "")) for name in ("start_time", "end_time"))
                found[id] = replace(end, began_at=began, at=at)
        return found

    def cancel(self, ids: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """As `Scheduler.cancel`."""
        for part in at_once([*ids, *names]):
            expect(ask("qdel", "-u", own_name(), *part), _GONE)

    def _asked(self, request: Request) -> list[str]:
        # Many sites start scripts with the queue's own shell, whatever their first line says.
        shell = _interpreter(request.script)
        return ["-S", shell, *self.header(self._ready(request)), str(request.script)]

    def _seen(self, row: str) -> Seen | None:
        try:
            row_of_the_scheduler = ElementTree.fromstring(row)  # nosec B314
            fields = {field.tag: (field.text or "").strip() for field in row_of_the_scheduler}
            id = fields["JB_job_number"]
        except (ElementTree.ParseError, KeyError):
            found = _ROW_ID.search(row)
            return self._unreadable(row, found[1] if found else None)
        word = fields.get("state", "")
        state = _state(word)
        if state is None:
            self._unreadable(f"{id}: state {word!r}", id)
        host = fields.get("queue_name", "").partition("@")[2]
        reason = _reason(word) if state is State.WAITING else None
        return Seen(
            id,
            fields.get("JB_name"),
            state,
            word,
            reason=reason,
            explained=reason,
            never_starts="E" in word,
            submitted_at=_time(fields.get("JB_submission_time", "")),
            starts_at=_time(fields.get("JAT_start_time", "")),
            hosts=(host,) if host else (),
        )


def _resources(request: Request) -> list[str]:
    found = []
    if request.walltime:
        found.append(f"h_rt={int(-(-request.walltime // 1))}")
    if request.memory:
        found.append(f"mem_free={mebibytes(request.memory)}M")
    if request.gpus:
        found.append(f"gpu={request.gpus}")
    if request.exclude:
        found.append("hostname=" + "&".join(f"!{host}" for host in request.exclude))
    return found


def _interpreter(script: Path) -> str:
    try:
        with script.open("rb") as file:
            found = _SHEBANG.match(file.readline(300))
    except OSError as error:
        raise Refused(f"sge: cannot read {script}: {error.strerror}") from None
    return found[1].decode(errors="replace") if found else "/bin/sh"


def _state(word: str) -> State | None:
    """Its letters, such as ``qw``, ``hRwq`` or ``dr``; one that we do not know makes all of it unknown."""
    if not _LETTERS.fullmatch(word):
        return None
    if "z" in word:
        return State.ENDED
    if set(word) & set("rtsSTNP"):
        return State.RUNNING
    return State.WAITING if set(word) & set("qw") else None


def _reason(word: str) -> str | None:
    if "E" in word:
        return "it could not be started: `qstat -j` says why, `qmod -cj` has it tried again"
    return "it is held, or waits for another batch job: `qrls` lets it go" if "h" in word else None


def _fields(text: str, job: str) -> dict[str, str]:
    """What qacct says of the last run of that name: numbers begin anew, and an old job had the same."""
    fields: dict[str, str] = {}
    for run in _RUNS.split(text):
        account = {name: text.strip() for name, _, text in (row.partition(" ") for row in run.splitlines())}
        fields = account if account.get("jobname") == job else fields
    return fields


def _end(fields: Mapping[str, str]) -> End | None:
    failed, status = (fields.get(name, "").partition(" ") for name in ("failed", "exit_status"))
    if not (failed[0].isdecimal() and status[0].isdecimal()):
        return None
    why, code = failed[2].strip(" :"), int(status[0])
    if failed[0] == "0":
        return End(Cause.FAILED if code else Cause.FINISHED, code, f"exit status {code}")
    told = f"failed {failed[0]}: {why}, exit status {code}"
    if "h_rt" in why:
        return End(Cause.WALLTIME, None, told)
    # It ran, and a signal ended it: as qdel does.
    killed = failed[0] == "100" and code in (128 + 9, 128 + 15)
    return End(Cause.CANCELLED if killed else Cause.FAILED, code if failed[0] == "100" else None, told)


def _account_time(text: str) -> datetime | None:
    """Of qacct, which was asked in UTC, too; None for -/- and its like."""
    for shape in ("%a %b %d %H:%M:%S %Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S.%f"):
        try:
            return datetime.strptime(text, shape).replace(tzinfo=UTC)
        except ValueError:
            continue
    return _time(text)


def _time(text: str) -> datetime | None:
    """qstat was asked in UTC; some print seconds or milliseconds since 1970."""
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC)
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
