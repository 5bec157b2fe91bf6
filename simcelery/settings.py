"""The settings: defaults < ``simcelery.toml`` (this folder or a parent) < ``SIMCELERY_*`` < flags.

Owns every setting and its default. Any module may call `get_settings`; only the composition root and the
command line call `override`. An empty environment variable counts as unset, so it never hides the file.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from simcelery import chunks
from simcelery import setting_kinds as kinds
from simcelery.errors import ServicesNotRunningError, SettingsError
from simcelery.setting_kinds import Kind, Secret, expanded
from simcelery.urls import (
    check_mail,
    check_postgres,
    check_redis,
    check_relay,
    check_store,
    is_sentinel,
    postgres_hosts,
)

Keep = Literal["all", "failed", "none", "compressed"]  # what becomes of a job's workdirs
KEEP = "all, failed, none or compressed"
FILE = "simcelery.toml"
PREFIX = "SIMCELERY_"
SETTINGS_FILE = "SIMCELERY_SETTINGS_FILE"  # path of the file; it is then not searched for
SERVICES_FILE = "services.json"


def default_home() -> Path:
    """Where simcelery keeps its own files: ``/var/lib/simcelery`` as root, ``~/.simcelery`` otherwise."""
    return Path("/var/lib/simcelery") if os.geteuid() == 0 else Path.home() / ".simcelery"


def find_settings_file() -> Path | None:
    """The file that ``SIMCELERY_SETTINGS_FILE`` names, else the nearest ``simcelery.toml``, here or above."""
    if named := os.environ.get(SETTINGS_FILE):
        return Path(named).absolute()
    try:
        folder = Path.cwd()
    except FileNotFoundError:  # the folder that this process is in was deleted
        return None
    for candidate in (folder, *folder.parents):
        if os.path.isfile(candidate / FILE):  # False, not an error, where it may not be looked at
            return candidate / FILE
    return None


def is_keep(word: object) -> bool:
    """Whether it says what becomes of a job's workdirs."""
    return word in get_args(Keep)


