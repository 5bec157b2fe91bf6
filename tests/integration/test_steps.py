"""Steps and checkpoints: what a later attempt of a job goes on from."""

from __future__ import annotations

import functools
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import simcelery
from simcelery import Job
from simcelery.board import engine, reads
from simcelery.board.values import Claim
from simcelery.cli.root import run
from simcelery.errors import EncodingError, ParametersError, PayloadTooLargeError, UsageError
from simcelery.worker.context import CurrentJob
from tests.board_helpers import ERROR, LOST, finish, must_claim, sql, worker

pytestmark = pytest.mark.usefixtures("board")

calls: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


@simcelery.workflow(name="campaign")
def campaign(kpts: int = 4) -> float:
    return 0.0


@dataclass(frozen=True)
class Point:
    energy: float
    forces: tuple[float, float]


def scf(kpts: int, mixing: float = 0.7) -> float:
    calls.append(kpts)
    return kpts * 1.5


def relaxed(energy: float) -> Point:
    calls.append(energy)
    return Point(energy, (0.0, 1.0))


def anything(value: Any = None) -> Any:
    calls.append(value)
    return value


def claimed(job: Job) -> Claim:
    return must_claim(job.task_id, worker(), workflow=job.workflow)


def attempt(job: Job) -> CurrentJob:
    return CurrentJob(claimed(job))


def lost(current: CurrentJob) -> None:
    """The attempt's worker dies."""
    assert current._claim is not None
    assert finish(current._claim, LOST)


def test_a_step_that_is_saved_is_not_made_again() -> None:
    job = campaign.submit()
    first = attempt(job)
    assert first.step("scf", scf, 4) == 6.0
    assert first.step("relax", relaxed, energy=-3.0) == Point(-3.0, (0.0, 1.0))
    lost(first)
    second = attempt(job)
    assert second.step("scf", scf, kpts=4) == 6.0  # however it is passed
    assert second.step("relax", relaxed, -3.0) == Point(-3.0, (0.0, 1.0))
    assert calls == [4, -3.0]


def draw() -> float:
    calls.append("draw")
    return random.random()


def test_each_call_is_a_step_of_its_own_and_is_found_again(capsys: pytest.CaptureFixture[str]) -> None:
    job = campaign.submit()
    first = attempt(job)
    drawn = [first.step("draw", draw) for _ in range(3)]
    assert len(set(drawn)) == 3
    lost(first)
    second = attempt(job)
    again = [second.step("draw", draw) for _ in range(4)]
    assert again[:3] == drawn
    assert again[3] not in drawn
    assert len(calls) == 4
    assert capsys.readouterr().err == ""


def test_calls_within_a_step_do_not_count_for_those_after_it() -> None:
    def outer(current: CurrentJob) -> tuple[float, ...]:
        def both() -> tuple[float, ...]:
            return current.step("draw", draw), current.step("draw", draw)

        return (*current.step("both", both), current.step("draw", draw))

    job = campaign.submit()
    first = attempt(job)
    drawn = outer(first)
    assert len(set(drawn)) == 3
    lost(first)
    assert outer(attempt(job)) == drawn
    assert len(calls) == 3


def test_a_call_that_raises_is_no_call_and_what_was_made_within_it_is_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = campaign.submit()
    current = attempt(job)

    def fails() -> float:
        found = current.step("draw", draw)
        if len(calls) == 1:
            calls.append("failed")
            raise ValueError("diverged")
        return found

    with pytest.raises(ValueError, match="diverged"):
        current.step("outer", fails)
    found = current.step("outer", fails)
    assert calls == ["draw", "failed"]
    lost(current)
    current = attempt(job)
    assert current.step("outer", fails) == found
    assert capsys.readouterr().err == ""


