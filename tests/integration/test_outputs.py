"""What the parent of a worker reads in the files of its children, and brings to a real board."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import simcelery
from simcelery.board.values import Claim
from simcelery.chunks import SIZE
from simcelery.errors import ServiceError
from simcelery.execution import capture
from simcelery.settings import get_settings
from simcelery.worker.outcomes import reports
from simcelery.worker.parent import output
from simcelery.worker.parent.output import Outputs
from simcelery.worker.slots.child import Slot
from simcelery.worker.slots.parent import Slots
from tests.board_helpers import finish, must_claim, record, sql, worker

pytestmark = pytest.mark.usefixtures("board")


class Child:
    """A pool child that runs a job, as far as its slot and its file tell."""

    def __init__(self, slots: Slots, index: int = 0) -> None:
        self.claim: Claim = must_claim(record().task_id, worker())
        self.job = simcelery.get_job(self.claim.job_id)
        self.slot = Slot.taken(slots.memory, index)
        self.slot.claiming(self.claim.task_id, self.claim.claim_id)
        self.slot.starting(self.claim.job_id, self.claim.attempt, "w")
        self.slot.printing(index + 1)
        self.slot.running(None, None, seed=1)
        self.path = capture.path_of(slots.memory.folder, os.getpid(), index + 1)
        self.path.touch(exist_ok=False)

    def prints(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text)


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    """Of a worker in which no attempt is too quick, and no second passes between two looks."""
    made = Slots()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(output, "_QUICK", 0.0)
    monkeypatch.setattr(output, "_SEND_EVERY", 0.0)
    monkeypatch.setattr(output, "_RATE", 2**40)
    made.memory.folder.mkdir()
    return made


def test_only_what_is_new_is_sent_and_the_child_is_told_what_it_need_not_write(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, outputs = Child(slots), Outputs(slots, get_settings())
    outputs.send()
    assert child.slot.sent is None
    child.prints("a" * SIZE)
    outputs.send()
    assert child.slot.sent == 0  # its end may yet be the beginning of a character
    child.prints("b")
    outputs.send()
    assert child.slot.sent == 1
    assert child.job.log() == "a" * SIZE + "b"
    monkeypatch.setattr(output, "_save", lambda reports: pytest.fail("there is nothing new"))
    outputs.send()


def test_what_could_not_be_sent_is_sent_later(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    child, outputs = Child(slots), Outputs(slots, get_settings())
    child.prints("a" * 2 * SIZE)

    def fail(reports: object) -> None:
        raise ServiceError("away")

    with monkeypatch.context() as away:
        away.setattr(output, "_save", fail)
        with pytest.raises(ServiceError):
            outputs.send()
    assert child.slot.sent == 0
    child.slot.report(b'{"done": 1}')
    outputs.send()
    assert child.job.log() == "a" * 2 * SIZE
    assert child.job.progress == {"done": 1}
    assert child.slot.sent == 1


def test_whoever_prints_much_is_asked_less_often(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_RATE", 1024)
    child, outputs = Child(slots), Outputs(slots, get_settings())
    child.prints("a" * 2**20)
    outputs.send()
    before = child.job.log()
    child.prints("the end")
    child.slot.report(b'{"done": 2}')
    outputs.send()
    assert child.job.log() == before
    assert child.job.progress == {"done": 2}
    [running] = slots.busy()
    lost = outputs.with_rest(reports.lost("killed", out_of_memory=False), running)
    finish(child.claim, lost)
    assert child.job.log().endswith("the end")
    kept = sql("SELECT sum(octet_length(text)), count(*) FROM log_chunks")[0]
    assert get_settings().max_log - SIZE < kept[0] <= get_settings().max_log


def test_a_file_that_its_job_has_emptied_is_read_anew(slots: Slots) -> None:
    child, outputs = Child(slots), Outputs(slots, get_settings())
    child.prints("a" * 3 * SIZE)
    outputs.send()
    os.truncate(child.path, 0)
    child.prints("new")
    outputs.send()
    assert child.job.log() == "new"
    assert child.slot.sent == 0


def test_many_attempts_are_sent_in_parts_and_those_given_up_are_not_taken(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_PART", 10)
    children, outputs = [Child(slots, index) for index in range(3)], Outputs(slots, get_settings())
    for child in children:
        child.prints("some text of its own")
    sql("UPDATE jobs SET claim_id = gen_random_uuid() WHERE id = :id", id=children[1].job.id)
    outputs.send()
    assert [child.job.log() for child in children] == ["some text of its own", "", "some text of its own"]


def test_the_outputs_of_a_dead_worker_are_brought_by_the_next_one_unless_their_folder_is_anothers(
    slots: Slots,
) -> None:
    child, outputs = Child(slots), Outputs(slots, get_settings())
    child.prints("one")
    outputs.send()
    child.prints(", two")
    slots.memory.folder.chmod(0o777)
    output.deliver(slots.token)
    assert child.job.log() == "one"
    slots.memory.folder.chmod(0o700)
    output.deliver(slots.token)
    assert child.job.log() == "one, two"
    assert not slots.memory.folder.exists()
    output.deliver(slots.token)


def test_names_and_files_go_with_their_attempts(slots: Slots) -> None:
    child, outputs = Child(slots), Outputs(slots, get_settings())
    child.prints("text")
    outputs.send()
    names = [path.name for path in slots.memory.folder.iterdir()]
    assert sorted(names) == sorted([child.path.name, f"job-{child.job.id}.{child.claim.claim_id.hex}"])
    [running] = slots.busy()
    child.slot.idle()
    outputs.send()
    assert [path.name for path in slots.memory.folder.iterdir()] == [child.path.name]
    outputs.forget(running)
    assert list(slots.memory.folder.iterdir()) == []