class Misfit(ValueError):
    """A value that is none of its setting.

    Attributes:
        name: of the setting.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def setting(default: Any, kind: Kind, description: str) -> Any:
    """A field of the settings: what it is unless it is set, or makes that; what it may be; what it is for."""
    about = {"kind": kind, "description": description}
    if callable(default):
        return field(default_factory=default, metadata=about)
    return field(default=default, metadata=about)


_MODE, _OPEN = r"0?[0-7]?7[0-7]{2}", "give the owner full access, such as '700' or '2750'"
_TOKEN = kinds.matching(r"[!-~]+", "be printable, without spaces")
_ADDRESS, _MAIL = r"([^\s@<>]+@[^\s@<>]+)?", "be a mail address, such as simcelery@example.org"


@dataclass(kw_only=True)
class Settings:
    """All settings. Durations are seconds; sizes are bytes.

    Raises:
        Misfit: a value is none of its setting.
    """

    database_url: Secret | None = setting(
        None,
        kinds.or_none(kinds.secret(check_postgres)),
        "The board: postgresql://user:password@host:5432/name, or several hosts: @a:5432,b:5432/name",
    )
    broker_url: Secret | None = setting(
        None,
        kinds.or_none(kinds.secret(check_redis)),
        "The broker: redis://:password@host:6379/0, or sentinel://…/0?master_name=mymaster",
    )
    relay_url: str | None = setting(
        None,
        kinds.or_none(kinds.checked(check_relay)),
        "The relay that leads to both from where only HTTPS gets through: https://relay.example.org",
    )
    relay_token: Secret | None = setting(
        None,
        kinds.or_none(kinds.secret(_TOKEN)),
        "What 'simcelery relay token NAME' has printed",
    )
    relay_ca: Path | None = setting(
        None, kinds.or_none(kinds.folder), "File of the CA of the relay's certificate; default: the system's"
    )
    home: Path = setting(default_home, kinds.folder, "Embedded servers, spool, workdirs")
    workflows: list[str] = setting(list, kinds.texts, "Modules that define workflows")
    functions: list[str] = setting(
        list, kinds.texts, "Modules besides the project's own whose functions jobs may call"
    )
    preload: bool = setting(
        True, kinds.boolean, "Import the workflows before the pool forks; false: in every pool child"
    )
    default_queue: str = setting("default", kinds.text, "Queue of workflows that do not name one")
    workdir_root: Path | None = setting(
        None, kinds.or_none(kinds.folder), "Parent of the job folders; default: home/workdirs"
    )
    remote_control: bool = setting(
        True, kinds.boolean, "Workers answer Celery's inspect and shutdown, and learn of cancels at once"
    )
    plain_tasks: list[str] = setting(
        list, kinds.texts, "Plain Celery tasks that workers run besides workflows"
    )
    workdir_mode: str = setting(
        "700", kinds.matching(_MODE, _OPEN), "Permissions of the job folders; 2750 to share them with a group"
    )
    keep_workdirs: Keep = setting(
        "all",
        kinds.one_of(*get_args(Keep)),
        "Which job folders stay when their jobs have ended: all, failed, none, compressed",
    )
    artifact_url: str | None = setting(
        None,
        kinds.or_none(kinds.checked(check_store)),
        "Where artifacts are stored: a folder, or a URL that fsspec knows; default: nowhere",
    )
    artifact_timeout: float = setting(
        60.0, kinds.duration, "How long to try to store artifacts before the attempt fails"
    )
    publish_window: int = setting(
        2000, kinds.integer(1), "Most messages in Redis per queue, workflow and priority"
    )
    max_payload: int = setting(2**20, kinds.size(), "Largest parameters or result of one job")
    max_log: int = setting(
        320 * 2**10, kinds.size(2 * chunks.SIZE), "Most of what one attempt prints that the board keeps"
    )
    lease: float = setting(20.0, kinds.duration, "A worker that has not renewed for this long counts as lost")
    renew_every: float = setting(5.0, kinds.duration, "How often a worker renews its lease")
    alive_file: Path | None = setting(
        None, kinds.or_none(kinds.folder), "File that a worker touches whenever it has renewed its lease"
    )
    tick_every: float = setting(1.0, kinds.duration, "How often to look for scheduled jobs and lost messages")
    shutdown_grace: float = setting(
        30.0, kinds.duration, "Time for running jobs to end in a graceful shutdown"
    )
    kill_grace: float = setting(5.0, kinds.duration, "Time between asking a job to stop and killing it")
    cores: int | None = setting(
        None, kinds.or_none(kinds.integer(1)), "Cores that jobs may ask for; default: the worker's own"
    )
    memory: int | None = setting(
        None, kinds.or_none(kinds.size()), "Memory that jobs may ask for; default: the node's"
    )
    gpus: str | None = setting(
        None, kinds.or_none(kinds.text), "GPUs that jobs may ask for, such as 0,1; default: those seen"
    )
    quarantine_after: int = setting(
        5, kinds.integer(0, 16), "Quick failures in a row that put a worker in quarantine; 0: never"
    )
    limits: dict[str, int] = setting(
        dict,
        kinds.counts,
        "A table: how many jobs of tag:NAME, workflow:NAME, queue:NAME, host:NAME or host:* may run at once",
    )
    share: dict[str, str] = setting(
        dict,
        kinds.choices("submitter", "tag"),
        "A table: queues that are shared, each by submitter or by tag",
    )
    schedules: dict[str, dict[str, Any]] = setting(
        dict, kinds.tables, "Tables: jobs to submit again and again, by the names of their schedules"
    )
    clusters: dict[str, dict[str, Any]] = setting(
        dict, kinds.tables, "Tables: how workers are started on clusters, by the names of the clusters"
    )
    retention: float | None = setting(
        None, kinds.or_none(kinds.duration), "Time after which finished jobs are pruned; default: never"
    )
    mail_via: Secret | None = setting(
        None,
        kinds.or_none(kinds.secret(check_mail)),
        "How notifications are mailed: smtp://user:password@host:587, smtps://…, or a sendmail",
    )
    mail_from: str | None = setting(
        None,
        kinds.or_none(kinds.matching(_ADDRESS, _MAIL)),
        "Sender of these mails; default: simcelery@ and the host",
    )
    metrics_token: Secret | None = setting(
        None,
        kinds.or_none(kinds.secret(_TOKEN)),
        "What Prometheus must send to the monitor's /metrics; default: it is only for this machine",
    )
    stalled_after: float = setting(
        3600.0, kinds.duration, "A submission in which nothing has happened for this long counts as stalled"
    )
    prepared_statements: bool = setting(
        False, kinds.boolean, "Use server-side prepared statements (not with PgBouncer)"
    )

    def __post_init__(self) -> None:
        for name, about in FIELDS.items():
            try:
                setattr(self, name, about.metadata["kind"](getattr(self, name)))
            except ValueError as error:
                raise Misfit(name, str(error)) from None
        if self.renew_every >= self.lease:
            raise Misfit(
                "renew_every",
                f"must be shorter than lease ({self.lease:g} s), but is {self.renew_every:g} s",
            )
        if self.relay_url is not None:
            self._check_behind_relay()

    def _check_behind_relay(self) -> None:
        """A relay leads to one host of each, wherever that is."""
        board, broker = self.database_url, self.broker_url
        if board is not None and len(postgres_hosts(board.get_secret_value())) > 1:
            raise Misfit("database_url", "must name one host where relay_url is set: the relay leads to it")
        if broker is not None and is_sentinel(broker.get_secret_value()):
            raise Misfit("broker_url", "must be no sentinel:// where relay_url is set: it leads to Redis")

    @property
    def services_file(self) -> Path:
        """Where ``simcelery up`` writes the URLs of the embedded servers."""
        return self.home / SERVICES_FILE

    @property
    def spool(self) -> Path:
        """Folder for outcomes that have not reached the board."""
        return self.home / "spool"

    @property
    def workdirs(self) -> Path:
        """Parent of the job folders."""
        return self.workdir_root or self.home / "workdirs"

    @property
    def mode_of_workdirs(self) -> int:
        """Permissions of the job folders, as a number."""
        return int(self.workdir_mode, 8)

    def board_url(self) -> str:
        """The board's URL for SQLAlchemy: the setting, else that of the embedded Postgres.

        Raises:
            ServicesNotRunningError: neither is there.
        """
        url = self.database_url.get_secret_value() if self.database_url else self._embedded("database_url")
        return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)

    def redis_url(self) -> str:
        """The broker's URL: the setting, else that of the embedded Redis.

        Raises:
            ServicesNotRunningError: neither is there.
        """
        return self.broker_url.get_secret_value() if self.broker_url else self._embedded("broker_url")

    def _embedded(self, name: str) -> str:
        try:
            url = str(_read_services(self.services_file)[name])
        except (OSError, ValueError, KeyError, TypeError):
            # A process that has used the servers before waits for them; their URLs survive a restart.
            if known := _met.get((self.home, name)):
                return known
            raise ServicesNotRunningError(
                f"no {name} is set and no embedded servers are running in {self.home}: "
                f"run 'simcelery up', or set {PREFIX}{name.upper()}"
            ) from None
        _met[self.home, name] = url
        return url


def _read_services(file: Path) -> Any:
    """What the file says, read again when it is another one: a loop of submissions asks for each job."""
    now = os.stat(file)
    this = (now.st_ino, now.st_mtime_ns, now.st_size)
    known = _services.get(file)
    if known is None or known[0] != this:
        known = _services[file] = this, json.loads(file.read_text())
    return known[1]


FIELDS: dict[str, Field[Any]] = {one.name: one for one in fields(Settings)}
_met: dict[tuple[Path, str], str] = {}
_services: dict[Path, tuple[tuple[int, int, int], Any]] = {}


def is_secret(name: str) -> bool:
    """Whether the setting of this name may hold a password."""
    return "Secret" in str(FIELDS[name].type)


def _in_file() -> dict[str, Any]:
    """The values of the nearest ``simcelery.toml``. Relative paths are resolved against the file's folder."""
    path = find_settings_file()
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # not TOML, not text, or monstrous
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path} cannot be read: {reason}") from None
    for name in ("home", "workdir_root", "relay_ca"):
        if isinstance(values.get(name), str):
            values[name] = str(path.parent / expanded(Path(values[name])))
    return values


