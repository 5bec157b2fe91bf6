"""The board in the web monitor, started as a user does: its pages over HTTP, and in a real browser."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from simcelery.monitor import live, tables
from simcelery.services import Services
from tests import board_helpers as put
from tests import hostile_rows, monitors
from tests.conftest import Project, empty
from tests.monitors import SCRIPT, Monitor
from tests.waiting import wait_until

LOGIN = "ada:love,lace"


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
    wait_until(lambda: "board-pending" in monitor.get("/board").text)
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
    wait_until(lambda: away.get("/board").status == 503)  # a page does not wait for long
    page = away.get("/board")
    assert "cannot be reached" in page.text
    assert "secret" not in page.text
    assert "cannot be reached" in next(away.parts("/board/live"))["notices"]
    for path, names in (("workers", tables.OF_WORKERS), ("rules", tables.OF_RULES)):
        there = away.get(f"/board/{path}").text
        assert "cannot be reached" in there
        assert re.findall(r'<section id="part-(\w+)">', there) == ["away", *names], (
            "a place for what comes later"
        )


def test_a_board_that_comes_back_is_seen_at_once_and_was_told_of(place: Project, servers: Services) -> None:
    empty(servers)
    monitor = monitors.start(place)
    [log] = [place.folder / f"monitor{len(place.processes) - 1}.log"]
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE shares RENAME TO elsewhere")
        try:
            assert monitor.get("/board/rules").status == 503
        finally:
            connection.execute("ALTER TABLE elsewhere RENAME TO shares")
    wait_until(lambda: monitor.get("/board/rules").status == 200, live.EVERY + 1)
    assert log.read_text().count("the board cannot be seen: ") == 1


def test_nothing_that_anybody_wrote_becomes_markup(monitor: Monitor, servers: Services) -> None:
    put.worker(nodename=SCRIPT, host=SCRIPT)
    put.sql("UPDATE workers SET note = :note", note=SCRIPT)
    done = put.record(workflow=SCRIPT, queue=SCRIPT, parameters={SCRIPT: SCRIPT}, tags=[SCRIPT])
    put.record(workflow=SCRIPT, queue=SCRIPT, parameters={SCRIPT: "<b>"})
    put.record(workflow="w\u202e\x1b[31m", queue='" onload="x')
    report = replace(put.ERROR, error_type=SCRIPT, error_message=SCRIPT, traceback=SCRIPT)
    put.finish(put.must_claim(done.task_id, put.worker(), workflow=SCRIPT), report)
    seen = next(monitor.parts("/board/live"))
    while "&lt;script&gt;" not in seen["queues"] + seen["workflows"]:
        seen |= next(monitor.parts("/board/live"))
    asked = quote('">' + SCRIPT)
    of_filters = (
        f"/board/jobs?workflow={asked}",
        f"/board/errors?where={asked}",
        f"/board/sweeps?queue={quote(SCRIPT)}&x=" + quote('parameters.`">' + SCRIPT + "`"),
    )
    paths = (
        "/board",
        "/board/jobs",
        "/board/errors",
        f"/board/jobs/{done.id}",
        "/board/workers",
        "/board/sweeps",
        f"/board/sweeps?queue={quote(SCRIPT)}",
        *of_filters,
    )
    pages = {path: monitor.get(path).text for path in paths}
    for path in of_filters:
        assert "&quot;&gt;&lt;script&gt;" in pages[path]
    for text in (*seen.values(), *pages.values()):
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
    for page in ("", "/jobs", "/errors", "/sweeps", "/sweeps?queue=default", "/workers", "/rules"):
        assert monitor.get(f"/board{page}").status == 200, page
    for (job,) in put.sql("SELECT id FROM jobs WHERE id > 0 AND state <> 'resting'"):
        assert monitor.get(f"/board/jobs/{job}").status == 200, job


def ids(text: str) -> list[int]:
    """The jobs of a list, in its order."""
    return [int(number) for number in re.findall(r'<td><a href="/board/jobs/(\d+)">', text)]


def edge(text: str, direction: str) -> str:
    """Where a page beside this one is."""
    [found] = re.findall(rf'href="/board/jobs(\?[^"]*)" rel="{direction}"', text)
    return html.unescape(found)


def test_jobs_are_listed_page_by_page_the_newest_first(monitor: Monitor) -> None:
    made = [put.record(workflow="a" if number % 2 else "b").id for number in range(120)][::-1]
    first = monitor.get("/board/jobs").text
    assert ids(first) == made[:50]
    assert 'rel="prev"' not in first
    second = monitor.get("/board/jobs" + edge(first, "next")).text
    assert ids(second) == made[50:100]
    last = monitor.get("/board/jobs" + edge(second, "next")).text
    assert ids(last) == made[100:]
    assert 'rel="next"' not in last
    assert ids(monitor.get("/board/jobs" + edge(last, "prev")).text) == made[50:100]
    assert ids(monitor.get("/board/jobs" + edge(second, "prev")).text) == made[:50]
    some = monitor.get("/board/jobs?workflow=a").text
    assert ids(some) == made[0:100:2]
    assert ids(monitor.get("/board/jobs" + edge(some, "next")).text) == made[100::2]


def test_jobs_are_found_as_on_the_command_line(monitor: Monitor) -> None:
    worker = put.worker()
    done = put.record(parameters={"x": 1, "name": "a'&<"}, tags=["one", "two"], queue="gpu")
    put.finish(put.must_claim(done.task_id, worker))
    failed = put.record(parameters={"x": 2}, tags=["one"])
    put.finish(put.must_claim(failed.task_id, worker), put.ERROR)
    waits = put.record(parameters={"x": 3})
    for query, expected in {
        "state=failed&state=pending": [waits, failed],
        "tag=one": [failed, done],
        "tag=one,+two": [done],
        "queue=gpu": [done],
        "since=1h": [waits, failed, done],
        "where=x+%3E+1": [waits, failed],
        "where=" + quote('name = "a\'&<"'): [done],
        "where=x+%3E+1&state=failed&workflow=w": [failed],
        "workflow=nothing": [],
    }.items():
        page = monitor.get(f"/board/jobs?{query}")
        assert page.status == 200
        assert ids(page.text) == [job.id for job in expected], query
    assert "no job looked at has a value for xx" in monitor.get("/board/jobs?where=xx+%3E+1").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("state=resting", "there is no state &#x27;resting&#x27;"),
        ("where=x+%3E", "where: expected a name or a value"),
        ("since=never", "since: "),
        ("before=-1", "before must be the id of a job"),
        ("after=99999999999999999999", "after must be the id of a job"),
        ("workflow=w&x=a,b", "x must be one field, not several"),
        ("workflow=w&x=a&y=(", "y: "),
        ("workflow=w&x=state.name", "state is a column that every job has, without fields"),
    ],
)
def test_what_is_wrong_with_a_filter_is_said_beside_it(monitor: Monitor, query: str, said: str) -> None:
    page = monitor.get(f"/board/jobs?{query}" if "x=" not in query else f"/board/sweeps?{query}")
    assert page.status == 400
    assert said in page.text
    assert 'name="where"' in page.text


# Nobody would write them; each is refused in a line, or finds nothing.
HOSTILE = (
    "workflow=%00",
    "tag=a%00b",
    "queue=%ff%fe",
    "workflow=%ed%a0%80",
    "where=name+%3D+'%00'",
    "where=" + "(" * 400,
    "where=" + "a+%3D+1+and+" * 1500 + "a+%3D+1",
    "where=a+%3D+1e999999999",
    "where=" + quote("x = 1 or id in (select 1)"),
    "where=" + quote("`" + "a" * 3000 + "` = 1"),
    "since=999999999999999999999999h",
    "since=-1h",
    "since=nan",
    "state=failed&state=%00",
    "before=9223372036854775808",
    "workflow=w&x=%00",
    "workflow=w&x=" + "a." * 2000 + "a",
    "workflow=w&x=a%ff",
    "workflow=w&y=" + quote("submitted_at,state"),
    "workflow=w&x=submitted_at&y=tags",
    "workflow[]=w&__proto__=1&x[a]=1",
    "&&&==&%",
    "tag=" + quote(",".join(map(str, range(3000)))),
    "tag=" + quote("' OR 1=1; DROP TABLE jobs; --"),
)


@pytest.mark.parametrize("page", ["jobs", "errors", "sweeps", "all/cancel"])
def test_hostile_addresses_are_answered_in_a_line(board: Services, acting: Monitor, page: str) -> None:
    put.record(parameters={"a": 1})
    for query in HOSTILE:
        answer = acting.get(f"/board/{page}?{query}", login=LOGIN)
        assert answer.status in (200, 400), (query, answer.text)
        if answer.status == 400:
            [said] = re.findall(
                r'<div class="alert alert-danger" role="alert">(.*?)</div>', answer.text, re.DOTALL
            )
            assert said.strip(), query
            assert "Traceback" not in said
    assert put.sql("SELECT count(*) FROM jobs WHERE state = 'pending'") == [(1,)]


def test_a_job_has_a_page_with_all_that_is_known_of_it(monitor: Monitor) -> None:
    parent = put.record(parameters={"x": {"$float": "nan"}})
    child = put.record(parents=[parent.id])
    claimed = put.must_claim(parent.task_id, put.worker())
    put.sql(
        "INSERT INTO log_chunks (job_id, attempt, seq, text) VALUES (:id, 1, 1, :text)",
        id=parent.id,
        text="".join(f"line {number}\n" for number in range(300)),
    )
    running = monitor.get(f"/board/jobs/{parent.id}").text
    assert "&quot;x&quot;: NaN" in running
    assert "line 299" in running
    assert "line 99\n" not in running
    assert f"simcelery logs {parent.id}" in running
    assert f'href="/board/jobs/{child.id}"' in running
    put.finish(claimed, put.ERROR)
    news = monitor.parts(f"/board/jobs/{parent.id}/live")
    seen = next(news)
    while "board-failed" not in seen["now"]:
        seen |= next(news)
    assert "ValueError: boom" in seen["attempts"]
    assert f"simcelery retry {parent.id}" in seen["now"]


def test_a_job_is_shown_among_those_that_it_has_to_do_with(monitor: Monitor) -> None:
    worker = put.worker()
    parent = put.record(workflow="first", parameters={"x": 0.5}, tags=["grid"])
    children = [put.record(workflow="each", parents=[parent.id]).id for _ in range(12)]
    last = put.record(workflow="sum", parents=children, parameters={"of": SCRIPT})
    claimed = put.must_claim(parent.task_id, worker, workflow="first")
    put.finish(claimed, put.SUCCESS)
    put.sql(
        "INSERT INTO durations (workflow, tags, successes, median, p90) "
        "VALUES ('first', '{grid}', 40, 100, 200), ('first', '{}', 90, 1, 2)"
    )
    put.sql(
        "INSERT INTO artifacts (job_id, attempt, claim_id, name, path, host, size, sha256) "
        "VALUES (:job, 1, :claim, :name, '/scratch/a', 'node', 3_000_000, 'ff')",
        job=parent.id,
        claim=claimed.claim_id,
        name=SCRIPT,
    )
    page = monitor.get(f"/board/jobs/{parent.id}").text
    assert "no longer than half of them. Of the last 40 successes of first with the same tags, half" in page
    assert "half took up to 1m40s, and nine of ten up to 3m20s" in page
    assert "simcelery submit first x=0.5 --queue default --priority 4 --tag grid" in page
    assert re.search(r"&lt;script&gt;.*</td><td[^>]*>2.9 MiB</td>", page)
    assert "attempt 1: succeeded after" in page
    family = page.partition('id="part-family"')[2].partition("</section>")[0]
    assert re.findall(r"</?(?:ul|li)>", family) == [*("<ul>", "<li>") * 3, *("</li>", "</ul>") * 3]
    assert "12 × each: 12 pending;" in " ".join(family.split())
    linked = [parent.id, *children[:10], last.id]
    assert re.findall(r'href="/board/jobs/(\d+)"', family) == [str(number) for number in linked]
    assert f'href="/board/jobs/{parent.id}" aria-current="page"' in family
    page = monitor.get(f"/board/jobs/{last.id}").text
    assert "&#x27;of=&lt;script&gt;" in page
    assert "simcelery retry" not in page.partition("To run it again")[2]


def test_there_is_no_page_of_a_job_that_there_is_not(monitor: Monitor) -> None:
    for number in ("999999", "9" * 30):
        missing = monitor.get(f"/board/jobs/{number}")
        assert missing.status == 404
        assert "there is no job 999999" in missing.text
    assert monitor.get("/board/jobs/x").status == 404


def test_what_a_job_prints_is_seen_as_it_is_printed(monitor: Monitor) -> None:
    job = put.record()
    put.must_claim(job.task_id, put.worker())
    news = monitor.parts(f"/board/jobs/{job.id}/live")
    seen = next(news)
    for number in (1, 2):
        put.sql(
            "INSERT INTO log_chunks (job_id, attempt, seq, text) VALUES (:id, 1, :seq, :text)",
            id=job.id,
            seq=number,
            text=f"part {number} </code></pre>{SCRIPT}\n",
        )
        while f"part {number} &lt;/code&gt;" not in seen["log"]:
            seen |= next(news)
        assert "<script" not in seen["log"]


def test_errors_are_in_groups(monitor: Monitor) -> None:
    worker = put.worker()
    for message in ("no convergence after 7 steps", "no convergence after 8 steps", SCRIPT):
        report = replace(put.ERROR, error_message=message)
        put.finish(put.must_claim(put.record().task_id, worker), report)
    page = monitor.get("/board/errors").text
    groups = re.findall(r'<td class="board-long">([^<]*)</td>', page)
    assert groups[0] == "ValueError: no convergence after # steps"
    assert "<script>window" not in page
    assert monitor.get("/board/errors?where=x+%3E").status == 400
    assert "No failures" in monitor.get("/board/errors?workflow=nothing").text


def test_what_varies_in_a_sweep_is_drawn_against_what_it_gave(monitor: Monitor) -> None:
    worker = put.worker()
    for x in range(4):
        job = put.record(parameters={"x": x, "metal": ["Cu", "Al"][x % 2], "same": 1}, tags=["grid", "new"])
        ended = replace(put.SUCCESS, result={"energy": -float(x), "path": "/scratch", "forces": [1, 2]})
        put.finish(put.must_claim(job.task_id, worker), ended if x < 3 else put.ERROR)
    unlike = put.record(parameters={}, tags=["grid", "new"])

    latest = monitor.get("/board/sweeps").text
    [link] = re.findall(r'href="(/board/sweeps\?[^"]+)">w</a>', latest)
    assert link == "/board/sweeps?workflow=w&amp;tag=grid%2Cnew"
    page = monitor.get(html.unescape(link)).text
    assert re.findall(r'<option value="([^"]*)" selected', page) == ["parameters.x", "result.energy"]
    offered = set(re.findall(r'<option value="([^"]*)"', page))
    assert offered == {"parameters.x", "parameters.metal", "parameters.same", "result.energy", "elapsed"}
    assert "5 jobs: 1 pending, 3 succeeded, 1 failed. 1 cannot be drawn, since they have no x" in page
    chart = drawn(page)
    assert chart["lines"] == [[0, 1, 2, 3], [0, -1, -2, None], [None] * 4]
    assert [chart["states"][at] for at in chart["state"]] == ["succeeded"] * 3 + ["failed"]
    assert unlike.id not in chart["ids"]

    page = monitor.get(html.unescape(link) + "&x=parameters.metal&y=parameters.x").text
    chart = drawn(page)
    assert chart["x"]["names"] == ["Al", "Cu"]
    assert sorted(zip(chart["lines"][0], chart["ids"], strict=True))[0][0] == 0
    assert "No job is like this" in monitor.get("/board/sweeps?tag=nothing").text


def drawn(page: str) -> dict[str, Any]:
    """What the script is told of the chart of a page."""
    [found] = re.findall(r'data-chart="([^"]*)"', page)
    return json.loads(html.unescape(found))


def test_workers_and_clusters_have_a_page_that_changes_by_itself(monitor: Monitor) -> None:
    worker = put.worker(nodename="busy@host", host="host", scheduler_job_id="4711")
    job = put.record()
    put.must_claim(job.task_id, worker)
    put.sql(
        "INSERT INTO clusters (name, launcher, state, profile, wanted, started_by, note) "
        "VALUES ('gpu', 'slurm', 'paused', '{}', 3, 'ada', 'refused')"
    )
    news = monitor.parts("/board/workers/live")
    seen = next(news)
    while "busy@host" not in seen["workers"]:
        seen |= next(news)
    assert f'<a href="/board/jobs/{job.id}">' in seen["workers"]
    assert ">live<" in seen["workers"]
    assert "4711" in seen["workers"]
    assert ">paused<" in seen["clusters"]
    assert "simcelery cluster resume gpu" in seen["clusters"]
    put.lapse(worker)
    while ">overdue<" not in seen["workers"]:
        seen |= next(news)
    assert "busy@host" in monitor.get("/board/workers").text


def test_limits_shared_queues_and_schedules_have_a_page(monitor: Monitor) -> None:
    put.sql("INSERT INTO limits (name, most, set_by) VALUES (:name, 8, 'ada')", name=f"tag:{SCRIPT}")
    seen = next(monitor.parts("/board/rules/live"))
    while "tag:&lt;script&gt;" not in seen["limits"]:
        seen |= next(monitor.parts("/board/rules/live"))
    assert "There are no schedules" in seen["schedules"]
    assert "<script>window" not in monitor.get("/board/rules").text


@pytest.fixture(scope="module")
def acting(place: Project) -> Monitor:
    """One with a login, in which jobs can be cancelled."""
    return monitors.start(place, SIMCELERY_FLOWER_AUTH=LOGIN)


def act(where: Monitor, job: int, what: str, **body: str) -> monitors.Answer:
    """What a browser sends for a button of a job's page, after it has got that page."""
    page = where.get(f"/board/jobs/{job}", login=LOGIN)
    assert page.status == 200
    cookie = page.headers["set-cookie"].partition(";")[0]
    token, *_ = re.findall(r'name="_xsrf" value="([^"]+)"', page.text)
    form = {"_xsrf": html.unescape(token), **body}
    address = f"/board/jobs/{job}/{what}"
    return where.post(address, form, login=LOGIN, Cookie=cookie, Sec_Fetch_Site="same-origin")


