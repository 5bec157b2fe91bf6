"""The deployment files: what they promise, read from them; and their commands, run as processes.

The containers themselves need a Docker engine. Here the commands of docker-compose.yml run as they stand
there, with embedded servers in place of the containers of Postgres and Redis.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

from simcelery.quantities import parse_duration
from simcelery.services import Services
from simcelery.services.programs import valkey_program
from simcelery.settings import FIELDS
from tests import composed
from tests.conftest import BIN, Project, make_project
from tests.waiting import wait_until, within

REPOSITORY = Path(__file__).parents[2]
COMPOSE = (REPOSITORY / "docker-compose.yml").read_text()
DOCKERFILE = (REPOSITORY / "docker" / "Dockerfile").read_text()
PAGE = (REPOSITORY / "docs" / "deployment.md").read_text()
EXAMPLE = (REPOSITORY / "docker" / "env.example").read_text()

LOGIN = "ada:love,lace"


def service(name: str) -> str:
    """The lines of one service. No YAML reader is among our dependencies; the file is laid out for this."""
    services = re.search(r"^services:\n(.*?)^\S", COMPOSE, re.MULTILINE | re.DOTALL)
    assert services
    found = re.search(rf"^  {name}:\n((?:    .*\n|\n)+)", services[1], re.MULTILINE)
    assert found, f"no service {name}"
    return found[1]


def flow(text: str, key: str) -> list[str]:
    """A list written on one line, which is JSON as well as YAML."""
    found = re.search(rf"^ *{key}: (\[.*\])$", text, re.MULTILINE)
    assert found, f"no {key}"
    values = json.loads(found[1])
    assert all(isinstance(value, str) for value in values)
    return list(values)


# What docker-compose.yml takes from the environment, each time with what it does when it is not set.
VARIABLES = re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE)


def test_nothing_is_open_to_the_network_unless_asked() -> None:
    published = re.findall(r"^ *ports: (.*)$", COMPOSE, re.MULTILINE)
    assert len(published) == 3
    for ports in map(json.loads, published):
        for port in ports:
            assert port.startswith(("127.0.0.1:", "${SIMCELERY_BIND_ADDRESS:-127.0.0.1}:")), port
    assert flow(service("flower"), "ports")[0].startswith("127.0.0.1:"), "its password travels in clear"


def test_secrets_have_no_default() -> None:
    secrets = {name for name, _ in VARIABLES if re.search("PASSWORD|AUTH", name)}
    assert secrets == {name for name in FILLED_IN if name != "CELERY_WORKER_CONCURRENCY"}
    for name in secrets:
        asked = [rest for other, rest in VARIABLES if other == name and rest != "-"]
        assert [rest.startswith(f":?set {name}") for rest in asked] == [True], (
            "unset or empty is one line that says what to do"
        )
        assert re.search(rf"^{name}=$", EXAMPLE, re.MULTILINE), (
            "the example has no password to forget to change"
        )
    assert not re.search("PASSWORD|AUTH|://", DOCKERFILE), "the image holds none"


@pytest.mark.parametrize("name", sorted({name for name, _ in VARIABLES}))
def test_every_variable_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE
    assert re.search(rf"^#?{name}=", EXAMPLE, re.MULTILINE)


def test_the_worker_can_be_scaled() -> None:
    assert "container_name:" not in COMPOSE
    assert not re.search(r"^ *ports:", service("worker"), re.MULTILINE)
    assert "--hostname" not in service("worker"), "every container has a name of its own"


def test_a_stopped_worker_has_the_time_to_hand_its_jobs_back() -> None:
    grace = re.search(r"stop_grace_period: (\S+)", service("worker"))
    assert grace
    fields = FIELDS
    assert parse_duration(grace[1]) >= fields["shutdown_grace"].default + fields["kill_grace"].default + 10


def test_the_image_holds_what_it_copies_and_nothing_else() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert {name for names in copied for name in names.split()} == {
        line[1:] for line in ignored if line.startswith("!")
    }


def test_the_image_does_not_run_as_root_and_keeps_its_files_in_the_volume() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["1000"]
    home = re.search(r"SIMCELERY_HOME=(\S+)", DOCKERFILE)
    assert home
    assert f"home:{home[1]}" in flow(service("worker"), "volumes")


# As somebody's .env.
FILLED_IN = {
    "POSTGRES_PASSWORD": "of-who-manages",
    "POSTGRES_WORKER_PASSWORD": "of-works",
    "POSTGRES_CLIENT_PASSWORD": "of-submits",
    "POSTGRES_MONITOR_PASSWORD": "of-looks",
    "REDIS_WORKER_PASSWORD": "worker-of-redis",
    "REDIS_CLIENT_PASSWORD": "client-of-redis",
    "REDIS_MONITOR_PASSWORD": "monitor-of-redis",
    "SIMCELERY_FLOWER_AUTH": LOGIN,
    "CELERY_WORKER_CONCURRENCY": "2",
}


def test_each_service_has_the_passwords_of_its_part_and_no_others() -> None:
    servers = {
        "postgres": {name for name in FILLED_IN if name.startswith("POSTGRES")},
        "redis": {name for name in FILLED_IN if name.startswith("REDIS")},
    }
    others = {
        "migrate": {"POSTGRES_PASSWORD"},
        "worker": {"POSTGRES_WORKER_PASSWORD", "REDIS_WORKER_PASSWORD"},
        "flower": {"POSTGRES_MONITOR_PASSWORD", "REDIS_MONITOR_PASSWORD", "SIMCELERY_FLOWER_AUTH"},
    }
    services = yaml.safe_load(COMPOSE)["services"]
    found = {name: set(re.findall(r"\$\{(\w*(?:PASSWORD|AUTH))\b", str(services[name]))) for name in services}
    assert found == servers | others


def environment(name: str) -> dict[str, str]:
    """What docker-compose.yml puts into the environment of a service."""

    def value(match: re.Match[str]) -> str:
        return FILLED_IN.get(match[1]) or (match[2].lstrip(":-") if "-" in match[2][:2] else "")

    given = yaml.safe_load(COMPOSE)["services"][name]["environment"]
    return {key: re.sub(r"\$\{(\w+)([^}]*)\}", value, str(text)) for key, text in given.items()}


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Redis, by the command of its service, with the users that it has there."""
    folder = tmp_path_factory.mktemp("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shell, option, script = flow(service("redis"), "command")
    program = shutil.which("redis-server") or valkey_program()
    for there, here in {
        "$$": "$",
        " /users.acl": f" {REPOSITORY / 'docker' / 'redis' / 'users.acl'}",
        "/tmp/users.acl": str(folder / "users.acl"),
        "docker-entrypoint.sh redis-server": f"{program} --port {port} --bind 127.0.0.1 --dir {folder}",
    }.items():
        assert there in script
        script = script.replace(there, here)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [shell, option, script], env={**os.environ, **environment("redis")}, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: process.poll() is not None or is_open(port))
        yield port
    finally:
        process.terminate()
        process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def deployed(
    servers: Services, redis_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """A project with a Postgres and a Redis of its own, both new."""
    made = Deployed(**vars(make_project(servers, tmp_path_factory.mktemp("deployed"))))
    with composed.postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        postgres.run_script(environment("postgres"))
        made.places = {
            "@postgres:5432/": f"@{postgres.where}/",
            "@redis:6379/": f"@127.0.0.1:{redis_port}/",
            "/tmp": str(made.folder),
            "0.0.0.0": "127.0.0.1",
        }
        made.environment |= made.given("worker") | {"SIMCELERY_FLOWER_PORT": "0"}
        yield made
        made.stop()


@dataclass
class Deployed(Project):
    """A project in which the services run as processes.

    Attributes:
        places: what is elsewhere here than in the containers.
    """

    places: dict[str, str] = field(default_factory=dict)

    def given(self, name: str) -> dict[str, str]:
        """The environment of a service, here."""
        found = environment(name)
        for there, here in self.places.items():
            found = {key: value.replace(there, here) for key, value in found.items()}
        return found


def command(name: str, key: str = "command") -> list[str]:
    """A command of docker-compose.yml, as a process of this environment."""
    words = flow(service(name), key)
    if words[0] == "CMD-SHELL":
        words = ["sh", "-c", words[1].replace("$$", "$")]
    elif words[0] == "CMD":
        words = words[1:]
    program = shutil.which(words[0], path=f"{BIN}:{os.environ['PATH']}")
    assert program, words
    conf = f"--conf={REPOSITORY / 'flower.conf'}"
    return [program, *(conf if word.startswith("--conf=") else word for word in words[1:])]


def start(project: Deployed, name: str, **extra: str) -> subprocess.Popen[bytes]:
    """The service as a process; what it writes goes to a file of its own name."""
    with (project.folder / f"{name}{len(project.processes)}.log").open("wb") as log:
        process = subprocess.Popen(
            command(name),
            cwd=project.folder,
            env={**project.environment, **project.given(name), **extra},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    project.processes.append(process)
    return process


def is_healthy(project: Deployed) -> bool:
    """What the check of the worker's container says."""
    [place] = re.findall(r"^ *SIMCELERY_ALIVE_FILE: (\S+)$", service("worker"), re.MULTILINE)
    check = command("worker", "test")
    assert place in check[-1]
    words = [word.replace(place, project.environment["SIMCELERY_ALIVE_FILE"]) for word in check]
    return project.run(*words).returncode == 0


def listening(process: subprocess.Popen[bytes]) -> list[tuple[str, int]]:
    """The addresses and ports at which the process can be reached."""
    assert process.poll() is None, "it has ended"
    return [
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def status(port: int, path: str, login: str | None = None) -> int:
    """The HTTP status of a page of Flower."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=within(20)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_main_path(deployed: Deployed) -> None:
    """migrate, worker and flower, as `docker compose up` starts them; a job; and `docker compose stop`."""
    migrated = deployed.run(*command("migrate"), **deployed.given("migrate"))
    assert migrated.returncode == 0, migrated.stderr

    worker = start(deployed, "worker")
    flower = start(deployed, "flower")
    documented = re.search(r"docker compose exec worker (.*)$", PAGE, re.MULTILINE)
    assert documented
    done = deployed.run(*documented[1].split())
    assert done.returncode == 0, done.stderr
    assert '"energy": -0.0056' in done.stdout

    wait_until(lambda: listening(flower), 20)
    [(address, port)] = listening(flower)
    assert address == "127.0.0.1"
    for path in ("/", "/api/workers"):
        assert status(port, path) == 401
        assert status(port, path, "ada:lovelace") == 401
        assert status(port, path, LOGIN) == 200

    wait_until(lambda: is_healthy(deployed), 20)
    probe = [word.replace(":5555/", f":{port}/") for word in command("flower", "test")]
    assert deployed.run(*probe).returncode == 0

    for process in (worker, flower):
        process.send_signal(signal.SIGTERM)
    assert worker.wait(within(20)) == 0
    assert flower.wait(within(20)) == 0
    assert is_healthy(deployed)
    alive = Path(deployed.environment["SIMCELERY_ALIVE_FILE"])
    os.utime(alive, (0, time.time() - 61))
    assert not is_healthy(deployed), "a worker that renews no more is not"
    alive.unlink()
    assert not is_healthy(deployed)


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="there is no redis-cli")
def test_redis_is_healthy_if_it_answers_to_its_password(redis_port: int) -> None:
    words = [word.replace("redis-cli", f"redis-cli -p {redis_port}") for word in command("redis", "test")]
    for password, healthy in ((environment("redis")["REDISCLI_AUTH"], True), ("another", False)):
        checked = subprocess.run(words, env={**os.environ, "REDISCLI_AUTH": password}, capture_output=True)
        assert (checked.returncode == 0) is healthy


def test_it_is_a_compose_file() -> None:
    checker = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, "docker-compose.yml"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# As a container sees it: all is read-only but the volume of the home, and /tmp, which is in memory.
READ_ONLY = """
mount --make-rprivate / && mount --bind "$SIMCELERY_HOME" "$SIMCELERY_HOME" &&
mount -t tmpfs tmpfs "$TMPDIR" && mount -o remount,bind,ro / && exec "$@"
"""


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("unshare") is None, reason="needs a mount namespace")
def test_a_worker_writes_only_into_its_home_and_tmp(deployed: Deployed) -> None:
    common = re.search(r"^x-simcelery:(.*?)^services:", COMPOSE, re.MULTILINE | re.DOTALL)
    assert common
    assert "\n  read_only: true\n  tmpfs: [/tmp]\n" in common[1]
    assert "\n    HOME: /tmp\n" in common[1]
    home, tmp = deployed.folder / "volume", deployed.folder / "tmp"
    for folder in (home, tmp):
        folder.mkdir()
    places = {"SIMCELERY_HOME": str(home), "TMPDIR": str(tmp), "HOME": str(tmp)}
    with (deployed.folder / "read-only.log").open("wb") as log:
        worker = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", *command("worker")],
            cwd=deployed.folder,
            env={**deployed.environment, **places},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deployed.processes.append(worker)
    assert deployed.run(*command("migrate"), **deployed.given("migrate")).returncode == 0
    refused = deployed.run("simcelery", "submit", "--wait", "--", "touch", "/etc/simcelery")
    assert "Read-only file system" in refused.stdout + refused.stderr
    done = deployed.run("simcelery", "submit", "emt.energy", "structure=Cu", "--wait")
    assert done.returncode == 0, done.stderr + (deployed.folder / "read-only.log").read_text()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(within(20)) == 0


def test_a_worker_that_keda_starts_does_what_there_is_and_leaves(deployed: Deployed) -> None:
    text = (REPOSITORY / "docker" / "kubernetes" / "keda.yaml").read_text()
    words = flow(text, "command")
    assert deployed.run(*command("migrate"), **deployed.given("migrate")).returncode == 0
    for _ in range(3):
        assert deployed.run("simcelery", "submit", "--", "true").returncode == 0
    done = deployed.run(*words, timeout=within(60))
    assert done.returncode == 0, done.stderr
    listed = deployed.run("simcelery", "status")
    assert not re.search("pending|running", listed.stdout), listed.stdout


def test_flower_without_a_password_stays_on_the_loopback(deployed: Deployed) -> None:
    flower = start(deployed, "flower", SIMCELERY_FLOWER_AUTH="")
    wait_until(lambda: listening(flower), 20)
    [(address, port)] = listening(flower)
    assert address == "127.0.0.1"
    assert status(port, "/healthcheck") == 200
    assert status(port, "/api/workers") == 401, "whoever is on this machine may look, not touch"
    flower.send_signal(signal.SIGTERM)
    assert flower.wait(within(20)) == 0


@pytest.mark.parametrize("how", ["variable", "option"])
def test_flower_on_the_network_without_a_password_is_refused(deployed: Deployed, how: str) -> None:
    words = command("flower")
    if how == "option":
        refused = deployed.run(*words, "--address=0.0.0.0")
    else:
        refused = deployed.run(*words, SIMCELERY_FLOWER_ADDRESS="0.0.0.0")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == (
        "flower.conf: the address 0.0.0.0 is open to the network: "
        "set SIMCELERY_FLOWER_AUTH=user:password, or leave it at 127.0.0.1\n"
    )
