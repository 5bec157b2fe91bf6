"""What is the same for Slurm, PBS and Grid Engine, with commands that take their part."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.schedulers import asking, launchers
from simcelery.schedulers.asking import Refused, Unknown
from simcelery.schedulers.request import Request
from simcelery.schedulers.scheduler import Scheduler
from simcelery.schedulers.seen import State
from tests.fakes.schedulers import COMMANDS, FakeScheduler
from tests.waiting import within

NAME = "simcelery-gpu-1f2e3d4c"
SUBMITS = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub"}
LISTS = {"slurm": "squeue", "pbs": "qstat", "sge": "qstat"}
CANCELS = {"slurm": "scancel", "pbs": "qdel", "sge": "qdel"}
RUNS = {"slurm": "RUNNING", "pbs": "R", "sge": "r"}
# As they say it.
REFUSAL = {
    "slurm": "sbatch: error: Batch job submission failed: Invalid account or account/partition combination",
    "pbs": "qsub: Unknown queue",
    "sge": 'Unable to run job: Job was rejected because job requests unknown queue "x".\nExiting.',
}
UNREACHABLE = {
    "slurm": "sbatch: error: Batch job submission failed: Unable to contact slurm controller",
    "pbs": "Connection refused\nqsub: cannot connect to server pbs (errno=111)",
    "sge": "error: commlib error: got select error (Connection refused)",
}


@pytest.fixture(params=["slurm", "pbs", "sge"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def fake(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    return FakeScheduler(kind, tmp_path, monkeypatch)


@pytest.fixture
def real(kind: str, fake: FakeScheduler, tmp_path: Path) -> Scheduler:
    return launchers.scheduler(kind, tmp_path)


@pytest.fixture
def asked(tmp_path: Path) -> Request:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\ntrue\n")
    return Request(NAME, script, tmp_path)


def names(scheduler: Scheduler) -> list[str | None]:
    return [seen.name for seen in scheduler.look() if seen.state is not State.ENDED]


def test_a_batch_job_is_submitted_seen_and_cancelled(
    kind: str, fake: FakeScheduler, real: Scheduler, asked: Request
) -> None:
    assert real.look() == []
    id = real.submit(asked)
    [seen] = real.look()
    assert (seen.id, seen.name, seen.state) == (id, real.known_as(NAME), State.WAITING)
    fake.change(id, state=RUNS[kind])
    [seen] = real.look()
    assert (seen.state, seen.word, seen.end) == (State.RUNNING, RUNS[kind], None)
    real.cancel([id])
    assert names(real) == []


def test_lines_of_the_site_before_the_answer_are_passed_over(
    kind: str, fake: FakeScheduler, real: Scheduler, asked: Request
) -> None:
    fake.mood(SUBMITS[kind], before="Welcome to the cluster!\n12 nodes are down\n2026\n")
    id = real.submit(asked)
    assert [seen.id for seen in real.look()] == [id]


@pytest.mark.parametrize(
    "odd",
    [
        {"mute": True},
        {"mute": True, "code": 1},
        {"mute": True, "code": 1, "error": "UNREACHABLE"},
        {"hangs": True},
    ],
    ids=["no id", "no word", "no connection", "no end"],
)
def test_a_lost_answer_is_unknown_and_the_job_is_found_and_cancelled_by_its_name(
    kind: str,
    fake: FakeScheduler,
    real: Scheduler,
    asked: Request,
    odd: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", within(3))
    fake.mood(SUBMITS[kind], **(odd | ({"error": UNREACHABLE[kind]} if "error" in odd else {})))
    with pytest.raises(Unknown, match=SUBMITS[kind]):
        real.submit(asked)
    real.cancel(names=["simcelery-other-00000000"])
    assert names(real) == [real.known_as(NAME)]
    real.cancel(names=[NAME])
    assert names(real) == []


def test_a_refusal_says_why(kind: str, fake: FakeScheduler, real: Scheduler, asked: Request) -> None:
    fake.mood(SUBMITS[kind], deaf=True, code=1, error=REFUSAL[kind])
    sentence = REFUSAL[kind].splitlines()[0].rpartition("failed: ")[2]
    with pytest.raises(Refused) as caught:
        real.submit(asked)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert real.look() == []


def test_a_scheduler_that_is_away_for_a_while_is_unknown_for_that_while(
    kind: str, fake: FakeScheduler, real: Scheduler, asked: Request
) -> None:
    id = real.submit(asked)
    for command in COMMANDS[kind]:
        fake.mood(command, deaf=True, code=1, error=UNREACHABLE[kind])
    with pytest.raises(Unknown):
        real.look()
    with pytest.raises(Unknown):
        real.cancel([id])
    with pytest.raises(Unknown):
        real.cancel(names=[NAME])
    with pytest.raises(Unknown):
        real.submit(asked)
    assert real.ends({id: real.known_as(NAME)}) == {}
    for command in COMMANDS[kind]:
        fake.mood(command)
    assert [seen.id for seen in real.look()] == [id]


def test_a_command_that_hangs_is_ended_and_nothing_is_known(
    kind: str, fake: FakeScheduler, real: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.2)
    fake.jobs = [{"id": "1", "name": "a", "state": RUNS[kind]}]
    for command in COMMANDS[kind]:
        fake.mood(command, hangs=True)
    with pytest.raises(Unknown, match="has not answered within"):
        real.look()
    with pytest.raises(Unknown, match="has not answered within"):
        real.cancel(["1"], ["a"])
    assert real.ends({"1": "a", "2": "b"}) == {}


def test_a_state_that_nobody_knows_is_unknown_alone_and_logged_once(
    kind: str, fake: FakeScheduler, real: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    fake.jobs = [
        {"id": str(n), "name": f"a{n}", "state": state}
        for n, state in enumerate([RUNS[kind], "Ö", RUNS[kind]])
    ]
    for _ in range(2):
        assert [seen.state for seen in real.look()] == [State.RUNNING, None, State.RUNNING]
    assert [seen.end for seen in real.look()] == [None] * 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_names_with_odd_characters_stay_as_they_are(kind: str, fake: FakeScheduler, real: Scheduler) -> None:
    odd = ["a|b|c", 'x<y&"z', "%j é", "= Job Id: 7", "RUNNING|None", "b c"]
    fake.jobs = [{"id": str(n), "name": name, "state": RUNS[kind]} for n, name in enumerate(odd)]
    assert [(seen.id.partition(".")[0], seen.name) for seen in real.look()] == [
        (str(n), name) for n, name in enumerate(odd)
    ]
    assert {seen.state for seen in real.look()} == {State.RUNNING}


def test_to_cancel_what_is_gone_is_no_error_and_the_others_are_cancelled(
    fake: FakeScheduler, real: Scheduler, asked: Request
) -> None:
    first, second = real.submit(asked), real.submit(replace(asked, name="simcelery-cpu-00000001"))
    third = real.submit(replace(asked, name="simcelery-cpu-00000002"))
    real.cancel(
        [first.replace("10", "99"), first], [NAME, "simcelery-cpu-00000001", "simcelery-cpu-00000003"]
    )
    assert [seen.id for seen in real.look() if seen.state is not State.ENDED] == [third]
    real.cancel([first, second], [NAME])


def test_to_cancel_is_unknown_if_only_some_of_them_are_gone(
    kind: str, fake: FakeScheduler, real: Scheduler
) -> None:
    gone = {
        "slurm": "scancel: error: Kill job error on job id 7: Invalid job id specified",
        "pbs": "qdel: Unknown Job Id 7.server",
        "sge": 'denied: job "7" does not exist',
    }
    fake.mood(CANCELS[kind], deaf=True, code=1, error=gone[kind])
    real.cancel(["7"])
    fake.mood(CANCELS[kind], deaf=True, code=1, error=f"{gone[kind]}\n{UNREACHABLE[kind]}")
    with pytest.raises(Unknown):
        real.cancel(["7", "8"])


def test_commands_see_no_tastes_of_the_user_and_new_jobs_nothing_of_the_attempt(
    kind: str, fake: FakeScheduler, real: Scheduler, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEUE_NAMES", "others")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SIMCELERY_ATTEMPT", "5.1@token")
    monkeypatch.setenv("SIMCELERY_DATABASE_URL", "postgresql://me:secret@board/sims")
    for name in ("CLUSTERS", "JOB_NAME", "REQUEUE"):  # what sbatch obeys, and squeue and scancel do not
        monkeypatch.setenv(f"SBATCH_{name}", "odd")
    here = Path.cwd()
    real.submit(asked)
    real.look()
    [submitted], [listed] = fake.calls(SUBMITS[kind]), fake.calls(LISTS[kind])
    ours = [name for name in submitted["environment"] if name.startswith("SIMCELERY_")]
    assert ours == []  # nor a password: schedulers keep records
    # A job inherits the language, not that in which we read answers.
    assert (submitted["environment"]["LC_ALL"], submitted["environment"]["TZ"]) == ("C.UTF-8", "Asia/Tokyo")
    assert (listed["environment"]["LC_ALL"], listed["environment"]["TZ"]) == ("C", "UTC")
    assert "SQUEUE_NAMES" not in listed["environment"]
    if kind == "slurm":
        assert not any(name.startswith(("SLURM_", "SBATCH_")) for name in submitted["environment"])
    assert Path.cwd() == here


def test_where_commands_are_missing_they_are_named_and_nothing_is_submitted(
    kind: str, fake: FakeScheduler, real: Scheduler, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert real.missing() == []
    monkeypatch.setenv("PATH", str(fake.bin))
    (fake.bin / CANCELS[kind]).unlink()
    assert real.missing() == [CANCELS[kind]]
    with pytest.raises(Refused, match=f"no command {CANCELS[kind]} "):
        real.submit(asked)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Unknown, match="cannot run"):
        real.look()


def test_options_come_last_and_those_that_simcelery_needs_are_refused(
    kind: str, fake: FakeScheduler, real: Scheduler, asked: Request
) -> None:
    real.submit(replace(asked, options=("--reservation=night", "-x")))
    [call] = fake.calls(SUBMITS[kind])
    assert call["arguments"][-3:] == ["--reservation=night", "-x", str(asked.script)]
    for option in real.ours:
        with pytest.raises(Refused, match="cannot be given"):
            real.submit(replace(asked, options=(option, "x")))
    assert len(fake.jobs) == 1


HOWEVER = {
    "slurm": ("-Jmine", "-a1-3", "-QJmine", "-o/tmp/x", "--job=mine", "--arr", "--outp=x", "--requ", "-vW"),
    "pbs": ("-Nmine", "-VNmine", "-J1-3", "-joe", "-t1-3", "-XI"),
    "sge": ("-N", "-@"),
}
OTHERS = {
    "slurm": ("-pJ", "--qos=Jo", "--no-requeue", "--mem=1G", "-Cavx", "--", "-M", "far", "--comment=-J"),
    "pbs": ("-lselect=1:ncpus=4", "-qJo", "-V", "-WN=1", "-ANo"),
    "sge": ("-notify", "-now", "n", "-jsv", "/x", "-tc", "2", "-ot", "1", "-Nx"),
}


def test_an_option_is_refused_however_it_is_written(
    kind: str, fake: FakeScheduler, real: Scheduler, asked: Request
) -> None:
    """With another name it would never be found again, and be submitted anew for ever."""
    for option in HOWEVER[kind]:
        with pytest.raises(Refused, match="cannot be given"):
            real.submit(replace(asked, options=(option, "x")))
    assert fake.jobs == []
    real.submit(replace(asked, options=OTHERS[kind]))
    assert len(fake.jobs) == 1


@pytest.mark.parametrize("name", ["", "-x", "a b", "a,b", "a/b", "1a", "é", "a\nb"])
def test_a_name_that_schedulers_would_change_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name for a batch job"):
        Request(name, tmp_path, tmp_path)


def test_launchers_are_known_by_name_and_name_one_cluster(tmp_path: Path) -> None:
    assert {launchers.scheduler(name, tmp_path).launcher for name in launchers.LAUNCHERS} == {
        "local",
        "slurm",
        "pbs",
        "sge",
    }
    with pytest.raises(ValueError, match="is no launcher"):
        launchers.scheduler("lsf", tmp_path)
    for options in (["-M", "a,b"], ["--clusters=all"], ["-M"], ["--cluster="]):
        with pytest.raises(ValueError, match="does not name one cluster"):
            launchers.scheduler("slurm", tmp_path, options)


ENDED = {
    "slurm": {"state": "COMPLETED", "exit": "0:0"},
    "pbs": {"state": "F", "Exit_status": "0"},
    "sge": {"state": "gone", "exit": "failed       0\nexit_status  0"},
}


def test_the_end_of_another_job_that_has_the_same_number_is_none(
    kind: str, fake: FakeScheduler, real: Scheduler
) -> None:
    """Of another user, of another scheduler, or of earlier: numbers are given again."""
    number = {"pbs": "1.server"}.get(kind, "1")
    fake.jobs = [{"id": "1", "name": "another", **ENDED[kind]}]
    for _ in range(2):
        assert real.ends({number: real.known_as(NAME)}) == {}
        assert real.ends({number: "another"}).keys() == {number}
        fake.refuse("sacct", "Slurm accounting storage is disabled")