def test_a_job_is_cancelled_and_retried_with_other_parameters(board: Services, acting: Monitor) -> None:
    put.sql(
        "INSERT INTO workflows (name, parameters, queue, version, options) "
        """VALUES ('w', '{"properties": {"x": {"type": "integer"}}}', 'default', '1', '{}')"""
    )
    job = put.record(parameters={"x": 1})
    done = act(acting, job.id, "cancel")
    assert (done.status, done.headers["location"]) == (303, f"/board/jobs/{job.id}")
    assert put.state(job.id) == "cancelled"
    assert "board-can-retry" in acting.get(f"/board/jobs/{job.id}", login=LOGIN).text
    again = act(acting, job.id, "cancel")
    assert (again.status, put.state(job.id)) == (400, "cancelled")
    assert "has ended already" in again.text

    for values, said in {"{": "no JSON", "[]": "must have names", '{"y": 1}': "no parameter"}.items():
        refused = act(acting, job.id, "retry", values=values)
        assert refused.status == 400
        assert said in html.unescape(refused.text)
    assert put.state(job.id) == "cancelled"
    assert act(acting, job.id, "retry", values='{"x": 2}').status == 303
    shown = html.unescape(acting.get(f"/board/jobs/{job.id}", login=LOGIN).text)
    assert "cancel by ada, in the monitor" in shown
    assert "retry by ada, in the monitor" in shown
    assert (put.state(job.id), put.row(job.id).parameters) == ("pending", {"x": 2})
    assert put.sql("SELECT revised_by FROM revisions") == [("ada, in the monitor",)]
    assert act(acting, job.id, "retry").status == 400


