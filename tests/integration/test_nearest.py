"""The newest and oldest jobs of a tag: the right ones wherever they lie, found without reading all others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from simcelery.board import engine, reads
from simcelery.board.reads import pages, table
from simcelery.board.reads.filters import Filter
from simcelery.board.reads.pages import Page
from simcelery.board.states import State
from simcelery.conditions.values import Name
from tests import board_helpers as put

JOBS = 3000
STATE = Name(("state",), "state")
# Of a tag that all have, one of the oldest only, of the newest, of every fiftieth, of both ends; and of none.
TAGS = {
    "all": range(1, JOBS + 1),
    "old": range(1, 400),
    "new": range(JOBS - 200, JOBS + 1),
    "sparse": range(1, JOBS + 1, 50),
    "ends": [1, 2, JOBS - 1, JOBS],
    "none": [],
}


@pytest.fixture
def tagged(board: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """So many jobs, of whose ids a hundred are looked at first."""
    put.sql(
        "INSERT INTO jobs (id, task_id, workflow, parameters, state, queue, priority, tags, max_attempts, "
        "max_losses, submitted_by) SELECT n, gen_random_uuid(), 'w', '{}', "
        "'pending', 'q', 4, "
        "array_remove(ARRAY['all', CASE WHEN n < 400 THEN 'old' END, CASE WHEN n >= 2800 THEN 'new' END, "
        "CASE WHEN n % 50 = 1 THEN 'sparse' END, CASE WHEN n < 3 OR n > 2998 THEN 'ends' END], NULL), "
        "1, 5, 'me' FROM generate_series(1, 3000) n"
    )
    put.sql(
        "UPDATE jobs SET state = 'running', worker_id = :worker, pid = 1, claim_id = gen_random_uuid(), "
        "attempt = 1, started_at = now() WHERE id % 1000 = 7",
        worker=put.worker(),
    )
    monkeypatch.setattr(pages, "_RECENT", 100)
    with engine.begin() as connection:
        yield connection


@pytest.mark.parametrize("newest", [True, False], ids=["newest", "oldest"])
@pytest.mark.parametrize("tag", TAGS)
def test_the_first_of_a_tag_are_found(tag: str, newest: bool, tagged: Connection) -> None:
    for edges in ({}, {"before": 2990}, {"after": 5}, {"after": 350, "before": 2500}):
        inside = range(edges.get("after", 0) + 1, edges.get("before", JOBS + 1))
        having = [number for number in TAGS[tag] if number in inside]
        for limit in (1, 20, 500):
            expected = sorted(having, reverse=newest)[:limit]
            page = Page.of(Filter(tags=[tag]), **edges)
            assert pages.ids(tagged, page, limit=limit, newest=newest) == expected
            assert [one.id for one in reads.jobs(tagged, page, limit=limit, newest=newest)] == expected
            rows = table.fields(tagged, page, [STATE], limit=limit, newest=newest)
            assert [number for number, _ in rows] == expected


def test_the_newest_that_run_are_found(tagged: Connection) -> None:
    found = reads.jobs(tagged, Filter(states=[State.RUNNING]), limit=2)
    assert [one.id for one in found] == [2007, 1007]


@pytest.mark.parametrize("newest", [True, False], ids=["newest", "oldest"])
def test_a_tag_of_all_jobs_is_not_read_as_a_whole(newest: bool, tagged: Connection) -> None:
    asked: list[Filter] = []

    def read(page: Filter, scattered: bool) -> list[int]:
        assert not scattered
        asked.append(page)
        return reads.ids(tagged, page)[:20]

    pages.nearest(tagged, Filter(tags=["all"]), read, limit=20, newest=newest)
    [page] = asked
    assert len(reads.ids(tagged, page)) == 100
