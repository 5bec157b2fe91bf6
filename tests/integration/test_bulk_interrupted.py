"""A bulk submission that is interrupted: what it says of the chunk that was being written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import simcelery
from simcelery.errors import BoardUnreachableError, SubmissionInterruptedError
from simcelery.services import Services
from simcelery.submission import bulk, submit
from tests.conftest import Project
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


@simcelery.workflow(name="dot")
def dot(n: int = 0) -> int:
    return n


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 10)


class Commits:
    """Counts the commits of chunks, and does something just before one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.before: dict[int, Any] = {}
        self.reached = threading.Event()
        monkeypatch.setattr(submit, "failpoint", self)

    def __call__(self, line: str) -> None:
        if line == "before_record_commit":
            self.count += 1
            if self.count in self.before:
                self.reached.set()
                self.before[self.count]()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    return Commits(monkeypatch)


def items(until: int, then: Any) -> Iterator[dict[str, int]]:
    """Parameters; after `until` of them something else."""
    yield from ({"n": n} for n in range(until))
    then()


def on_board() -> int:
    return len(simcelery.jobs())


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("lost", "said"), [(1, "^the board was lost"), (2, "the board was lost.* 10 jobs are")]
)
def test_what_became_of_the_chunk_under_way_is_said_whatever_else_happened(
    board: Services, commits: Commits, lost: int, said: str
) -> None:
    def cut() -> None:
        with psycopg.connect(board.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE state = 'idle in transaction' AND datname = current_database()"
            )

    def stop() -> None:
        assert commits.reached.wait(within(10))
        interrupted()

    commits.before[lost] = cut
    with pytest.raises((SubmissionInterruptedError, BoardUnreachableError), match=said) as caught:
        dot.submit_many(items(10 * lost + 5, stop))
    assert "it is not known whether the last 10 jobs were recorded" in str(caught.value)
    assert on_board() == 10 * (lost - 1)


def test_after_one_interruption_the_chunk_under_way_counts(commits: Commits) -> None:
    go_on = threading.Event()
    commits.before[2] = lambda: go_on.wait(within(10))

    def stop() -> None:
        assert commits.reached.wait(within(10))
        threading.Timer(0.2, go_on.set).start()
        interrupted()

    with pytest.raises(SubmissionInterruptedError, match="20 jobs are recorded"):
        dot.submit_many(items(25, stop))
    assert on_board() == 20


def test_after_a_second_interruption_nobody_claims_to_know(commits: Commits) -> None:
    go_on = threading.Event()
    commits.before[2] = lambda: go_on.wait(within(10))

    def stop() -> None:
        assert commits.reached.wait(within(10))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        interrupted()

    before = signal.signal(signal.SIGALRM, lambda *_: interrupted())
    try:
        with pytest.raises(
            SubmissionInterruptedError,
            match=r"not known whether the last 10 jobs were recorded.*; 10 jobs are recorded",
        ):
            dot.submit_many(items(25, stop))
    finally:
        signal.signal(signal.SIGALRM, before)
        go_on.set()
        for thread in threading.enumerate():
            if thread.name == "simcelery-submit":
                thread.join(10)  # what it writes is not for the next test


def test_a_thread_that_outlives_the_main_one_may_submit(project: Project) -> None:
    done = project.python("""
        import threading
        from simcelery.submission import bulk
        import sims

        bulk.CHUNK = 10
        def late():
            threading.main_thread().join()
            print(len(sims.add.submit_many({"a": n} for n in range(35))))
        threading.Thread(target=late).start()
    """)
    assert (done.stdout.strip(), done.returncode) == ("35", 0), done.stderr