def many(where: Monitor, address: str, **body: str) -> monitors.Answer:
    """What a browser sends from the page that asks for the number, after it has got it."""
    page = where.get(address, login=LOGIN)
    assert page.status == 200
    cookie = page.headers["set-cookie"].partition(";")[0]
    token, *_ = re.findall(r'name="_xsrf" value="([^"]+)"', page.text)
    form = {"_xsrf": html.unescape(token), **body}
    return where.post(address, form, login=LOGIN, Cookie=cookie, Sec_Fetch_Site="same-origin")


def ended(where: Monitor, begun: monitors.Answer) -> str:
    """What the page of an act on many jobs says at its end."""
    assert begun.status == 303, begun.text
    page = begun.headers["location"]
    wait_until(lambda: "Under way" not in where.get(page, login=LOGIN).text)
    return where.get(page, login=LOGIN).text


def test_all_that_match_are_cancelled_and_retried_once_their_number_was_typed(
    board: Services, acting: Monitor
) -> None:
    others = put.record(tags=["other"])
    jobs = [put.record(tags=["grid"]) for _ in range(3)]
    running = put.record(tags=["grid"])
    put.must_claim(running.task_id, put.worker())
    done = put.record(tags=["grid"])
    put.finish(put.must_claim(done.task_id, put.worker()))
    listed = acting.get("/board/jobs?tag=grid", login=LOGIN).text
    cancel, _, release, retry = re.findall(r'href="(/board/all/[^"]+)"', listed)
    asked = acting.get(cancel, login=LOGIN).text
    assert "<strong>4 jobs</strong>: 3 pending, 1 running" in asked

    jobs.append(put.record(tags=["grid"]))  # meanwhile
    for typed in ("4", "", "all", "-5"):
        refused = many(acting, cancel, number=typed)
        assert refused.status == 409
        assert "Nothing was done. There are 5 such jobs now" in refused.text
        assert "<strong>5 jobs</strong>: 4 pending, 1 running" in refused.text
    assert {put.state(job.id) for job in jobs} == {"pending"}
    said = ended(acting, many(acting, cancel, number="5"))
    assert "Done: 5 of 5 jobs looked at, 5 cancelled or asked to stop" in said
    assert "By ada, in the monitor" in said
    assert 'href="/board/jobs?tag=grid"' in said
    assert {put.state(job.id) for job in jobs} == {"cancelled"}
    assert put.row(running.id).cancel_requested_at is not None
    assert (put.state(done.id), put.state(others.id)) == ("succeeded", "pending")

    assert "Done: 4 of 4 jobs looked at, 4 sent back" in ended(acting, many(acting, retry, number="4"))
    assert {put.state(job.id) for job in jobs} == {"pending"}
    assert "No matching job is held" in acting.get(release, login=LOGIN).text

    put.record(workflow=SCRIPT, tags=[SCRIPT])
    hostile = f"/board/all/cancel?workflow={quote(SCRIPT)}&tag={quote(SCRIPT)}&queue=&where="
    for answer in (acting.get(hostile, login=LOGIN), many(acting, hostile, number=SCRIPT)):
        assert "<script>window" not in answer.text
        assert "<img src=x" not in answer.text


