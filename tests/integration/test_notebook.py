"""How handles show themselves: briefly, escaped, and whatever the board does."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

import simcelery
from simcelery import settings
from simcelery.board.values import Recorded
from simcelery.services import Services
from simcelery.submission.handle import Jobs
from simcelery.submission.workflow import Workflow
from simcelery.worker.context import CurrentJob
from tests.board_helpers import ERROR, SUCCESS, finish, must_claim, record, sql, worker
from tests.waiting import within

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m\u202e" + "x" * 5000
HARMLESS_TAGS = {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}


def function(structure: str, fmax: float = 0.05) -> float:
    """Relax <b>a structure</b>."""
    return fmax


def handles(count: int = 3) -> dict[str, Any]:
    """One of each kind, on jobs that succeeded, failed and wait."""
    me = worker()
    recorded: list[Recorded] = []
    for number in range(count):
        job = record(parameters={"n": number, "text": HOSTILE[:50]}, tags=("t",))
        if number < 2:
            finish(must_claim(job.task_id, me), (SUCCESS, ERROR)[number])
        recorded.append(job)
    return {
        "Job": simcelery.get_job(recorded[0].id),
        "failed": simcelery.get_job(recorded[1].id),
        "Jobs": Jobs(recorded, "w"),
        "no Jobs": Jobs([], "w"),
        "JobQuery": simcelery.jobs(tags=["t"]),
        "Workflow": Workflow(function, name="w"),
        "CurrentJob": simcelery.current_job(),
    }


class Seen(HTMLParser):
    """What is in a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[Any] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def html(handle: Any) -> Seen:
    """What a notebook gets of a handle: harmless, readable and small."""
    text = handle._repr_html_()
    seen = Seen(text)
    assert set(seen.tags) <= HARMLESS_TAGS
    assert not seen.attributes
    assert text.isprintable()
    assert len(text) < 20_000
    return seen


def test_all_of_them_say_what_they_are(board: Services) -> None:
    found = handles()
    first, last = found["Jobs"][0].id, found["Jobs"][2].id
    assert {name: repr(handle) for name, handle in found.items()} == {
        "Job": f"<Job {first} w>",
        "failed": f"<Job {first + 1} w>",
        "Jobs": f"<3 jobs of w {first} to {last}>",
        "no Jobs": "<0 jobs of w>",
        "JobQuery": "JobQuery(tags=['t']): 3 jobs",
        "Workflow": "<workflow w>",
        "CurrentJob": "<CurrentJob outside of a job>",
    }
    shown = {name: html(handle).text for name, handle in found.items()}
    assert all(word in shown["Job"] for word in (str(first), "succeeded", "parameters.n", "2"))
    assert all(word in shown["failed"] for word in ("failed", "ValueError: boom"))
    assert all(
        word in shown["Jobs"] for word in ("3 jobs of w", "1 succeeded", "1 failed", "1 pending", "boom")
    )
    assert all(word in shown["JobQuery"] for word in ("tags=['t']", "3 jobs, the newest first", str(last)))
    assert all(word in shown["Workflow"] for word in ("fmax", "float", "0.05", "Relax <b>a structure</b>."))
    assert "outside of a job" in shown["CurrentJob"]


@pytest.mark.usefixtures("board")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "JobQuery(): 0 jobs"),
        ({"state": "failed"}, "JobQuery(state='failed'): 0 jobs"),
        ({"state": ["failed", "running"]}, "JobQuery(state=['failed', 'running']): 0 jobs"),
        (
            {"workflow": "w", "queue": "q", "since": "2h"},
            "JobQuery(workflow='w', queue='q', since='7200s'): 0 jobs",
        ),
        ({"ids": []}, "JobQuery(ids=[]): 0 jobs"),
        ({"ids": range(1, 5001)}, "JobQuery(ids=[1, 2, 3, 4, 5, … 5,000 in all]): 0 jobs"),
        ({"workflow": "\x1b[2J\u202e"}, r"JobQuery(workflow='\x1b[2J\u202e'): 0 jobs"),
    ],
)
def test_a_query_says_what_it_asks_for(given: dict[str, Any], expected: str) -> None:
    assert repr(simcelery.jobs(**given)) == expected


def test_hostile_text_is_text(board: Services) -> None:
    found = handles(12)
    sql(
        "UPDATE jobs SET workflow = :text, tags = ARRAY[:text], result = to_jsonb(CAST(:text AS text)), "
        "error_message = CASE WHEN state = 'failed' THEN CAST(:text AS text) END",
        text=HOSTILE,
    )
    found["Job"].workflow = found["Jobs"].workflow = HOSTILE
    found["JobQuery"] = simcelery.jobs(workflow=HOSTILE)
    for handle in found.values():
        html(handle)
        assert repr(handle).isprintable()
        assert len(repr(handle)) < 200
    assert "<script>" in html(found["Job"]).text
    assert "<script>" in html(found["Jobs"]).text
    assert "12 jobs" in html(found["JobQuery"]).text


def test_many_are_not_counted_to_the_end(board: Services) -> None:
    sql(
        "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses, "
        "submitted_by) SELECT gen_random_uuid(), 'w', '{}', 'pending', 'q', 4, 1, 5, 'me' "
        "FROM generate_series(1, 10001)"
    )
    assert repr(simcelery.jobs(workflow="w")) == "JobQuery(workflow='w'): more than 10,000 jobs"
    rows = [Recorded(number, task_id, "new") for number, task_id in sql("SELECT id, task_id FROM jobs")]
    seen = html(Jobs(rows, "w"))
    assert seen.tags.count("tr") == 11


def test_a_stranger_under_the_same_number_is_not_shown(board: Services) -> None:
    found = handles()
    sql("UPDATE jobs SET task_id = gen_random_uuid(), workflow = 'stranger'")
    for name in ("Job", "Jobs"):
        text = html(found[name]).text
        assert "the board does not answer" in text
        assert "stranger" not in text


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://me:secret@127.0.0.1:{server.getsockname()[1]}/board"


@pytest.mark.parametrize("away", ["silent", "refused", "nonsense"])
def test_without_the_board_nothing_is_raised(board: Services, silent: str, away: str) -> None:
    found, asking = handles(), ("Job", "failed", "Jobs", "JobQuery")
    before = settings.get_settings().database_url
    url = {"silent": silent, "refused": "postgresql://me:secret@127.0.0.1:9/board", "nonsense": "no url"}[
        away
    ]
    settings.override({"database_url": url})
    try:
        assert repr(found["JobQuery"]) == "JobQuery(tags=['t'])"
        shows: dict[str, Callable[[], str]] = {name: handle._repr_html_ for name, handle in found.items()}
        for name, show in shows.items():
            began = time.monotonic()
            text = show()
            assert time.monotonic() - began < within(10)
            assert ("the board does not answer" in text) == (name in asking)
            assert "secret" not in text
    finally:
        settings.override({"database_url": before.get_secret_value() if before else None})


def test_a_job_that_runs_says_which_it_is(board: Services) -> None:
    claimed = must_claim(record(tags=("a<b",)).task_id, worker())
    job = CurrentJob(claimed)
    assert repr(job) == f"<CurrentJob {claimed.job_id}, attempt 1 of w>"
    assert re.search(rf"{claimed.job_id}, attempt 1 of w.*a<b", html(job).text)
