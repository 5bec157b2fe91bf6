"""Workers that reach only the relay: nothing is lost, whatever is killed, and nobody else gets in."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.sync.client import connect

from simcelery.relay import tokens
from tests import programs
from tests.acceptance.helpers import submit_command, wait_for_command
from tests.board_helpers import attempts, row
from tests.conftest import Project
from tests.processes import command_alive, command_of, sleeper
from tests.relays import Relay, relay_to
from tests.tls import proxy
from tests.waiting import wait_until, within

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="the program openssl makes the certificates"
)


@pytest.fixture
def relay(project: Project, tmp_path: Path) -> Iterator[Relay]:
    """A relay to the servers of the project."""
    with relay_to(project, tmp_path / "relay") as made:
        yield made
        project.end()


def forwarders(pid: int) -> list[psutil.Process]:
    """Those that a process has started."""
    return [one for one in psutil.Process(pid).children() if "simcelery.relay.forwarder" in command_of(one)]


def waiting_command(folder: Path) -> list[str]:
    """A command that says when it begins and ends, and waits for a file."""
    wait = f"echo begun | tee -a {folder}/count; until test -e {folder}/go; do sleep 0.1; done; echo done"
    return ["sh", "-c", wait]


def test_jobs_outlive_a_relay_that_is_killed(relay: Relay, project: Project, tmp_path: Path) -> None:
    project.worker("-c", "2", **relay.worker("node"))
    jobs = [submit_command(project, *waiting_command(tmp_path)) for _ in range(3)]
    count = tmp_path / "count"
    wait_until(lambda: count.exists() and len(count.read_text().splitlines()) == 2)
    wait_until(lambda: "begun" in jobs[0].log())  # while it runs
    relay.kill()
    (tmp_path / "go").touch()
    wait_until(lambda: f"cannot be reached through the relay {relay.url}" in project.logs())
    assert [job.state for job in jobs] == ["running", "running", "pending"]
    relay.start()
    wait_until(lambda: {job.state for job in jobs} == {"succeeded"})
    assert [row(job.id).attempt for job in jobs] == [1, 1, 1]
    assert len(count.read_text().splitlines()) == 3
    assert jobs[0].log() == "begun\ndone\n"


def test_a_running_job_is_cancelled_and_a_killed_worker_loses_none(relay: Relay, project: Project) -> None:
    node = relay.worker("node")
    worker = project.worker("-c", "2", **node)
    first, second = sleeper(), sleeper()
    cancelled, rescued = (submit_command(project, "sleep", seconds) for seconds in (first, second))
    wait_for_command(f"sleep {first}")
    wait_for_command(f"sleep {second}")
    done = project.run("simcelery", "cancel", str(cancelled.id), "--wait", **node)
    assert (done.returncode, cancelled.state) == (0, "cancelled"), done.stderr
    assert command_alive(f"sleep {first}") == 0
    [forwarder] = forwarders(worker.pid)
    worker.kill()
    wait_until(lambda: not forwarder.is_running() or forwarder.status() == psutil.STATUS_ZOMBIE)
    project.worker("-c", "2", **node)
    wait_until(lambda: rescued.attempts() and rescued.state == "running")
    assert attempts(rescued.id)[0]["cause"] == "worker_lost"
    wait_for_command(f"sleep {second}")


def test_a_forwarder_that_is_killed_is_started_again(relay: Relay, project: Project) -> None:
    worker = project.worker("-c", "1", **relay.worker("node"))
    [forwarder] = forwarders(worker.pid)
    forwarder.send_signal(signal.SIGTERM)  # as a scheduler does to all processes
    assert submit_and_wait(project) == "2\n"
    [same] = forwarders(worker.pid)
    assert same == forwarder
    forwarder.kill()
    assert submit_and_wait(project) == "2\n"
    assert forwarders(worker.pid) != [forwarder]


def submit_and_wait(project: Project, **environment: str) -> str:
    """What a job prints."""
    return project.run("simcelery", "submit", "--wait", "sims.add", "a=1", **environment).stdout


def test_a_revoked_token_ends_what_it_had_opened(relay: Relay, project: Project) -> None:
    node, other = relay.worker("node"), relay.worker("other")
    worker = project.worker("-c", "1", **node)
    assert project.run("simcelery", "relay", "revoke", "node", **home(relay)).stdout == "node\n"
    wait_until(lambda: "it refuses the token" in project.logs())
    wait_until(lambda: relay.log().count(", ended after") == relay.log().count(", connected"))
    assert project.run("simcelery", "status", **other).returncode == 0
    assert worker.poll() is None


def home(relay: Relay) -> dict[str, str]:
    """The home of the relay, for commands there."""
    return {"SIMCELERY_HOME": str(relay.home)}


def test_commands_work_on_such_a_node_and_say_in_one_line_what_is_wrong(
    relay: Relay, project: Project
) -> None:
    node = relay.worker("node")
    project.worker("-c", "1")
    assert submit_and_wait(project, **node) == "2\n"
    doctor = project.run("simcelery", "doctor", **node)
    assert doctor.returncode == 0, doctor.stdout
    assert "nobody can eavesdrop" in doctor.stdout
    for wrong, code, line in [
        ({"SIMCELERY_RELAY_TOKEN": "node.wrong"}, 3, f"the relay {relay.url}: it refuses the token: set"),
        ({"SIMCELERY_RELAY_URL": f"{relay.url}/x"}, 3, f"{relay.url}/x: there is no relay of simcelery at"),
        ({"SIMCELERY_RELAY_CA": ""}, 3, "its certificate is refused: unable to get local issuer certificate"),
        ({"SIMCELERY_RELAY_CA": "/nosuch"}, 2, "relay_ca: /nosuch cannot be used: No such file or directory"),
        ({"SIMCELERY_RELAY_TOKEN": ""}, 2, "relay_url is set, but not relay_token"),
        ({"SIMCELERY_RELAY_URL": "http://x"}, 2, "must start with https:// and name a host"),
    ]:
        done = project.run("simcelery", "status", **node | wrong)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert line in done.stderr
    relay.kill()
    done = project.run("simcelery", "status", **node)
    assert done.returncode == 3
    assert f"cannot be reached through the relay {relay.url}: Connect call failed" in done.stderr


def test_tls_to_the_server_itself_goes_through(relay: Relay, project: Project) -> None:
    """The name on its certificate is that of the URL, which leads nowhere from here."""
    url = urlsplit(project.environment["SIMCELERY_BROKER_URL"])
    assert url.port is not None
    for name, code in {"server.invalid": 0, "another.invalid": 3}.items():
        relay.kill()
        with proxy(relay.authority.issue(name, f"DNS:{name}"), url.port) as port:
            relay.direct["SIMCELERY_BROKER_URL"] = f"rediss://:{url.password}@localhost:{port}/0"
            relay.start()
            node = relay.worker(f"to-{name}")
            assert "@server.invalid:" in node["SIMCELERY_BROKER_URL"]
            node["SIMCELERY_BROKER_URL"] += f"?ssl_ca_certs={relay.authority.certificate}"
            doctor = project.run("simcelery", "doctor", **node)
            assert doctor.returncode == code, doctor.stdout
    assert "its certificate is for another name" in doctor.stdout


def test_who_does_not_take_an_answer_for_a_while_still_gets_all_of_it(
    relay: Relay, project: Project, tmp_path: Path
) -> None:
    """A process that is stopped, say: it is not gone, although for so long no ping is answered."""
    begun, go, rows = tmp_path / "begun", tmp_path / "go", 150_000
    code = f"""
