"""Postgres killed, and Redis wiped, in the middle of holding, opening, releasing and telling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from simcelery import services
from simcelery.settings import Settings
from tests.acceptance.test_fuse import HOLDING, OPENING, RELEASING, mend, submit
from tests.conftest import Project
from tests.races.test_notify import POINTS as TELLING
from tests.receiver import Receiver, receiving
from tests.servers import Traps, ask, kill_server
from tests.waiting import wait_until

JOBS = 12


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def states(settings: Settings) -> dict[str, int]:
    rows = ask(settings, "SELECT state, count(*) AS n FROM jobs GROUP BY state")
    return {row["state"]: row["n"] for row in rows}


@pytest.mark.parametrize("line", [*HOLDING, *OPENING, *RELEASING, *TELLING])
def test_a_sweep_is_held_released_and_told_although_both_servers_fail_in_the_middle(
    own: tuple[Settings, Project], receiver: Receiver, tmp_path: Path, line: str
) -> None:
    settings, project = own
    traps = Traps(tmp_path / "traps", (line,))
    project.worker("-c", "1", **traps.environment(3))
    holds = line in HOLDING
    if not holds:
        mend(project)
    traps.set()
    sweep = ("--max-fails", "0") if holds else ("--canary", "2")
    submit(project, JOBS, *sweep, "--notify", receiver.url, "--on", "held,done")
    wait_until(traps.sprung, 30)
    kill_server(settings, "postgres")
    redis.Redis.from_url(project.environment["SIMCELERY_BROKER_URL"]).flushall()
    services.up(settings)
    expected = {"failed": 1, "blocked": JOBS - 1} if holds else {"succeeded": JOBS}
    wait_until(lambda: states(settings) == expected, 60, every=0.2)
    wait_until(lambda: receiver.arrived, 60)
    wait_until(lambda: all(row["sent_at"] for row in ask(settings, "SELECT sent_at FROM notifications")), 60)
    assert {*receiver.events} == {"held" if holds else "done"}
    assert len({*receiver.ids}) == 1
    assert states(settings) == expected
