"""Publish after the commit: trouble is a warning, whatever it is."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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


def test_an_app_that_could_not_be_configured_is_configured_at_the_next_use(tmp_path: Path) -> None:
    """As in a notebook, where somebody starts the servers and tries again."""
    script = f"""
from simcelery import broker, errors, settings
settings.isolate({str(tmp_path)!r})
try:
    broker.app().tasks
    raise SystemExit("there is no broker")
except errors.ServicesNotRunningError:
    settings.override({{"broker_url": "redis://127.0.0.1:1/0"}})
assert broker.app().conf.broker_url == "redis://127.0.0.1:1/0", broker.app().conf.broker_url
assert "celery.map" in broker.app().tasks
assert broker.app().conf.result_backend.endswith("BoardBackend")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
