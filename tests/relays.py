"""A relay of a test's own, behind TLS, and what a worker needs that reaches nothing else."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from simcelery.relay import tokens
from tests import programs
from tests.conftest import Project
from tests.namespaces import GATEWAY
from tests.tls import Authority
from tests.waiting import wait_until


class Relay:
    """The relay to a project's servers, where the project is, with its own home."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.folder = folder
        self._project = project
        self.home = folder / "home"
        self.direct = {**project.environment, "SIMCELERY_HOME": str(self.home)}
        self.authority = Authority.make(folder, "ca")
        self._certificate = self.authority.issue("relay", f"DNS:localhost,IP:127.0.0.1,IP:{GATEWAY}")
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, or start it again at the same place."""
        log = self.folder / "relay.log"
        before = len(self.log())
        tls = ["--certificate", str(self._certificate.certificate), "--key", str(self._certificate.key)]
        words = self._project.words("simcelery", "relay", "--listen", f"127.0.0.1:{self.port}", *tls)
        with log.open("ab") as output:
            self.process = programs.start(
                words, self.folder, {**self.direct, "PYTHONUNBUFFERED": "1"}, output
            )

        def said() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log()
            return re.search(r"^relay on 127\.0\.0\.1:(\d+)$", self.log()[before:], re.MULTILINE)

        wait_until(said)
        found = said()
        assert found is not None
        self.port = int(found[1])

    def kill(self) -> None:
        """As a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def log(self) -> str:
        """What it wrote."""
        path = self.folder / "relay.log"
        return path.read_text() if path.exists() else ""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://localhost:{self.port}"

    def worker(self, name: str) -> dict[str, str]:
        """The settings of a node that reaches only the relay, with a new token."""
        urls = {name: self.direct[f"SIMCELERY_{name}"] for name in ("DATABASE_URL", "BROKER_URL")}
        hidden = {
            f"SIMCELERY_{name}": url.replace(f"@{urlsplit(url).hostname}:", "@server.invalid:")
            for name, url in urls.items()
        }
        return hidden | {
            "SIMCELERY_RELAY_URL": self.url,
            "SIMCELERY_RELAY_TOKEN": tokens.make(self.home, name),
            "SIMCELERY_RELAY_CA": str(self.authority.certificate),
        }


@contextmanager
def relay_to(project: Project, folder: Path) -> Iterator[Relay]:
    """A relay to the servers of a project."""
    folder.mkdir()
    made = Relay(project, folder)
    try:
        yield made
    finally:
        made.kill()
