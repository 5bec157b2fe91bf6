"""A worker whose network goes away between two statements of a renewal, without a word."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from simcelery.board import engine, leases
from simcelery.worker.parent.lease import Lease
from tests.board_helpers import registration, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


def test_a_renewal_that_has_vanished_does_not_hold_up_the_next_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease = Lease("w@here", ["default"], 1)
    lease.me = registration(worker())
    lease._supervisor = cast("Any", SimpleNamespace(attempts=dict))
    lease._quarantine = cast("Any", SimpleNamespace(successes=list))
    silent, over = threading.Event(), threading.Event()

    def say_nothing(*_: object) -> list[object]:
        silent.set()
        over.wait(within(30))
        return []

    monkeypatch.setattr(leases, "accounts", say_nothing)
    vanished = threading.Thread(target=lease.renew)
    vanished.start()
    try:
        assert silent.wait(within(30))
        began = time.monotonic()
        with engine.begin() as connection:
            assert leases.renew(connection, lease.me, 20.0)
        assert time.monotonic() - began < within(10)
    finally:
        over.set()
        vanished.join()
    assert "the lease could not be renewed" in caplog.text
