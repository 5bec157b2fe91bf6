"""What Slurm says, and what it is asked; `tests.acceptance.test_slurm_scheduler` asks a real one."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simcelery.schedulers import launchers
from simcelery.schedulers.asking import Refused, Unknown
from simcelery.schedulers.hostlists import expanded
from simcelery.schedulers.request import Request
from simcelery.schedulers.seen import Cause, End, State
from simcelery.schedulers.slurm import Slurm
from simcelery.schedulers.slurm_reasons import explained, never_starts
from tests.fakes.schedulers import FakeScheduler


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    return FakeScheduler("slurm", tmp_path, monkeypatch)


@pytest.fixture
def asked(tmp_path: Path) -> Request:
    return Request("simcelery-gpu-1f2e3d4c", tmp_path / "job.sh", tmp_path)


def test_a_request_as_arguments() -> None:
    request = Request(
        "simcelery-gpu-1f2e3d4c",
        Path("/s/job.sh"),
        Path("/out/100%"),
        walltime=90061.5,
        nodes=2,
        cores=8,
        memory=2**30 + 1,
        gpus=1,
        partition="main",
        account="acct",
        exclude=("n1", "n2"),
        options=("--qos=night",),
    )
    assert Slurm().header(request) == [
        "--job-name=simcelery-gpu-1f2e3d4c",
        "--output=/out/100%%/simcelery-gpu-1f2e3d4c.out",
        "--chdir=/out/100%",
        "--no-requeue",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=8",
        "--mem=1025M",
        "--gres=gpu:1",
        "--time=25:01:02",
        "--partition=main",
        "--account=acct",
        "--exclude=n1,n2",
        "--qos=night",
    ]


def test_the_nodes_of_a_partition_and_which_of_them_take_batch_jobs(fake: FakeScheduler) -> None:
    assert Slurm().nodes("main") == {"n1": True, "n2": True}
    assert Slurm().nodes(None) == {"n1": True, "n2": True}
    fake.mood(
        "sinfo", deaf=True, before="n1|down*|x\nn2|idle~|x\nn3|drng|x\nn4|mix-|x\nn5|idle*|x\nCLUSTER: far\n"
    )
    usable = {"n1": False, "n2": True, "n3": False, "n4": True, "n5": False}
    assert Slurm().nodes("x") == usable
    assert "--partition=x" in fake.calls("sinfo")[-1]["arguments"]
    fake.mood("sinfo", deaf=True, before="n1|idle|fast\nn2|idle|slow*\n")
    assert Slurm().nodes(None) == {"n2": True}
    fake.mood("sinfo", deaf=True, error="slurm_load_node: Unable to contact slurm controller", code=1)
    with pytest.raises(Unknown):
        Slurm().nodes("x")


def test_whoever_chooses_nodes_by_options_is_left_to_it() -> None:
    for options in (("-x", "n1"), ("-xn1",), ("--exclude=n1",), ("--nodelist=n2",), ("-w", "n2")):
        assert Slurm().cannot_exclude(options), options
    assert Slurm().cannot_exclude(("--qos=x", "--mem-bind=verbose")) is None


def test_one_of_several_clusters_is_named_in_every_command_and_ids_are_numbers(
    fake: FakeScheduler, asked: Request, tmp_path: Path
) -> None:
    for options in (("-M", "far"), ("-Mfar",), ("--cluster=far",), ("--qos=x", "--clusters", "far")):
        slurm = launchers.scheduler("slurm", tmp_path, options)
        id = slurm.submit(asked)
        assert id.isdecimal()
        fake.jobs = [*fake.jobs, {"id": "5", "name": "x", "state": "RUNNING", "raw": "CLUSTER: far"}]
        assert id in [seen.id for seen in slurm.look()]
        assert "5" not in [seen.id for seen in slurm.look()]
        slurm.ends({id: asked.name})
        slurm.cancel([id], [asked.name])
    for command in ("sbatch", "squeue", "scancel", "sacct"):
        assert all("--clusters=far" in call["arguments"] for call in fake.calls(command))


def test_the_cluster_of_the_environment_is_named_as_well(
    fake: FakeScheduler, asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "far")
    assert launchers.scheduler("slurm", tmp_path).submit(asked).isdecimal()
    [call] = fake.calls("sbatch")
    assert "--clusters=far" in call["arguments"]
    monkeypatch.setenv("SLURM_CLUSTERS", "a,b")
    with pytest.raises(ValueError, match="SLURM_CLUSTERS=a,b does not name one cluster"):
        launchers.scheduler("slurm", tmp_path)
    launchers.scheduler("slurm", tmp_path, ("-M", "near"))


def test_a_batch_job_of_another_cluster_is_none_of_ours(fake: FakeScheduler, asked: Request) -> None:
    """A filter of the site may send it elsewhere, where its number is another one's here."""
    fake.mood("sbatch", mute=True, before="77;other\n")
    with pytest.raises(Unknown, match="it was submitted to cluster other, and not to far"):
        Slurm("far").submit(asked)