def test_a_gate_opens_for_all_that_match(board: Services, acting: Monitor) -> None:
    [gate] = put.sql(
        "INSERT INTO gates (workflow, submitted_by, closed_by, max_fails) "
        "VALUES ('w', 'somebody', 'fuse', '0') RETURNING id"
    )
    for _ in range(1500):
        put.record(tags=["held"])
    put.sql("UPDATE jobs SET state = 'blocked', gate_id = :gate", gate=gate.id)
    said = ended(acting, many(acting, "/board/all/release?tag=held", number="1,500"))
    assert "1,500 released" in said
    assert put.sql("SELECT DISTINCT state FROM jobs") == [("pending",)]
    assert put.sql("SELECT closed_by FROM gates") == [(None,)]


def test_what_stops_a_retry_of_many_is_said(board: Services, acting: Monitor) -> None:
    parent = put.record(workflow="first")
    child = put.record(workflow="second", parents=[parent.id])
    put.finish(put.must_claim(parent.task_id, put.worker(), workflow="first"), put.ERROR)
    put.settle()
    address = "/board/all/retry?workflow=second"
    assert f"retry {parent.id}, or add" in ended(acting, many(acting, address, number="1"))
    assert put.state(child.id) == "upstream_failed"
    ended(acting, many(acting, address, number="1", with_parents="1"))
    assert (put.state(parent.id), put.state(child.id)) == ("pending", "blocked")


