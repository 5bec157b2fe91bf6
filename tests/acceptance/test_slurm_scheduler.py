"""Slurm as `simcelery.schedulers` sees it; skipped where none runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.schedulers.asking import Refused, Unknown
from simcelery.schedulers.request import Request
from simcelery.schedulers.seen import Cause, End, Seen, State
from simcelery.schedulers.slurm import Slurm
from tests import slurm
from tests.waiting import wait_until

if not slurm.answers():
    pytest.skip("no Slurm runs here", allow_module_level=True)

SLURM = Slurm()


@pytest.fixture
def name() -> Iterator[str]:
    """One that no other batch job has; whatever has it at the end is cancelled."""
    name = f"simcelery-test-{os.urandom(4).hex()}"
    yield name
    SLURM.cancel(names=[name])
    wait_until(lambda: all(seen.state is State.ENDED for seen in named(name)))


@pytest.fixture
def asked(name: str, tmp_path: Path) -> Request:
    return Request(name, script(tmp_path, "exec sleep 300"), tmp_path, walltime=60, cores=1, memory=2**26)


def script(folder: Path, text: str) -> Path:
    path = folder / "job.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    return path


def named(name: str) -> list[Seen]:
    return [seen for seen in SLURM.look() if seen.name == name]


def only(name: str) -> Seen:
    [seen] = named(name)
    return seen


def site(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, text: str) -> None:
    """A site's own command before Slurm's, which ``$REAL`` is."""
    folder /= "bin"
    folder.mkdir()
    path = folder / command
    path.write_text(f"#!/bin/sh\nREAL={shutil.which(command)}\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_batch_job_from_its_submission_to_its_end(asked: Request) -> None:
    go = asked.folder / "go"
    script(
        asked.folder,
        f"pwd; echo err >&2; echo $SLURM_CPUS_ON_NODE; until [ -e {go} ]; do sleep 0.1; done; exit 3",
    )
    id = SLURM.submit(replace(asked, cores=2))
    assert id.isdecimal()
    wait_until(lambda: only(asked.name).state is State.RUNNING)
    seen = only(asked.name)
    assert (seen.id, seen.name, seen.word, seen.end) == (id, asked.name, "RUNNING", None)
    assert len(seen.hosts) == 1
    assert seen.submitted_at is not None
    assert seen.starts_at is not None
    assert seen.ends_at is not None
    assert (seen.ends_at - seen.starts_at).total_seconds() == 60
    assert SLURM.ends({id: asked.name}) == {}
    go.touch()
    wait_until(lambda: only(asked.name).state is State.ENDED)
    assert only(asked.name).end.cause is Cause.FAILED
    wait_until(lambda: SLURM.ends({id: asked.name}))
    assert SLURM.ends({id: asked.name, "999999": "x"}) == {id: End(Cause.FAILED, 3, "FAILED")}
    assert asked.output.read_text().splitlines() == [str(asked.folder), "err", "2"]


def test_its_cancel_is_an_end_of_its_own(asked: Request) -> None:
    id = SLURM.submit(asked)
    wait_until(lambda: only(asked.name).state is State.RUNNING)
    SLURM.cancel([id, "999999"])
    wait_until(lambda: only(asked.name).state is State.ENDED)
    assert only(asked.name).end.cause is Cause.CANCELLED
    wait_until(lambda: SLURM.ends({id: asked.name}))
    assert SLURM.ends({id: asked.name})[id].cause is Cause.CANCELLED
    SLURM.cancel([id])


def test_after_a_lost_answer_it_is_found_by_its_name_and_cancelled(
    asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(tmp_path, monkeypatch, "sbatch", '$REAL "$@" >/dev/null')
    with pytest.raises(Unknown, match="sbatch gave no id"):
        SLURM.submit(asked)
    assert only(asked.name).state in (State.WAITING, State.RUNNING)
    SLURM.cancel(names=["simcelery-other-00000000", asked.name])
    wait_until(lambda: only(asked.name).state is State.ENDED)
    assert only(asked.name).end.cause is Cause.CANCELLED


def test_what_a_site_prints_before_the_id_is_no_id(
    asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(tmp_path, monkeypatch, "sbatch", 'echo "Your project has 12 hours left"; echo 2026; exec $REAL "$@"')
    id = SLURM.submit(asked)
    assert only(asked.name).id == id


def test_a_plan_queues_nothing_and_tells_when(asked: Request) -> None:
    plan = SLURM.plan(asked)
    assert plan is not None
    assert plan.starts_at is not None
    assert len(plan.hosts) == 1
    assert named(asked.name) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"cores": 100_000}, "Requested node configuration is not available"),
        ({"partition": "no-such"}, "invalid partition specified: no-such"),
        ({"walltime": 366 * 86400}, "partition .* allows"),
        ({"options": ("--no-such-option",)}, "unrecognized option '--no-such-option'"),
    ],
)
def test_a_plan_refuses_what_could_never_run(asked: Request, more: dict[str, object], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        SLURM.plan(replace(asked, **more))
    assert named(asked.name) == []


def test_a_refusal_is_in_slurms_words(asked: Request) -> None:
    with pytest.raises(Refused, match="Invalid partition name specified"):
        SLURM.submit(replace(asked, partition="no-such"))
    with pytest.raises(Refused, match="Memory specification can not be satisfied"):
        SLURM.submit(replace(asked, memory=2**50))
    # What it refuses for want of such a node it lists as a batch job that has failed.
    assert {seen.state for seen in named(asked.name)} <= {State.ENDED}


def test_one_that_will_never_start_is_seen_as_such(asked: Request) -> None:
    SLURM.submit(replace(asked, walltime=366 * 86400))
    wait_until(lambda: only(asked.name).reason == "PartitionTimeLimit")
    assert only(asked.name).never_starts
    assert only(asked.name).explained == "it asks for more time than its partition allows"


def test_nodes_and_those_that_are_excluded(asked: Request) -> None:
    nodes = SLURM.nodes(None)
    assert nodes is not None
    shown = subprocess.run(["sinfo", "-h", "-N", "-o", "%N"], capture_output=True, text=True, check=True)
    assert set(nodes) <= set(shown.stdout.split())
    [first, *others] = [name for name, usable in sorted(nodes.items()) if usable]
    request = replace(asked, exclude=(first,))
    if others:
        plan = SLURM.plan(request)
        assert plan is not None
        assert plan.hosts[0] in others
    else:
        with pytest.raises(Refused):
            SLURM.plan(request)


def test_other_batch_jobs_of_odd_names_disturb_nobody(asked: Request, tmp_path: Path) -> None:
    odd = f"{asked.name}|RUNNING|\nodd é"
    command = [
        "sbatch",
        "--parsable",
        "--hold",
        f"--job-name={odd}",
        f"--chdir={tmp_path}",
        str(asked.script),
    ]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        id = SLURM.submit(asked)
        seen = {seen.id: seen for seen in SLURM.look()}
        assert seen[other].name == f"{asked.name}|RUNNING|"
        assert seen[other].state is State.WAITING
        assert seen[id].name == asked.name
    finally:
        subprocess.run(["scancel", other], check=True)


def test_a_walltime_that_ends_it_is_told(asked: Request) -> None:
    id = SLURM.submit(asked)
    wait_until(lambda: only(asked.name).state is State.RUNNING)
    subprocess.run(["scontrol", "update", f"jobid={id}", "endtime=now+1"], check=True)
    wait_until(lambda: only(asked.name).state is State.ENDED, 90)
    assert only(asked.name).end.cause is Cause.WALLTIME
    assert re.match("TIMEOUT", only(asked.name).word)


def test_inside_an_allocation_another_is_submitted_as_from_outside(
    asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("SLURM_JOB_ID", "1"), ("SLURM_MEM_PER_NODE", "1"), ("SLURM_NTASKS", "64")):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SBATCH_WAIT", "1")
    script(asked.folder, "env | grep ^SLURM_; echo done")
    id = SLURM.submit(asked)
    wait_until(lambda: asked.output.exists() and "done" in asked.output.read_text())
    told = asked.output.read_text().splitlines()
    assert f"SLURM_JOB_ID={id}" in told
    assert "SLURM_NTASKS=64" not in told
