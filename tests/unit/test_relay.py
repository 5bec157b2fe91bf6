"""The relay: tokens, who is refused, and that it leads to two servers and nowhere else."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from simcelery.cli import root
from simcelery.cli.verbs import relay as verb
from simcelery.errors import UsageError
from simcelery.relay import server, streams, tokens
from simcelery.relay.forwarder import is_own
from simcelery.settings import Settings
from simcelery.urls import check_relay
from tests import programs
from tests.waiting import wait_until, within

# --- tokens ---


def test_a_token_holds_until_it_is_revoked_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    first, second = tokens.make(tmp_path, "first"), tokens.make(tmp_path, "second")
    assert (tokens.holder(tmp_path, first), tokens.holder(tmp_path, second)) == ("first", "second")
    assert list(tokens.listed(tmp_path)) == ["first", "second"]
    files = [tmp_path / tokens.FOLDER / name for name in ("first", "second")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    assert not any(
        token.rpartition(".")[2] in file.read_text() for token in (first, second) for file in files
    )
    with pytest.raises(UsageError, match="there is no token third"):
        tokens.revoke(tmp_path, ["first", "third"])
    assert tokens.holder(tmp_path, first) == "first"
    tokens.revoke(tmp_path, ["first"])
    assert (tokens.holder(tmp_path, first), tokens.holder(tmp_path, second)) == (None, "second")
    again = tokens.make(tmp_path, "first")
    assert (tokens.holder(tmp_path, first), tokens.holder(tmp_path, again)) == (None, "first")


def test_a_token_that_cannot_be_read_is_not_revoked(tmp_path: Path) -> None:
    token = tokens.make(tmp_path, "node")
    (tmp_path / tokens.FOLDER / "node").unlink()
    (tmp_path / tokens.FOLDER / "node").mkdir()
    with pytest.raises(IsADirectoryError):
        tokens.holder(tmp_path, token)


def test_nothing_else_is_taken_for_a_token(tmp_path: Path) -> None:
    token = tokens.make(tmp_path, "node")
    (tmp_path / "other").write_bytes(tokens._digest("../other.x"))  # where a name may not lead
    (tmp_path / tokens.FOLDER / "empty").touch()  # its disk was full
    (tmp_path / tokens.FOLDER / "odd").write_bytes(b"\xff\0")
    for wrong in (
        "",
        ".",
        token[:-1],
        f"{token} ",
        "node",
        "../other.x",
        "empty.",
        "odd.x",
        "/.x",
        "\0.x",
        "ä",
    ):
        assert tokens.holder(tmp_path, wrong) is None


def test_names_of_tokens_are_checked(tmp_path: Path) -> None:
    tokens.make(tmp_path, "uni.cluster_2@lab-1")
    with pytest.raises(UsageError, match="there is a token"):
        tokens.make(tmp_path, "uni.cluster_2@lab-1")
    for name in ("", ".", "..", "a/b", "a b", "-a", "ä", "a" * 65):
        with pytest.raises(UsageError, match="a token's name must be"):
            tokens.make(tmp_path, name)


# --- where it leads ---


def test_it_leads_to_the_servers_of_the_settings() -> None:
    def places(board: str, broker: str) -> dict[str, Any]:
        return server.places(Settings(database_url=board, broker_url=broker))

    found = places("postgresql://a:b@db.example.org:6543/x", "rediss://:p@mq.example.org:7000/0")
    assert found == {"board": ("db.example.org", 6543), "broker": ("mq.example.org", 7000)}
    found = places("postgresql://a@/x?host=/run/pg", "redis+socket:///run/redis.sock?virtual_host=0")
    assert found == {"board": ("/run/pg/.s.PGSQL.5432", 5432), "broker": ("/run/redis.sock", 6379)}
    found = places("postgresql:///x", "redis://")
    assert found == {"board": ("localhost", 5432), "broker": ("localhost", 6379)}
    with pytest.raises(UsageError, match="a relay leads to one host"):
        places("postgresql:///x?host=a:1,b:2", "redis://")


@pytest.mark.parametrize(
    "url",
    ["", "relay", "http://a", "https://", "https://a b\n", "https://me@a", "https://a:0", "https://a?b"],
)
def test_a_url_that_is_not_a_relays_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|contains"):
        check_relay(url)


def test_a_forwarder_that_cannot_begin_says_one_line_and_nothing_when_it_ends() -> None:
    told = {"ca": "/nosuch", "sockets": {}, "url": "https://localhost", "token": "x", "said": 2}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "simcelery.relay.forwarder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()  # and it stays open, as that of a client that is slow to end
        assert process.stdout.read().startswith(b"relay_ca: /nosuch cannot be used: No such file")
        assert (process.wait(within(10)), process.stderr.read()) == (0, b"")


def test_only_this_users_processes_may_connect_to_the_forwarder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as mine:
            assert is_own(mine.getsockname()[1], port)
            assert not is_own(mine.getsockname()[1], 1)
        if os.getuid() == 0 and sys.platform == "linux":
            os.seteuid(65534)
            try:
                other = socket.create_connection(("127.0.0.1", port))
            finally:
                os.seteuid(0)
            with other:
                assert not is_own(other.getsockname()[1], port)


# --- the real thing, between servers that say what they hear ---


class Echo:
    """A server that answers with its name, and then with all that it hears."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(self.name)
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self) -> None:
        with suppress(OSError):  # it is closed already
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


