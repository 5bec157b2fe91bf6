"""`logs -f` and `job.log(follow=True)`: what a job prints, piece by piece, to its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

import simcelery
from simcelery.board import engine, progress, transitions
from simcelery.board.values import Claim, RunningReport
from simcelery.chunks import SIZE, Kept
from simcelery.cli.root import run
from simcelery.errors import JobNotFoundError
from simcelery.submission import following
from tests.board_helpers import AGAIN, ERROR, SUCCESS, cancel, finish, must_claim, record, sql, worker

pytestmark = pytest.mark.usefixtures("board")


def prints(claim: Claim, chunks: dict[int, str], kept: Kept | None = None) -> bool:
    """The worker tells the board what the attempt has printed; whether the board took it."""
    report = RunningReport(claim.job_id, claim.claim_id, chunks, kept)
    with engine.begin() as connection:
        return progress.save(connection, [report]) == {claim.claim_id}


def stage() -> None:
    """Time passes: what waits for its next attempt is pending."""
    with engine.begin() as connection:
        transitions.stage(connection, 1000)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What happens between two looks, one after the other."""
    happens: list[object] = []

    def sleep(seconds: float) -> None:
        assert 0 < seconds < 1.2
        step = happens.pop(0)
        assert callable(step)
        step()

    monkeypatch.setattr("simcelery.submission.following.time.sleep", sleep)
    return happens


def test_each_piece_is_given_once_and_the_last_one_with_the_end(steps: list[object]) -> None:
    job = simcelery.get_job(record(max_attempts=2).id)
    me = worker()
    claims: list[Claim] = []
    steps += [
        lambda: claims.append(must_claim(job.task_id, me)),
        lambda: prints(claims[0], {1: "a"}),
        lambda: None,
        lambda: prints(claims[0], {1: "ab" * 2, 2: "c"}),
        lambda: prints(claims[0], {2: "cd", 9: "far"}),
        lambda: (finish(claims[0], replace(AGAIN, log={9: "far away"})), stage()),
        lambda: claims.append(must_claim(job.task_id, me)),
        lambda: finish(claims[1], replace(SUCCESS, log="again")),
    ]
    pieces = list(job.log(follow=True))
    assert pieces == ["a", "babc", f"d\n… {6 * SIZE:,} bytes left out …\nfar", " away", "again"]
    assert "".join(pieces) == job.log()
    assert steps == []


def test_one_attempt_is_followed_to_its_own_end(steps: list[object]) -> None:
    job = simcelery.get_job(record(max_attempts=3).id)
    me = worker()
    claims = [must_claim(job.task_id, me)]
    finish(claims[0], replace(AGAIN, log="first"))
    stage()
    steps += [
        lambda: claims.append(must_claim(job.task_id, me)),
        lambda: prints(claims[1], {1: "second"}),
        lambda: (finish(claims[1], AGAIN), stage()),
        lambda: claims.append(must_claim(job.task_id, me)),
    ]
    heard = list(following.follow(job, 2))
    assert [one.printed for one in heard if one.printed] == [[(2, "second")]]
    assert heard[-1].over
    assert next(following.follow(job, 1)).printed == [(1, "first")]


