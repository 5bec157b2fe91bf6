"""Ways to have a real Redis answer with an error, and to set it right; a proxy says what it cannot be had to.

Each gets a connection with all rights and the folder of the server's data.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis


@contextmanager
def full(server: redis.Redis, _: Path) -> Iterator[None]:
    """OOM."""
    server.config_set("maxmemory", 1)
    try:
        yield
    finally:
        server.config_set("maxmemory", 0)


@contextmanager
def replica(server: redis.Redis, _: Path) -> Iterator[None]:
    """READONLY, and UNBLOCKED for who waits just then: a failover."""
    server.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        server.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_master(server: redis.Redis, data: Path) -> Iterator[None]:
    """MASTERDOWN: a replica that has lost its master, and gives no old data."""
    server.config_set("replica-serve-stale-data", "no")
    try:
        with replica(server, data):
            yield
    finally:
        server.config_set("replica-serve-stale-data", "yes")


@contextmanager
def without_replicas(server: redis.Redis, _: Path) -> Iterator[None]:
    """NOREPLICAS: nothing is written unless somebody has a copy."""
    server.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        server.config_set("min-replicas-to-write", 0)


@contextmanager
def without_rights(server: redis.Redis, _: Path) -> Iterator[None]:
    """NOPERM: the account may no longer do what is needed."""
    server.execute_command("ACL", "SETUSER", "default", "-brpop", "-lpush", "-llen", "-publish")
    try:
        yield
    finally:
        server.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def another_password(server: redis.Redis, _: Path) -> Iterator[None]:
    """WRONGPASS: the password was changed, and the connections were cut."""
    before = server.config_get("requirepass")["requirepass"]  # type: ignore[index]
    server.ping()
    server.config_set("requirepass", "another")
    server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    try:
        yield
    finally:
        server.config_set("requirepass", before)


def _another(server: redis.Redis) -> redis.Redis:
    known = server.connection_pool.connection_kwargs
    return redis.Redis(**{name: known[name] for name in ("host", "port", "password")})


@contextmanager
def not_saved(server: redis.Redis, data: Path) -> Iterator[None]:
    """MISCONF: the last snapshot failed, since something lies where its file is to be."""
    name = server.config_get("dbfilename")["dbfilename"]  # type: ignore[index]
    folder = Path(server.config_get("dir")["dir"])  # type: ignore[index]
    before = server.config_get("save")["save"]  # type: ignore[index]
    (folder / str(name)).unlink(missing_ok=True)
    (folder / str(name) / "in the way").mkdir(parents=True)
    server.config_set("save", "100000 1000000")
    server.bgsave()
    while server.info("persistence")["rdb_bgsave_in_progress"]:  # type: ignore[index]
        pass
    try:
        yield
    finally:
        (folder / str(name) / "in the way").rmdir()
        (folder / str(name)).rmdir()
        server.config_set("save", before)
        server.config_set("stop-writes-on-bgsave-error", "no")
        server.bgsave()


@contextmanager
def unblocked(server: redis.Redis, _: Path) -> Iterator[None]:
    """UNBLOCKED: an administrator ends the waiting of all who wait, again and again."""
    over = threading.Event()

    def nag() -> None:
        with contextlib.closing(_another(server)) as client:
            while not over.wait(0.2):
                for one in client.client_list():
                    if "b" in one["flags"]:
                        client.execute_command("CLIENT", "UNBLOCK", one["id"], "ERROR")

    thread = threading.Thread(target=nag)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


class Proxy:
    """Stands before a Redis on the loopback, and answers every command with an error while it is told to.

    Attributes:
        port: where it listens.
        answer: the error, such as ``LOADING …``; None: what the server says.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.answer: str | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    @contextmanager
    def answering(self, answer: str) -> Iterator[None]:
        """In the block every command but those that open a connection gets this error."""
        self.answer = answer
        try:
            yield
        finally:
            self.answer = None

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=_copy, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server, client.makefile("rb") as commands:
            while command := _command(commands):
                words, raw = command
                opens = words[0].upper() in (b"AUTH", b"HELLO", b"CLIENT", b"SELECT")
                if self.answer is None or opens:
                    server.sendall(raw)
                else:
                    client.sendall(f"-{self.answer}\r\n".encode())


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _command(commands: object) -> tuple[list[bytes], bytes] | None:
    """The next command: its words, and how it was written."""
    first = commands.readline()  # type: ignore[attr-defined]
    if not first:
        return None
    raw, words = first, []
    for _ in range(int(first[1:])):
        size = commands.readline()  # type: ignore[attr-defined]
        word = commands.read(int(size[1:]) + 2)  # type: ignore[attr-defined]
        raw += size + word
        words.append(word[:-2])
    return words, raw
