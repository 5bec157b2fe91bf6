"""What people and programs are told of held jobs, and how they release them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import simcelery
from simcelery import workflow
from simcelery.board import engine, gates, transitions
from simcelery.board.gates import Behind, NewGate
from simcelery.board.reads import Filter, estimates
from simcelery.board.values import Recorded
from simcelery.cli.root import run
from simcelery.errors import ParametersError, UsageError
from simcelery.maintenance.hold import tick
from simcelery.submission import lineage
from tests.board_helpers import ERROR, SUCCESS, cancel, finish, must_claim, new_job, record, row, sql, state
from tests.board_helpers import worker as any_worker

pytestmark = pytest.mark.usefixtures("board")


@workflow(name="held.scan")
def scan(number: int) -> int:
    return number


def sweep(count: int = 6, *tags: str, canaries: int = 0, **asked: Any) -> list[Recorded]:
    """So many jobs behind a gate, the first ones canaries."""
    with engine.begin() as connection:
        number = gates.create(connection, NewGate("w", tags, "test", canary=canaries or None, **asked))
        places = frozenset(range(canaries))
        behind = Behind(number, bool(canaries), places)
        found = transitions.record(connection, [new_job(tags=tags) for _ in range(count)], behind=behind)
        gates.add_canaries(connection, number, [found[place].id for place in places])
    return found


def end(job: Recorded, how: Any = SUCCESS, host: str = "node7") -> None:
    """Claim and finish a job on a host."""
    assert finish(must_claim(job.task_id, any_worker(host=host)), how) is not None


def shown(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What a command prints."""
    assert run(list(words)) == code
    found = capsys.readouterr()
    return found.out + found.err


def test_the_first_the_last_and_those_between_run_first() -> None:
    jobs = scan.submit_many([{"number": n} for n in range(101)], canary=5, tags=["t"])
    assert [n for n, job in enumerate(jobs) if job.state == "pending"] == [0, 25, 50, 75, 100]
    assert [job.id for job in jobs if job.row().held] == [
        job.id for n, job in enumerate(jobs) if n not in (0, 25, 50, 75, 100)
    ]
    few = scan.submit_many([{"number": n} for n in range(3)], canary=3)
    assert [job.state for job in few] == ["pending"] * 3


def test_more_canaries_than_jobs_are_refused() -> None:
    with pytest.raises(ParametersError, match="canary is 5, but there are only 3 jobs"):
        scan.submit_many([{"number": n} for n in range(3)], canary=5)
    assert sql("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM gates)") == [(0,)]


