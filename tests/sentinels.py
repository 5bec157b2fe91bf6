"""A real Redis or Valkey with a replica, and three sentinels that promote it when the master is dead."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

from simcelery.services import programs
from simcelery.services.ports import choose_port
from tests.tls import Authority
from tests.waiting import wait_until

PASSWORD, SENTINELS_PASSWORD = "of-the-master", "of-the-sentinels"
_SERVER = """
bind 127.0.0.1
port {port}
dir {folder}
requirepass {password}
masterauth {password}
appendonly yes
save ""
repl-diskless-sync-delay 0
"""
# Three that agree by two: as it is recommended. A second of silence is enough here.
_SENTINEL = """
bind 127.0.0.1
port {port}
dir {folder}
requirepass {own}
sentinel sentinel-pass {own}
sentinel monitor mymaster 127.0.0.1 {master} 2
sentinel auth-pass mymaster {password}
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
"""
# The wheel's Valkey speaks none, Debian's Redis does.
_TLS = """
port 0
tls-port {port}
tls-cert-file {one.certificate}
tls-key-file {one.key}
tls-ca-cert-file {ca.certificate}
tls-auth-clients no
tls-replication yes
"""
WITH_TLS = "redis-server"


class Watched:
    """Two servers, and the sentinels that watch over them.

    Parameters:
        tls: signs a certificate for all of them, and then they speak nothing but TLS.
    """

    def __init__(self, folder: Path, tls: Authority | None = None) -> None:
        self._folder = folder
        self._program = WITH_TLS if tls else str(programs.valkey_program())
        self._ca, self._certificate = tls, tls and tls.issue("server", "IP:127.0.0.1")
        self._by_tls = {"ssl": True, "ssl_ca_certs": str(tls.certificate)} if tls else {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        master, replica = choose_port(), choose_port()
        self.start(master)
        self.start(replica, f"replicaof 127.0.0.1 {master}")
        wait_until(lambda: self.client(replica).info("replication")["master_link_status"] == "up")
        self.sentinels = [self._watch(master) for _ in range(3)]
        self._asked = Sentinel(
            [("127.0.0.1", port) for port in self.sentinels],
            sentinel_kwargs={"password": SENTINELS_PASSWORD, **self._by_tls},
        )
        wait_until(self._all_know_all)

    @property
    def url(self) -> str:
        """What the broker's setting says."""
        first, *others = (f"sentinel://127.0.0.1:{port}" for port in self.sentinels)
        login = f"sentinel_password={SENTINELS_PASSWORD}"
        if self._ca:
            login += f"&ssl_ca_certs={self._ca.certificate}"
        first = first.replace("//", f"//:{PASSWORD}@")
        return ";".join([f"{first}/1?master_name=mymaster&{login}", *others])

    def master(self) -> int:
        """The port of the master, as the sentinels say."""
        return int(self._asked.discover_master("mymaster")[1])

    def has_moved(self, port: int) -> bool:
        """Whether another one than that of this port is the master."""
        with suppress(MasterNotFoundError):  # they have not agreed on one yet
            return self.master() != port
        return False

    def kill(self, port: int) -> None:
        """kill -9."""
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def start(self, port: int, more: str = "") -> None:
        """Start one of the two, with the data that it has."""
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        text = _SERVER.format(port=port, folder=folder, password=PASSWORD)
        self._run(port, folder, f"{text}{more}\n")
        wait_until(lambda: self._answers(port))

    def _watch(self, master: int) -> int:
        port = choose_port()
        folder = self._folder / str(port)
        folder.mkdir()
        text = _SENTINEL.format(
            port=port, folder=folder, master=master, password=PASSWORD, own=SENTINELS_PASSWORD
        )
        self._run(port, folder, text, "--sentinel")
        return port

    def _run(self, port: int, folder: Path, configuration: str, *options: str) -> None:
        file = folder / "server.conf"
        tls = _TLS.format(port=port, one=self._certificate, ca=self._ca) if self._ca else ""
        file.write_text(configuration + tls)
        with (folder / "log").open("ab") as log:
            words = [self._program, str(file), *options]
            self._processes[port] = subprocess.Popen(words, stdout=log, stderr=log)

    def _all_know_all(self) -> bool:
        with suppress(redis.RedisError):
            known = [one.sentinel_master("mymaster") for one in self._asked.sentinels]
            return all(one["num-slaves"] == 1 and one["num-other-sentinels"] == 2 for one in known)
        return False

    def client(self, port: int) -> redis.Redis:
        """A connection to one of the two."""
        options: dict[str, Any] = self._by_tls
        return redis.Redis(host="127.0.0.1", port=port, password=PASSWORD, **options)

    def _answers(self, port: int) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client(port).ping())
        return False

    def end(self) -> None:
        """End what was started here."""
        for process in self._processes.values():
            process.kill()
            process.wait()


@contextmanager
def watched(folder: Path, tls: Authority | None = None) -> Iterator[Watched]:
    """For as long as the block lasts."""
    made = Watched(folder, tls)
    try:
        yield made
    finally:
        made.end()
