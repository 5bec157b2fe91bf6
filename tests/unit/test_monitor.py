"""What the web monitor is made of: one look for all who watch, and templates that let nothing through."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from pathlib import Path

import pytest

from simcelery.board.states import State
from simcelery.monitor import live, sweeps, templating
from simcelery.monitor.asking import taken
from simcelery.monitor.live import Budget, Live
from simcelery.monitor.templating import OURS, Templates

ASSETS = OURS.parent / "assets"
TEMPLATES = sorted(OURS.rglob("*.html"))
# Fragments that were escaped when their own templates were rendered.
RAW = {
    "overview.html": 5,
    "job.html": 10,  # also Tornado's own field of forms
    "family.html": 2,
    "tables.html": 1,
    "many.html": 1,
    "undertaking.html": 1,
}


class Looks:
    """Counts them; each waits until it is let go."""

    def __init__(self) -> None:
        self.number = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.number += 1
        await self.go.wait()
        return self.number


def test_fifty_who_look_cost_one_look() -> None:
    async def watch() -> None:
        looks = Looks()
        watched = Live(looks)
        asked = [asyncio.create_task(watched.newest()) for _ in range(50)]
        await asyncio.sleep(0)
        asked[0].cancel()  # who leaves takes nobody's answer along
        looks.go.set()
        assert set(await asyncio.gather(*asked[1:])) == {1}
        assert await watched.newest() == 1, "another look is not due yet"
        assert 0 < watched.pause() <= live.EVERY

    asyncio.run(watch())


def test_a_page_does_not_wait_for_what_its_news_will_say() -> None:
    async def watch() -> None:
        looks = Looks()
        looks.go.set()
        watched = Live(looks)
        assert await watched.recent() == 1
        watched._due, looks.go = 0.0, asyncio.Event()  # another one is due, and will take its time
        news = asyncio.create_task(watched.newest())
        assert await watched.recent() == 1
        looks.go.set()
        assert await news == 2
        assert await watched.recent() == 2

    asyncio.run(watch())


def test_nobody_who_looks_costs_nothing_and_the_next_one_sees_what_is_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def watch() -> None:
        looks = Looks()
        looks.go.set()
        watched = Live(looks)
        assert looks.number == 0
        assert await watched.newest() == 1
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        assert await watched.newest() == 2

    monkeypatch.setattr(live, "EVERY", -1.0)
    asyncio.run(watch())


def test_a_look_that_fails_fails_for_all_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch() -> None:
        number = 0

        async def look() -> int:
            nonlocal number
            number += 1
            if number == 1:
                raise ValueError("away")
            return number

        watched = Live(look)
        for _ in range(2):
            with pytest.raises(ValueError, match="away"):
                await watched.newest()
        watched._due = 0.0
        assert await watched.newest() == 2

    asyncio.run(watch())


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Budget:
    """Of all looks, which has not been spent at all."""
    made = Budget()
    monkeypatch.setattr(live, "BUDGET", made)
    return made


def test_a_slow_board_is_looked_at_less_often_whatever_is_watched(budget: Budget) -> None:
    async def watch() -> None:
        async def look() -> None:
            taken.set(taken.get() + seconds)  # as `ask` does

        seconds = 1.0
        large = Live(look)
        await large.newest()
        assert 10 < large.pause() <= 12
        seconds = 0.1
        many = [Live(look) for _ in range(20)]
        for watched in many:
            await watched.newest()
        assert 4 < many[5].pause() < many[19].pause() <= 15

    asyncio.run(watch())


def test_waiting_for_a_thread_costs_nothing(budget: Budget) -> None:
    async def watch() -> None:
        watched = Live(lambda: asyncio.sleep(0.05))
        await watched.newest()
        assert watched.pause() <= live.EVERY

    asyncio.run(watch())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(OURS)))
def test_a_template_has_nothing_inline_and_nothing_unescaped(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert not re.search(r"<script(?! src=)", text)
    assert not re.search(r"(https?:)?//\w", text), "nothing from elsewhere"
    assert "autoescape" not in text
    assert text.count("{% raw") == RAW.get(template.name, 0)


def test_what_is_shown_is_escaped_and_readable() -> None:
    assert templating.shown("<b a='\"'>&") == "&lt;b a=&#x27;&quot;&#x27;&gt;&amp;"
    assert templating.shown("é\x1b\u202e".encode()) == "é��"


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Templates of a Flower."""
    (tmp_path / "navbar.html").write_text("<ul><li>Tasks</li></ul><ul></ul>")
    (tmp_path / "base.html").write_text("{{ given }}")
    return tmp_path


def test_flowers_own_templates_stay_as_they_are(flowers: Path) -> None:
    assert Templates(flowers).load("base.html").generate(given="<\x1b>") == b"&lt;\x1b&gt;"


def test_the_tab_stands_behind_flowers_own(flowers: Path) -> None:
    found = Templates(flowers).load("navbar.html").generate(active_tab="", reverse_url=lambda _: "/x/board")
    assert re.fullmatch(
        rb'<ul><li>Tasks</li><li.*href="/x/board".*Board</a>\s*</li>\s*</ul><ul></ul>', found, re.DOTALL
    )


def test_a_flower_without_such_a_list_is_said(flowers: Path, caplog: pytest.LogCaptureFixture) -> None:
    (flowers / "navbar.html").write_text("<nav></nav>")
    with caplog.at_level(logging.WARNING):
        assert Templates(flowers).load("navbar.html").generate() == b"<nav></nav>"
    assert "/board" in caplog.text


def test_what_draws_charts_is_what_its_checksums_say() -> None:
    vendored = ASSETS / "uplot"
    known = dict(line.split()[::-1] for line in (vendored / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendored.iterdir()}
    assert known == {name: digest for name, digest in found.items() if name != "SHA256SUMS"}
    assert "LICENSE" in known


def test_our_own_scripts_stay_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in ASSETS.glob("*.js")) <= 300


def test_the_sample_of_a_sweep_has_what_succeeded_and_what_did_not() -> None:
    states = {number: State.SUCCEEDED if number % 1000 == 0 else State.FAILED for number in range(1, 5001)}
    chosen = sweeps.Chosen(states)
    assert {number for number in chosen.sample() if number % 1000 == 0} == {1000, 2000, 3000, 4000, 5000}
    assert len(chosen.sample()) == 55
    assert chosen.sample() == chosen.sample()
    assert chosen.counts() == [(State.SUCCEEDED, 5), (State.FAILED, 4995)]


@pytest.mark.parametrize(
    ("values", "expected", "names", "logarithmic"),
    [
        ([1, 2.5, None], [1, 2.5, None], None, False),
        ([float("nan"), float("inf"), 10**400, 3], [None, None, None, 3], None, False),
        ([1e-6, 1e-2], [1e-6, 1e-2], None, True),
        ([0, 1e9], [0, 1e9], None, False),
        (["b", "a", None, "b"], [1, 0, None, 1], ["a", "b"], False),
        ([True, 2], [1, 0], ["2", "true"], False),
        ([None, None], [None, None], None, False),
    ],
)
def test_an_axis_has_what_can_be_drawn(
    values: list[object], expected: list[object], names: list[str] | None, logarithmic: bool
) -> None:
    axis = sweeps._axis("x", values)
    assert (axis.values, axis.names, axis.logarithmic) == (expected, names, logarithmic)


def test_an_axis_of_texts_has_only_the_first_ones() -> None:
    axis = sweeps._axis("x", [f"{number:03}" for number in range(100)])
    assert axis.names is not None
    assert len(axis.names) == 40
    assert axis.values[39:41] == [39, None]