def _in_environment() -> dict[str, str]:
    """The values of the environment, whose names may be in any case."""
    found = {key.upper(): value for key, value in os.environ.items() if value}
    names = {PREFIX + name.upper(): name for name in FIELDS}
    return {names[key]: value for key, value in found.items() if key in names}


_overrides: dict[str, Any] = {}


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: a value is malformed, or a setting in the file is unknown.
    """
    values = {**_in_file(), **_in_environment(), **_overrides}
    try:
        if unknown := [name for name in values if name not in FIELDS]:
            raise Misfit(unknown[0], _no_such(unknown[0]))
        return Settings(**values)
    except Misfit as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"setting {error.name!r}: {reason} ({_source(error.name)})") from None


def not_of_file() -> dict[str, Any]:
    """The values of the environment and of flags, as they were given: nobody finds them in the file."""
    return {**_in_environment(), **_overrides}


def _no_such(name: str) -> str:
    import difflib  # few processes have a misspelt setting

    close = difflib.get_close_matches(name.replace("-", "_").lower(), FIELDS, 1, 0.75)
    return "there is no such setting" + (f"; did you mean {close[0]!r}?" if close else "")


def _source(name: str) -> str:
    """Which source a value comes from."""
    if name in _overrides:
        return "from a flag"
    if name in _in_environment():
        return f"from {PREFIX}{name.upper()}"
    return f"from {find_settings_file() or FILE}"


def isolate(home: Path) -> None:
    """Make this process, and those it starts, use nothing but the defaults and this home."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ |= {"SIMCELERY_HOME": str(home), SETTINGS_FILE: os.devnull}
    _overrides.clear()
    get_settings.cache_clear()


def override(values: Mapping[str, Any]) -> None:
    """Let flags take precedence over environment and file; an empty mapping re-reads the settings."""
    _overrides.update({name: value for name, value in values.items() if value is not None})
    get_settings.cache_clear()