def test_all_that_a_row_says_is_read(fake: FakeScheduler) -> None:
    times = ["2026-11-29T19:25:17", "2026-11-30T00:00:00", "2026-11-30T01:00:00"]
    fake.jobs = [
        {"id": "7", "name": "a", "state": "RUNNING", "times": times, "hosts": "n[1-2],g07"},
        {"id": "8_[1-5%2]", "name": "b", "state": "PENDING", "reason": "Priority", "hosts": "(null)"},
        {"id": "9", "name": "c", "state": "NODE_FAIL", "reason": "NodeDown", "times": times},
    ]
    running, waiting, ended = Slurm().look()
    assert running.hosts == ("n1", "n2", "g07")
    assert (running.submitted_at, running.starts_at, running.ends_at) == tuple(
        datetime.fromisoformat(text).replace(tzinfo=UTC) for text in times
    )
    assert (waiting.id, waiting.reason, waiting.never_starts) == ("8_[1-5%2]", "Priority", False)
    assert waiting.explained == "jobs with a higher priority come first"
    assert (waiting.starts_at, waiting.ends_at, waiting.hosts) == (None, None, ())
    assert (ended.state, ended.end) == (State.ENDED, End(Cause.NODE_FAILURE, None, "NODE_FAIL (NodeDown)"))


