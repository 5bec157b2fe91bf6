"""A plug-in for pytest: a board, a worker, a clock and crashes for the tests of your own workflows.

In the ``conftest.py`` of your tests::

    pytest_plugins = ["simcelery.testing"]

It is not an entry point of pytest, so that a test run that does not ask for it imports nothing of it and gets
no fixtures called ``board``, ``worker`` and ``clock``.

Owns servers, workers and homes of its own; no board, broker or home that your settings name is ever touched.
Only tests import it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from simcelery.testing.clocks import Clock
    from simcelery.testing.crashes import CrashAfter
    from simcelery.testing.real_workers import RealWorker
    from simcelery.testing.servers import Board
    from simcelery.testing.workers import Worker

_HOMES = {
    "Board": "simcelery.testing.servers",
    "Clock": "simcelery.testing.clocks",
    "CrashAfter": "simcelery.testing.crashes",
    "RealWorker": "simcelery.testing.real_workers",
    "Worker": "simcelery.testing.workers",
}

__all__ = ["Board", "Clock", "CrashAfter", "RealWorker", "Worker"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'simcelery.testing' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


@pytest.fixture(scope="session")
def _simcelery_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """The servers of this test run, or of this process of pytest-xdist."""
    from simcelery.testing import servers

    with servers.of_its_own(tmp_path_factory.mktemp("simcelery")) as made:
        yield made


@pytest.fixture
def board(_simcelery_board: Board) -> Board:
    """An empty board, and an empty broker, for this test; the first job is job 1.

    The embedded servers start with the first test that asks for them, in a temporary home, and are erased
    after the last one.
    """
    _simcelery_board.empty()
    return _simcelery_board


@pytest.fixture
def worker(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker: ``worker.run()`` runs in this process what is due, ``worker.start()`` starts a real one."""
    from simcelery.testing.workers import Worker

    made = Worker(board, tmp_path_factory.mktemp("workers"))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def clock(worker: Worker) -> Clock:
    """The board's clock: ``clock.advance("2d")`` lets two days pass."""
    from simcelery.testing.clocks import Clock

    return Clock(worker)


@pytest.fixture
def crash_after(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[CrashAfter]:
    """``crash_after("progress")`` kills the next attempt there, once."""
    from simcelery.testing.crashes import CrashAfter

    made = CrashAfter(worker, monkeypatch)
    yield made
    made.end()
