"""The board in a real browser: what changes by itself, what is drawn, and that nothing is refused."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.services import Services
from tests import board_helpers as put
from tests import gallery, monitors
from tests.axe import script, serious
from tests.browsers import Tab, needs_chromium, tab
from tests.conftest import Project
from tests.monitors import SCRIPT, Monitor
from tests.waiting import wait_until, within

pytestmark = needs_chromium

PICTURES = "MONITOR_PICTURES"  # into which folder pictures of all pages are written
LIVE = "document.querySelector('.refresh-status')?.textContent.trim() === 'Live'"


@pytest.fixture(scope="module")
def opened(place: Project) -> Monitor:
    """One without a login."""
    return monitors.start(place)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A tab of a browser."""
    with tab(tmp_path_factory.mktemp("browser")) as made:
        made.look_like(1280, 900)
        yield made


@pytest.fixture
def browser(window: Tab, board: Services) -> Iterator[Tab]:
    """It, before an empty board; at the end its page has done nothing that its policy forbids."""
    window.errors.clear()
    yield window
    assert window.errors == []
    window.open("about:blank")


def test_the_page_changes_by_itself_and_leads_to_the_jobs(browser: Tab, opened: Monitor) -> None:
    put.record(workflow=SCRIPT)
    browser.open(f"http://127.0.0.1:{opened.port}/board")
    browser.wait_for(LIVE)
    shown = "document.querySelector('.board-pending .metric-value').textContent"
    browser.wait_for(f"{shown} === '1'")
    browser.evaluate("window.same = true")
    put.record()
    browser.wait_for(f"{shown} === '2'")
    assert browser.evaluate("window.same") is True, "the page was not loaded again"
    assert browser.evaluate("window.taken") is None
    assert browser.evaluate("getComputedStyle(document.querySelector('.board-card')).borderRadius")
    browser.evaluate("document.querySelector('.board-pending').click()")
    browser.wait_for("document.querySelectorAll('.board-texts tbody tr').length === 2")
    browser.evaluate("document.querySelector('.board-texts tbody a').click()")
    browser.wait_for("document.querySelector('.board-job') !== null")
    browser.wait_for(LIVE)


# What of a chart is not transparent, in thousandths.
INK = """(() => {
    const canvas = document.querySelector('.uplot canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return Math.round(4000 * data.filter((value, at) => at % 4 === 3 && value > 0).length / data.length);
})()"""


# Where its last minute is.
CORNER = """(() => {
    const chart = document.querySelector('.u-over');
    chart.scrollIntoView({behavior: 'instant', block: 'center'});
    const {right, top} = chart.getBoundingClientRect();
    return [right - 1, top + 9];
})()"""


def test_the_last_hour_is_drawn_and_goes_on_while_somebody_points_at_it(
    browser: Tab, opened: Monitor
) -> None:
    worker = put.worker()
    put.finish(put.must_claim(put.record().task_id, worker))
    browser.open(f"http://127.0.0.1:{opened.port}/board")
    browser.wait_for("document.querySelector('.uplot canvas') !== null")
    assert browser.evaluate(INK) > 5
    browser.evaluate("document.querySelector('.board-numbers').open = true")
    [x, y] = browser.evaluate(CORNER)
    browser.point_at(x, y)
    finished = "document.querySelectorAll('.u-legend .u-value')[1].textContent"
    browser.wait_for(f"{finished} === '1'")
    browser.evaluate("window.chart = document.querySelector('.uplot')")
    put.finish(put.must_claim(put.record().task_id, worker))
    browser.wait_for(f"{finished} === '2'")
    assert browser.evaluate("window.chart === document.querySelector('.board-chart > .uplot')")
    assert browser.evaluate("document.querySelector('.board-numbers').open")
    assert browser.evaluate("document.querySelectorAll('.board-numbers tbody tr').length") == 60


def sweep(number: int = 30) -> dict[int, int]:
    """Jobs of a sweep over x, those at whose end it diverges; returns their ids by x."""
    worker = put.worker()
    made = {}
    for x in range(number):
        job = put.record(parameters={"x": x / 10, "kind": "ab"[x % 2], "same": 1}, tags=["grid"])
        made[x] = job.id
        succeeded = replace(put.SUCCESS, result={"energy": -x * x / 10, "name": SCRIPT})
        put.finish(put.must_claim(job.task_id, worker), put.ERROR if x >= 20 else succeeded)
    return made


