"""A profile: how the workers of a cluster are started.

It is made of ``[clusters.NAME]`` in the settings, and kept as JSON as it was when they were started.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from simcelery import setting_kinds as kinds
from simcelery.cluster import environment, worker_options
from simcelery.errors import SettingsError, UsageError
from simcelery.needs import LEAST_MEMORY, MOST_CORES, MOST_GPUS
from simcelery.readable import short
from simcelery.schedulers.launchers import LAUNCHERS
from simcelery.setting_kinds import Kind
from simcelery.settings import Settings

_MOST_NODES, _MOST_WORKERS = 100_000, 1000
_NOT_LOCAL = ("partition", "account", "gpus", "options")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How the workers of a cluster are started.

    Attributes:
        name: of the cluster; it becomes a part of the names of batch jobs.
        launcher: ``local``, ``slurm``, ``pbs`` or ``sge``.
        partition: or queue.
        account: or project.
        cores, memory, gpus: on each node; memory in bytes.
        walltime: seconds.
        each_node: how many workers a node gets.
        setup: shell lines that come before the worker.
        worker: options of ``celery -A simcelery worker``.
        options: more words for the command that submits.
        python: the interpreter that starts the worker; absolute.
        folder: where it starts; absolute.
        environment: variables that it needs, without passwords.
        secrets: the file with variables that may hold a password, if there are any; absolute.
    """

    name: str
    launcher: str
    partition: str | None = None
    account: str | None = None
    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    walltime: float | None = None
    nodes: int = 1
    each_node: int = 1
    setup: tuple[str, ...] = ()
    worker: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    python: str
    folder: str
    environment: Mapping[str, str]
    secrets: str | None = None

    @property
    def all_cores(self) -> int | None:
        """On all nodes together; None: it does not say."""
        return self.cores and self.cores * self.nodes


def of_settings(settings: Settings, name: str) -> Profile | None:
    """The profile that the settings have of a cluster; None: they have none of that name.

    Raises:
        SettingsError: it is malformed; the line says where.
    """
    if name not in settings.clusters:
        return None
    try:
        return checked(settings, name, settings.clusters[name])
    except UsageError as error:
        raise SettingsError(f"setting 'clusters': {short(name)}: {error}") from None


def checked(settings: Settings, name: str, given: Mapping[str, Any]) -> Profile:
    """The profile of these values, as the settings or flags give them, for workers like this process.

    Raises:
        UsageError: one line says what is wrong.
    """
    for key in given:
        if key not in _IN_SETTINGS:
            raise UsageError(_no_such(key))
    if given.get("launcher") is None:
        raise UsageError(f"launcher is missing: write one of {', '.join(LAUNCHERS)}")
    here = {
        "name": name,
        "python": os.path.abspath(sys.executable),
        "folder": _current_folder(),
        "environment": environment.shown(settings),
        "secrets": str(environment.file_of(settings, name)) if environment.hidden(settings) else None,
    }
    return _made({**given, **here})


def as_json(profile: Profile) -> dict[str, Any]:
    """The profile as JSON; it holds no password."""
    return {
        name: [*value] if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
        for name, value in vars(profile).items()
    }


def from_json(value: object) -> Profile:
    """The profile that was kept. What a later version has added is left out.

    Raises:
        UsageError: somebody else has written it, and it is none.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{short(value)} is no profile of a cluster")
    return _made({key: each for key, each in value.items() if key in _KINDS})


def _made(values: Mapping[str, Any]) -> Profile:
    made = {}
    for key, value in values.items():
        if value is None:
            continue
        try:
            made[key] = _KINDS[key](value)
        except ValueError as error:
            raise UsageError(f"{key}: {' '.join(str(error).split())}") from None
    for key in ("name", "launcher", "python", "folder", "environment"):
        if key not in made:
            raise UsageError(f"{key} is missing")
    profile = Profile(**made)
    _check_launcher(profile)
    return profile


def _check_launcher(profile: Profile) -> None:
    """Refuse what the launcher has not, and the script could not do."""
    launcher, workers = profile.launcher, profile.each_node
    if launcher == "local":
        for key in _NOT_LOCAL:
            if getattr(profile, key):
                raise UsageError(f"{key}: the launcher local has no such thing")
    if launcher != "slurm" and profile.nodes > 1:
        raise UsageError(f"nodes: {launcher} starts workers on one node only: start more batch jobs instead")
    if workers > 1 and (profile.cores or (0 if launcher == "slurm" else workers)) < workers:
        raise UsageError(f"each_node: {workers} workers on a node need cores = {workers}, or more")


def _no_such(key: str) -> str:
    close = difflib.get_close_matches(key.replace("-", "_").lower(), _IN_SETTINGS, 1, 0.7)
    meant = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(_IN_SETTINGS)}"
    return f"there is no {short(key)}; {meant}"


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise UsageError("the current folder was deleted: go to that of your project") from None


def _text(value: Any) -> str:
    if "\0" in kinds.text(value):
        raise ValueError("must not contain NUL")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a string or a list of strings")
    return tuple(map(_text, value))


def _lines(value: Any) -> tuple[str, ...]:
    return _texts([value] if isinstance(value, str) else value)


def words(value: Any) -> tuple[str, ...]:
    """A list, or a text that is taken apart as a shell does."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"cannot be taken apart: {str(error).lower()}") from None
    return _texts(value)


def _worker_options(value: Any) -> tuple[str, ...]:
    given = words(value)
    worker_options.check(given)
    return given


def _absolute(value: Any) -> str:
    if not _text(value).startswith("/"):
        raise ValueError("must be an absolute path")
    return str(value)


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a table")
    for name in value:
        if not isinstance(name, str) or not re.fullmatch("SIMCELERY_[A-Z0-9_]+", name):
            raise ValueError(f"{short(name)} is no variable of simcelery")
    return {name: _text(text) for name, text in value.items()}


_one_word = kinds.matching("[!-,.-~][!-~]*", "be one word, such as short")

_KINDS: dict[str, Kind] = {
    "launcher": kinds.one_of(*LAUNCHERS),
    "partition": _one_word,
    "account": _one_word,
    "walltime": kinds.duration,
    "nodes": kinds.integer(1, _MOST_NODES),
    "cores": kinds.integer(1, MOST_CORES),
    "memory": kinds.size(LEAST_MEMORY),
    "gpus": kinds.integer(1, MOST_GPUS),
    "each_node": kinds.integer(1, _MOST_WORKERS),
    "setup": _lines,
    "worker": _worker_options,
    "options": words,
    "name": kinds.matching(
        "[A-Za-z0-9][A-Za-z0-9_-]{0,39}", "have at most 40 letters, digits, '-' and '_', such as gpu-short"
    ),
    "python": _absolute,
    "folder": _absolute,
    "environment": _variables,
    "secrets": _absolute,
}
_OF_PROCESS = ("name", "python", "folder", "environment", "secrets")
_IN_SETTINGS = [key for key in _KINDS if key not in _OF_PROCESS]
assert _KINDS.keys() == {field.name for field in fields(Profile)}