def test_nobody_acts_on_the_whole_board_or_without_the_right_to(
    board: Services, monitor: Monitor, acting: Monitor, locked: Monitor
) -> None:
    job = put.record(tags=["grid"])
    for query in ("", "?", "?tag=,", "?tag=&workflow=", "?before=5", "?since=never"):
        refused = acting.get(f"/board/all/cancel{query}", login=LOGIN)
        assert refused.status == 400, query
        assert "/board/all/" not in acting.get(f"/board/jobs{query}", login=LOGIN).text, query
    address = "/board/all/cancel?tag=grid"
    page = acting.get(address, login=LOGIN)
    token, *_ = re.findall(r'name="_xsrf" value="([^"]+)"', page.text)
    cookie = page.headers["set-cookie"].partition(";")[0]
    form = {"_xsrf": html.unescape(token), "number": "1"}
    for status, where, given, login, headers in (
        (401, acting, form, None, {"Cookie": cookie}),
        (403, acting, form, LOGIN, {}),
        (403, acting, {"number": "1"}, LOGIN, {"Cookie": cookie}),
        (403, acting, form, LOGIN, {"Cookie": cookie, "Origin": "http://evil.example"}),
        (400, acting, form, LOGIN, {"Cookie": cookie, "path": "/board/all/cancel"}),
        (403, monitor, form, None, {"Cookie": cookie}),
        (403, locked, form, LOGIN, {"Cookie": cookie, "path": f"/watch{address}"}),
    ):
        path = headers.pop("path", address)
        assert where.post(path, given, login=login, **headers).status == status, (given, login, headers)
    assert put.state(job.id) == "pending"
    for where, prefix, login in ((monitor, "", None), (locked, "/watch", LOGIN)):
        assert where.get(f"{prefix}{address}", login=login).status == 403
        assert "/board/all/" not in where.get(f"{prefix}/board/jobs?tag=grid", login=login).text
    for number in ("4711", "9" * 30):
        assert acting.get(f"/board/acts/{number}", login=LOGIN).status == 404


