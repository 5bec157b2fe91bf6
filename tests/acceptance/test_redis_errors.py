"""Redis answers, but with an error: waited out like a lost connection, by workers and by clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simcelery import services
from simcelery.settings import Settings
from tests import redis_errors
from tests.acceptance.fleets import Fleet, is_waited_out


def redis_data(settings: Settings) -> Path:
    """Its folder."""
    [one] = [one for one in services.status(settings) if one.name == "valkey"]
    return one.data_folder


_UNKNOWN = "invalid username-password pair"
# Code → how it is made, what the log of a worker says of it, and what a client does; None: it never hears.
FAULTS: dict[str, tuple[Any, str | None, str | None]] = {
    "OOM": (redis_errors.full, None, "OOM"),
    "READONLY": (redis_errors.replica, "READONLY", "READONLY"),
    "MASTERDOWN": (redis_errors.without_master, "READONLY", "MASTERDOWN"),
    "NOREPLICAS": (redis_errors.without_replicas, "NOREPLICAS", "NOREPLICAS"),
    "NOPERM": (redis_errors.without_rights, "NOPERM", "NOPERM"),
    # A worker that hears of it in the middle of its heartbeat waits without a line.
    "WRONGPASS": (redis_errors.another_password, None, _UNKNOWN),
    "MISCONF": (redis_errors.not_saved, "MISCONF", "MISCONF"),
    "UNBLOCKED": (redis_errors.unblocked, "UNBLOCKED", None),
}


@pytest.mark.parametrize("answer", FAULTS)
def test_an_answer_that_is_an_error_is_waited_out(fleet: Fleet, tmp_path: Path, answer: str) -> None:
    fault, workers_say, client_says = FAULTS[answer]
    data = redis_data(fleet.settings)
    is_waited_out(fleet, tmp_path, workers_say, client_says, lambda: fault(fleet.server, data))
