"""What an attempt printed, in an outcome that waits in the spool."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.board.values import EndedAttempt
from simcelery.chunks import Kept
from simcelery.needs import Needs
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from simcelery.worker.outcomes import spool
from tests.board_helpers import SUCCESS, new_job


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=Secret("postgresql://user@host/board"))


@pytest.mark.parametrize(
    "ended",
    [
        replace(SUCCESS, log={3: "half", 9: "an end"}, log_kept=Kept(2, 9, 9), progress={"done": 1}),
        replace(SUCCESS, log={1: "text"}),
        replace(SUCCESS, log="text"),
        SUCCESS,
        replace(
            SUCCESS,
            then=new_job(
                parameters={"x": [1, None, {"$float": "nan"}], "é": "ü"},
                parents=[3, 4],
                tags=["a"],
                time_limit=1.5,
                run_at=dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
                needs=Needs(memory=5),
            ),
        ),
    ],
)
def test_an_outcome_comes_out_of_the_spool_as_it_went_in(settings: Settings, ended: EndedAttempt) -> None:
    spool.save(settings, uuid.uuid4(), uuid.uuid4(), ended)
    assert [one.report for one in spool.waiting(settings)] == [ended]


def test_one_of_an_earlier_version_is_read_as_well(settings: Settings) -> None:
    path = spool.save(settings, uuid.uuid4(), uuid.uuid4(), replace(SUCCESS, log="text"))
    content = json.loads(path.read_text())
    del content["report"]["log_kept"], content["report"]["progress"]
    path.write_text(json.dumps(content))
    assert [one.report.log for one in spool.waiting(settings)] == ["text"]
