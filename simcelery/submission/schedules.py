"""Schedules: jobs that are submitted again and again. `simcelery.schedules`, and those of the settings."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcelery.board import catalogue, due, engine
from simcelery.board import schedules as board
from simcelery.board.catalogue import Entry
from simcelery.board.schedules import MISSED, Missed, NewSchedule
from simcelery.board.values import NewJob
from simcelery.errors import SettingsError, UsageError
from simcelery.readable import short
from simcelery.settings import Settings, get_settings
from simcelery.submission.by_catalogue import prepare_entry
from simcelery.submission.handle import Job, get_job
from simcelery.submission.options import Options, split
from simcelery.submission.publishing import publish
from simcelery.submission.submit import prepare
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition

# Of a job, what a schedule can say.
_OPTIONS = (
    "queue",
    "priority",
    "tags",
    "max_attempts",
    "max_losses",
    "time_limit",
    "time_request",
    "cores",
    "memory",
    "gpus",
    "on",
    "keep",
)
# Of a schedule of the settings. There the time zone is UTC by default: the file may be read on many machines.
_IN_SETTINGS = ("cron", "timezone", "missed", "workflow", "command", "parameters", *_OPTIONS)


@dataclass(frozen=True)
class Schedule:
    """A schedule as it stands. Times are timezone-aware.

    Attributes:
        missed: what becomes of times at which no worker was there: ``once``, ``all`` or ``skip``.
        next_at: when it is due next; None: never.
        last_at: the time that it was due for last.
        paused_at: since when it is paused.
        last_job: the id of its last job.
        from_settings: it was declared in ``[schedules]`` of a settings file.
    """

    name: str
    cron: str
    timezone: str
    missed: str
    workflow: str
    parameters: dict[str, Any]
    next_at: dt.datetime | None
    last_at: dt.datetime | None
    paused_at: dt.datetime | None
    last_job: int | None
    from_settings: bool


class Schedules:
    """Jobs that are submitted again and again, by cron expressions: ``simcelery.schedules``.

    They are on the board, and any worker records their jobs: exactly one for each time.
    """

    def __repr__(self) -> str:
        return "<simcelery.schedules: add, list, pause, resume, run, remove>"

    def add(
        self,
        name: str,
        cron: str,
        workflow: Definition | str | Sequence[str],
        /,
        *args: Any,
        timezone: str | None = None,
        missed: Missed = "once",
        replace: bool = False,
        **given: Any,
    ) -> Schedule:
        """Submit a job whenever it is due.

        Parameters:
            name: a word to call it by; its jobs have the tag ``schedule:NAME``.
            cron: minute, hour, day of the month, month and day of the week, or ``@hourly``, ``@daily``,
                ``@weekly``, ``@monthly``, ``@yearly``.
            workflow: a workflow, or its name; or the words of a command.
            args, given: the workflow's parameters, and options of the job, as in `Workflow.submit`:
                ``queue, priority, tags, max_attempts, max_losses, time_limit, time_request, cores, memory,
                gpus, on, keep``.
            timezone: of the times, such as ``"Europe/Berlin"``; default: that of this machine.
            missed: of times at which no worker was there, make up for ``once``, for ``all`` (the last 100),
                or ``skip`` them.
            replace: change the schedule of this name, if there is one; else that is an error.

        Raises:
            UsageError: the name, the expression or the time zone is none, or there is such a schedule.
            ParametersError, EncodingError, UnknownWorkflowError: before anything is written.
        """
        zone = timezone or here()
        checked(name, cron, zone, missed)
        job = self._job(workflow, args, given)
        new = NewSchedule(name=name, cron=cron, timezone=zone, missed=missed, job=job)
        with engine.begin() as connection:
            (board.put if replace else board.add)(connection, new)
        return self.list(name)[0]

    def _job(self, workflow: Any, args: tuple[Any, ...], given: dict[str, Any]) -> NewJob:
        registry.load(get_settings())
        if isinstance(workflow, list | tuple):
            workflow, given = "command", {"argv": _command(workflow), **given}
        definition = workflow if isinstance(workflow, Definition) else registry.get(workflow)
        values, chosen = split(definition, given)
        return job_of(definition, definition.parameters.bind(args, values), chosen)

    def list(self, *names: str) -> tuple[Schedule, ...]:
        """The schedules of these names, or all, by name.

        Each has ``name, cron, timezone, missed, workflow, parameters``, the times ``next_at, last_at,
        paused_at`` (None: never), ``last_job``, an id, and ``from_settings``: a settings file declares it.
        """
        with engine.begin() as connection:
            return tuple(map(_read, board.listed(connection, names)))

    def pause(self, *names: str) -> None:
        """Submit nothing for these until they are resumed.

        Raises:
            UsageError: there is no such schedule.
        """
        with engine.begin() as connection:
            board.pause(connection, names)

    def resume(self, *names: str) -> None:
        """Go on with paused ones; what would have been due meanwhile is not made up for.

        Raises:
            UsageError: there is no such schedule.
        """
        with engine.begin() as connection:
            board.resume(connection, names)

    def run(self, name: str) -> Job:
        """Submit the job of a schedule now, besides those that are due.

        Raises:
            UsageError: there is no such schedule.
        """
        with engine.begin() as connection:
            _, number = board.record_now(connection, name)
        publish([number])
        return get_job(number)

    def remove(self, *names: str) -> None:
        """Remove schedules; the jobs that they have submitted stay.

        Raises:
            UsageError: there is no such schedule.
        """
        with engine.begin() as connection:
            board.remove(connection, names)


schedules = Schedules()


def _read(row: Mapping[str, Any]) -> Schedule:
    same = ("name", "cron", "timezone", "missed", "parameters", "next_at", "last_at", "paused_at")
    job = row["job"] if isinstance(row["job"], dict) else {}  # somebody else may have written the row
    return Schedule(
        workflow=str(job.get("workflow", "")),
        last_job=row["last_job_id"],
        from_settings=row["from_settings"],
        **{name: row[name] for name in same},
    )


def job_of(definition: Definition, values: Mapping[str, Any], options: Options) -> NewJob:
    """The job that a schedule records, validated.

    Raises:
        UsageError: it cannot be one of a schedule.
    """
    usual = Options()
    for name in vars(options):
        if name not in _OPTIONS and getattr(options, name) != getattr(usual, name):
            raise UsageError(f"a schedule has no option {name}: it may have {', '.join(_OPTIONS)}")
    return without_parents(prepare(definition, values, options))


def without_parents(job: NewJob) -> NewJob:
    """The job, which takes no results.

    Raises:
        UsageError: it does.
    """
    if job.parents:
        raise UsageError("a schedule cannot take the results of jobs")
    return job


def checked(name: object, cron: str, timezone: str, missed: str) -> None:
    """Refuse what no schedule can have.

    Raises:
        UsageError: the name, the expression, the time zone or the policy is none.
    """
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 100 or {*" ,"} & {*name}:
        raise UsageError(f"{short(name)} cannot be the name of a schedule: write a word such as nightly")
    if missed not in MISSED:
        raise UsageError(f"missed: {short(missed)} is not {', '.join(MISSED[:-1])} or {MISSED[-1]}")
    due.check(cron, timezone)


def here() -> str:
    """The time zone of this machine, by its usual name; UTC where it has none."""
    place = os.environ.get("TZ", "").lstrip(":")
    place = place or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    try:
        due.check("@daily", place)
    except UsageError:
        return "UTC"
    return place


def of_settings(settings: Settings, told: Mapping[str, Entry] | None = None) -> list[NewSchedule]:
    """The schedules that the settings declare, validated.

    Parameters:
        told: what is known of workflows that are not imported here; by default all are imported first.

    Raises:
        SettingsError: one is none; the line says which, and why.
        BoardUnreachableError: a workflow that is not known here is looked up on the board.
    """
    if told is None and settings.schedules:
        registry.load(settings)
    found = []
    for name, given in sorted(settings.schedules.items()):
        try:
            found.append(_declared(name, given, told or {}))
        except UsageError as error:
            raise SettingsError(f"setting 'schedules': {short(name)}: {error}") from None
    return found


def _declared(name: str, given: Mapping[str, Any], told: Mapping[str, Entry]) -> NewSchedule:
    for key in given:
        if key not in _IN_SETTINGS:
            raise UsageError(f"there is no {short(key)}; there are: {', '.join(_IN_SETTINGS)}")
    for key in ("cron", "timezone", "missed", "workflow"):
        if not isinstance(given.get(key, ""), str):
            raise UsageError(f"{key} must be a string")
    if "cron" not in given:
        raise UsageError("cron is missing: write cron = '30 2 * * *'")
    if ("workflow" in given) == ("command" in given):
        raise UsageError("write either workflow = 'NAME' or command = ['PROGRAM', …]")
    values = given.get("parameters", {})
    if not isinstance(values, dict):
        raise UsageError("parameters must be a table")
    workflow = given.get("workflow", "command")
    if "command" in given:
        values = {**values, "argv": _command(given["command"])}
    zone, missed = given.get("timezone", "UTC"), given.get("missed", "once")
    checked(name, given["cron"], zone, missed)
    options = Options(**{key: value for key, value in given.items() if key in _OPTIONS})
    return NewSchedule(
        name=name,
        cron=given["cron"],
        timezone=zone,
        missed=missed,
        job=without_parents(_prepared(workflow, values, options, told)),
        from_settings=True,
    )


def _command(argv: Any) -> list[str]:
    if not isinstance(argv, list | tuple) or not argv or not all(isinstance(word, str) for word in argv):
        raise UsageError("a command must be a list of words, such as ['rsync', '-a', '/a', 'b:']")
    return [*argv]


def _prepared(
    workflow: str, values: Mapping[str, Any], options: Options, told: Mapping[str, Entry]
) -> NewJob:
    """The job of a workflow that is known here, or else on the board."""
    entry = told.get(workflow)
    if entry is None and registry.find(workflow) is None:
        with engine.begin() as connection:
            entry = next((one for one in catalogue.read(connection) if one.name == workflow), None)
    if entry is None:
        return prepare(registry.get(workflow), values, options)
    return prepare_entry(entry, values, options)
