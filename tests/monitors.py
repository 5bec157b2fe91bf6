"""A real web monitor, started as a user does, and what a browser gets of it."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from tests import programs
from tests.conftest import Project
from tests.waiting import wait_until, within

# What runs in a browser where it is not escaped.
SCRIPT = "<script>window.taken = 1</script><img src=x onerror='window.taken = 1'>"
CONF = Path(__file__).parents[1] / "flower.conf"
STARTED_BY_CELERY = ("celery", "-A", "simcelery", "flower", f"--conf={CONF}")


@dataclass(frozen=True)
class Answer:
    """What was answered: its headers by their names in lower case, and its text."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Monitor:
    """One that listens."""

    port: int

    def get(self, path: str, *, login: str | None = None, method: str = "GET", **headers: str) -> Answer:
        """Ask for a page; underscores of the headers' names are dashes."""
        with self._asked(path, login, method, headers) as answer:
            text = answer.read().decode()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)

    def post(self, path: str, body: dict[str, str], *, login: str | None = None, **headers: str) -> Answer:
        """Send a form."""
        headers["Content_Type"] = "application/x-www-form-urlencoded"
        with self._asked(path, login, "POST", headers, urlencode(body)) as answer:
            text = answer.read().decode()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)

    def parts(self, path: str) -> Iterator[dict[str, str]]:
        """The events of a stream, each as the parts of the page that are new."""
        with self._asked(path, None, "GET", {}) as answer:
            assert answer.status == 200
            while line := answer.readline().decode():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    @contextmanager
    def _asked(
        self, path: str, login: str | None, method: str, headers: dict[str, str], body: str | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        given: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
        if login:
            given["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=within(30))
        try:
            connection.request(method, path, body, given)
            yield connection.getresponse()
        finally:
            connection.close()


def start(project: Project, *words: str, **extra: str) -> Monitor:
    """Start one, by default with celery; returns when it listens. It ends with the project."""
    log = project.folder / f"monitor{len(project.processes)}.log"
    environment = {**project.environment, "SIMCELERY_FLOWER_PORT": "0", **extra}
    with log.open("wb") as output:
        process = programs.start(list(words or STARTED_BY_CELERY), project.folder, environment, output)
    project.processes.append(process)
    wait_until(lambda: process.poll() is not None or _listening(process.pid), 40)
    assert process.poll() is None, log.read_text()
    [port] = _listening(process.pid)
    return Monitor(port)


def _listening(pid: int) -> list[int]:
    """The ports at which a process can be reached."""
    return [
        connection.laddr.port
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
