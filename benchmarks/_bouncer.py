"""A real PgBouncer in transaction mode before an embedded Postgres, configured as docs/scale.md shows it.

Also used by tests/acceptance/test_pgbouncer.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from simcelery.services.account import server_account

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
MISSING = None if PROGRAM else "pgbouncer is not installed (Debian: apt install pgbouncer)"
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"


def example() -> str:
    """The pgbouncer.ini of the page."""
    found = re.search(r"```ini\n(\[databases\].*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"{PAGE} has no pgbouncer.ini"
    return found[1]


@contextmanager
def bouncer(database_url: str, **changes: object) -> Iterator[str]:
    """Run PgBouncer; the URL of the same database through it.

    Parameters:
        changes: settings of pgbouncer.ini that differ from the page's; of a file it gets a copy.
    """
    assert PROGRAM, MISSING
    url = urlsplit(database_url)
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    port = _free_port()
    account = server_account()  # it refuses to run as root
    users = folder / "users.txt"
    users.write_text(f'"{url.username}" "{url.password}"\n')
    for name, value in changes.items():
        if isinstance(value, Path):
            changes[name] = shutil.copy(value, folder)
    own: dict[str, object] = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": ""}
    ini = _with(example(), f"host=127.0.0.1 port={url.port}", {**own, "auth_file": users, **changes})
    (folder / "pgbouncer.ini").write_text(ini)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if account:
            os.chown(path, account.uid, account.gid)
    who = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    log = (folder / "pgbouncer.log").open("wb")
    process = subprocess.Popen(
        [PROGRAM, str(folder / "pgbouncer.ini")],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        **who,  # type: ignore[call-overload]
    )
    try:
        _await(port, process, folder / "pgbouncer.log")
        yield database_url.replace(f":{url.port}/", f":{port}/")
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _with(ini: str, server: str, changes: dict[str, object]) -> str:
    """The page's file, with another server and other settings."""
    ini = re.sub(r"host=\S+ port=\d+", server, ini)
    for name, value in changes.items():
        line = f"{name} = {value}"
        ini, known = re.subn(rf"^{name} *=.*$", line, ini, flags=re.MULTILINE)
        ini = ini if known else f"{ini.rstrip()}\n{line}\n"
    return ini


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PgBouncer did not start:\n{log.read_text()}")
        time.sleep(0.05)
