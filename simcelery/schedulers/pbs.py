"""PBS: OpenPBS, PBS Pro and Torque, through qsub, qselect, qstat and qdel.

qstat is read as text: that is the same in all of them, and a value that it does not escape, as in its JSON,
spoils one line and not the whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from simcelery.quantities import parse_duration
from simcelery.schedulers.asking import Unknown, ask, for_new_jobs
from simcelery.schedulers.request import Request, clock, mebibytes
from simcelery.schedulers.scheduler import Scheduler, at_once, expect, own_name
from simcelery.schedulers.seen import Cause, End, Seen, State

_ID = re.compile(r"([0-9]+(?:\[[0-9]*\])?(?:\.[\w.-]+)?)", re.ASCII)
_SERVER = re.compile(r"^Server: (\S+)", re.MULTILINE)
_GONE = re.compile(
    r"unknown job id|has finished|invalid (request|state) for|request invalid for state", re.IGNORECASE
)
_FIELD = re.compile(r" {4}([\w.]+) = (.*)")
_HOST = re.compile(r"(?:^|\+)\(?([^/+()]+)/")
_NODES = re.compile(r"(-l)?(select|nodes)=")

_STATES = dict.fromkeys("QHWT", State.WAITING) | dict.fromkeys("RESUB", State.RUNNING)
_OVER = "CFX"
# Exit codes of the scheduler itself, and signals, to which it adds 256.
_CAUSES = {
    0: Cause.FINISHED,
    -14: Cause.NODE_FAILURE,  # of another one than its first
    -20: Cause.NODE_FAILURE,
    -32: Cause.NODE_FAILURE,  # which knows nothing of it any more
    -26: Cause.OUT_OF_MEMORY,  # virtual
    -27: Cause.OUT_OF_MEMORY,
    -29: Cause.WALLTIME,
    256 + 9: Cause.CANCELLED,
    256 + 15: Cause.CANCELLED,
}

Fields = Mapping[str, str]


class Pbs(Scheduler):
    """PBS. Its names have at most 15 characters, and it excludes no hosts."""

    launcher = "pbs"
    commands = ("qsub", "qselect", "qstat", "qdel")
    ours = ("-N", "-o", "-j", "-J", "-t", "-I", "-z")
    flags = "fhVX"

    def site(self) -> str:
        """As `Scheduler.site`: the name of the server."""
        found = _SERVER.search(expect(ask("qstat", "-B", "-f")))
        if found is None:
            raise Unknown("qstat: it does not tell the name of the server")
        return found[1]

    def known_as(self, name: str) -> str:
        """``simcelery-gpu-1f2e3d4c`` is ``scgpu-1f2e3d4c``: all of what is nobody else's stays."""
        if len(name) <= 15:
            return name
        rest, _, nonce = name.rpartition("-")
        label = rest.rpartition("-")[2]
        return f"sc{label[: max(0, 12 - len(nonce))]}-{nonce}"[:15]

    def header(self, request: Request) -> list[str]:
        """As `Scheduler.header`. Torque needs ``-l nodes=…`` among the options: it knows no ``select``."""
        asked = ["-N", self.known_as(request.name), "-j", "oe", "-o", str(request.output), "-r", "n"]
        if request.walltime:
            asked += ["-l", f"walltime={clock(request.walltime)}"]
        if not any(_NODES.match(option) for option in request.options):
            asked += ["-l", _select(request)] + (["-l", "place=scatter"] if request.nodes > 1 else [])
        if request.partition:
            asked += ["-q", request.partition]
        if request.account:
            asked += ["-A", request.account]
        return [*asked, *request.options]

    def submit(self, request: Request) -> str:
        """As `Scheduler.submit`."""
        command = ("qsub", *self.header(self._ready(request)), str(request.script))
        return self._id_of(ask(*command, environment=for_new_jobs(), folder=request.folder), _ID)

    def cannot_exclude(self, options: Sequence[str]) -> str | None:
        """As `Scheduler.cannot_exclude`."""
        return "PBS has no option for it"

    def look(self) -> list[Seen]:
        """As `Scheduler.look`. OpenPBS lists only what has not ended; the rest is for `ends`."""
        found = []
        for part in at_once(self._selected()):
            for id, fields in _jobs(expect(ask("qstat", "-f", *part), _GONE)):
                found.append(self._seen(id, fields))
        return found

    def ends(self, jobs: Mapping[str, str]) -> dict[str, End]:
        """As `Scheduler.ends`: where the server keeps a history."""
        found: dict[str, End] = {}
        for part in at_once(list(jobs)):
            try:
                answer = ask("qstat", "-x", "-f", *part)
            except Unknown:
                break
            for id, fields in _jobs(answer.out):
                is_it = id in jobs and fields.get("Job_Name") == jobs[id]
                if is_it and fields.get("job_state") in list(_OVER):
                    found[id] = _timed(fields)
        return found

    def cancel(self, ids: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """As `Scheduler.cancel`."""
        named = [id for name in names for id in self._selected("-N", self.known_as(name))]
        for part in at_once(list(dict.fromkeys([*ids, *named]))):
            expect(ask("qdel", *part), _GONE)

    def _selected(self, *conditions: str) -> list[str]:
        lines = expect(ask("qselect", "-u", own_name(), *conditions)).splitlines()
        return [match[1] for text in lines if (match := _ID.fullmatch(text.strip()))]

    def _seen(self, id: str, fields: Fields) -> Seen:
        word = fields.get("job_state", "")
        ended = len(word) == 1 and word in _OVER
        state = State.ENDED if ended else _STATES.get(word)
        if state is None:
            self._unreadable(f"{id}: state {word!r}", id)
        waits, comment = state is State.WAITING, fields.get("comment")
        started = _started(fields)
        over = _ended(fields) if ended else _expected(fields, started)
        return Seen(
            id,
            fields.get("Job_Name"),
            state,
            word,
            reason=comment,
            never_starts=waits and _never(word, fields),
            submitted_at=_time(fields, "ctime", "qtime"),
            starts_at=started or (None if ended else _time(fields, "estimated.start_time")),
            ends_at=over,
            hosts=tuple(dict.fromkeys(_HOST.findall(fields.get("exec_host", "")))),
            end=_end(fields) if ended else None,
        )


def _select(request: Request) -> str:
    each = [f"select={request.nodes}", f"ncpus={request.cores or 1}"]
    if request.memory:
        each.append(f"mem={mebibytes(request.memory)}mb")
    if request.gpus:
        each.append(f"ngpus={request.gpus}")
    return ":".join(each)


def _jobs(text: str) -> Iterator[tuple[str, Fields]]:
    """Each job that qstat describes, with its fields; lines that are none are passed over."""
    id, fields, last = None, dict[str, str](), ""
    for row in text.splitlines():
        if row.startswith("Job Id: "):
            if id is not None:
                yield id, fields
            id, fields, last = row.removeprefix("Job Id: ").strip(), {}, ""
        elif match := _FIELD.fullmatch(row):
            last = match[1]
            fields[last] = match[2].strip()
        elif row.startswith("\t") and last:  # a long value goes on
            fields[last] += row.strip()
    if id is not None:
        yield id, fields


def _never(word: str, fields: Fields) -> bool:
    held = word == "H" and "depend" not in fields
    return held or fields.get("comment", "").startswith("Can Never Run")


def _end(fields: Fields) -> End:
    told = fields.get("Exit_status", fields.get("exit_status", ""))
    comment = fields.get("comment")
    words = " ".join(filter(None, [told and f"exit status {told}", comment and f"({comment})"]))
    if not re.fullmatch("-?[0-9]{1,9}", told):
        begun = _started(fields) is not None
        # If it had begun, its node has never said how it ended.
        return End(Cause.NODE_FAILURE if begun else Cause.CANCELLED, None, words or "no exit status")
    status = int(told)
    cause = _CAUSES.get(status, Cause.FAILED)
    if cause is Cause.CANCELLED and _used_up(fields):
        cause = Cause.WALLTIME  # which it ends with the same signals
    code = status - 128 if status > 256 else status
    return End(cause, code if code >= 0 else None, words)


def _timed(fields: Fields) -> End:
    return replace(_end(fields), began_at=_started(fields), at=_ended(fields))


def _started(fields: Fields) -> datetime | None:
    return _time(fields, "stime", "start_time")


def _ended(fields: Fields) -> datetime | None:
    return _time(fields, "comp_time", "obittime", "mtime")


def _used_up(fields: Fields) -> bool:
    used, limit = (_seconds(fields, f"{which}.walltime") for which in ("resources_used", "Resource_List"))
    return used is not None and limit is not None and used >= limit


def _expected(fields: Fields, started: datetime | None) -> datetime | None:
    limit = _seconds(fields, "Resource_List.walltime")
    return started + timedelta(seconds=limit) if started and limit is not None else None


def _seconds(fields: Fields, name: str) -> float | None:
    try:
        return parse_duration(fields.get(name, ""))
    except ValueError:
        return None


def _time(fields: Fields, *names: str) -> datetime | None:
    """The first of the fields that there is; qstat was asked in UTC."""
    for name in names:
        try:
            return datetime.strptime(fields.get(name, ""), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