class Cell:
    def __init__(self, size: float) -> None:
        self.size = size

    def as_dict(self) -> dict[str, float]:
        return {"size": self.size}

    def grow(self) -> float:
        calls.append("grow")
        self.size *= 2
        return self.size


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (lambda current, cell: current.step("relax", lambda c: c.grow(), cell), "c"),
        (lambda current, cell: current.step("relax", cell.grow), "self"),
        (lambda current, cell: current.step("relax", lambda: cell.grow()), "cell"),
        (lambda current, cell: current.step("relax", lambda *, c: c[0].grow(), c=[cell]), "c"),
    ],
)
def test_a_step_that_changes_what_it_is_given_is_made_again(
    step: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def campaign_of(current: CurrentJob) -> list[float]:
        cell = Cell(1.0)
        return [step(current, cell), current.step("energy", anything, cell.size), step(current, cell)]

    job = campaign.submit()
    first = attempt(job)
    found = campaign_of(first)
    assert found == [2.0, 2.0, 4.0]
    assert capsys.readouterr().err == (
        "simcelery: step 'relax' is not saved, and will be made again after a crash, since it changes "
        f"{name} in place; let it return what it changes\n"
    )
    lost(first)
    assert campaign_of(attempt(job)) == found
    assert calls == ["grow", 2.0, "grow", "grow", "grow"]


def test_what_a_calculator_notes_in_a_structure_does_not_change_it() -> None:
    from ase.build import bulk
    from ase.calculators.emt import EMT

    def energy(atoms: Any) -> float:
        calls.append("energy")
        return float(atoms.get_potential_energy())

    def emt(current: CurrentJob) -> float:
        atoms = bulk("Cu")
        atoms.calc = EMT()
        return current.step("energy", energy, atoms)

    job = campaign.submit()
    first = attempt(job)
    found = emt(first)
    lost(first)
    assert emt(attempt(job)) == found
    assert calls == ["energy"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        (1, 2),
        {3, 4},
        {2: float("nan"), "a": (1,)},
        b"\0\1",
        1e300,
        float("inf"),
        np.arange(3.0),
        "x" * 9000,
    ],
    ids=repr,
)
def test_the_first_attempt_gets_what_every_other_one_gets(value: Any) -> None:
    job = campaign.submit()
    first = attempt(job)
    fresh = first.step("s", anything, value)
    lost(first)
    again = attempt(job).step("s", anything, value)
    assert repr(fresh) == repr(again) == repr(value)
    assert type(fresh) is type(again) is type(value)
    assert len(calls) == 1


def test_other_arguments_are_another_step_and_the_log_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    job = campaign.submit()
    first = attempt(job)
    first.step("scf", scf, 4)
    lost(first)
    second = attempt(job)
    assert second.step("scf", scf, 6, mixing=0.3) == 9.0
    assert calls == [4, 6]
    assert capsys.readouterr().err == (
        "simcelery: step 'scf' is made again, although attempt 1 saved its output: "
        "kpts is 6 now, and was 4; mixing is 0.3 now, and was 0.7\n"
    )
    lost(second)
    assert attempt(job).step("scf", scf, 4) == 6.0  # what was saved first is still there
    assert calls == [4, 6]


def test_a_loop_may_use_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    job = campaign.submit()
    first = attempt(job)
    for kpts in (2, 4):
        first.step("scf", scf, kpts)
    lost(first)
    second = attempt(job)
    assert [second.step("scf", scf, kpts) for kpts in (2, 4, 6)] == [3.0, 6.0, 9.0]
    assert calls == [2, 4, 6]
    assert capsys.readouterr().err == ""  # nothing was made twice


def made(source: str) -> Any:
    """A function from its source, as after a change of its module."""
    namespace: dict[str, Any] = {"__name__": "sims", "calls": calls}
    exec(source, namespace)
    return namespace["scf"]


CODE = "its code, or something that it uses, has changed"
BEFORE = """
FACTOR = 2
def helper(x): return x
def scf(kpts: int) -> float:
    calls.append(kpts)
    return helper(kpts) * FACTOR
"""