# Where the chart has a job, in the window, by its number in the order of x.
PLACE = """(() => {
    const chart = document.querySelector('.u-over'), {left, bottom, width} = chart.getBoundingClientRect();
    const margin = 0.03 * 2.9;
    return [left + width * (NUMBER / 10 + margin) / (2.9 + 2 * margin), bottom - 3];
})()"""


def test_in_a_sweep_one_sees_where_jobs_failed_and_opens_them(browser: Tab, opened: Monitor) -> None:
    made = sweep()
    browser.open(f"http://127.0.0.1:{opened.port}/board/sweeps?tag=grid")
    browser.wait_for("document.querySelector('.uplot canvas') !== null")
    assert browser.evaluate("[...document.querySelectorAll('select')].map((one) => one.value)") == [
        "parameters.x",
        "result.energy",
    ]
    browser.point_at(*browser.evaluate(PLACE.replace("NUMBER", "25")))
    browser.wait_for(f"document.querySelector('.board-pointed').textContent === 'Job {made[25]}, failed'")
    browser.point_at(*browser.evaluate(PLACE.replace("NUMBER", "25")), click=True)
    browser.wait_for(f"location.pathname === '/board/jobs/{made[25]}'")
    browser.wait_for(LIVE)


LOGIN = "ada:lovelace"


@pytest.fixture(scope="module")
def acting(place: Project) -> Monitor:
    """One with a login, in which jobs can be cancelled."""
    return monitors.start(place, SIMCELERY_FLOWER_AUTH=LOGIN)


def test_all_that_match_are_cancelled_from_the_list_and_one_sees_how_far_that_is(
    browser: Tab, acting: Monitor
) -> None:
    jobs = [put.record(tags=["grid"]) for _ in range(3)]
    browser.send(Authorization=f"Basic {b64encode(LOGIN.encode()).decode()}")
    browser.open(f"http://127.0.0.1:{acting.port}/board/jobs?tag=grid")
    browser.wait_for("document.querySelector('.board-many a') !== null")
    browser.evaluate("document.querySelector('.board-many a').click()")
    browser.wait_for("document.querySelector('#board-number') !== null")
    browser.evaluate("document.querySelector('#board-number').value = '3'")
    browser.evaluate("document.querySelector('.board-confirm button').click()")
    browser.wait_for("document.querySelector('#part-progress')?.textContent.includes('Done: 3 of 3')")
    browser.wait_for(LIVE)
    assert {put.state(job.id) for job in jobs} == {"cancelled"}


def test_a_job_is_cancelled_and_retried_with_its_buttons(browser: Tab, acting: Monitor) -> None:
    job = put.record()
    browser.send(Authorization=f"Basic {b64encode(LOGIN.encode()).decode()}")
    browser.open(f"http://127.0.0.1:{acting.port}/board/jobs/{job.id}")
    browser.wait_for(LIVE)
    browser.evaluate("document.querySelector('.board-act-cancel button').click()")
    browser.wait_for("document.querySelector('#part-now .board-cancelled') !== null")
    assert browser.asked.pop() == f"Job {job.id} will be cancelled. Go on?"
    browser.evaluate("document.querySelector('.board-act-retry button').click()")
    browser.wait_for("document.querySelector('#part-now .board-pending') !== null")
    put.finish(put.must_claim(job.task_id, put.worker()))
    browser.wait_for("document.querySelector('#part-times rect.board-succeeded') !== null")
    assert browser.evaluate(
        "getComputedStyle(document.querySelector('rect.board-succeeded')).fill"
        " === getComputedStyle(document.querySelector('#part-now .board-succeeded')).borderTopColor"
    )
    events = "[...document.querySelectorAll('.board-events li')].map(one => one.lastChild.data.trim())"
    browser.wait_for(f"{events}.length === 5")
    assert browser.evaluate(events)[1:4] == [
        "cancel by ada, in the monitor",
        "retry by ada, in the monitor",
        "attempt 1 began on test",
    ]


