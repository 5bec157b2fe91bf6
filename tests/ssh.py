"""An ssh tunnel from a node to its gateway, set up as docs/firewalls.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from simcelery.testing import real_workers
from tests.namespaces import GATEWAY, Host, Network
from tests.waiting import wait_until, within

PAGE = Path(__file__).parents[1] / "docs" / "firewalls.md"
_SERVER = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# As the page's, but with keys of the test's own.
_SERVER_OPTIONS = """
ListenAddress {address}
HostKey {folder}/server
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
"""
_CLIENT_OPTIONS = """
    IdentityFile {folder}/client
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
"""


def installed() -> bool:
    """Whether both ends of a tunnel are."""
    return bool(_SERVER and shutil.which("ssh") and shutil.which("ssh-keygen"))


@dataclass
class Tunnel:
    """A loop on the node that starts ssh whenever it has ended."""

    loop: subprocess.Popen[bytes]

    def client(self) -> int:
        """The pid of the ssh that runs now."""
        found: list[int] = []

        def look() -> list[int]:
            found[:] = [one.pid for one in psutil.Process(self.loop.pid).children() if one.name() == "ssh"]
            return found

        wait_until(look)
        return found[0]


@contextmanager
def tunnel(network: Network, folder: Path) -> Iterator[Tunnel]:
    """A server on the gateway, and a tunnel to it that has been opened once."""
    folder.mkdir()
    for name in ("server", "client"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
            check=True,
            timeout=within(30),
        )
    _write(folder)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where nothing has started it before
    with ExitStack() as stack:
        server = _started(network.gateway, folder, f"exec {_SERVER} -D -e -f {folder}/sshd_config", stack)
        loop = re.sub(r"\bssh\b", f"ssh -F {folder}/config", _on_page(r"^(while .*; done) &$"))
        wait_until(lambda: network.node.reaches(GATEWAY, 22) or server.poll() is not None)
        made = Tunnel(_started(network.node, folder, loop, stack))
        wait_until(lambda: network.node.open_ports() or made.loop.poll() is not None, 30)
        assert network.node.open_ports(), (folder / "said").read_text()
        yield made


def _write(folder: Path) -> None:
    """What server and client are told."""
    key = (folder / "client.pub").read_text()
    allowed = _on_page(r"^(restrict,.*) ssh-ed25519 AAAA")
    (folder / "authorized_keys").write_text(f"{allowed} {key}")
    host_key = (folder / "server.pub").read_text()
    (folder / "known_hosts").write_text(f"{GATEWAY} {host_key}")
    (folder / "sshd_config").write_text(_SERVER_OPTIONS.format(address=GATEWAY, folder=folder))
    client = _on_page(r"^(Host board\n.*?)\n```")
    client = re.sub(r"HostName .*", f"HostName {GATEWAY}", client)
    client = re.sub(r"User .*", "User root", client)
    (folder / "config").write_text(client + _CLIENT_OPTIONS.format(folder=folder))


def _started(host: Host, folder: Path, script: str, stack: ExitStack) -> subprocess.Popen[bytes]:
    with (folder / "said").open("ab") as said:
        words = [*host.inside, "sh", "-c", script]
        process = subprocess.Popen(words, stdout=said, stderr=said)
    stack.callback(real_workers.end, [process])  # and each session of the server
    return process


def _on_page(pattern: str) -> str:
    found = re.search(pattern, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE} has nothing like {pattern}"
    return found[1]
