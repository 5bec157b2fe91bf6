"""Publish after the commit: trouble is a warning, whatever it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from simcelery import broker, errors
from simcelery.board.values import JobToPublish

TROUBLE = [
    errors.BoardUnreachableError("no Postgres"),
    errors.BrokerUnreachableError("no Redis"),
    errors.BrokerRefusesError("full"),
    errors.BrokerUntrustedError("no certificate"),
    errors.RefusedByBoardError("a bad row"),
    errors.SchemaError("an old schema"),
    errors.SettingsError("no such setting"),
    RuntimeError("our own mistake"),
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda error: type(error).__name__)
def test_trouble_with_the_jobs_is_one_warning(trouble: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def asked_for() -> Iterator[JobToPublish]:
        raise trouble
        yield

    broker.publish_or_leave(asked_for(), "job 7 is recorded and")
    [said] = caplog.records
    assert said.levelno >= logging.WARNING
    assert said.getMessage().startswith("job 7 is recorded and will be published later")
    assert str(trouble) in caplog.text


def test_nothing_to_publish_asks_nobody(caplog: pytest.LogCaptureFixture) -> None:
    broker.publish_or_leave(iter(()), "nothing")
    assert not caplog.records