@pytest.fixture(scope="module")
def echoes() -> Iterator[dict[str, Echo]]:
    made = {"board": Echo(b"I am Postgres"), "broker": Echo(b"I am Redis")}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relay")


@contextmanager
def relay_to(echoes: dict[str, Echo], home: Path, *before: str) -> Iterator[tuple[str, Path]]:
    """Where a relay listens, without TLS, and its log; `before` are words of a shell before it starts."""
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "SIMCELERY_HOME": str(home),
        "SIMCELERY_DATABASE_URL": f"postgresql://a:b@127.0.0.1:{echoes['board'].port}/x",
        "SIMCELERY_BROKER_URL": f"redis://127.0.0.1:{echoes['broker'].port}/0",
    }
    log, words = home / "log", ["simcelery", "relay", "--listen", "127.0.0.1:0"]
    if before:
        program = str(programs.BIN / "simcelery")
        words = ["/bin/sh", "-c", f'{" ".join(before)}; exec "$@"', "sh", program, *words[1:]]
    with log.open("wb") as output:
        process = programs.start(words, home, environment, output)
    wait_until(lambda: "without TLS\n" in log.read_text() or process.poll() is not None)
    found = re.search(r"relay on (127\.0\.0\.1:\d+), without TLS", log.read_text())
    assert found, log.read_text()
    yield found[1], log
    process.terminate()
    assert process.wait(within(20)) in (0, -15)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def at(home: Path, echoes: dict[str, Echo]) -> Iterator[str]:
    """Where a relay listens."""
    with relay_to(echoes, home) as (found, _):
        yield found


def opening(at: str, path: str, token: str, scheme: str = "Bearer") -> ClientConnection:
    """A connection through the relay there."""
    headers = {"Authorization": f"{scheme} {token}"} if token else {}
    bounds = {"compression": None, "proxy": None, "open_timeout": within(10)}
    return connect(f"ws://{at}{path}", additional_headers=headers, **bounds)


@pytest.fixture(scope="module")
def opened(home: Path, at: str) -> Callable[..., ClientConnection]:
    good = tokens.make(home, "node")

    def to(path: str, token: str = good, scheme: str = "Bearer") -> ClientConnection:
        return opening(at, path, token, scheme)

    return to


Opened = Callable[..., ClientConnection]


