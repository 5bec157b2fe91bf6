"""What PBS says, and what it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simcelery.schedulers.pbs import Pbs
from simcelery.schedulers.request import Request
from simcelery.schedulers.seen import Cause, End, State
from tests.fakes.schedulers import FakeScheduler

REQUEST = Request("simcelery-gpu-1f2e3d4c", Path("/s/job.sh"), Path("/out"))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    return FakeScheduler("pbs", tmp_path, monkeypatch)


def test_a_request_as_arguments() -> None:
    request = replace(
        REQUEST, walltime=3600, nodes=2, cores=8, memory=2**30, gpus=1, partition="q", account="acct"
    )
    common = ["-N", "scgpu-1f2e3d4c", "-j", "oe", "-o", "/out/simcelery-gpu-1f2e3d4c.out", "-r", "n"]
    walltime = ["-l", "walltime=01:00:00"]
    select = ["-l", "select=2:ncpus=8:mem=1024mb:ngpus=1", "-l", "place=scatter"]
    where = ["-q", "q", "-A", "acct"]
    assert Pbs().header(request) == [*common, *walltime, *select, *where]
    assert Pbs().header(REQUEST) == [*common, "-l", "select=1:ncpus=1"]
    # Torque knows no select.
    for options in (("-l", "nodes=2:ppn=8"), ("-lnodes=2:ppn=8",), ("-l", "select=3")):
        assert Pbs().header(replace(request, options=options)) == [*common, *walltime, *where, *options]


@pytest.mark.parametrize("cluster", ["a", "gpu", "2big", "a-very-long-name", "a-b.c_d"])
def test_a_name_has_at_most_15_characters_and_keeps_its_nonce(cluster: str) -> None:
    short = Pbs().known_as(f"simcelery-{cluster}-1f2e3d4c")
    assert len(short) <= 15
    assert short.endswith("-1f2e3d4c")
    assert short[0].isalpha()
    assert Pbs().known_as("short-1f2e3d4c") == "short-1f2e3d4c"


def test_all_that_it_says_of_a_job_is_read(fake: FakeScheduler) -> None:
    running = {
        "ctime": "Sun Nov 29 19:25:17 2026",
        "stime": "Mon Nov 30 00:00:00 2026",
        "exec_host": "n1/0*4+n2/0*4+n1/4",
        "comment": "Job run at Mon Nov 30 at 00:00 on (n1:ncpus=4)",
        "raw": "    Job_Name = a-name-that\n\t-is-wrapped\n    job_state = R\n"
        "    Resource_List.walltime = 01:30:00",
    }
    fake.jobs = [
        {"id": "1", "name": "a", "state": "R", **running},
        {"id": "2", "name": "b", "state": "Q", "comment": "Can Never Run: Insufficient amount of ncpus"},
        {"id": "3", "name": "c", "state": "H"},
        {"id": "4", "name": "d", "state": "H", "depend": "afterok:1.server@server"},
    ]
    seen = Pbs().look()
    assert [one.id for one in seen] == ["1.server", "2.server", "3.server", "4.server"]
    assert (seen[0].name, seen[0].hosts) == ("a-name-that-is-wrapped", ("n1", "n2"))
    assert seen[0].submitted_at == datetime(2026, 11, 29, 19, 25, 17, tzinfo=UTC)
    assert seen[0].starts_at == datetime(2026, 11, 30, tzinfo=UTC)
    assert seen[0].ends_at == datetime(2026, 11, 30, 1, 30, tzinfo=UTC)
    assert [one.never_starts for one in seen] == [False, True, True, False]
    assert seen[1].reason == "Can Never Run: Insufficient amount of ncpus"


def test_a_description_that_is_torn_is_unknown_alone(fake: FakeScheduler) -> None:
    fake.jobs = [
        {"id": "1", "name": "a", "state": "R"},
        {"id": "2", "name": "b", "state": "R", "raw": "    Job_Na"},
        {"id": "3", "name": "c", "state": "R", "stime": "the day before yesterday"},
    ]
    seen = Pbs().look()
    assert [(one.name, one.state) for one in seen] == [
        ("a", State.RUNNING),
        (None, None),
        ("c", State.RUNNING),
    ]


def test_one_that_ends_between_two_questions_hides_no_other(fake: FakeScheduler) -> None:
    fake.jobs = [{"id": "1", "name": "a", "state": "R"}, {"id": "2", "name": "b", "state": "R"}]
    fake.mood("qselect", before="3.server\n")
    assert [seen.name for seen in Pbs().look()] == ["a", "b"]


@pytest.mark.parametrize(
    ("fields", "cause", "code"),
    [
        ({"Exit_status": "0"}, Cause.FINISHED, 0),
        ({"Exit_status": "3"}, Cause.FAILED, 3),
        ({"Exit_status": "271"}, Cause.CANCELLED, 143),
        ({"Exit_status": "265"}, Cause.CANCELLED, 137),
        ({"Exit_status": "-29"}, Cause.WALLTIME, None),
        ({"Exit_status": "-27"}, Cause.OUT_OF_MEMORY, None),
        ({"Exit_status": "-3"}, Cause.FAILED, None),
        ({"Exit_status": "267"}, Cause.FAILED, 139),
        ({}, Cause.CANCELLED, None),
        # Nobody on its node has said how it ended; nor that it ended, or that others did.
        ({"stime": "Mon Nov 30 00:00:00 2026"}, Cause.NODE_FAILURE, None),
        ({"Exit_status": "-14"}, Cause.NODE_FAILURE, None),
        ({"Exit_status": "-20"}, Cause.NODE_FAILURE, None),
        ({"Exit_status": "-32"}, Cause.NODE_FAILURE, None),
    ],
)
def test_how_it_ended(fake: FakeScheduler, fields: dict[str, str], cause: Cause, code: int | None) -> None:
    fake.jobs = [{"id": "1", "name": "a", "state": "F", **fields}, {"id": "2", "name": "b", "state": "R"}]
    ends = Pbs().ends({"1.server": "a", "2.server": "b", "3.server": "c"})
    assert {id: (end.cause, end.exit_code) for id, end in ends.items()} == {"1.server": (cause, code)}


def test_when_it_ran(fake: FakeScheduler) -> None:
    """Until when it was changed last, in OpenPBS. One that never began may still have an estimate."""
    ran = {"stime": "Mon Nov 30 01:00:00 2026", "mtime": "Mon Nov 30 02:30:00 2026"}
    fake.jobs = [
        {"id": "1", "name": "a", "state": "F", **ran},
        {"id": "2", "name": "b", "state": "C", "estimated.start_time": "Mon Nov 30 01:00:00 2026"},
    ]
    ends = Pbs().ends({"1.server": "a", "2.server": "b"})
    hours = datetime(2026, 11, 30, 1, tzinfo=UTC), datetime(2026, 11, 30, 2, 30, tzinfo=UTC)
    assert (ends["1.server"].began_at, ends["1.server"].at) == hours
    assert ends["2.server"].began_at is None
    assert [seen.starts_at for seen in Pbs().look() if seen.id == "2.server"] == [None]


def test_the_walltime_ended_it_if_it_was_used_up(fake: FakeScheduler) -> None:
    limits = "    resources_used.walltime = 01:00:03\n    Resource_List.walltime = 01:00:00"
    raw = f"    Job_Name = a\n    job_state = C\n    Exit_status = 271\n{limits}"
    fake.jobs = [{"id": "1", "name": "a", "state": "C", "raw": raw}]
    # Torque lists what has ended for a while.
    assert [seen.end for seen in Pbs().look()] == [End(Cause.WALLTIME, 143, "exit status 271")]


def test_of_an_answer_in_another_form_nothing_is_known(fake: FakeScheduler) -> None:
    fake.mood("qstat", deaf=True, before="<Data><Job><Job_Id>1.server</Job_Id></Job></Data>\n")  # Torque's -x
    assert Pbs().ends({"1.server": "a"}) == {}