def test_a_row_that_cannot_be_read_is_unknown_alone(
    fake: FakeScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    fake.jobs = [
        {"id": "1", "name": "a\nb", "state": "RUNNING"},  # a name may have two lines
        {"id": "2", "name": "c", "state": "RUNNING", "raw": "2|RUN"},
        {"id": "3", "name": "d", "state": "RUNNING", "raw": "\x00|||"},
        {"id": "4", "name": "e", "state": "RUNNING"},
    ]
    slurm = Slurm()
    for _ in range(2):
        found = [(seen.id, seen.name, seen.state) for seen in slurm.look()]
    assert found == [("1", "a", State.RUNNING), ("2", None, None), ("4", "e", State.RUNNING)]
    assert len(caplog.records) == 3


def test_an_error_is_no_empty_list(fake: FakeScheduler) -> None:
    fake.mood("squeue", deaf=True, error="slurm_load_jobs error: Socket timed out on send/recv operation")
    with pytest.raises(Unknown, match="timed out"):
        Slurm().look()


@pytest.mark.parametrize(
    ("told", "means"),
    [
        ("sbatch: error: Batch job submission failed: Requested time limit is invalid", Refused),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", Unknown),
        ("sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received", Unknown),
        ("sbatch: error: Batch job submission failed: Unspecified error", Refused),
        ("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy", Refused),
        ("sbatch: error: Batch job submission failed: Protocol authentication error", Unknown),
        ("allocation failure: Requested node configuration is not available", Refused),
    ],
)
def test_what_sbatch_says_when_it_fails_is_a_no_or_nothing(
    fake: FakeScheduler, asked: Request, told: str, means: type[Exception]
) -> None:
    fake.mood("sbatch", deaf=True, error=told, code=1)
    for order in (Slurm().submit, Slurm().plan):
        with pytest.raises(means) as caught:
            order(asked)
        assert (
            str(caught.value)
            == f"sbatch: {told.rpartition('failed: ')[2].removeprefix('allocation failure: ')}"
        )


def test_what_a_site_adds_to_a_refusal_is_told_and_decides_nothing(
    fake: FakeScheduler, asked: Request
) -> None:
    told = "sbatch: error: Unable to contact you? See the timeouts in our wiki\n"
    fake.mood(
        "sbatch", deaf=True, code=1, error=f"{told}sbatch: error: Batch job submission failed: No account"
    )
    with pytest.raises(Refused) as caught:
        Slurm().submit(asked)
    assert str(caught.value) == "sbatch: Unable to contact you? See the timeouts in our wiki; No account"


def test_a_plan_is_in_the_time_zone_of_this_process(
    fake: FakeScheduler, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        plan = Slurm().plan(asked)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert plan is not None
    assert plan.starts_at == datetime(2026, 12, 1, 1, tzinfo=UTC)
    assert plan.hosts == ("n1", "n2")
    assert fake.jobs == []


def test_a_plan_refuses_what_would_wait_for_ever(fake: FakeScheduler, asked: Request) -> None:
    with pytest.raises(Refused, match="partition main allows 24:00:00, not 24:00:01"):
        Slurm().plan(replace(asked, walltime=86401))
    with pytest.raises(Refused, match="partition main allows 4 nodes, not 5"):
        Slurm().plan(replace(asked, nodes=5))
    assert Slurm().plan(replace(asked, walltime=86400, nodes=4)) is not None
    # Where the limits may be others, or are not told, it is for Slurm to refuse.
    assert Slurm().plan(replace(asked, nodes=5, options=("--qos=big",))) is not None
    fake.mood("scontrol", deaf=True, code=1, error="slurm_load_partitions error: Unable to contact")
    assert Slurm().plan(replace(asked, nodes=5)) is not None


ENDS = [
    ("COMPLETED", "0:0", Cause.FINISHED, 0),
    ("FAILED", "3:0", Cause.FAILED, 3),
    ("FAILED", "0:9", Cause.FAILED, 137),
    ("TIMEOUT", "0:0", Cause.WALLTIME, None),
    ("DEADLINE", "0:0", Cause.WALLTIME, None),
    ("OUT_OF_MEMORY", "0:125", Cause.OUT_OF_MEMORY, None),
    ("NODE_FAIL", "0:0", Cause.NODE_FAILURE, None),
    ("BOOT_FAIL", "0:0", Cause.NODE_FAILURE, None),
    ("PREEMPTED", "0:15", Cause.PREEMPTED, 143),
    ("CANCELLED by 1000", "0:0", Cause.CANCELLED, None),
]


@pytest.mark.parametrize("accounting", [True, False])
def test_ends_come_from_the_accounting_or_from_the_controller(fake: FakeScheduler, accounting: bool) -> None:
    words = ENDS if accounting else [(word.split()[0], *rest) for word, *rest in ENDS]
    times = ["2026-11-29T19:25:17", "2026-11-29T20:00:00", "2026-11-29T21:30:00"]
    fake.jobs = [
        {"id": str(n), "name": "a", "state": word, "exit": code, "times": times}
        for n, (word, code, *_) in enumerate(words)
    ]
    fake.jobs = [*fake.jobs, {"id": "50", "name": "a", "state": "RUNNING"}]
    if not accounting:
        fake.mood("sacct", deaf=True, code=1, error="Slurm accounting storage is disabled")
    ids = [str(n) for n in range(len(words))]
    ends = Slurm().ends(dict.fromkeys([*ids, "50", "99"], "a"))
    assert ends == {str(n): End(cause, code, word) for n, (word, _, cause, code) in enumerate(words)}
    began, at = (datetime(2026, 11, 29, hour, minute, tzinfo=UTC) for hour, minute in ((20, 0), (21, 30)))
    assert {(end.began_at, end.at) for end in ends.values()} == {(began, at)}
    seen = {one.id: one for one in Slurm().look()}
    assert [seen[id].end.cause for id in ids] == [cause for _, _, cause, _ in words]
    assert [seen[id].word for id in ids] == [word for word, *_ in words]


@pytest.mark.parametrize("accounting", [True, False])
def test_what_never_began_has_no_times(fake: FakeScheduler, accounting: bool) -> None:
    fake.jobs = [{"id": "1", "name": "a", "state": "CANCELLED"}]
    if not accounting:
        fake.mood("sacct", deaf=True, code=1, error="Slurm accounting storage is disabled")
    end = Slurm().ends({"1": "a"})["1"]
    assert (end.began_at, end.at) == (None, None)


def test_reasons_are_told_in_plain_english_and_some_never_pass() -> None:
    assert explained("ReqNodeNotAvail, UnavailableNodes:n[1-2]") == explained("ReqNodeNotAvail") is not None
    assert explained("SomethingNew") is None
    assert explained("") is None
    for reason in ("PartitionTimeLimit", "JobHeldUser", "QOSMaxCpuPerJobLimit", "AssocMaxNodePerJobLimit"):
        assert never_starts(reason), reason
        assert explained(reason), reason
    for reason in ("Priority", "Resources", "None", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit", "New", ""):
        assert not never_starts(reason), reason


def test_a_job_that_will_never_start_is_seen_as_such_while_it_waits(fake: FakeScheduler) -> None:
    fake.jobs = [
        {"id": str(n), "name": "a", "state": state, "reason": "PartitionTimeLimit"}
        for n, state in enumerate(["PENDING", "CANCELLED", "RUNNING"])
    ]
    assert [seen.never_starts for seen in Slurm().look()] == [True, False, False]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("", ()),
        ("n1", ("n1",)),
        ("n[1-3,05],gpu-7", ("n1", "n2", "n3", "n05", "gpu-7")),
        ("n[08-10]", ("n08", "n09", "n10")),
        ("r[1-2]n[1-2]x", ("r1n1x", "r1n2x", "r2n1x", "r2n2x")),
        ("n[1-", ("n", "1-")),
        ("(null)", ("(null)",)),
    ],
)
def test_lists_of_hosts(short: str, long: tuple[str, ...]) -> None:
    assert expanded(short) == long


def test_a_list_of_hosts_without_end_has_one() -> None:
    assert len(expanded("n[0-999999999]")) == 10_000
    assert len(expanded("n[0-999999999][0-999999999]")) == 10_000
