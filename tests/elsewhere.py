"""Run a command as on another node: ``python -m tests.elsewhere PORT… -- COMMAND…``.

It has a network and a host name of its own. Only these ports of this machine can be reached from there, and
nothing there can be reached from here.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

NAME = "elsewhere"
_NEW_NET, _NEW_UTS = 0x40000000, 0x04000000


def possible() -> bool:
    """Whether this machine allows it."""
    tools = shutil.which("unshare") and shutil.which("ip")
    return (
        bool(tools) and subprocess.run(["unshare", "-n", "-u", "true"], capture_output=True).returncode == 0
    )


def main(ports: list[int], command: list[str]) -> int:
    """Run it to its end; its exit code."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _go(ports, command, theirs)
    _, listeners, _, _ = socket.recv_fds(ours, 1, len(ports))
    for port, descriptor in zip(ports, listeners, strict=True):
        threading.Thread(target=_serve, args=(socket.socket(fileno=descriptor), port), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _go(ports: list[int], command: list[str], answer: socket.socket) -> None:
    assert ctypes.CDLL(None).unshare(_NEW_NET | _NEW_UTS) == 0
    socket.sethostname(NAME)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
    socket.send_fds(answer, [b"."], [one.fileno() for one in listeners])
    os.execvp(command[0], command)


def _serve(listener: socket.socket, port: int) -> None:
    while True:
        here, _ = listener.accept()
        there = socket.create_connection(("127.0.0.1", port))
        for ends in ((here, there), (there, here)):
            threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    at = sys.argv.index("--")
    sys.exit(main([int(one) for one in sys.argv[1:at]], sys.argv[at + 1 :]))
