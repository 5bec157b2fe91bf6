"""This host as a scheduler: what is submitted starts at once, in a session of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simcelery.failpoints import failpoint
from simcelery.schedulers import local_start
from simcelery.schedulers.asking import Refused, Unknown, ask, for_new_jobs
from simcelery.schedulers.local_start import members, place, started, write
from simcelery.schedulers.request import Request
from simcelery.schedulers.scheduler import Scheduler
from simcelery.schedulers.seen import Cause, End, Seen, State

GRACE = 30.0  # seconds between SIGTERM and SIGKILL, as Slurm has it by default
_LISTED = 3600.0  # seconds: so long `look` gives what has ended

Account = dict[str, Any]
_UNREADABLE = (ValueError, KeyError, TypeError, OSError)


class Local(Scheduler):
    """Processes of this host.

    Three files tell of each, so that nothing is lost by whoever dies when: ``NAME.json``, that it is to be
    started, by whom; ``NAME.begun``, by which process it is started, or that nobody will; ``NAME.exit``, how
    it ended. Each is written once. Its id is its name.

    Parameters:
        folder: where these files are; that of another host, on a shared file system, says nothing of it here.
        grace: seconds between SIGTERM and SIGKILL.
    """

    launcher = "local"

    def __init__(self, folder: Path, grace: float = GRACE) -> None:
        super().__init__()
        self._folder = folder
        self._grace = grace

    def site(self) -> str:
        """As `Scheduler.site`: what another home has account of is another's."""
        return f"{socket.gethostname()}:{os.path.realpath(self._folder)}"

    def header(self, request: Request) -> list[str]:
        """As `Scheduler.header`."""
        if request.nodes != 1:
            raise Refused(f"local: this is one host, not {request.nodes}")
        if request.options:
            raise Refused(f"local: there are no options, such as {request.options[0]}")
        return []

    def submit(self, request: Request) -> str:
        """As `Scheduler.submit`. What has this name already is not started again; its id is given."""
        self.header(request)
        asked = {
            "script": str(request.script),
            "output": str(request.output),
            "walltime": request.walltime,
            "grace": self._grace,
            "place": place(),
            "pid": os.getpid(),
            "started": started(os.getpid()),
            "at": time.time(),
        }
        try:
            if not write(self._path(request.name, "json"), asked):
                return request.name
        except OSError as error:
            raise Refused(f"local: cannot write in {self._folder}: {error.strerror}") from None
        failpoint("local_intended")
        try:
            told = self._run(str(self._folder), request.name, folder=request.folder)
            failpoint("local_started")
        finally:  # also if this is interrupted: while we live, nobody else would know
            given_up = self._give_up_or_say(request.name)
        if given_up:
            raise Refused(f"local: cannot start {request.name}: {told}")
        return request.name

    def look(self) -> list[Seen]:
        """As `Scheduler.look`."""
        try:
            names = sorted(Path(file).stem for file in os.listdir(self._folder) if file.endswith(".json"))
        except FileNotFoundError:
            return []  # nothing was ever submitted
        except OSError as error:
            raise Unknown(f"local: cannot read {self._folder}: {error.strerror}") from None
        return [seen for name in names if (seen := self._seen(name)) and not _is_old(seen)]

    def ends(self, jobs: Mapping[str, str]) -> dict[str, End]:
        """As `Scheduler.ends`."""
        found = ((id, self._seen(id)) for id in jobs)
        return {
            id: replace(seen.end, began_at=seen.starts_at, at=seen.ends_at)
            for id, seen in found
            if seen and seen.end
        }

    def cancel(self, ids: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """As `Scheduler.cancel`: what runs is told to end; the process that watches it sees to that."""
        failed = []
        for name in dict.fromkeys([*ids, *names]):
            try:
                self._cancel(name)
            except _UNREADABLE as error:
                failed.append(f"local: cannot cancel {name}: {error}")
        if failed:
            raise Unknown(failed[0])

    def _cancel(self, name: str) -> None:
        asked = self._read(name, "json")
        if asked is None or asked["place"] != place() or self._read(name, "exit"):
            return
        if self._give_up(name, "cancelled before it began", Cause.CANCELLED):
            return
        begun = self._read(name, "begun") or {}
        if begun.get("pid") and _runs(begun):
            with suppress(ProcessLookupError):
                os.kill(begun["pid"], signal.SIGTERM)
        elif _rest(begun):
            self._run("end", str(begun["session"]), str(self._grace))

    def _give_up(self, name: str, told: str, cause: Cause = Cause.FAILED) -> bool:
        """From now on nobody will start it, unless somebody has."""
        end = {"pid": None, "cause": cause, "told": told, "at": time.time()}
        return write(self._path(name, "begun"), end)

    def _give_up_or_say(self, name: str) -> bool:
        try:
            return self._give_up(name, "it could not be started")
        except OSError as error:
            raise Unknown(f"local: cannot write in {self._folder}: {error.strerror}") from None

    def _run(self, *arguments: str, folder: Path | None = None) -> str:
        """Start the process of `local_start`; what it says is wrong."""
        command = (sys.executable, "-I", local_start.__file__, *arguments)
        try:
            return ask(*command, environment=for_new_jobs(), folder=folder).told
        except Unknown as error:
            return str(error)

    def _seen(self, name: str) -> Seen | None:
        try:
            asked = self._read(name, "json")
            return None if asked is None else self._judged(name, asked)
        except _UNREADABLE as error:
            return self._unreadable(f"{name}: {error}", name)

    def _judged(self, name: str, asked: Account) -> Seen:
        if asked["place"] != place():
            host = asked["place"].partition("|")[0]
            return Seen(name, name, word="elsewhere", reason=f"only {host} can tell", hosts=(host,))
        begun = self._read(name, "begun")
        if begun is None:
            if _runs(asked):
                return self._as(State.WAITING, name, asked, None)
            self._give_up(name, "it was never started: whoever submitted it died before")
            begun = self._read(name, "begun") or {}
        # First whether it runs: it may end, and say so, between the two questions.
        runs = begun["pid"] is not None and (_runs(begun) or _rest(begun))
        ended = self._read(name, "exit") or (begun if begun["pid"] is None else None)
        if runs and ended is None:
            return self._as(State.RUNNING, name, asked, begun)
        return self._as(State.ENDED, name, asked, begun, ended or {})

    def _as(
        self, state: State, name: str, asked: Account, begun: Account | None, ended: Account | None = None
    ) -> Seen:
        has_begun = begun is not None and begun["pid"] is not None
        return Seen(
            name,
            name,
            state,
            word=str(state),
            submitted_at=_time(asked),
            starts_at=_time(begun) if has_begun else None,
            ends_at=_expected(asked, begun) if ended is None else _time(ended),
            hosts=(asked["place"].partition("|")[0],),
            end=None if ended is None else _end(ended),
        )

    def _path(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}.{kind}"

    def _read(self, name: str, kind: str) -> Account | None:
        try:
            read = json.loads(self._path(name, kind).read_bytes())
        except FileNotFoundError:
            return None
        if not isinstance(read, dict):
            raise ValueError(f"{name}.{kind} holds no object")
        return read


def _runs(process: Account) -> bool:
    return bool(process["started"]) and started(process["pid"]) == process["started"]


def _rest(begun: Account) -> bool:
    """Whether its session outlives the process that watched it, which somebody has killed.

    The leader of the session left at once, so a living one belongs to a later session of the same number; as
    does everything after another boot.
    """
    boot = started(os.getpid()).rpartition("|")[0]
    if not begun.get("session") or begun["started"].rpartition("|")[0] != boot:
        return False
    return not started(begun["session"]) and bool(members(begun["session"]))


def _end(ended: Account) -> End:
    code, cause = ended.get("code"), ended.get("cause")
    if cause is None:
        cause = Cause.FINISHED if code == 0 else Cause.FAILED
    unsaid = "ended by force, with the process that watched it" if code is None else f"exit code {code}"
    return End(Cause(cause), code, ended.get("told") or unsaid)


def _time(account: Account | None) -> datetime | None:
    return datetime.fromtimestamp(account["at"], UTC) if account and "at" in account else None


def _expected(asked: Account, begun: Account | None) -> datetime | None:
    if begun is None or begun["pid"] is None or asked["walltime"] is None:
        return None
    return datetime.fromtimestamp(begun["at"] + asked["walltime"], UTC)


def _is_old(seen: Seen) -> bool:
    if seen.state is not State.ENDED or seen.ends_at is None:
        return False
    return (datetime.now(UTC) - seen.ends_at).total_seconds() > _LISTED