def test_what_is_held_is_released(board: Services, acting: Monitor) -> None:
    [gate] = put.sql(
        "INSERT INTO gates (workflow, submitted_by, closed_by, max_fails) "
        "VALUES ('w', 'somebody', 'fuse', '0') RETURNING id"
    )
    job = put.record()
    put.sql("UPDATE jobs SET state = 'blocked', gate_id = :gate WHERE id = :id", gate=gate.id, id=job.id)
    assert "board-can-release" in acting.get(f"/board/jobs/{job.id}", login=LOGIN).text
    assert act(acting, job.id, "release").status == 303
    assert put.state(job.id) == "pending"
    refused = act(acting, job.id, "release")
    assert (refused.status, "is not held" in refused.text) == (400, True)
    assert f'href="/board/jobs/{job.id}">Back to job {job.id}</a>' in refused.text


def test_what_waits_is_held_alone_or_with_all_that_match(board: Services, acting: Monitor) -> None:
    job, *others = [put.record(tags=["grid"]) for _ in range(3)]
    assert "board-can-hold" in acting.get(f"/board/jobs/{job.id}", login=LOGIN).text
    assert act(acting, job.id, "hold").status == 303
    assert put.sql("SELECT held_by FROM gates") == [("ada, in the monitor",)]
    assert "board-can-release" in acting.get(f"/board/jobs/{job.id}", login=LOGIN).text
    refused = act(acting, job.id, "hold")
    assert (refused.status, "is held already" in refused.text) == (400, True)
    assert "2 held" in ended(acting, many(acting, "/board/all/hold?tag=grid", number="2"))
    assert {put.state(one.id) for one in (job, *others)} == {"blocked"}
    assert "3 released" in ended(acting, many(acting, "/board/all/release?tag=grid", number="3"))
    assert {put.state(one.id) for one in (job, *others)} == {"pending"}


