"""The web monitor before a million jobs: how long its pages take, and what those who watch cost Postgres."""

from __future__ import annotations

import argparse
import http.client
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

import psutil
from _harness import BIN, Bench, bench, percentile, wait_for
from _report import Figure, main
from board import Board

# By what they are called; `{}` is the id of a job.
PAGES = {
    "overview": "/board",
    "jobs": "/board/jobs",
    "jobs that failed": "/board/jobs?state=failed",
    "jobs with a tag": "/board/jobs?tag=tag7",
    "a job": "/board/jobs/{}",
    "a sweep of 5,000 jobs": "/board/sweeps?tag=tag7&y=result",
    "latest sweeps": "/board/sweeps",
    "errors": "/board/errors",
    "workers": "/board/workers",
    "rules": "/board/rules",
}
WATCHED = {"the overview": "/board/live", "a job each": "/board/jobs/{}/live"}
SETTLED = 5.0  # seconds after which watchers cost as much as from then on


def start(on: Bench) -> int:
    """Start the monitor; the port at which it listens."""
    process = on.start([str(BIN / "simcelery"), "monitor", "--port", "0"], on.folder / "monitor.log")
    listening = psutil.CONN_LISTEN

    def ports() -> list[int]:
        found = psutil.Process(process.pid).net_connections("inet")
        return [one.laddr.port for one in found if one.status == listening]

    wait_for(ports, 60)
    return ports()[0]


def page(port: int, path: str) -> float:
    """Milliseconds that a page takes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    took = 1000 * (time.perf_counter() - began)
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")
    return took


def cpu_of_postgres(on: Bench) -> float:
    """Seconds of processor time that the server has taken since it was started."""
    [(backend,)] = on.sql("SELECT pg_backend_pid()")
    wait_for(lambda: not psutil.pid_exists(backend), 10)  # its time now counts for its parent
    [(pid,)] = on.sql("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int")
    server = psutil.Process(pid)
    used = sum(server.cpu_times()[:4])
    for child in server.children(recursive=True):
        used += sum(child.cpu_times()[:2])
    return float(used)


@contextmanager
def watching(port: int, paths: Sequence[str]) -> Iterator[selectors.BaseSelector]:
    """While so many browsers watch."""
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for path in paths:
            browser = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            browser.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            selector.register(browser, selectors.EVENT_READ)
        read(selector, SETTLED)
        yield selector


def read(selector: selectors.BaseSelector, seconds: float) -> None:
    """Read what comes for so long."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv(2**20):
                raise RuntimeError("a stream has ended")


def measure(given: argparse.Namespace) -> list[Figure]:
    """Each page, and what watchers cost."""
    with bench() as on:
        Board(on.database_url, given.jobs)
        port = start(on)
        ids = iter(range(given.jobs // 2, given.jobs))
        found = []
        page(port, "/board/jobs")  # connections are made and templates are read
        for name, path in PAGES.items():
            took = [page(port, path.format(next(ids))) for _ in range(given.times)]
            note = f"95 % within {percentile(took, 0.95):.0f} ms"
            found.append(Figure(f"{name}, {given.jobs:,} jobs", median(took), "ms", False, 300.0, note=note))
        for name, path in WATCHED.items():
            with watching(port, [path.format(next(ids)) for _ in range(given.browsers)]) as selector:
                began, before = time.monotonic(), cpu_of_postgres(on)
                read(selector, given.seconds)
                cores = (cpu_of_postgres(on) - before) / (time.monotonic() - began)
            what = f"Postgres, while {given.browsers} browsers watch {name}, {given.jobs:,} jobs"
            found.append(Figure(what, cores, "cores", False, 0.1))
    return found


if __name__ == "__main__":
    sizes = {
        "jobs": (1_000_000, 20_000, "jobs of the board"),
        "times": (20, 2, "how often each page is asked for"),
        "browsers": (50, 5, "that watch"),
        "seconds": (60, 2, "for which they do"),
    }
    main("monitor", __doc__ or "", measure, sizes)
