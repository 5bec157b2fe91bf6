"""What is asked of every scheduler, and how its answers are judged."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from simcelery.readable import short
from simcelery.schedulers.asking import Answer, Refused, Unknown
from simcelery.schedulers.request import Request
from simcelery.schedulers.seen import End, Plan, Seen

log = logging.getLogger(__name__)

# Behind these an order may have been carried out all the same.
_UNCLEAR = re.compile(
    r"timed[ -]?out|timeout|connect|(unable to|cannot|can't|not) contact|commlib|communicat|can't be reached"
    r"|send message|zero bytes|end of file|end of message|transport|resolve|munge|authenticat",
    re.IGNORECASE,
)
_AT_ONCE = 200  # ids in one command
_REMEMBERED = 1000


class Scheduler(ABC):
    """A batch scheduler, through the commands of this host.

    Attributes:
        launcher: its name in the settings.
        commands: what it cannot do without.
        ours: options that are not for `Request.options`, since what is asked here relies on them.
        flags: letters of options without a value, which may be written before another one, as in ``-VNname``;
            None: a value is always a word of its own, and so is each option.
    """

    launcher: ClassVar[str]
    commands: ClassVar[tuple[str, ...]] = ()
    ours: ClassVar[tuple[str, ...]] = ()
    flags: ClassVar[str | None] = None

    def __init__(self) -> None:
        self._noted: set[str] = set()

    def missing(self) -> list[str]:
        """The commands that are not on the PATH; none: it can be used here."""
        return [command for command in self.commands if shutil.which(command) is None]

    @abstractmethod
    def site(self) -> str:
        """Which scheduler this is: what stays the same, and what the one of another site does not have.

        Raises:
            Unknown: it does not answer properly.
        """

    def known_as(self, name: str) -> str:
        """The name that this scheduler gives to a request of that name."""
        return name

    @abstractmethod
    def header(self, request: Request) -> list[str]:
        """The request as arguments of the command that submits: those win over comments in the script.

        Raises:
            Refused: the scheduler has no such thing, or the options are not to be given.
        """

    @abstractmethod
    def submit(self, request: Request) -> str:
        """Submit it.

        Returns:
            Its id.

        Raises:
            Refused: it said no.
            Unknown: it may be submitted or not; `look` finds it by its name.
        """

    def plan(self, request: Request) -> Plan | None:
        """What it would do with the request, without doing it; None where it does not say.

        Raises:
            Refused: it would not take it, or never start it.
            Unknown: it does not answer.
        """
        return None

    def nodes(self, partition: str | None) -> dict[str, bool] | None:
        """The nodes of a partition as this scheduler calls them, with whether they take batch jobs now.

        None where it does not say. That of None is the one that requests go to which name none.

        Raises:
            Unknown: it does not answer properly.
        """
        return None

    def cannot_exclude(self, options: Sequence[str]) -> str | None:
        """Why a request with these options cannot leave hosts out; None: it can."""
        return None

    @abstractmethod
    def look(self) -> list[Seen]:
        """All batch jobs of our user, with those that have just ended as far as it still lists them.

        Raises:
            Unknown: it does not answer properly. That some are missing is not an end of theirs.
        """

    @abstractmethod
    def ends(self, jobs: Mapping[str, str]) -> dict[str, End]:
        """How those ended that `look` may no longer give; which of them it does not know, is not in it.

        Parameters:
            jobs: their ids, each with its name as `known_as` has it. A number is given again, and another
                scheduler gives the same: what has another name is another batch job.
        """

    @abstractmethod
    def cancel(self, ids: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """Cancel those of our user's batch jobs; what has ended, or never was, is none the less done.

        Raises:
            Unknown: it does not answer properly.
        """

    def _ready(self, request: Request) -> Request:
        """The request, if it can be submitted by us at all."""
        if missing := self.missing():
            raise Refused(f"{self.launcher}: there is no command {missing[0]} on this host")
        for option in request.options:
            if self._is_ours(option):
                raise Refused(
                    f"{self.launcher}: the option {option} cannot be given, since simcelery sets it"
                )
        return request

    def _is_ours(self, option: str) -> bool:
        """Whether a word gives one of `ours`, however the command lets people write it."""
        name = option.partition("=")[0]
        if name.startswith("--"):  # it may be abbreviated
            return len(name) > 2 and any(one.startswith(name) for one in self.ours)
        if self.flags is None:
            return name in self.ours
        letters = "".join(one[1] for one in self.ours if len(one) == 2)
        return re.match(f"-[{self.flags}]*[{letters}]", option) is not None

    def _id_of(self, answer: Answer, shape: re.Pattern[str]) -> str:
        """The id that it gives, in the last line of this shape: sites print lines of their own before it."""
        if answer.code != 0:
            raise self._no(answer)
        lines = map(str.strip, reversed(answer.out.splitlines()))
        found = next(filter(None, map(shape.fullmatch, lines)), None)
        if found is None:
            raise Unknown(f"{answer.command} gave no id: {short(answer.told, 200)}")
        return found[1]

    def _no(self, answer: Answer, told: str | None = None, verdict: str | None = None) -> Refused | Unknown:
        """What an answer with an exit code means: a no, or nothing.

        Parameters:
            told: what is told of it; by default all that it says.
            verdict: what decides; sites add whom to contact, and the like.
        """
        told = told or answer.told
        silent = not (answer.err or answer.out).strip()
        unclear = answer.code < 0 or silent or _UNCLEAR.search(verdict or told)
        return Unknown(f"{answer.command}: {told}") if unclear else Refused(f"{answer.command}: {told}")

    def _unreadable(self, row: str, id: str | None = None) -> Seen | None:
        """A row that nobody understands, as one of which nothing is known; it is logged once."""
        key = id or row
        if key not in self._noted and len(self._noted) < _REMEMBERED:
            self._noted.add(key)
            log.warning("%s: what it says of a batch job cannot be read: %s", self.launcher, short(row, 200))
        return Seen(id) if id else None


def at_once(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in such parts as fit into one command."""
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def expect(answer: Answer, gone: re.Pattern[str] | None = None) -> str:
    """The output of a command that did what it should.

    Parameters:
        gone: what each line that it says may be, if it says that it failed: that a job is there no more.

    Raises:
        Unknown: it did not.
    """
    said = [text for text in (answer.err.strip() or answer.out).splitlines() if text.strip()]
    if answer.code != 0 and (gone is None or not said or not all(map(gone.search, said))):
        raise Unknown(f"{answer.command}: {answer.told}")
    return answer.out


def own_name() -> str:
    """The name of the user that this process runs as; schedulers list by it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
