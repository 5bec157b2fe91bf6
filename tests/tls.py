"""A throwaway CA, its certificates, and a proxy that speaks TLS in front of a server that does not."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.forwarding import forwarded
from tests.waiting import within


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=within(60))


@dataclass(frozen=True)
class Certificate:
    """Files in PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority(Certificate):
    """A CA of a test's own."""

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        """A new one."""
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                 "-addext", "keyUsage=critical,keyCertSign", "-keyout", made.key,
                 "-out", made.certificate)  # fmt: skip
        return made

    def issue(self, name: str, alternative: str, days: int = 2) -> Certificate:
        """A certificate for a server, such as ``DNS:localhost``; with days below 0 it has expired."""
        folder = self.certificate.parent
        made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
        request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nkeyUsage=digitalSignature\n")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", made.key,
                 "-out", request)  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                 "-CAcreateserial", "-extfile", extensions, "-days", str(days),
                 "-out", made.certificate)  # fmt: skip
        return made


@contextmanager
def proxy(certificate: Certificate, port: int, *, asked: bool = False) -> Iterator[int]:
    """Its port; what it hears goes on in plain to a server of this machine at `port`.

    Parameters:
        asked: the server there is a Postgres; see `forwarded`.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        forwarded(listener, port, server_side(certificate), asked=asked),
    ):
        yield listener.getsockname()[1]


def server_side(certificate: Certificate) -> ssl.SSLContext:
    """What a server with this certificate speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context
