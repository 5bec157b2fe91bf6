"""What workers that start elsewhere need of the environment of whoever submits them.

They find the settings file by themselves. What stands in variables and flags goes into the script, except for
what may hold a password: that goes into a file in the home, which only its owner can read. So no password is
on a command line, in a script, on the board or in a scheduler's database.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from simcelery.errors import UsageError
from simcelery.execution import durable
from simcelery.settings import (
    PREFIX,
    SETTINGS_FILE,
    Settings,
    find_settings_file,
    is_secret,
    not_of_file,
)


def shown(settings: Settings) -> dict[str, str]:
    """The variables that anybody may see. Paths are absolute: the worker may start in another folder."""
    found = {PREFIX + name.upper(): _text(settings, name, value) for name, value in _given(settings, False)}
    if os.environ.get(SETTINGS_FILE):
        found[SETTINGS_FILE] = str(find_settings_file())
    return found


def hidden(settings: Settings) -> dict[str, str]:
    """The variables that may hold a password."""
    names = [name for name, _ in _given(settings, True)]
    return {PREFIX + name.upper(): getattr(settings, name).get_secret_value() for name in names}


def _given(settings: Settings, secret: bool) -> list[tuple[str, object]]:
    return [
        (name, value)
        for name, value in not_of_file().items()
        if is_secret(name) == secret and getattr(settings, name) is not None
    ]


def _text(settings: Settings, name: str, value: object) -> str:
    found = getattr(settings, name)
    return str(found if isinstance(found, Path) else value)


def folder_of(settings: Settings, cluster: str) -> Path:
    """Where the files of a cluster are: its scripts, what its allocations print, and this one."""
    return settings.home / "clusters" / cluster


def file_of(settings: Settings, cluster: str) -> Path:
    """Where the variables are that may hold a password, for a shell to read."""
    return folder_of(settings, cluster) / "settings.env"


def hand_over(settings: Settings, cluster: str, launcher: str) -> None:
    """Let workers on a cluster find board and broker: call it before each submission.

    Raises:
        UsageError: they could not reach them from there, or the file cannot be written.
    """
    embedded = [name for name in ("database_url", "broker_url") if getattr(settings, name) is None]
    if embedded and launcher != "local":
        raise UsageError(
            f"cluster {cluster}: without {' and '.join(embedded)}, the servers of 'simcelery up' are used, "
            f"which nodes of {launcher} cannot reach: set both to servers on the network"
        )
    if variables := hidden(settings):
        try:
            _write(file_of(settings, cluster), variables)
        except OSError as error:
            raise UsageError(
                f"cluster {cluster}: cannot write {error.filename or settings.home}: {error.strerror}"
            ) from None


def _write(path: Path, variables: dict[str, str]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    with durable.complete(path, lambda: None) as file:
        os.fchmod(file.fileno(), 0o600)  # while it is empty
        file.write("".join(lines).encode())