def test_nothing_is_said_of_how_long_what_is_held_takes(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = sweep(6, "can", canaries=1)
    with engine.begin() as connection:
        groups = estimates.unfinished(connection, Filter(tags=("can",)))
    assert [group.count for group in groups] == [1]
    end(jobs[0], ERROR)
    told = shown(capsys, "explain", "-t", "can", "--where", "id > 0")
    assert "simcelery errors -t can --where 'id > 0'" in told


def test_a_sweep_of_several_transactions_has_one_gate_and_its_canaries_in_the_first() -> None:
    jobs = scan.submit_many(({"number": n} for n in range(10_050)), canary=2, max_fails=3)
    assert sql("SELECT count(*), min(canary), min(max_fails) FROM gates") == [(1, 2, 3)]
    assert [job for (job,) in sql("SELECT job_id FROM canaries ORDER BY 1")] == [jobs[0].id, jobs[9_999].id]
    assert sql("SELECT count(*) FROM jobs WHERE state = 'blocked' AND gate_id IS NOT NULL") == [(10_048,)]


def test_a_job_that_dedupe_finds_is_not_held_and_may_be_a_canary() -> None:
    old = scan.submit(number=0, dedupe=True)
    held = scan.submit_many([{"number": n} for n in range(10)], canary=1, dedupe=True)
    assert held[0].id == old.id
    assert sql("SELECT job_id FROM canaries") == [(old.id,)]
    assert sql("SELECT state FROM jobs WHERE gate_id IS NULL") == [("pending",)]
    again = scan.submit_many([{"number": n} for n in range(10)], canary=1, dedupe=True)
    assert again.summary()["existing"] == 10


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"canary": 0}, "canary must be a whole number from 1"),
        ({"canary": True}, "canary must be a whole number"),
        ({"max_fails": -1}, "max_fails must be how many may fail"),
        ({"max_fails": "many"}, "max_fails must be how many"),
        ({"max_fails": "100%"}, "max_fails must be how many"),
        ({"max_fails": "0%"}, "max_fails must be how many"),
        ({"max_fails": 0.05}, "max_fails must be how many"),
        ({"max_fails": "-3"}, "max_fails must be how many"),
        ({"max_fails": "5 %%"}, "max_fails must be how many"),
    ],
)
def test_what_is_no_number_of_canaries_or_failures_is_refused(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(ParametersError, match=said):
        scan.submit_many([{"number": 1}], **chosen)
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_single_job_has_neither(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ParametersError, match="for many jobs: use submit_many"):
        scan.submit(number=1, canary=1)
    told = shown(capsys, "submit", "held.scan", "number=1", "--max-fails", "3", code=2)
    assert "--canary and --max-fails are for many jobs: add --each or --grid" in told


def test_submit_says_which_run_first(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, "submit", "held.scan", "--grid", "number=1,2,3,4", "--canary", "2", "-t", "x")
    first, last = sql("SELECT min(id), max(id) FROM jobs")[0]
    assert f"4 jobs (ids {first}-{last}); 2 jobs held until jobs {first} and {last} have succeeded" in told
    listed = json.loads(shown(capsys, "list", "-o", "json"))
    assert [job["held"] for job in listed] == [False, True, True, False]


@pytest.mark.parametrize(
    ("how", "said", "code"),
    [
        (ERROR, "held: canary {0} failed: ValueError: boom (on node7)", "retry {0}"),
        (None, "held: canary {0} was cancelled", "retry {0}"),
    ],
)
def test_explain_says_why_a_job_is_held_and_what_to_do(
    capsys: pytest.CaptureFixture[str], how: Any, said: str, code: str
) -> None:
    jobs = sweep(5, "oxides", canaries=2)
    told = shown(capsys, "explain", str(jobs[4].id))
    assert f"held: until canaries {jobs[0].id}-{jobs[1].id} have succeeded (pending; 0 of 2 done)" in told
    if how:
        end(jobs[0], how)
    else:
        cancel(jobs[0].id)
    for words in ([str(jobs[4].id)], ["-t", "oxides"]):
        told = shown(capsys, "explain", *words)
        assert said.format(jobs[0].id) in told
        assert f"simcelery {code.format(jobs[0].id)}" in told
        assert "simcelery release oxides" in told
    assert "3 jobs held: canary" in told
    found = json.loads(shown(capsys, "explain", str(jobs[4].id), "-o", "json"))
    assert [reason["code"] for reason in found["reasons"]] == ["held"]


@pytest.mark.parametrize(
    ("failed_on", "succeeded_on", "fault", "said"),
    [
        (["a", "b", "c"], ["d"], "workflow", "on 3 hosts: the workflow's fault"),
        (
            ["a", "a", "a"],
            ["b", "c"],
            "node",
            "only on a, while others succeeded elsewhere: the node's fault",
        ),
        (["a", "a", "a"], ["a", "b"], None, "only on a, where others succeeded"),
        (["a", "a", "a"], [], None, "all on a, and nothing ran elsewhere"),
    ],
)
def test_the_same_error_on_three_hosts_is_the_workflow_s_fault_and_on_one_the_node_s(
    capsys: pytest.CaptureFixture[str],
    failed_on: list[str],
    succeeded_on: list[str],
    fault: str | None,
    said: str,
) -> None:
    jobs = sweep(9, "oxides", max_fails=2)
    for job, host in zip(jobs, succeeded_on, strict=False):
        end(job, SUCCESS, host)
    for job, host in zip(jobs[4:], failed_on, strict=False):
        end(job, ERROR, host)
    assert tick() == (9 - len(succeeded_on) - 3, 0)
    ended = 3 + len(succeeded_on)
    line = f"held: 3 of {ended} failed (all with ValueError: boom, {said}"
    assert line in shown(capsys, "status")
    assert line in shown(capsys, "explain", "-t", "oxides")
    [held] = json.loads(shown(capsys, "status", "-o", "json"))["held"]
    assert (held["by"], held["fault"], held["hosts"]) == ("fuse", fault, sorted(set(failed_on)))
    assert held["release"] == "simcelery release oxides"


def test_status_counts_what_is_held_and_only_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = sweep(6, "oxides", max_fails=0)
    sweep(2, "others", max_fails=0)
    end(jobs[0], ERROR)
    tick()
    told = shown(capsys, "status")
    assert "5 (5 held)" in told
    assert "held: 1 of 1 failed" in told
    assert "held" not in shown(capsys, "status", "-t", "others")


@pytest.mark.parametrize(
    ("words", "released"),
    [
        (["oxides"], 5),
        (["-t", "oxides"], 5),
        (["-w", "w"], 5),
        (["{1}"], 1),
        (["{1}-{3}"], 3),
        (["{0}-{5}"], 5),
        (["-n", "2", "-w", "w"], 2),
        (["{0}"], 0),
        (["nothing"], 0),
    ],
)
def test_release_lets_run_what_is_named_and_opens_what_is_named_as_a_whole(
    capsys: pytest.CaptureFixture[str], words: list[str], released: int
) -> None:
    jobs = sweep(6, "oxides", max_fails=0)
    end(jobs[0], ERROR)
    tick()
    words = [word.format(*(job.id for job in jobs)) for word in words]
    would = json.loads(shown(capsys, "release", *words, "--dry-run", "-o", "json"))["would_release"]
    assert len(would) == released
    assert [state(job.id) for job in jobs[1:]] == ["blocked"] * 5
    told = shown(capsys, "release", *words)
    assert told.startswith("released " if released else "nothing to release")
    assert [job.id for job in jobs if state(job.id) == "pending"] == would
    assert sql("SELECT closed_by IS NULL FROM gates") == [(released == 5,)]
    assert tick() == (0, 0)


def test_release_needs_to_know_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert "which jobs to release?" in shown(capsys, "release", code=2)
    assert "give one tag, or job ids" in shown(capsys, "release", "a", "b", code=2)
    with pytest.raises(UsageError, match="which jobs to release"):
        simcelery.release()


def test_release_in_python() -> None:
    jobs = sweep(6, "oxides", max_fails=0)
    end(jobs[0], ERROR)
    tick()
    ids = [job.id for job in jobs]
    assert simcelery.release("oxides", dry_run=True) == ids[1:]
    assert simcelery.release(ids[1]) == [ids[1]]
    assert simcelery.release([simcelery.get_job(number) for number in ids[2:4]]) == ids[2:4]
    assert simcelery.jobs(tags=["oxides"]).release() == ids[4:]
    assert simcelery.release("oxides") == []
    assert not row(ids[4]).held


def test_what_has_been_released_and_not_been_moved_yet_is_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs = sweep(3, "oxides", max_fails=0)
    end(jobs[0], ERROR)
    tick()
    with engine.begin() as connection:
        transitions.release_gates(connection, [number for (number,) in sql("SELECT id FROM gates")])
    assert "it has been released" in shown(capsys, "explain", str(jobs[1].id))


@pytest.mark.parametrize(
    ("tags", "command"),
    [
        (("a",), "simcelery release a"),
        (("two words",), "simcelery release 'two words'"),
        (("2024",), "simcelery release -t 2024"),
        (("-x",), "simcelery release -t -x"),
        (("a", "b"), "simcelery release -t a -t b"),
        ((), "simcelery release {}-{}"),
    ],
)
def test_the_command_that_is_advised_does_it(
    capsys: pytest.CaptureFixture[str], tags: tuple[str, ...], command: str
) -> None:
    import shlex

    jobs = sweep(4, *tags, max_fails=0)
    end(jobs[0], ERROR)
    tick()
    [held] = json.loads(shown(capsys, "status", "-o", "json"))["held"]
    assert held["release"] == command.format(jobs[1].id, jobs[3].id)
    shown(capsys, *shlex.split(held["release"])[1:])
    assert [state(job.id) for job in jobs[1:]] == ["pending"] * 3


def test_watch_says_so_once_and_again_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    from simcelery.board.reads.jobs import Filter
    from simcelery.cli.progress import Progress
    from simcelery.cli.verbs.watch import _Lines, facts

    jobs = sweep(4, "oxides", max_fails=0)
    end(jobs[0], ERROR)
    tick()
    progress = Progress(Filter(tags=("oxides",)), everything=False)
    progress.poll()
    draw = _Lines()
    draw(progress, "")
    line = "held: 1 of 1 failed (all with ValueError: boom, all on node7, "
    assert line in capsys.readouterr().out
    draw(progress, "")
    assert "held:" not in capsys.readouterr().out
    with engine.begin() as connection:
        assert transitions.cancel(connection, [jobs[3].id], by="test")
    progress.poll()
    draw(progress, "")
    assert line in capsys.readouterr().out
    assert facts(progress)["held"][0]["text"].startswith(line)


def test_watching_one_job_that_runs_shows_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    from simcelery.board.reads.jobs import Filter
    from simcelery.cli.progress import Progress
    from simcelery.cli.verbs.watch import _Lines

    job = sweep(1)[0]
    must_claim(job.task_id, any_worker())
    sql('UPDATE jobs SET progress = \'{"done": 14, "total": 24, "message": "steps"}\'')
    progress = Progress(Filter(ids=[job.id]), everything=False)
    progress.poll()
    _Lines()(progress, "")
    assert "0/1 finished: 1 running; 14/24 steps" in capsys.readouterr().out


def test_a_job_file_may_ask_for_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.toml"
    path.write_text('workflow = "held.scan"\ncanary = 2\nmax_fails = "5%"\n[grid]\nnumber = [1, 2, 3]\n')
    shown(capsys, "submit", str(path))
    assert sql("SELECT canary, max_fails_percent FROM gates") == [(2, 5.0)]
    path.write_text('[[job]]\nworkflow = "held.scan"\nmax_fails = 4\n[job.grid]\nnumber = [1, 2, 3]\n')
    told = shown(capsys, "submit", str(path), code=2)
    assert "canary and max-fails are for a file without a list of jobs" in told
    path.write_text('workflow = "held.scan"\nmax_fails = 4\n[parameters]\nnumber = 1\n')
    assert "--max-fails are for many jobs: add" in shown(capsys, "submit", str(path), code=2)


def test_held_is_a_field_of_jobs_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    canary, one, two = (job.id for job in sweep(3, "t", canaries=1))
    free = scan.submit(number=1, tags=["t"]).id
    waits = scan.submit(number=2, tags=["t"], after=[free]).id  # blocked, and not held
    found = {
        "held = true": [one, two],
        "held != false": [one, two],
        "held = false": [canary, free, waits],
        "not held = true": [canary, free, waits],
        "held in (true)": [one, two],
        "held not in (true, 1)": [canary, free, waits],
        "state = 'blocked' and held = false": [waits],
        "held is null or held = 1 or held = 'true' or held < priority": [],
        "parameters.held = true": [],
    }
    assert {where: [job.id for job in simcelery.jobs(where=where)] for where in found} == found
    lines = shown(capsys, "list", "-t", "t", "--fields", "id,held", "-o", "jsonl").splitlines()
    assert [json.loads(line)["held"] for line in lines] == [False, False, True, True, False]
    frame = simcelery.jobs(tags=["t"]).to_pandas("id,held")
    assert frame["held"].dtype == "bool"
    assert "held is a column that every job has" in shown(capsys, "list", "--where", "held.x = 1", code=2)


def test_a_workflow_called_all_is_counted_as_one_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    sweep(3, canaries=1)
    sql("UPDATE jobs SET workflow = 'all'")
    sql("UPDATE gates SET workflow = 'all'")
    sweep(6, canaries=1)
    heads, *lines = shown(capsys, "status").splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["all", "2", "(2", "held)", "1", "3"],
        ["w", "5", "(5", "held)", "1", "6"],
        ["all", "7", "(7", "held)", "2", "9"],
    ], heads


