"""The users of Redis in docker/redis/users.acl: what each needs works, and nothing else does."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from simcelery.services import Services
from simcelery.services.programs import valkey_program
from tests import monitors
from tests.conftest import Project, empty, make_project
from tests.waiting import wait_until

USERS = Path(__file__).parents[2] / "docker" / "redis" / "users.acl"
WORKER, CLIENT, MONITOR = "worker", "client", "monitor"
PASSWORDS = {user: f"{user}-of-a-test" for user in (WORKER, CLIENT, MONITOR, "root")}


@dataclass(frozen=True)
class Server:
    """A Redis with these users, and one more that may do everything: ``root``."""

    port: int

    def url(self, user: str) -> str:
        return f"redis://{user}:{PASSWORDS[user]}@127.0.0.1:{self.port}/0"

    def connect(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url(user), decode_responses=True)

    def refused(self) -> list[str]:
        """Who tried what in vain since the last time."""
        with self.connect("root") as root:
            told = root.acl_log()
            root.acl_log_reset()
        # redis-py tells its name where it may; Redis 7.0 does not know that.
        return [
            f"{one['username']}: {one['reason']} {one['object']}"
            for one in told
            if one["object"] != "client|setinfo"
        ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("redis"), valkey_program(), "--save", "") as made:
        yield made


@contextmanager
def started(folder: Path, program: str, *more: str) -> Iterator[Server]:
    text = USERS.read_text() + "user root on >ROOT_PASSWORD ~* &* +@all\n"
    for user, password in PASSWORDS.items():
        text = text.replace(f"{user.upper()}_PASSWORD", password)
    users = folder / "users.acl"
    users.write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        made = Server(free.getsockname()[1])
    options = ["--bind", "127.0.0.1", "--port", str(made.port), "--dir", str(folder), *more]
    options += ["--enable-debug-command", "local", "--enable-module-command", "local"]  # the users decide
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *options, "--aclfile", users], stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or _answers(made))
        yield made
    finally:
        process.terminate()
        process.wait()


def _answers(server: Server) -> bool:
    try:
        with server.connect("root") as root:
            return bool(root.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(scope="module")
def site(server: Server, servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose worker logs in as one, and whose commands as a client."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("site"))
    made.environment["SIMCELERY_BROKER_URL"] = server.url(CLIENT)
    made.worker(SIMCELERY_BROKER_URL=server.url(WORKER))
    yield made
    made.stop()


def test_each_has_what_it_needs(server: Server, site: Project) -> None:
    """Nothing that worker, client and monitor try is refused."""
    assert site.run("simcelery", "submit", "sims.add", "a=1", "--wait").stdout == "2\n"
    folder = site.folder / "parts"
    folder.mkdir()
    site.run("simcelery", "submit", "sims.writes", "name=out", "size=60", f"folder={folder}")
    wait_until(lambda: "running" in site.run("simcelery", "list").stdout)
    cancelled = site.run("simcelery", "cancel", "-s", "running", "-y", "--wait")
    assert "cancelled" in cancelled.stdout
    assert site.run("simcelery", "doctor").returncode == 0
    assert site.run("simcelery", "recover", SIMCELERY_BROKER_URL=server.url(WORKER)).returncode == 0
    as_monitor = {"SIMCELERY_BROKER_URL": server.url(MONITOR)}
    asked = site.run("celery", "-A", "simcelery", "inspect", "ping", **as_monitor)
    assert "1 node online" in asked.stdout + asked.stderr
    monitor = monitors.start(site, **as_monitor)
    wait_until(lambda: "w0@" in monitor.get("/workers?json=1").text)
    site.run("simcelery", "submit", "sims.add", "a=3", "--wait")
    assert monitor.get("/broker").status == 200
    site.stop()
    assert server.refused() == []


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="Valkey reads its file as nobody")
def test_what_was_written_together_is_there_after_a_restart(tmp_path: Path) -> None:
    persistent = (tmp_path, "redis-server", "--appendonly", "yes")
    with started(*persistent) as before, before.connect(WORKER) as worker, worker.pipeline() as together:
        together.lpush("queue", "a").lpush("queue", "b").execute()
    with started(*persistent) as after, after.connect(WORKER) as worker:
        assert worker.llen("queue") == 2
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=after.port).ping()
        for password in ("", *PASSWORDS.values()):
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(port=after.port, username="default", password=password).ping()


NOBODYS = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET requirepass",
    "CONFIG SET dir /tmp",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "GET mine",
    "SET mine 1",
    "RENAME default:w mine",
    "LRANGE default:w 0 -1",
    "EVAL return(1) 0",
    "FUNCTION LIST",
    "SCRIPT FLUSH",
    "MODULE LOAD /tmp/mine.so",
    "DEBUG SLEEP 0",
    "SHUTDOWN NOSAVE",
    "SAVE",
    "BGREWRITEAOF",
    "REPLICAOF 127.0.0.1 1",
    "ACL LIST",
    "ACL SETUSER mine on nopass ~* &* +@all",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "CLIENT PAUSE 1",
    "MONITOR",
    "SUBSCRIBE others",
    "PSUBSCRIBE *",
    "PUBLISH others hello",
]
OF_WORKERS = ["BRPOP default:w 1", "RPUSH default:w 1", "LTRIM default:w 1 0"]


@pytest.mark.parametrize("command", NOBODYS)
@pytest.mark.parametrize("user", [WORKER, CLIENT, MONITOR])
def test_what_nobody_needs_is_refused(server: Server, user: str, command: str) -> None:
    with server.connect(user) as connection, pytest.raises(NoPermissionError):
        connection.execute_command(*command.split())


@pytest.mark.parametrize("command", [*OF_WORKERS, "DEL default:w", "EVALSHA 0 0"])
def test_a_client_takes_no_messages(server: Server, command: str) -> None:
    with server.connect(CLIENT) as connection, pytest.raises(NoPermissionError):
        connection.execute_command(*command.split())


@pytest.mark.parametrize("command", [*OF_WORKERS, "LPUSH default:w 1", "DEL default:w", "EXPIRE default:w 1"])
def test_a_monitor_neither_sends_nor_takes_messages_of_jobs(server: Server, command: str) -> None:
    with server.connect(MONITOR) as connection, pytest.raises(NoPermissionError):
        connection.execute_command(*command.split())


def test_nor_do_its_scripts(server: Server) -> None:
    with server.connect(MONITOR) as connection:
        script = connection.script_load("return redis.call('LPUSH', 'default:w', '1')")
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|ACL"):
            connection.evalsha(script, 0)


@pytest.mark.parametrize("user", [WORKER, CLIENT, MONITOR])
def test_the_password_of_one_is_not_that_of_another(server: Server, user: str) -> None:
    for other, password in PASSWORDS.items():
        if other != user:
            with (
                redis.Redis(port=server.port, username=user, password=password) as connection,
                pytest.raises(redis.AuthenticationError),
            ):
                connection.ping()


def test_without_a_password_nothing_is_answered(server: Server) -> None:
    with redis.Redis(port=server.port) as connection, pytest.raises(redis.AuthenticationError):
        connection.ping()