def test_a_log_is_shown_to_its_end_and_who_reads_elsewhere_is_left_there(
    browser: Tab, opened: Monitor
) -> None:
    job, worker = put.record(), put.worker()
    put.must_claim(job.task_id, worker)
    put.log(job.id, "".join(f"line {number}\n" for number in range(100)))
    browser.open(f"http://127.0.0.1:{opened.port}/board/jobs/{job.id}")
    browser.wait_for(LIVE)
    log = "document.querySelector('.board-log')"
    at_its_end = f"{log}.scrollTop + {log}.clientHeight >= {log}.scrollHeight - 2"
    assert browser.evaluate(f"{log}.scrollTop > 100 && {at_its_end}")
    put.log(job.id, "more\n" * 30, seq=1)
    browser.wait_for(f"{log}.textContent.includes('more') && {at_its_end}")
    browser.evaluate(f"{log}.scrollTop = 70")
    put.log(job.id, "the last line\n", seq=2)
    browser.wait_for(f"{log}.textContent.includes('the last line')")
    assert browser.evaluate(f"{log}.scrollTop") == 70


def test_on_a_phone_one_sees_where_one_is_and_a_table_stays_where_it_was_moved_to(
    browser: Tab, opened: Monitor
) -> None:
    browser.look_like(320, 640)
    put.worker(nodename="a-worker-with-a-long-name@node01", host="node01")
    browser.open(f"http://127.0.0.1:{opened.port}/board/workers")
    browser.wait_for(LIVE)
    here = "document.querySelector('.board-places [aria-current]').getBoundingClientRect()"
    assert browser.evaluate(f"{here}.left >= 0 && {here}.right <= innerWidth")
    table = "document.querySelector('#part-workers .table-responsive')"
    browser.evaluate(f"{table}.scrollLeft = 50")
    put.worker(nodename="b@node02", host="node02")
    browser.wait_for(f"{table}.textContent.includes('b@node02')")
    assert browser.evaluate(f"{table}.scrollLeft") == 50
    browser.look_like(1280, 900)


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What finds faults of pages."""
    return script(tmp_path_factory.mktemp("axe"))


# Of the first two, each has a width and colours of its own; the others are only for pictures.
LOOKS = {
    "": (1280, 900, False),
    "-phone-dark": (390, 844, True),
    "-dark": (1280, 900, True),
    "-phone": (390, 844, False),
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("look", list(LOOKS)[: 4 if os.environ.get(PICTURES) else 2])
def test_every_page_can_be_read_by_everybody(browser: Tab, acting: Monitor, axe: str, look: str) -> None:
    ids = gallery.fill()
    browser.send(Authorization=f"Basic {b64encode(LOGIN.encode()).decode()}")
    browser.look_like(*LOOKS[look][:2], dark=LOOKS[look][2])
    faults: list[str] = []
    for name, (path, there) in gallery.PAGES.items():
        browser.open(f"http://127.0.0.1:{acting.port}{path.format(**ids)}")
        browser.wait_for(f"document.readyState === 'complete' && document.querySelector('{there}') !== null")
        wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found = serious(browser, axe) + ([f"{wide} pixels too wide"] if wide > 0 else [])
        faults += [f"{name}: {fault}" for fault in found]
        if (folder := os.environ.get(PICTURES)) and name in gallery.PICTURED:
            browser.picture(Path(folder) / f"monitor-{name}{look}.png")
    browser.look_like(1280, 900)
    browser.errors[:] = [
        error for error in browser.errors if "status of 4" not in error
    ]  # of pages that say so
    assert not faults, "\n".join(faults)


def test_a_job_is_found_with_the_keyboard_alone(browser: Tab, opened: Monitor) -> None:
    job = put.record(workflow="mine")
    put.record(workflow="other")
    browser.open(f"http://127.0.0.1:{opened.port}/board/jobs")
    browser.wait_for("document.querySelector('.board-texts') !== null")

    def go_to(element: str) -> None:
        for _ in range(60):
            browser.press("Tab")
            if browser.evaluate(f"document.activeElement.matches('{element}')"):
                shown = "getComputedStyle(document.activeElement)"
                assert browser.evaluate(f"{shown}.outlineStyle !== 'none' || {shown}.boxShadow !== 'none'")
                return
        raise AssertionError(f"Tab never came to {element}")

    go_to("[name=workflow]")
    browser.type("mine")
    browser.press("Enter")
    browser.wait_for("document.querySelectorAll('.board-texts tbody tr').length === 1")
    go_to("td a")
    browser.press("Enter")
    browser.wait_for(f"location.pathname === '/board/jobs/{job.id}'")
    browser.wait_for(LIVE)


RELAXING = """
import time
from simcelery import workflow