def test_nobody_else_acts(board: Services, monitor: Monitor, acting: Monitor, locked: Monitor) -> None:
    job = put.record()
    address = f"/board/jobs/{job.id}/cancel"
    page = acting.get(f"/board/jobs/{job.id}", login=LOGIN)
    token, *_ = re.findall(r'name="_xsrf" value="([^"]+)"', page.text)
    cookie = page.headers["set-cookie"].partition(";")[0]
    form = {"_xsrf": html.unescape(token)}
    ours = f"http://127.0.0.1:{acting.port}"
    for status, body, login, headers in (
        (401, form, None, {"Cookie": cookie}),
        (401, form, "ada:wrong", {"Cookie": cookie}),
        (403, form, LOGIN, {}),  # no cookie
        (403, {}, LOGIN, {"Cookie": cookie}),  # no token
        (403, {"_xsrf": "guessed"}, LOGIN, {"Cookie": cookie}),
        (403, form, LOGIN, {"Cookie": cookie, "Origin": "http://evil.example"}),
        (403, form, LOGIN, {"Cookie": cookie, "Origin": "null"}),
        (403, form, LOGIN, {"Cookie": cookie, "Sec_Fetch_Site": "cross-site", "Origin": ours}),
        (403, form, LOGIN, {"Cookie": cookie, "Sec_Fetch_Site": "same-site", "Origin": ours}),
    ):
        assert acting.post(address, body, login=login, **headers).status == status, (body, login, headers)
    assert acting.get(address, login=LOGIN).status == 405
    assert put.state(job.id) == "pending"

    for where, prefix, login in ((monitor, "", None), (locked, "/watch", LOGIN)):
        page = where.get(f"{prefix}/board/jobs/{job.id}", login=login)
        assert "board-act-" not in page.text, "without a login, or to read only"
        cookie = page.headers["set-cookie"].partition(";")[0]
        form = {"_xsrf": cookie.partition("=")[2]}
        assert where.post(prefix + address, form, login=login, Cookie=cookie).status == 403
    assert put.state(job.id) == "pending"
    assert acting.post(address, {"_xsrf": token}, login=LOGIN, Cookie="_xsrf=" + token).status == 303
    assert put.state(job.id) == "cancelled"