def test_each_path_leads_to_its_server(opened: Opened) -> None:
    for path, said in {"/board": b"I am Postgres", "/broker": b"I am Redis"}.items():
        with opened(path) as there:
            assert there.recv(within(20)) == said
            there.send(b"hello")
            assert there.recv(within(20)) == b"hello"


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/board", {"token": ""}, 401),
        ("/board", {"token": "node.wrong"}, 401),
        ("/board", {"token": "nobody.x"}, 401),
        ("/board", {"scheme": "Basic"}, 401),
        ("/", {"token": ""}, 401),
        ("/", {}, 404),
        ("/board/", {}, 404),
        ("/board/../broker", {}, 404),
        ("/127.0.0.1:22", {}, 404),
        ("/http://example.org/board", {}, 404),
    ],
)
def test_others_and_other_paths_are_refused(
    opened: Opened, path: str, options: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        opened(path, **options)
    assert caught.value.response.status_code == status


def test_refusals_do_not_fill_the_log(home: Path, opened: Opened) -> None:
    def lines() -> list[str]:
        return [line for line in (home / "log").read_text().splitlines() if ": refused, " in line]

    def refused() -> bool:
        with pytest.raises(InvalidStatus, match="401"):
            opened("/board", token="")
        return "its token does not hold; refused since the last such line: " in "".join(lines())

    before, began = len(lines()), time.monotonic()
    for _ in range(20):
        refused()
    assert len(lines()) - before <= 2 + (time.monotonic() - began) / 10
    wait_until(refused, 20, every=0.5)


def test_it_is_no_web_server(at: str) -> None:
    with pytest.raises(HTTPError) as caught:
        urlopen(f"http://{at}/board", timeout=within(20))
    assert caught.value.code == 404


def test_a_revoked_token_is_refused_and_what_it_opened_is_closed(home: Path, opened: Opened) -> None:
    token = tokens.make(home, "lost")
    with opened("/board", token) as there:
        assert there.recv(within(20)) == b"I am Postgres"
        tokens.revoke(home, ["lost"])
        assert list(there) == []  # until it is closed
    with pytest.raises(InvalidStatus, match="401"):
        opened("/board", token)


def test_what_is_open_stays_open_while_the_tokens_cannot_be_read(home: Path, opened: Opened) -> None:
    kept, last = tokens.make(home, "kept"), tokens.make(home, "last")
    away, folder = home / "away", home / tokens.FOLDER
    with opened("/broker", kept) as there, opened("/broker", last) as other:
        assert [one.recv(within(20)) for one in (there, other)] == [b"I am Redis"] * 2
        folder.rename(away)
        folder.symlink_to(folder)  # which leads nowhere
        try:
            with pytest.raises(InvalidStatus, match="503"):
                opened("/broker", kept)
        finally:
            folder.unlink()
            away.rename(folder)
        (folder / "kept").rename(home / "kept")
        (folder / "kept").mkdir()
        tokens.revoke(home, ["last"])
        assert list(other) == []  # it has looked
        there.send(b"hello")
        assert there.recv(within(20)) == b"hello"
    (folder / "kept").rmdir()


def test_who_says_nothing_is_not_waited_for(at: str, opened: Opened) -> None:
    host, port = at.split(":")
    with opened("/broker") as there, ExitStack() as stack:
        assert there.recv(within(20)) == b"I am Redis"
        silent = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(2)]
        silent[1].sendall(b"GET /board HTTP/1.1\r\nHost: a\r\n")  # and no more
        for one in silent:
            one.settimeout(within(20))
            assert one.recv(1000) == b""
        there.send(b"hello")  # but who is connected may be silent
        assert there.recv(within(20)) == b"hello"


def test_it_takes_as_many_descriptors_as_it_may_have(tmp_path: Path, echoes: dict[str, Echo]) -> None:
    """And so many who have no token do not keep those out who have one."""
    token = tokens.make(tmp_path, "node")
    with relay_to(echoes, tmp_path, "ulimit -Sn 64") as (at, _), ExitStack() as stack:
        host, port = at.split(":")
        for _ in range(100):
            stack.enter_context(socket.create_connection((host, int(port))))
        with opening(at, "/board", token) as there:
            assert there.recv(within(20)) == b"I am Postgres"


def test_all_bytes_arrive_in_order(opened: Opened) -> None:
    sent = os.urandom(3_000_000)
    with opened("/broker") as there:
        assert there.recv(within(20)) == b"I am Redis"

        def send() -> None:
            for start in range(0, len(sent), 60_000):
                there.send(sent[start : start + 60_000])

        sender = threading.Thread(target=send)
        sender.start()
        back = b""
        while len(back) < len(sent):
            data = there.recv(within(20))
            back += data if isinstance(data, bytes) else data.encode()
        sender.join()
    assert back == sent


def frame(kind: int, data: bytes) -> bytes:
    """A frame of a WebSocket, masked with zeros."""
    length = len(data).to_bytes(2, "big") if len(data) > 125 else b""
    return bytes([kind, 0x80 | min(len(data), 126)]) + length + bytes(4) + data


_MOST = 300_000_000
_MESSAGE = frame(0x82, bytes(60_000))
_PINGS = frame(0x89, bytes(125)) * 500
_PARTS = frame(0x00, b"") * 8_000  # of a message, and none is the last one