def test_on_the_command_line_a_line_says_where_another_attempt_begins(
    steps: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    job, me = record(max_attempts=2), worker()
    claims: list[Claim] = []
    steps += [
        lambda: claims.append(must_claim(job.task_id, me)),
        lambda: prints(claims[0], {1: "one\nhalf a li"}),
        lambda: (finish(claims[0], AGAIN), stage()),
        lambda: claims.append(must_claim(job.task_id, me)),
        lambda: prints(claims[1], {1: "two\n"}),
        lambda: finish(claims[1], replace(ERROR, log="two\nthree")),
    ]
    assert run(["logs", "-f", str(job.id)]) == 1
    said = capsys.readouterr()
    assert said.out == "one\nhalf a li\ntwo\nthree\n"
    assert said.err.splitlines() == [
        f"simcelery: job {job.id} is pending; 'simcelery explain {job.id}' says more",
        f"simcelery: attempt 2 of job {job.id} on test",
        f"simcelery: job {job.id} (w) failed: ValueError: boom",
    ]
    assert run(["logs", "-f", str(job.id), "--tail", "2"]) == 1
    assert capsys.readouterr().out == "two\nthree\n"
    assert run(["logs", "-f", str(job.id), "--tail", "3"]) == 1
    assert capsys.readouterr().out == "half a li\ntwo\nthree\n"
    assert run(["logs", "-f", str(job.id), "--attempt", "1"]) == 1
    assert capsys.readouterr().out == "one\nhalf a li\n"
    assert run(["logs", "-f", str(job.id), "--attempt", "3"]) == 1
    assert "without an attempt 3" in capsys.readouterr().err


def test_a_job_that_succeeded_ends_with_0_and_a_cancelled_one_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    me = worker()
    done, gone = record(), record()
    finish(must_claim(done.task_id, me), replace(SUCCESS, log="fine"))
    cancel(gone.id)
    assert run(["logs", str(done.id), "-f"]) == 0
    assert capsys.readouterr().out == "fine\n"
    assert run(["logs", str(gone.id), "-f"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["1-3"], "no jobs in the range"),
        (["-s", "failed"], "follows one job"),
        (["7", "-o", "json"], "-o json"),
        (["7", "--file", "x"], "--file"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["logs", "-f", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


def test_ctrl_c_leaves_and_says_how_to_come_back(
    steps: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    job = record()
    claim = must_claim(job.task_id, worker())

    def interrupt() -> None:
        raise KeyboardInterrupt

    steps += [lambda: prints(claim, {1: "half"}), interrupt]
    assert run(["logs", "-f", str(job.id)]) == 130
    said = capsys.readouterr()
    assert said.out == "half"
    assert f"the job continues (simcelery logs {job.id} -f)" in said.err


def test_a_job_that_is_pruned_meanwhile_is_an_error(steps: list[object]) -> None:
    job = simcelery.get_job(record().id)
    steps += [lambda: sql("DELETE FROM jobs")]
    with pytest.raises(JobNotFoundError, match=f"job {job.id} is no longer on the board"):
        list(job.log(follow=True))


def test_what_a_zombie_prints_reaches_no_newer_attempt_and_none_that_has_ended() -> None:
    job, me = record(max_attempts=2), worker()
    first = must_claim(job.task_id, me)
    assert prints(first, {1: "one"})
    finish(first, AGAIN)
    assert not prints(first, {1: "one, and more"})
    stage()
    second = must_claim(job.task_id, me)
    assert not prints(first, {1: "one, and more"})
    assert prints(second, {1: "two"})
    assert simcelery.get_job(job.id).log() == "onetwo"


def test_the_middle_of_a_long_log_and_what_was_emptied_is_deleted() -> None:
    claim = must_claim(record().task_id, worker())
    every = {number: f"{number}," for number in range(1, 9)}
    assert prints(claim, every, Kept(2, 3, 8))
    assert prints(claim, {12: "12,"}, Kept(2, 7, 12))
    assert sql("SELECT array_agg(seq ORDER BY seq) FROM log_chunks")[0][0] == [1, 2, 7, 8, 12]
    assert prints(claim, {1: "new"}, Kept(2, 3, 1))
    assert sql("SELECT seq, text FROM log_chunks") == [(1, "new")]
    finish(claim, replace(SUCCESS, log={1: "new, and the end", 2: "2"}, log_kept=Kept(2, 3, 2)))
    assert sql("SELECT seq, text FROM log_chunks ORDER BY seq") == [(1, "new, and the end"), (2, "2")]


def test_progress_comes_along_and_with_the_end() -> None:
    claim = must_claim(record().task_id, worker())
    with engine.begin() as connection:
        progress.save(connection, [RunningReport(claim.job_id, claim.claim_id, progress={"done": 1})])
    job = simcelery.get_job(claim.job_id)
    assert job.progress == {"done": 1}
    assert prints(claim, {1: "text"})
    assert job.progress == {"done": 1}
    finish(claim, replace(SUCCESS, progress={"done": 2}))
    assert job.progress == {"done": 2}
