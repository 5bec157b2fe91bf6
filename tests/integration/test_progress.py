"""What ``watch`` counts, on a real board."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simcelery.board.reads.jobs import Filter
from simcelery.cli.progress import Progress
from simcelery.cli.root import run
from tests.board_helpers import cancel, finish, must_claim, record, sql, worker

pytestmark = pytest.mark.usefixtures("board")


def done(count: int, **changes: object) -> None:
    """So many jobs that have succeeded."""
    me = worker()
    for _ in range(count):
        finish(must_claim(record(**changes).task_id, me))


def test_of_the_whole_board_only_what_is_open_and_finishes_from_now_on() -> None:
    done(3)
    open_job, other = record(), record(workflow="v")
    cancel(record().id)
    progress = Progress(Filter(), everything=True)
    progress.poll()
    assert dict(progress.all().states) == {"pending": 2}
    assert [(part.name, part.total, part.rate) for part in progress.parts()] == [("v", 1, 0.0), ("w", 1, 0.0)]
    assert progress.idle
    finish(must_claim(open_job.task_id, worker()))
    cancel(other.id)
    progress.poll()
    assert dict(progress.all().states) == {"succeeded": 1, "cancelled": 1}
    assert progress.all().finished == progress.all().total == 2
    assert progress.all().rate > 0
    assert progress.all().left == 0
    assert not progress.idle


def test_of_a_selection_everything_and_those_with_the_most_to_do_first() -> None:
    done(2, tags=["t"])
    record(tags=["t"])
    record(workflow="v", tags=["t"])
    record(workflow="v", tags=["t"])
    record()
    progress = Progress(Filter(tags=["t"]), everything=False)
    progress.poll()
    parts = [(part.name, part.finished, part.total) for part in progress.parts()]
    assert parts == [("v", 0, 2), ("w", 2, 3)]
    assert progress.all().rate == 0  # what was finished before tells no rate


def test_a_job_that_was_finished_and_is_retried_is_no_negative_number() -> None:
    done(2)
    record()
    progress = Progress(Filter(), everything=True)
    progress.poll()
    sql("UPDATE jobs SET state = 'pending', finished_at = NULL WHERE state = 'succeeded'")
    progress.poll()
    assert dict(progress.all().states) == {"pending": 3}
    assert progress.all().rate == 0


def test_since_counts_from_the_beginning() -> None:
    record()
    sql("UPDATE jobs SET submitted_at = now() - interval '50 seconds'")
    progress = Progress(Filter(since=60), everything=False)
    progress.poll()
    assert progress.all().total == 1
    progress._began -= 3600  # an hour later
    sql("UPDATE jobs SET submitted_at = now() - interval '3650 seconds'")
    progress.poll()
    assert progress.all().total == 1


def test_what_takes_long_is_asked_less_often() -> None:
    progress = Progress(Filter(), everything=True)
    assert progress.pause(2.0) == 2.0
    progress._cost = 1.0
    assert progress.pause(2.0) == 10.0


def test_an_empty_board_has_nothing_to_watch() -> None:
    progress = Progress(Filter(), everything=True)
    progress.poll()
    assert progress.parts() == []
    assert progress.all().total == 0
    assert not progress.idle


@pytest.mark.parametrize(("end", "code"), [("", 0), ("; exit 3", 1)])
def test_a_command_runs_here_when_all_have_finished(
    end: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = record().id
    cancel(number)
    found = tmp_path / "numbers"
    assert run(["watch", str(number), "--exec", f"cat > {found}{end}"]) == code
    assert json.loads(found.read_text())["states"] == {"cancelled": 1}
    assert run(["watch", "--forever", "--exec", "true"]) == 2
    assert "with --forever that is never" in capsys.readouterr().err