@contextmanager
def taking_nothing(at: str, token: str) -> Iterator[socket.socket]:
    """A connection to the board, just opened, whose other end takes nothing of what it is sent."""
    host, port = at.split(":")
    lines = (
        "GET /board HTTP/1.1",
        f"Host: {at}",
        f"Authorization: Bearer {token}",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    with socket.create_connection((host, int(port)), within(20)) as there:
        there.sendall("\r\n".join(lines).encode())
        assert there.recv(12) == b"HTTP/1.1 101"
        there.setblocking(False)
        yield there


def test_it_does_not_hold_what_nobody_takes(home: Path, at: str) -> None:
    """The server waits until its answers are taken, and they are not: it must be full at some point."""
    with taking_nothing(at, tokens.make(home, "floods")) as there:
        taken = 0
        while taken < _MOST and (some := _some(there)):
            taken += some
    assert 0 < taken < _MOST / 2


@pytest.mark.parametrize(("kind", "frames"), [("pings", _PINGS), ("parts", _PARTS)])
def test_who_would_fill_its_memory_otherwise_is_disconnected(
    home: Path, at: str, kind: str, frames: bytes
) -> None:
    with taking_nothing(at, tokens.make(home, kind)) as there:
        there.settimeout(within(20))
        there.sendall(frame(0x02, b"") if kind == "parts" else b"")
        with pytest.raises(ConnectionError):
            there.sendall(frames * (20_000_000 // len(frames)))


def test_a_revoked_token_ends_what_takes_nothing(home: Path, at: str) -> None:
    token = tokens.make(home, "stuck")
    with taking_nothing(at, token) as there:
        while _some(there):
            pass
        tokens.revoke(home, ["stuck"])
        wait_until(lambda: re.search("stuck from .*, ended after", (home / "log").read_text()), 20)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such an option")
def test_what_takes_nothing_for_long_is_given_up() -> None:
    """By the kernel: an option of the listening socket holds for what it accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        streams.give_up_after(listening, 1)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            accepted.settimeout(within(20))
            with pytest.raises(TimeoutError) as caught:
                accepted.sendall(bytes(100_000_000))
    assert caught.value.errno == errno.ETIMEDOUT  # and not that of this test


def _some(there: socket.socket) -> int:
    """How much of one more message goes in, before nothing has moved for a second."""
    left = memoryview(_MESSAGE)
    while left and select.select([], [there], [], 1)[1]:
        left = left[there.send(left) :]
    return len(_MESSAGE) - len(left)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a connection's timer")
def test_the_kernel_looks_after_both_its_connections(
    at: str, opened: Opened, echoes: dict[str, Echo]
) -> None:
    def timers(column: int, port: int) -> set[str]:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        found = [row for row in rows if row[column].endswith(f":{port:04X}") and row[3] == "01"]
        return {row[5].partition(":")[0] for row in found}

    with opened("/broker") as there:
        assert there.recv(within(20)) == b"I am Redis"
        for column, port in ((1, int(at.partition(":")[2])), (2, echoes["broker"].port)):
            wait_until(lambda column=column, port=port: timers(column, port) == {"02"}, 20)  # keepalive


def test_a_server_that_is_gone_is_told_of(opened: Opened, echoes: dict[str, Echo]) -> None:
    echoes["broker"].close()
    with pytest.raises(InvalidStatus, match="502"):
        opened("/broker")


# --- the verb ---


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--listen", "0.0.0.0:443"], "without --certificate and --key, tokens could be read on the way"),
        (["--listen", "443"], "--listen: write HOST:PORT"),
        (["--listen", "a:b"], "--listen: write HOST:PORT"),
        (["--listen", "127.0.0.1:70000"], "the relay cannot start on 127.0.0.1:70000: "),
        (["--listen", "127.0.0.1:0", "--certificate", __file__, "--key", __file__], "[SSL] PEM lib"),
        (["--certificate", __file__], "--certificate and --key belong together"),
        (["revoke", "nobody"], "there is no token nobody: see 'simcelery relay list'"),
    ],
)
def test_wrong_usage_is_one_line(
    words: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SIMCELERY_DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv("SIMCELERY_BROKER_URL", "redis://")
    assert root.run(["--home", str(tmp_path), "relay", *words]) == 2
    assert line in capfd.readouterr().err


def test_without_its_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb, "find_spec", lambda name: None)
    assert root.run(["relay"]) == 2
    assert capfd.readouterr().err == "simcelery: relay needs other packages: pip install 'simcelery[relay]'\n"
