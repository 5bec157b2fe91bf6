"""A board that is restored from before an upgrade, under a worker of the version after it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from celery.worker import state as worker_state

from simcelery.board import engine, files, leases, schema
from simcelery.board import sql as statements
from simcelery.errors import BoardUnreachableError
from simcelery.worker.parent.lease import Lease
from simcelery.worker.parent.shutdown import EX_FAILURE
from tests.board_helpers import registration, sql, worker

pytestmark = pytest.mark.usefixtures("board")


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    """That of a worker, whose supervisor notes in `closed` that it takes no more jobs."""
    made = Lease("w@here", ["default"], 1)
    made.me = registration(worker())
    closed: list[bool] = []
    made._supervisor = cast(
        "Any",
        SimpleNamespace(
            attempts=dict, settle=lambda *_: None, close=lambda: closed.append(True), closed=closed
        ),
    )
    made._quarantine = cast("Any", SimpleNamespace(successes=list))
    monkeypatch.setattr(schema, "_looks_again", False)  # as in a worker
    monkeypatch.setattr(worker_state, "should_stop", None)
    made.renew()
    assert closed == []
    sql("DROP FUNCTION renew_lease")
    try:
        yield made
    finally:
        sql("UPDATE alembic_version SET version_num = :revision", revision=schema.REVISION)
        with engine.begin() as connection:
            statements.install(connection, "renew_lease")


def test_a_renewal_is_not_said_to_have_failed_when_what_comes_after_it_has(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lease: Lease
) -> None:
    def gone(*_: Any) -> Any:
        raise BoardUnreachableError("the board is gone")

    monkeypatch.setattr(files, "asked_of", gone)
    lease._serve(
        leases.Renewed(True, schema.REVISION, [], files_asked=True, workdirs_due=False, turns_due=False)
    )
    assert caplog.messages == [
        "what others wait for is looked for again at the next renewal: the board is gone"
    ]


def test_it_ends_where_the_schema_is_another_one(lease: Lease, caplog: pytest.LogCaptureFixture) -> None:
    sql("UPDATE alembic_version SET version_num = '0001'")
    lease.renew()
    assert cast("Any", lease._supervisor).closed == [True]
    assert worker_state.should_stop == EX_FAILURE
    assert "it has schema 0001, but this worker needs" in caplog.text


def test_it_waits_while_the_board_is_being_restored(lease: Lease, caplog: pytest.LogCaptureFixture) -> None:
    lease.renew()
    assert cast("Any", lease._supervisor).closed == []
    assert worker_state.should_stop is None
    assert "the lease could not be renewed" in caplog.text
