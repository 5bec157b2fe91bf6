"""A real Redis (Valkey) with a replica, and three sentinels that promote it when the master is dead."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.sentinel import Sentinel

from simcelery.services import programs
from simcelery.services.ports import choose_port
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


class Watched:
    """Two servers, and the sentinels that watch over them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        master, replica = choose_port(), choose_port()
        self.start(master)
        self.start(replica, f"replicaof 127.0.0.1 {master}")
        wait_until(lambda: client(replica).info("replication")["master_link_status"] == "up")
        self.sentinels = [self._watch(master) for _ in range(3)]
        self._asked = Sentinel(
            [("127.0.0.1", port) for port in self.sentinels], sentinel_kwargs={"password": SENTINELS_PASSWORD}
        )
        wait_until(self._all_know_all)

    @property
    def url(self) -> str:
        """What the broker's setting says."""
        first, *others = (f"sentinel://127.0.0.1:{port}" for port in self.sentinels)
        login = f"sentinel_password={SENTINELS_PASSWORD}"
        first = first.replace("//", f"//:{PASSWORD}@")
        return ";".join([f"{first}/1?master_name=mymaster&{login}", *others])

    def master(self) -> int:
        """The port of the master, as the sentinels say."""
        return int(self._asked.discover_master("mymaster")[1])

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
        wait_until(lambda: _answers(port))

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
        file.write_text(configuration)
        with (folder / "log").open("ab") as log:
            words = [str(programs.valkey_program()), str(file), *options]
            self._processes[port] = subprocess.Popen(words, stdout=log, stderr=log)

    def _all_know_all(self) -> bool:
        with suppress(redis.RedisError):
            known = [one.sentinel_master("mymaster") for one in self._asked.sentinels]
            return all(one["num-slaves"] == 1 and one["num-other-sentinels"] == 2 for one in known)
        return False

    def end(self) -> None:
        """End what was started here."""
        for process in self._processes.values():
            process.kill()
            process.wait()


def client(port: int) -> redis.Redis:
    """A connection to one of the two."""
    return redis.Redis(port=port, password=PASSWORD)


def _answers(port: int) -> bool:
    with suppress(redis.RedisError):
        return bool(client(port).ping())
    return False


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """For as long as the block lasts."""
    made = Watched(folder)
    try:
        yield made
    finally:
        made.end()