@pytest.mark.parametrize(
    "change",
    [
        ("* FACTOR", "* FACTOR + 1", CODE),
        ("return x", "return x + 1", CODE),
        ("FACTOR = 2", "FACTOR = 3", CODE),
        ("kpts: int", "kpts: int, a: int = 3", "a is 3 now, and was not given"),
    ],
)
def test_changed_code_is_another_step_and_the_log_says_so(
    change: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = campaign.submit()
    first = attempt(job)
    first.step("scf", made(BEFORE), 4)
    lost(first)
    attempt(job).step("scf", made(BEFORE.replace(*change[:2])), 4)
    assert calls == [4, 4]
    assert (
        f"step 'scf' is made again, although attempt 1 saved its output: {change[2]}\n"
        in capsys.readouterr().err
    )


def test_comments_and_lines_are_no_code() -> None:
    job = campaign.submit()
    first = attempt(job)
    first.step("scf", made(BEFORE), 4)
    lost(first)
    attempt(job).step(
        "scf", made("\n# better\n" + BEFORE.replace("    return", "    # the energy\n    return")), 4
    )
    assert calls == [4]


def test_what_a_function_closes_over_is_given_to_it() -> None:
    def step(current: CurrentJob, kpts: int) -> float:
        return current.step("scf", lambda: scf(kpts))

    job = campaign.submit()
    first = attempt(job)
    assert step(first, 4) == 6.0
    lost(first)
    second = attempt(job)
    assert (step(second, 4), step(second, 6)) == (6.0, 9.0)
    assert calls == [4, 6]


def with_helper(current: CurrentJob, factor: int) -> float:
    """A step whose function uses another one beside it, and one that is only made later."""

    def scaled(kpts: int) -> float:
        return kpts * 1.5 if factor == 1 else kpts * 1.5 + 1

    def changed(kpts: int) -> float:
        return kpts * 2.5

    helper = scaled if factor < 3 else changed

    def step(kpts: int) -> float:
        calls.append(kpts)
        return helper(kpts) if kpts else never(kpts)

    found = current.step("scf", step, 4)

    def never(kpts: int) -> float:
        return 0.0

    return found


def test_neither_a_local_helper_nor_a_variable_beside_one_without_a_value_is_missed() -> None:
    job = campaign.submit()
    first = attempt(job)
    assert with_helper(first, 1) == 6.0
    lost(first)
    second = attempt(job)
    assert with_helper(second, 1) == 6.0
    assert calls == [4]
    assert [with_helper(second, 2), with_helper(second, 3)] == [7.0, 10.0]
    assert calls == [4, 4, 4]


def test_a_partial_gives_what_its_function_is_declared_to_give() -> None:
    current = attempt(campaign.submit())
    assert current.step("relax", functools.partial(relaxed, -1.0)) == Point(-1.0, (0.0, 1.0))


class Model:
    def __init__(self, size: float) -> None:
        self.size = size

    def as_dict(self) -> dict[str, float]:
        return {"size": self.size}

    def energy(self, kpts: int) -> float:
        calls.append(kpts)
        return self.size * kpts


def test_a_partial_and_a_method_bring_their_own_arguments() -> None:
    current = attempt(campaign.submit())
    energies = [current.step("scf", functools.partial(scf, kpts)) for kpts in (4, 6, 4)]
    energies += [current.step("scf", Model(size).energy, 2) for size in (1.0, 3.0, 1.0)]
    assert energies == [6.0, 9.0, 6.0, 2.0, 6.0, 2.0]
    assert calls == [4, 6, 4, 2, 2, 2]


def test_a_decorator_makes_each_call_a_step() -> None:
    current = attempt(campaign.submit())

    @current.step
    def scf(kpts: int) -> float:
        calls.append(kpts)
        return kpts * 2.5

    assert [scf(4), scf(kpts=4), scf(2)] == [10.0, 10.0, 5.0]
    assert calls == [4, 4, 2]


def test_a_step_that_raises_is_not_saved() -> None:
    def fails(kpts: int) -> float:
        calls.append(kpts)
        if len(calls) == 1:
            raise ValueError("diverged")
        return 1.0

    current = attempt(campaign.submit())
    with pytest.raises(ValueError, match="diverged"):
        current.step("scf", fails, 4)
    assert current.step("scf", fails, 4) == 1.0


@pytest.mark.parametrize(
    ("step", "error", "said"),
    [
        (
            lambda job: job.step("s", anything, threading.Lock()),
            EncodingError,
            "step 's': value: .*make it within",
        ),
        (lambda job: job.step("s", scf), ParametersError, "missing a required argument: 'kpts'"),
        (lambda job: job.step("s", scf, 4, nothing=1), ParametersError, "unexpected keyword"),
        (lambda job: job.step("", scf, 4), UsageError, "a step's name is"),
        (lambda job: job.step("a\nb", scf, 4), UsageError, "a step's name is"),
        (lambda job: job.step("a" * 201, scf, 4), UsageError, "a step's name is"),
        (lambda job: job.step("s", lambda: threading.Lock()), EncodingError, "step 's': result"),
        (lambda job: job.step("s", lambda: "x" * 2_000_000), PayloadTooLargeError, "step 's': result"),
        (lambda job: job.checkpoint(threading.Lock()), EncodingError, "checkpoint: "),
        (lambda job: job.checkpoint("x" * 2_000_000), PayloadTooLargeError, "checkpoint"),
        (
            lambda job: job.checkpoint(Point(1.0, (0.0, 1.0))),
            EncodingError,
            "checkpoint is Point.*; save what",
        ),
    ],
)
def test_what_cannot_be_saved_is_an_error_that_says_so(step: Any, error: type[Exception], said: str) -> None:
    current = attempt(campaign.submit())
    with pytest.raises(error, match=said):
        step(current)
    assert sql("SELECT (SELECT count(*) FROM steps) + (SELECT count(*) FROM checkpoints)") == [(0,)]


def test_outside_a_job_a_step_is_a_call_with_the_same_types() -> None:
    me = CurrentJob()
    assert [me.step("scf", scf, 4), me.step("scf", scf, 4)] == [6.0, 6.0]
    assert simcelery.step("relax", relaxed, -1.0) == Point(-1.0, (0.0, 1.0))
    assert calls == [4, 4, -1.0]
    me.checkpoint({"done": 3})
    assert me.last_checkpoint is None


def test_threads_of_one_attempt_may_make_steps() -> None:
    job = campaign.submit()
    first = attempt(job)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda kpts: first.step("scf", scf, kpts), range(40))) == [
            1.5 * n for n in range(40)
        ]
    lost(first)
    second = attempt(job)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda kpts: second.step("scf", scf, kpts), range(40))) == [
            1.5 * n for n in range(40)
        ]
    assert sorted(calls) == list(range(40))


