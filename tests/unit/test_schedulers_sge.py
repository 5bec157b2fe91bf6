"""What Grid Engine says, and what it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simcelery.schedulers.asking import Refused, Unknown
from simcelery.schedulers.request import Request
from simcelery.schedulers.seen import Cause, End, State
from simcelery.schedulers.sge import Sge
from tests.fakes.schedulers import FakeScheduler

REQUEST = Request("simcelery-gpu-1f2e3d4c", Path("/s/job.sh"), Path("/out"))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    return FakeScheduler("sge", tmp_path, monkeypatch)


def test_a_request_as_arguments() -> None:
    request = replace(REQUEST, walltime=0.5, cores=8, memory=2**30, gpus=1, partition="q", account="p")
    common = [
        "-N",
        REQUEST.name,
        "-j",
        "y",
        "-o",
        "/out/simcelery-gpu-1f2e3d4c.out",
        "-wd",
        "/out",
        "-r",
        "n",
    ]
    limits = ["-l", "h_rt=1", "-l", "mem_free=1024M", "-l", "gpu=1"]
    assert Sge().header(request) == [*common, "-pe", "smp", "8", *limits, "-q", "q", "-P", "p"]
    assert Sge().header(replace(REQUEST, exclude=("n1", "n2"))) == [*common, "-l", "hostname=!n1&!n2"]
    with pytest.raises(Refused, match="parallel environment"):
        Sge().header(replace(REQUEST, nodes=2))
    options = ("-pe", "mpi", "64")
    assert Sge().header(replace(REQUEST, nodes=2, cores=32, options=options)) == [*common, *options]


@pytest.mark.parametrize(
    ("first", "shell"),
    [("#!/bin/bash -l", "/bin/bash"), ("#! /usr/bin/env", "/usr/bin/env"), ("true", "/bin/sh")],
)
def test_a_script_is_run_by_what_its_first_line_names(
    fake: FakeScheduler, tmp_path: Path, first: str, shell: str
) -> None:
    script = tmp_path / "job.sh"
    script.write_text(f"{first}\ntrue\n")
    Sge().submit(replace(REQUEST, script=script, folder=tmp_path))
    arguments = fake.calls("qsub")[0]["arguments"]
    assert arguments[arguments.index("-S") + 1] == shell
    script.unlink()
    with pytest.raises(Refused, match="cannot read"):
        Sge().submit(replace(REQUEST, script=script, folder=tmp_path))


def test_a_plan_says_whether_it_could_run_at_all(fake: FakeScheduler, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n")
    request = replace(REQUEST, script=script, folder=tmp_path)
    plan = Sge().plan(request)
    assert plan is not None
    assert plan.told == "verification: found suitable queue(s)"
    assert fake.jobs == []
    fake.mood("qsub", deaf=True, code=1, error="verification: no suitable queues\nExiting.")
    with pytest.raises(Refused, match="no suitable queues"):
        Sge().plan(request)


def test_states_are_letters_in_any_order(fake: FakeScheduler) -> None:
    words = ["qw", "hqw", "Eqw", "hRwq", "r", "t", "dr", "dt", "Rr", "s", "S", "T", "dT", "z", "r?", ""]
    fake.jobs = [{"id": str(n), "name": "a", "state": word} for n, word in enumerate(words)]
    seen = Sge().look()
    states = [State.WAITING] * 4 + [State.RUNNING] * 9 + [State.ENDED, None, None]
    assert [one.state for one in seen] == states
    assert [one.word for one in seen if one.never_starts] == ["Eqw"]
    assert [one.word for one in seen if one.reason] == ["hqw", "Eqw", "hRwq"]


def test_all_that_it_says_of_a_job_is_read(fake: FakeScheduler) -> None:
    fake.jobs = [{"id": "1", "name": "a", "state": "r", "hosts": "main.q@n1.site"}]
    [seen] = Sge().look()
    assert seen.hosts == ("n1.site",)
    assert seen.submitted_at == datetime(2026, 11, 29, 19, 25, 17, tzinfo=UTC)


def test_a_row_that_is_not_well_formed_is_unknown_alone(fake: FakeScheduler) -> None:
    fake.jobs = [
        {"id": "1", "name": "a", "state": "r"},
        {
            "id": "2",
            "name": "b",
            "state": "r",
            "raw": "<job_list><JB_job_number>2</JB_job_number>&\x01</job_list>",
        },
        {"id": "3", "name": "b", "state": "r", "raw": "<job_list><JB_name>c</JB_name></job_list>"},
        {"id": "4", "name": "d", "state": "r"},
    ]
    assert [(seen.id, seen.state) for seen in Sge().look()] == [
        ("1", State.RUNNING),
        ("2", None),
        ("4", State.RUNNING),
    ]


def test_half_an_answer_is_none(fake: FakeScheduler) -> None:
    fake.mood("qstat", deaf=True, before="<?xml version='1.0'?>\n<job_info>\n  <queue_info>\n")
    with pytest.raises(Unknown, match="not complete"):
        Sge().look()


@pytest.mark.parametrize(
    ("start", "over", "expected"),
    [
        ("Mon Nov 30 01:00:00 2026", "Mon Nov 30 02:30:00 2026", (1, 2.5)),
        ("11/30/2026 01:00:00.125", "11/30/2026 02:30:00", (1, 2.5)),
        ("-/-", "-/-", (None, None)),
    ],
)
def test_when_it_ran(fake: FakeScheduler, start: str, over: str, expected: tuple[float | None, ...]) -> None:
    account = f"start_time   {start}\nend_time     {over}\nfailed       0\nexit_status  0"
    fake.jobs = [{"id": "1", "name": "a", "state": "z", "exit": account}]
    end = Sge().ends({"1": "a"})["1"]
    midnight = datetime(2026, 11, 30, tzinfo=UTC)
    told = [at and round((at - midnight).total_seconds() / 3600, 3) for at in (end.began_at, end.at)]
    assert tuple(told) == expected


@pytest.mark.parametrize(
    ("failed", "status", "end"),
    [
        ("0", "0", End(Cause.FINISHED, 0, "exit status 0")),
        ("0", "3", End(Cause.FAILED, 3, "exit status 3")),
        (
            "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit",
            "137                  (Killed)",
            End(
                Cause.WALLTIME,
                None,
                "failed 37: qmaster enforced h_rt, h_cpu, or h_vmem limit, exit status 137",
            ),
        ),
        (
            "100 : assumedly after job",
            "137                  (Killed)",
            End(Cause.CANCELLED, 137, "failed 100: assumedly after job, exit status 137"),
        ),
        (
            "26  : opening input/output file",
            "0",
            End(Cause.FAILED, None, "failed 26: opening input/output file, exit status 0"),
        ),
    ],
)
def test_how_it_ended(fake: FakeScheduler, failed: str, status: str, end: End) -> None:
    account = f"failed       {failed}    \nexit_status  {status}\nru_wallclock 3s"
    fake.jobs = [
        {"id": "1", "name": "a", "state": "z", "exit": account},
        {"id": "2", "name": "b", "state": "r"},
    ]
    assert Sge().ends({"1": "a", "2": "b", "3": "c"}) == {"1": end}


def test_of_an_account_that_cannot_be_read_nothing_is_known(fake: FakeScheduler) -> None:
    fake.jobs = [{"id": "1", "name": "a", "state": "z", "exit": "failed       perhaps\nexit_status"}]
    assert Sge().ends({"1": "a"}) == {}


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a"), ("a", "b", "b")])
def test_of_jobs_that_had_the_same_number_its_own_account_counts(
    fake: FakeScheduler, names: tuple[str, ...]
) -> None:
    """The numbers of Grid Engine begin anew, and the old accounts stay."""
    codes = {"a": "3", "b": "0"}
    fake.jobs = [
        {"id": "1", "name": name, "state": "z", "exit": f"failed 0\nexit_status {codes[name]}"}
        for name in names
    ]
    assert Sge().ends({"1": "a"})["1"].exit_code == 3
    assert Sge().ends({"1": "b"})["1"].exit_code == 0
    assert Sge().ends({"1": "c"}) == {}
