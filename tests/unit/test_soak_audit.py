"""The audit of `make soak`: which outcomes may be left in the spool."""

from __future__ import annotations

import uuid
from pathlib import Path

from simcelery.board.states import Outcome
from simcelery.board.values import EndedAttempt
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from simcelery.worker.outcomes import spool
from tests.soak import audit


def test_an_outcome_may_be_left_only_if_a_restored_backup_does_not_know_its_job(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=Secret("postgresql://localhost/board"))
    undone, known = uuid.uuid4(), uuid.uuid4()
    report = EndedAttempt(outcome=Outcome.SUCCEEDED, result="done")
    _, left = (spool.save(settings, task_id, uuid.uuid4(), report) for task_id in (undone, known))
    assert audit.in_spool(settings.spool, {str(undone)}) == [f"{left} is left in the spool"]