def test_a_checkpoint_is_what_was_saved_last() -> None:
    job = campaign.submit()
    first = attempt(job)
    assert first.last_checkpoint is None
    for done in range(3):
        first.checkpoint({"done": done, "at": (done, float("nan")), "cell": np.eye(2)})
    lost(first)
    second = attempt(job)
    found = second.last_checkpoint
    assert (found["done"], repr(found["at"]), found["cell"].tolist()) == (2, "(2, nan)", [[1, 0], [0, 1]])
    lost(second)
    assert attempt(job).last_checkpoint["done"] == 2


def test_who_has_lost_its_job_saves_nothing() -> None:
    """Whatever an attempt that was given up computes, it is not what the newer one goes on from."""
    job = campaign.submit()
    zombie = attempt(job)
    lost(zombie)
    newer = attempt(job)
    newer.checkpoint(7)
    assert zombie.step("scf", scf, 4) == 6.0  # it goes on until its worker ends it
    zombie.checkpoint(1)
    assert newer.last_checkpoint == 7
    assert sql("SELECT count(*) FROM steps") == [(0,)]


@pytest.mark.parametrize("how", [{"from_scratch": True}, {"set": {"kpts": 6}}])
def test_forgotten_is_forgotten_also_by_who_was_given_up(how: dict[str, Any]) -> None:
    job = campaign.submit()
    current = attempt(job)
    current.step("scf", scf, 4)
    current.checkpoint(1)
    assert current._claim is not None
    finish(current._claim, ERROR)
    job.retry(**how)
    current.step("relax", relaxed, 1.0)
    current.checkpoint(2)
    last = attempt(job)
    assert last.last_checkpoint is None
    last.step("scf", scf, 4)
    assert calls == [4, 1.0, 4]


def failed_with_a_step() -> Job:
    job = campaign.submit()
    current = attempt(job)
    current.step("scf", scf, 4)
    assert current._claim is not None
    finish(current._claim, ERROR)
    return job


def test_retry_keeps_what_was_saved_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    job = failed_with_a_step()
    assert run(["retry", str(job.id)]) == 0
    assert capsys.readouterr().out == (
        f"retried job {job.id}; it goes on from saved steps or a checkpoint (--from-scratch forgets them)\n"
    )
    attempt(job).step("scf", scf, 4)
    assert calls == [4]


def test_retry_from_scratch_forgets_it(capsys: pytest.CaptureFixture[str]) -> None:
    job = failed_with_a_step()
    assert run(["retry", str(job.id), "--from-scratch"]) == 0
    assert capsys.readouterr().out == f"retried job {job.id}\n"
    attempt(job).step("scf", scf, 4)
    assert calls == [4, 4]


def test_a_dry_run_forgets_nothing() -> None:
    job = failed_with_a_step()
    assert run(["retry", str(job.id), "--from-scratch", "--dry-run"]) == 0
    assert sql("SELECT count(*) FROM steps") == [(1,)]


def test_json_names_the_jobs_that_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [failed_with_a_step(), failed_with_a_step()]
    other = campaign.submit()
    finish(claimed(other), ERROR)
    assert run(["retry", "-s", "failed", "-y", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "retried": [*(job.id for job in jobs), other.id],
        "going_on": [job.id for job in jobs],
    }


def test_show_and_python_list_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    job = campaign.submit()
    current = attempt(job)
    current.step("scf", scf, 4)
    current.step("relax", relaxed, energy=-3.5)
    current.checkpoint({"done": 3})
    assert [(one["name"], one["given"], one["output"], one["attempt"]) for one in job.steps()] == [
        ("scf", {"kpts": "4", "mixing": "0.7"}, 6.0, 1),
        ("relax", {"energy": "-3.5"}, {"energy": -3.5, "forces": [0.0, 1.0]}, 1),
    ]
    assert run(["show", str(job.id)]) == 0
    shown = capsys.readouterr().out
    assert "\nsteps\n" in shown
    assert "kpts=4 mixing=0.7" in " ".join(shown.replace(",", "").split())
    assert "checkpoint" in shown
    assert run(["show", str(job.id), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["steps"]] == ["scf", "relax"]
    assert found["checkpoint"]["state"] == {"done": 3}


def test_they_go_with_their_job() -> None:
    job = failed_with_a_step()
    sql("DELETE FROM jobs WHERE id = :id", id=job.id)
    assert sql("SELECT count(*) FROM steps") == [(0,)]
    with engine.begin() as connection:
        assert reads.steps(connection, job.id) == []
