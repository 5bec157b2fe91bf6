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
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from simcelery import chunks
from simcelery.errors import ServicesNotRunningError, SettingsError
from simcelery.quantities import parse_duration, parse_size
from simcelery.urls import check_mail, check_postgres, check_redis

Keep = Literal["all", "failed", "none", "compressed"]  # what becomes of a job's workdirs
KEEP = "all, failed, none or compressed"
FILE = "simcelery.toml"
PREFIX = "SIMCELERY_"
SETTINGS_FILE = "SIMCELERY_SETTINGS_FILE"  # path of the file; it is then not searched for
SERVICES_FILE = "services.json"
Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]


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


class Settings(BaseModel, extra="forbid"):
    """All settings. Durations are seconds; sizes are bytes."""

    database_url: SecretStr | None = Field(
        None, description="The board: postgresql://user:password@host:5432/name"
    )
    broker_url: SecretStr | None = Field(None, description="The broker: redis://:password@host:6379/0")
    home: Path = Field(
        default_factory=default_home, validate_default=True, description="Embedded servers, spool, workdirs"
    )
    workflows: list[str] = Field(default_factory=list, description="Modules that define workflows")
    functions: list[str] = Field(
        default_factory=list, description="Modules besides the project's own whose functions jobs may call"
    )
    preload: bool = Field(
        True, description="Import the workflows before the pool forks; false: in every pool child"
    )
    default_queue: str = Field("default", description="Queue of workflows that do not name one")
    workdir_root: Path | None = Field(None, description="Parent of the job folders; default: home/workdirs")
    remote_control: bool = Field(
        True, description="Workers answer Celery's inspect and shutdown, and learn of cancels at once"
    )
    plain_tasks: list[str] = Field(
        default_factory=list, description="Plain Celery tasks that workers run besides workflows"
    )
    workdir_mode: str = Field(
        "700", description="Permissions of the job folders; 2750 to share them with a group"
    )
    keep_workdirs: Keep = Field(
        "all", description="Which job folders stay when their jobs have ended: all, failed, none, compressed"
    )
    publish_window: int = Field(
        2000, ge=1, description="Most messages in Redis per queue, workflow and priority"
    )
    max_payload: Size = Field(2**20, description="Largest parameters or result of one job")
    max_log: Size = Field(
        320 * 2**10, ge=2 * chunks.SIZE, description="Most of what one attempt prints that the board keeps"
    )
    lease: Duration = Field(20.0, description="A worker that has not renewed for this long counts as lost")
    renew_every: Duration = Field(5.0, description="How often a worker renews its lease")
    tick_every: Duration = Field(1.0, description="How often to look for scheduled jobs and lost messages")
    shutdown_grace: Duration = Field(30.0, description="Time for running jobs to end in a graceful shutdown")
    kill_grace: Duration = Field(5.0, description="Time between asking a job to stop and killing it")
    cores: int | None = Field(
        None, ge=1, description="Cores that jobs may ask for; default: the worker's own"
    )
    memory: Size | None = Field(None, description="Memory that jobs may ask for; default: the node's")
    gpus: str | None = Field(None, description="GPUs that jobs may ask for, such as 0,1; default: those seen")
    quarantine_after: int = Field(
        5, ge=0, le=16, description="Quick failures in a row that put a worker in quarantine; 0: never"
    )
    limits: dict[str, Annotated[int, Field(ge=0, strict=True)]] = Field(
        default_factory=dict,
        description="A table: how many jobs of tag:NAME, workflow:NAME or queue:NAME may run at once",
    )
    retention: Duration | None = Field(
        None, description="Time after which finished jobs are pruned; default: never"
    )
    mail_via: SecretStr | None = Field(
        None,
        description="How notifications are mailed: smtp://user:password@host:587, smtps://…, or a sendmail",
    )
    mail_from: str | None = Field(None, description="Sender of these mails; default: simcelery@ and the host")
    stalled_after: Duration = Field(
        3600.0, description="A submission in which nothing has happened for this long counts as stalled"
    )
    prepared_statements: bool = Field(
        False, description="Use server-side prepared statements (not with PgBouncer)"
    )

    @field_validator("workflows", "functions", "plain_tasks", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value

    @field_validator("limits", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.rpartition("=") for part in re.split(r"[,\s]+", value) if part]
        return {name: int(most) if most.isdecimal() else most for name, _, most in pairs}

    @field_validator("home", "workdir_root")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value and not str(value).isprintable():
            raise ValueError("must be a folder's path in UTF-8, without line breaks")
        # Workers and servers change their working directory.
        return value and _expanded(value).absolute()

    @field_validator("workdir_mode")
    @classmethod
    def _permissions(cls, value: str) -> str:
        if not re.fullmatch(r"0?[0-7]?7[0-7]{2}", value):
            raise ValueError("must give the owner full access, such as '700' or '2750'")
        return value

    @model_validator(mode="after")
    def _renews_in_time(self) -> Settings:
        if self.renew_every >= self.lease:
            raise ValueError(f"must be shorter than lease ({self.lease:g} s), but is {self.renew_every:g} s")
        return self

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            check_postgres(value.get_secret_value())
        return value

    @field_validator("mail_via")
    @classmethod
    def _mail_via(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            check_mail(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _mail_from(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", value):
            raise ValueError("must be a mail address, such as simcelery@example.org")
        return value

    @field_validator("broker_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            check_redis(value.get_secret_value())
        return value

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
            url = str(json.loads(self.services_file.read_text())[name])
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


_met: dict[tuple[Path, str], str] = {}


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
    for name in ("home", "workdir_root"):
        if isinstance(values.get(name), str):
            values[name] = str(path.parent / _expanded(Path(values[name])))
    return values


def _in_environment() -> dict[str, str]:
    """The values of the environment, whose names may be in any case."""
    found = {key.upper(): value for key, value in os.environ.items() if value}
    names = {PREFIX + name.upper(): name for name in Settings.model_fields}
    return {names[key]: value for key, value in found.items() if key in names}


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # ~name of an unknown user
        return path


_overrides: dict[str, Any] = {}


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: a value is malformed, or a setting in the file is unknown.
    """
    try:
        return Settings(**{**_in_file(), **_in_environment(), **_overrides})
    except ValidationError as error:
        raise SettingsError(_first_error(error)) from None


def _first_error(error: ValidationError) -> str:
    """The first error in one line. It never quotes the value, which may be a secret."""
    import difflib  # few processes have a malformed setting

    from simcelery.misfits import wanted

    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "renew_every"
    reason = " ".join(first["msg"].removeprefix("Value error, ").split())
    if nouns := wanted(first):
        reason = f"must be {' or '.join(nouns)}"
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name.replace("-", "_").lower(), Settings.model_fields, 1, 0.75)
        reason = "there is no such setting" + (f"; did you mean {close[0]!r}?" if close else "")
    if name in _overrides:
        source = "from a flag"
    elif name in _in_environment():
        source = f"from {PREFIX}{name.upper()}"
    else:
        source = f"from {find_settings_file() or FILE}"
    return f"setting {name!r}: {reason} ({source})"


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
