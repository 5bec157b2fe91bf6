"""A real HTTP server that notifications are sent to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Arrived:
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Receiver:
    """What arrived, and how it answers: with a status, after seconds, once it is let, with more headers."""

    port: int = 0
    arrived: list[Arrived] = field(default_factory=list)
    status: int = 200
    slow: float = 0.0
    let: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, str] = field(default_factory=dict)
    dribble: bool = False  # header after header, without end

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/T0/secret-token?key=hidden"

    @property
    def ids(self) -> list[str]:
        return [one.body["id"] for one in self.arrived]

    @property
    def events(self) -> list[str]:
        return [one.body["event"] for one in self.arrived]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on the loopback."""
    receiver = Receiver()
    receiver.let.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.arrived.append(Arrived(self.path, dict(self.headers), json.loads(body)))
            time.sleep(receiver.slow)
            receiver.let.wait()
            self.send_response(receiver.status)
            for name, value in receiver.answer.items():
                self.send_header(name, value)
            self.flush_headers()
            while receiver.dribble:
                self.wfile.write(b"X: y\r\n")
                time.sleep(0.3)
            self.end_headers()
            self.wfile.write(b"x" * 100_000)

        def do_GET(self) -> None:
            receiver.arrived.append(Arrived(self.path, dict(self.headers), {"id": "", "event": "GET"}))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # whoever asked has gone
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield receiver
    receiver.dribble = False
    receiver.let.set()
    server.shutdown()
    server.server_close()