def test_results_says_how_many_matching_jobs_are_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, second, *_ = sweep(6, "t", canaries=2)
    end(first)
    end(second, ERROR)
    said = "5 of 6 jobs did not succeed (yet): 1 failed, 4 held; --all shows them too"
    assert said in shown(capsys, "results", "-t", "t")
    assert said in shown(capsys, "results", "-t", "t", "-O", str(tmp_path / "t.csv"))
    assert said in shown(capsys, "results", f"{first.id}-{first.id + 5}", code=1)
    assert "did not succeed" not in shown(capsys, "results", "-t", "t", "--all")
    assert "did not succeed" not in shown(capsys, "results", "-t", "t", "-s", "succeeded")


def test_errors_of_a_kind_are_told_by_what_they_have_in_common(capsys: pytest.CaptureFixture[str]) -> None:
    for number, job in enumerate(sweep(4, "t", max_fails=2)[:3]):
        end(job, replace(ERROR, error_message=f"bad i {number}, of many"))
    tick()
    assert "3 of 3 failed (all with ValueError: bad i #, of many" in shown(capsys, "status", "-t", "t")


def test_somebody_holds_jobs_and_lets_them_run(capsys: pytest.CaptureFixture[str]) -> None:
    ids = [record(tags=["oxides"]).id for _ in range(3)]
    assert json.loads(shown(capsys, "hold", "oxides", "--dry-run", "-o", "json")) == {"would_hold": ids}
    assert state(ids[0]) == "pending"
    assert shown(capsys, "hold", str(ids[0])) == f"held job {ids[0]}\n"
    assert json.loads(shown(capsys, "hold", "oxides", "-o", "json")) == {"held": ids[1:]}
    assert shown(capsys, "hold", "oxides") == "nothing to hold: no matching job waits\n"
    whose = f"by hand ({lineage.submitter()})"
    told = shown(capsys, "explain", str(ids[0]))
    assert f"held: {whose}" in told
    assert f"simcelery release {ids[0]}" in told
    status = json.loads(shown(capsys, "status", "-t", "oxides", "-o", "json"))
    assert [(one["by"], one["jobs"], one["text"]) for one in status["held"]] == [
        ("hand", 2, f"held: {whose}"),
        ("hand", 1, f"held: {whose}"),
    ]
    assert simcelery.jobs(tags=["oxides"]).release() == ids
    assert [state(number) for number in ids] == ["pending"] * 3
    assert simcelery.jobs(tags=["oxides"]).hold() == ids
    assert "which jobs to hold?" in shown(capsys, "hold", code=2)
