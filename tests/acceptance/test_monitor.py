"""The board in the web monitor, started as a user does: its pages over HTTP, and in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from simcelery.services import Services
from tests import board_helpers as put
from tests import hostile_rows, monitors
from tests.browsers import needs_chromium, tab
from tests.conftest import Project, empty, make_project
from tests.monitors import Monitor

LOGIN = "ada:love,lace"
SCRIPT = "<script>window.taken = 1</script><img src=x onerror='window.taken = 1'>"


@pytest.fixture(scope="module")
def place(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which monitors are started."""
    made = make_project(servers, tmp_path_factory.mktemp("monitor"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def opened(place: Project) -> Monitor:
    """One without a login; Flower's own pages would even let other sites read its API."""
    return monitors.start(place, FLOWER_UNAUTHENTICATED_API="true")


@pytest.fixture(scope="module")
def locked(place: Project) -> Monitor:
    """One with a login, behind a web server that has it under a path."""
    words = ("simcelery", "monitor", "--url-prefix", "watch", "--read-only", "--port", "0")
    return monitors.start(place, *words, SIMCELERY_FLOWER_AUTH=LOGIN)


@pytest.fixture
def monitor(opened: Monitor, servers: Services) -> Monitor:
    """The one without a login, before an empty board."""
    empty(servers)
    return opened


def number(text: str, state: str) -> str:
    """How many jobs of a state the overview counts."""
    found = re.search(rf'board-{state}\b.*?metric-value">([^<]*)<', text, re.DOTALL)
    assert found, text
    return found[1]


def test_the_board_is_a_tab_of_flower(monitor: Monitor) -> None:
    for path in ("/", "/broker"):
        page = monitor.get(path)
        assert page.status == 200
        assert re.search(r'<a class="nav-link" href="/board"\s*>Board</a>', page.text)
    page = monitor.get("/board")
    assert page.status == 200
    assert re.search(r'<a class="nav-link active" href="/board"\s+aria-current="page">Board</a>', page.text)


def test_the_overview_shows_what_was_recorded_before_the_monitor_was_started(monitor: Monitor) -> None:
    put.finish(put.must_claim(put.record().task_id, put.worker()))
    put.record(queue="gpu")
    seen = next(monitor.parts("/board/live"))
    # What was seen last may be two seconds old.
    while number(seen["states"], "succeeded") != "1":
        seen |= next(monitor.parts("/board/live"))
    assert number(seen["states"], "pending") == "1"
    assert ">gpu<" in seen["queues"]
    assert "no live worker serves queue &#x27;gpu&#x27;" in seen["notices"]
    assert number(monitor.get("/board").text, "pending") == "1"


def test_what_changes_is_sent_to_whoever_looks(monitor: Monitor) -> None:
    news = monitor.parts("/board/live")
    seen = next(news)
    while number(seen["states"], "pending") != "0":
        seen |= next(news)
    put.record()
    fresh = next(news)
    while "states" not in fresh:
        fresh |= next(news)
    assert number(fresh["states"], "pending") == "1"


def test_pages_allow_a_browser_nothing_but_our_own_files(monitor: Monitor) -> None:
    for path in ("/board", "/board/live"):
        if path == "/board":
            headers = monitor.get(path).headers
        else:
            with monitor._asked(path, None, "GET", {}) as answer:
                headers = {name.lower(): value for name, value in answer.getheaders()}
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
    page = monitor.get("/board").text
    for name in ("board.css", "board.js"):
        [address] = re.findall(rf'"(/board/assets/{name}\?v=\w+)"', page)
        assert monitor.get(address).status == 200
    for path in ("/board/assets/..%2Fpage.py", "/board/assets/"):
        assert monitor.get(path).status in (403, 404)


def test_without_a_login_only_this_machine_is_answered(monitor: Monitor) -> None:
    for host in ("localhost:80", "127.0.0.1", "[::1]:5555"):
        assert monitor.get("/board", Host=host).status == 200
    for path in ("/board", "/board/live"):
        refused = monitor.get(path, Host="rebound.example.org")
        assert refused.status == 403
        assert "set a login" in refused.text
        assert "default-src 'self'" in refused.headers["content-security-policy"]


def test_where_there_is_a_login_nobody_sees_anything_without(locked: Monitor) -> None:
    for path in ("/watch/board", "/watch/board/live"):
        for login in (None, "ada:lovelace", "ada"):
            refused = locked.get(path, login=login)
            assert refused.status == 401
            assert refused.text == "Access denied"
    page = locked.get("/watch/board", login=LOGIN, Host="monitor.example.org")
    assert page.status == 200
    links = re.findall(r'"(/[^"]*board[^"]*)"', page.text)
    assert len(links) >= 4
    assert all(link.startswith("/watch/board") for link in links)


def test_a_board_that_is_away_is_said_and_comes_back(place: Project) -> None:
    away = monitors.start(place, SIMCELERY_DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/none")
    page = away.get("/board")
    assert page.status == 503
    assert "cannot be reached" in page.text
    assert "secret" not in page.text
    assert "cannot be reached" in next(away.parts("/board/live"))["notices"]


def test_nothing_that_anybody_wrote_becomes_markup(monitor: Monitor, servers: Services) -> None:
    put.worker(nodename=SCRIPT, host=SCRIPT)
    put.sql("UPDATE workers SET note = :note", note=SCRIPT)
    done = put.record(workflow=SCRIPT, queue=SCRIPT)
    put.record(workflow="w\u202e\x1b[31m", queue='" onload="x')
    put.finish(put.must_claim(done.task_id, put.worker(), workflow=SCRIPT))
    seen = next(monitor.parts("/board/live"))
    while "&lt;script&gt;" not in seen["queues"] + seen["workflows"]:
        seen |= next(monitor.parts("/board/live"))
    page = monitor.get("/board").text
    for text in (*seen.values(), page):
        assert "<script>window" not in text
        assert "<img src=x" not in text
        assert '"" onload' not in text
        assert "\u202e" not in text
        assert "\x1b" not in text


def test_rows_that_cannot_be_read_stop_no_page(monitor: Monitor, servers: Services) -> None:
    put.worker()
    hostile_rows.write(servers.database_url)
    seen = next(monitor.parts("/board/live"))
    while number(seen["states"], "failed") == "0":
        seen |= next(monitor.parts("/board/live"))
    assert monitor.get("/board").status == 200


@needs_chromium
def test_in_a_browser_the_page_changes_by_itself_and_nothing_is_wrong(
    monitor: Monitor, tmp_path: Path
) -> None:
    put.record(workflow=SCRIPT)
    with tab(tmp_path) as browser:
        browser.open(f"http://127.0.0.1:{monitor.port}/board")
        browser.wait_for("document.querySelector('.refresh-status')?.textContent.trim() === 'Live'")
        shown = "document.querySelector('.board-pending .metric-value').textContent"
        browser.wait_for(f"{shown} === '1'")
        browser.evaluate("window.same = true")
        put.record()
        browser.wait_for(f"{shown} === '2'")
        assert browser.evaluate("window.same") is True, "the page was not loaded again"
        assert browser.evaluate("window.taken") is None
        assert browser.evaluate("getComputedStyle(document.querySelector('.board-card')).borderRadius")
        assert browser.errors == []