@workflow
def relax(steps: int) -> float:
    print(f"relaxing in {steps} steps")
    if steps > 100:
        raise ValueError("no convergence")
    if steps < 0:
        time.sleep(600)
    return 1 / steps
"""


@pytest.mark.timeout(400)
def test_a_day_before_the_monitor_with_real_workers(browser: Tab, project: Project) -> None:
    (project.folder / "relaxing.py").write_text(RELAXING)
    (project.folder / "simcelery.toml").write_text('workflows = ["relaxing"]\n')
    monitor = monitors.start(project, SIMCELERY_FLOWER_AUTH=LOGIN)
    project.worker("-c", "2")

    def submit(steps: str, tag: str) -> None:
        done = project.run("simcelery", "submit", "relaxing.relax", "--grid", f"steps={steps}", "-t", tag)
        assert done.returncode == 0, done.stderr

    def click(element: str) -> None:
        browser.wait_for(f"document.querySelector('{element}') !== null")
        browser.evaluate(f"document.querySelector('{element}').click()")

    browser.send(Authorization=f"Basic {b64encode(LOGIN.encode()).decode()}")
    browser.open(f"http://127.0.0.1:{monitor.port}/board")
    browser.wait_for(LIVE)
    browser.evaluate("window.same = true")
    submit("10,20,500", "day")
    for state, number in (("succeeded", 2), ("failed", 1)):
        shown = f"document.querySelector('.board-{state} .metric-value')?.textContent"
        browser.wait_for(f"{shown} === '{number}'", 60)
    assert browser.evaluate("window.same"), "the page was not loaded again"

    click("a.board-failed")
    click(".board-texts td a")
    browser.wait_for(f"{LIVE} && document.querySelector('.board-act-retry') !== null")
    page = browser.evaluate("document.querySelector('.board-page').textContent")
    assert "Traceback of the last attempt" in page
    assert "ValueError: no convergence" in page
    browser.wait_for("document.querySelector('.board-log')?.textContent.includes('relaxing in 500 steps')")
    [failed] = browser.evaluate("location.pathname.match(/[0-9]+$/)")
    browser.evaluate("document.querySelector('#board-values').value = '{\"steps\": 50}'")
    click(".board-act-retry button")
    browser.wait_for("document.querySelector('#part-now .board-succeeded') !== null", 60)

    submit("-1", "long")
    browser.open(f"http://127.0.0.1:{monitor.port}/board/jobs?tag=long")
    click(".board-texts td a")
    browser.wait_for("document.querySelector('#part-now .board-running') !== null", 60)
    click(".board-act-cancel button")
    browser.wait_for("document.querySelector('#part-now .board-cancelled') !== null", 60)

    submit("-1,-2,-3,-4", "many")
    browser.open(f"http://127.0.0.1:{monitor.port}/board/all/cancel?tag=many")
    browser.wait_for("document.querySelector('#board-number') !== null")
    browser.evaluate("document.querySelector('#board-number').value = '4'")
    click(".board-confirm button")
    browser.wait_for("document.querySelector('#part-progress')?.textContent.includes('Done: 4 of 4')", 60)
    wait_until(lambda: put.sql("SELECT count(*) FROM jobs WHERE state = 'cancelled'") == [(5,)])

    browser.open("about:blank")  # nobody looks while it is away
    project.processes[0].terminate()
    project.processes[0].wait(within(20))
    again = monitors.start(project, SIMCELERY_FLOWER_AUTH=LOGIN)
    browser.open(f"http://127.0.0.1:{again.port}/board/jobs/{failed}")
    browser.wait_for("document.querySelector('#part-attempts')?.textContent.includes('no convergence')")
    browser.wait_for("document.querySelector('#part-attempts')?.textContent.includes('steps 500 → 50')")
