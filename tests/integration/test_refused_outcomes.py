"""What Postgres refuses to store of an attempt's end."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from simcelery import settings
from simcelery.board import engine, migrate, transitions
from simcelery.board.values import EndedAttempt
from simcelery.services import Services
from simcelery.worker.outcomes import finish
from tests import board_helpers as on_board
from tests.board_helpers import SUCCESS


@pytest.fixture
def latin(servers: Services) -> Iterator[None]:
    """The board is in a database of an old encoding."""
    url = re.sub(r"/[^/?]+(\?|$)", r"/latin\1", servers.database_url)
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS latin (FORCE)")
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    settings.override({"database_url": url})
    migrate.upgrade()
    yield
    engine.dispose()
    settings.override({"database_url": servers.database_url})


def end(report: EndedAttempt) -> int:
    """Finish a job so; its id."""
    job = on_board.record()
    claim = on_board.must_claim(job.task_id, on_board.worker())
    finish.write(transitions.by_claim(job.task_id, claim.claim_id), report, job.task_id, claim.claim_id)
    return job.id


@pytest.mark.usefixtures("latin")
def test_what_was_printed_does_not_undo_what_was_returned() -> None:
    number = end(replace(SUCCESS, result={"energy": -3.5}, log="→ converged 😀\n"))
    found = on_board.row(number)
    assert (found.state, found.result) == ("succeeded", {"energy": -3.5})


@pytest.mark.usefixtures("latin")
def test_a_result_that_the_database_cannot_hold_is_kept_in_a_file(tmp_path: Path) -> None:
    number = end(replace(SUCCESS, result={"unit": "😀"}, workdir=str(tmp_path)))
    found = on_board.row(number)
    assert found.state == "failed"
    assert "the board cannot store this" in str(found.error)
    [named] = re.findall(r"what it returned is kept in \S+:(/\S+)", str(found.error))
    assert Path(named).parent == tmp_path
    assert uuid.UUID(Path(named).stem.removeprefix("result-"))
    assert json.loads(Path(named).read_text()) == {"unit": "😀"}
