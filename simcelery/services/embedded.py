"""Both servers together: up, down, status, erase."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simcelery.errors import ServiceError
from simcelery.services.place import Place, create_place, ensure_home, find_place
from simcelery.services.ports import PortTakenError, choose_port, port_is_free
from simcelery.services.postgres import Postgres
from simcelery.services.process import wait_until
from simcelery.services.state import (
    Login,
    Memory,
    load_memory,
    locked,
    refuse_other_machine,
    save_memory,
    this_machine,
    write_json,
)
from simcelery.services.valkey import Valkey
from simcelery.settings import Settings

_START_TRIES = 5
LONGEST_WAIT_FOR_PORT = 2.0


@dataclass(frozen=True)
class Services:
    """The running servers. `started` holds the names of those that this call to `up` started."""

    database_url: str
    broker_url: str
    started: tuple[str, ...]


@dataclass(frozen=True)
class ServerStatus:
    """One server: ``postgres`` or ``valkey``. If it is not running, `port` is its last one."""

    name: str
    running: bool
    pid: int | None
    port: int | None
    version: str
    data_folder: Path
    log: Path


def up(settings: Settings) -> Services:
    """Start the servers that are not running, find those that are, and write the URLs for `Settings` to read.

    Safe to call at any time, from many processes at once, and after any crash.

    Raises:
        SettingsError: the home cannot be used.
        ServiceError: a server does not start; the message quotes its log.
    """
    home = _home(settings)
    with _changing(settings, home):
        memory, place, reset = _recall(home)
        postgres, valkey = Postgres(place), Valkey(place)
        started = tuple(
            server.name
            for server, login in ((postgres, memory.postgres), (valkey, memory.valkey))
            if _ensure(server, login, home, memory, reset=reset)
        )
        if reset:
            # Only now, so that if Postgres did not take its new password, the next start sets another.
            save_memory(home, memory)
        services = Services(postgres.url(memory.postgres), valkey.url(memory.valkey), started)
        _publish(settings, services, postgres, valkey, memory)
    return services


def down(settings: Settings) -> bool:
    """Stop both servers cleanly; their data is kept. False if none was running.

    Raises:
        ServiceError: a server does not stop, or belongs to another user or machine.
    """
    home = _home(settings)
    if not home.is_dir():
        return False
    with _changing(settings, home):
        found = [(server, process) for server in _servers(home) if (process := server.find())]
        for server, process in found:
            server.stop(process)
        settings.services_file.unlink(missing_ok=True)
    return bool(found)


def status(settings: Settings) -> list[ServerStatus]:
    """The status of both servers. Changes nothing.

    Raises:
        ServiceError: they run on another machine.
    """
    home = _home(settings)
    refuse_other_machine(settings.services_file)
    memory = load_memory(home)
    result = []
    for server in _servers(home):
        process = server.find()
        login: Login | None = getattr(memory, server.name) if memory else None
        result.append(
            ServerStatus(
                name=server.name,
                running=process is not None,
                pid=process.pid if process else None,
                port=login.port if login else None,
                version=_version(server),
                data_folder=server.data,
                log=server.log,
            )
        )
    return result


def erase(settings: Settings) -> None:
    """Stop both servers and delete their data, logs and passwords. This cannot be undone."""
    down(settings)
    home = _home(settings)
    if home.is_dir():
        with _changing(settings, home):
            folder = _servers(home)[0].place.folder
            if folder.exists():
                shutil.rmtree(folder)
            (home / "servers.json").unlink(missing_ok=True)


def _home(settings: Settings) -> Path:
    # Absolute and without symbolic links, since the servers' command lines are compared with it.
    return settings.home.resolve()


@contextmanager
def _changing(settings: Settings, home: Path) -> Iterator[None]:
    """Within the block no other process changes this home; any error of the file system is one line."""
    ensure_home(home)
    try:
        with locked(home):
            refuse_other_machine(settings.services_file)
            yield
    except OSError as error:
        raise ServiceError(f"embedded servers in {home}: {error}") from error


def _version(server: Postgres | Valkey) -> str:
    try:
        return server.version()
    except ServiceError:
        return "not installed"


def _servers(home: Path) -> tuple[Postgres, Valkey]:
    memory = load_memory(home)
    place = find_place(home, memory.folder if memory else None)
    return Postgres(place), Valkey(place)


def _recall(home: Path) -> tuple[Memory, Place, bool]:
    """Place, ports and passwords, remembered or new; True if existing data must be given the new password."""
    memory = load_memory(home)
    if memory is None:
        place = create_place(home)
        folder = None if place.folder == home / "servers" else place.folder
        memory = Memory(folder, Login.new(), Login.new())
        if Postgres(place).data.exists():
            return memory, place, True
        save_memory(home, memory)
        return memory, place, False
    place = find_place(home, memory.folder)
    if not place.folder.is_dir():
        raise ServiceError(
            f"the servers' data folder {place.folder} is gone: restore it, "
            f"or delete {home / 'servers.json'} to start with an empty one"
        )
    return memory, place, False


def _ensure(server: Postgres | Valkey, login: Login, home: Path, memory: Memory, *, reset: bool) -> bool:
    """Make sure that the server is running and answers; return whether it had to be started."""
    process = server.find()
    if process and reset:
        # The file with its password is gone.
        server.stop(process)
    elif process and server.wait_ready(process, login):
        return False
    server.prepare(login, reset=reset)
    for _ in range(_START_TRIES):
        try:
            # A server just killed holds its port a little longer; wait, so that the URL stays the same.
            if not wait_until(lambda: port_is_free(login.port), LONGEST_WAIT_FOR_PORT):
                raise PortTakenError(f"port {login.port} is in use")
            server.start(login)
        except PortTakenError:
            login.port = choose_port()
            if not reset:
                save_memory(home, memory)
        else:
            return True
    raise ServiceError(f"no free port for {server.name} on 127.0.0.1: try 'simcelery up' again")


def _publish(
    settings: Settings, services: Services, postgres: Postgres, valkey: Valkey, memory: Memory
) -> None:
    values: dict[str, object] = {"database_url": services.database_url, "broker_url": services.broker_url}
    for server, login in ((postgres, memory.postgres), (valkey, memory.valkey)):
        process = server.find()
        values[server.name] = {"pid": process.pid if process else None, "port": login.port}
    write_json(settings.services_file, values | this_machine())
