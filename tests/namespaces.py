"""A cluster node behind a firewall: a host with a network of its own, and one cable to the rest of the world.

    node (192.0.2.2) ══════ gateway (192.0.2.1) ── the servers of this machine, on ports of the gateway

Both are network namespaces without a name, each held by a process that ends with this one, however that ends:
so nothing stays, and tests in parallel never meet.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

from tests.forwarding import forwarded
from tests.waiting import wait_until

NODE, GATEWAY = "192.0.2.2", "192.0.2.1"  # addresses that are reserved for examples
_NEW_NET = 0x40000000
_TCP_LISTEN = "0A"  # as /proc/net/tcp writes it
_TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables"}

# Nobody gets in, and out only to these ports. No way is the node's own loopback.
_FIREWALL = """
table inet firewall {{
    counter elsewhere {{ }}
    chain input {{
        type filter hook input priority 0; policy drop;
        iifname "lo" accept
        ct state established,related accept
    }}
    chain output {{
        type filter hook output priority 0; policy drop;
        oifname "lo" accept
        ip daddr {gateway} tcp dport {{ {ports} }} accept
        meta l4proto {{ tcp, udp }} counter name elsewhere drop
    }}
}}
"""
# The gateway, too, knows which packets belong together.
_TRACK = "table inet track { chain input { type filter hook input priority 0; ct state new accept; }; }"
# Each side drops what arrives, so that no sender learns of it.
_CUT = """
table inet cut {
    chain input { type filter hook input priority -10; iifname != "lo" ct mark set 1 drop; }
}
"""
# What has been sent on while the cable was cut, is dropped for ever.
_FORGET = """
delete table inet cut
table inet cut {
    chain input { type filter hook input priority -10; iifname != "lo" ct mark 1 drop; }
}
"""


@lru_cache
def missing() -> str | None:
    """Why this machine has no such nodes; None if it has."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool} is not installed (Debian: apt install {package})"
    rules = _FIREWALL.format(gateway=GATEWAY, ports=1) + _CUT
    tried = subprocess.run(
        ["unshare", "--net", "nft", "-f", "-"], input=rules, text=True, capture_output=True
    )
    return f"no firewall can be set up here: {tried.stderr.strip()}" if tried.returncode else None


class Host:
    """A host with a network of its own; its files, processes and users are those of this machine."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        holder = subprocess.Popen(
            [
                "unshare",
                "--net",
                "--uts",
                "sh",
                "-c",
                f"hostname {name} && ip link set lo up && echo && exec cat",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        stack.callback(holder.wait)
        assert holder.stdin is not None
        assert holder.stdout is not None
        stack.callback(holder.stdin.close)
        with holder.stdout:
            assert holder.stdout.readline() == b"\n"
        self.pid = holder.pid
        self.inside = (str(shutil.which("nsenter")), "--target", str(holder.pid), "--net", "--uts", "--")

    def run(self, *command: str, given: str = "") -> str:
        """Run a command there; what it prints."""
        return subprocess.run(
            [*self.inside, *command], input=given, text=True, stdout=subprocess.PIPE, check=True
        ).stdout

    def listen(self, port: int) -> socket.socket:
        """A listener of this process on that host, on all its addresses."""
        made: list[socket.socket] = []

        def listen() -> None:
            with Path(f"/proc/{self.pid}/ns/net").open() as network:
                assert ctypes.CDLL(None).setns(network.fileno(), _NEW_NET) == 0  # for this thread alone
            made.append(socket.create_server(("", port)))

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        return made[0]

    def open_ports(self) -> list[int]:
        """Of TCP and UDP: where it waits for others, on whatever address."""
        found = []
        for kind in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path(f"/proc/{self.pid}/net/{kind}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if kind.startswith("udp") or state == _TCP_LISTEN:
                    found.append(int(local.rpartition(":")[2], 16))
        return found

    def reaches(self, address: str, port: int, seconds: float = 0.5) -> bool:
        """Whether a connection from there is answered within this time."""
        code = f"import socket; socket.create_connection(({address!r}, {port}), {seconds})"
        words = [*self.inside, "python3", "-c", code]
        return subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 0


class Network:
    """The node, its gateway and the cable between them.

    Parameters:
        ports: those of the gateway to which the node's firewall lets connections out.
        stack: ends all of it.
    """

    def __init__(self, ports: list[int], stack: ExitStack) -> None:
        self._stack = stack
        self.node, self.gateway = Host("node", stack), Host("gateway", stack)
        ends = ((self.node, NODE), (self.gateway, GATEWAY))
        self.node.run(*f"ip link add cable type veth peer name cable netns {self.gateway.pid}".split())
        for host, address in ends:
            host.run("ip", "address", "add", f"{address}/24", "dev", "cable")
            host.run("ip", "link", "set", "cable", "up")
        # Whatever it tries to reach, it would leave by here, and be counted.
        self.node.run("ip", "route", "add", "default", "via", GATEWAY)
        rules = _FIREWALL.format(gateway=GATEWAY, ports=", ".join(map(str, ports)))
        self.node.run("nft", "-f", "-", given=rules)
        self.gateway.run("nft", "-f", "-", given=_TRACK)

    def serve(self, port: int, server: int, context: ssl.SSLContext | None = None) -> None:
        """What reaches this port of the gateway goes on to a server of this machine."""
        self._stack.enter_context(forwarded(self.gateway.listen(port), server, context))

    def tried_elsewhere(self) -> int:
        """How many packets the node's firewall did not let out."""
        counter = self.node.run("nft", "-j", "list", "counter", "inet", "firewall", "elsewhere")
        [found] = [one["counter"] for one in json.loads(counter)["nftables"] if "counter" in one]
        return int(found["packets"])

    def cut(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        for host in (self.node, self.gateway):
            host.run("nft", "-f", "-", given=_CUT)

    def mend(self, *, forget: bool = False) -> None:
        """Everything arrives again; or only what belongs to connections that begin from now on."""
        for host in (self.node, self.gateway):
            host.run("nft", "-f", "-", given=_FORGET if forget else "delete table inet cut")


@contextmanager
def network(*ports: int) -> Iterator[Network]:
    """A node that reaches these ports of its gateway, and nothing else."""
    with ExitStack() as stack:
        made = Network(list(ports), stack)
        wait_until(lambda: made.node.run(*["ip", "-br", "link", "show", "cable"]).split()[1] == "UP", 10)
        yield made