import pathlib, time
from simcelery.board import connecting
from simcelery.settings import get_settings

connection = connecting.connect(get_settings().board_url(), prepared_statements=False)
copying = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, {rows})) TO STDOUT"
with connection.cursor().copy(copying) as answer:
    sizes = map(len, answer)
    size = next(sizes)
    pathlib.Path({str(begun)!r}).touch()
    while not pathlib.Path({str(go)!r}).exists():
        time.sleep(0.1)
    print(size + sum(sizes))
"""
    said = tmp_path / "said"
    with said.open("wb") as output:
        environment = project.environment | relay.worker("node")
        slow = programs.start(["python", "-c", code], project.folder, environment, output)
    wait_until(begun.exists)
    longest = time.monotonic() + 35  # more than a ping every 10 s, and 20 s for its answer: the usual bound
    wait_until(lambda: time.monotonic() > longest)
    assert "ended after" not in relay.log()
    go.touch()
    slow.wait(within(60))
    assert said.read_text() == f"{1001 * rows}\n"


def test_a_web_proxy_is_gone_through(relay: Relay, project: Project) -> None:
    asked: list[str] = []
    with web_proxy(asked) as port:
        node = relay.worker("node") | {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": ""}
        assert project.run("simcelery", "status", **node).returncode == 0
    assert asked == [f"CONNECT {relay.url.removeprefix('https://')} HTTP/1.1"]


@contextmanager
def web_proxy(asked: list[str]) -> Iterator[int]:
    """Its port; what it is asked for first is noted, and then led on."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                client = listening.accept()[0]
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(1)
                asked.append(head.decode().splitlines()[0])
                host, _, port = asked[-1].split()[1].partition(":")
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                server = socket.create_connection((host, int(port)))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Lead on what comes until it ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    sink.close()


def test_nobody_appears_in_the_log_under_another_address(relay: Relay) -> None:
    """The other end is on the loopback, where a web server could be that is believed."""
    node = relay.worker("node")
    headers = {"Authorization": f"Bearer {node['SIMCELERY_RELAY_TOKEN']}", "X-Forwarded-For": "198.51.100.7"}
    url, context = (
        f"wss://localhost:{relay.port}/board",
        ssl.create_default_context(cafile=relay.authority.certificate),
    )
    with connect(url, additional_headers=headers, ssl=context, proxy=None, open_timeout=within(10)):
        wait_until(lambda: ": the board, connected" in relay.log())
    assert "node from 127.0.0.1:" in relay.log()
    assert "198.51.100.7" not in relay.log()


def test_the_relay_logs_who_came_for_how_long_and_how_much(relay: Relay, project: Project) -> None:
    assert project.run("simcelery", "status", **relay.worker("node")).returncode == 0
    wait_until(lambda: ": the board, ended after " in relay.log())
    assert "node from 127.0.0.1:" in relay.log()
    assert tokens.listed(relay.home).keys() == {"node"}
    assert "bytes there: 0" not in relay.log()
