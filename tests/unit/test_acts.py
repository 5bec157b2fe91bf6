"""The list of acts, and what is written of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from simcelery.cli.verbs.recover import recover
from simcelery.maintenance.act import Act
from simcelery.maintenance.acts import ACTS
from simcelery.maintenance.loop import Rounds
from simcelery.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def test_the_documentation_lists_the_acts_as_they_are() -> None:
    page = (DOCS / "architecture.md").read_text()
    rows = re.findall(r"^ *\| (\w+) \| (\d+) × `tick_every` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(act.name, f"{act.every:g}", act.does) for act in ACTS]
    assert f"recovery: {' · '.join(act.name for act in ACTS)} " in page


def test_the_help_of_recover_lists_the_acts_as_they_are() -> None:
    page = CliRunner().invoke(recover, ["--help"]).output
    listed = " ".join(page.partition("Acts:")[2].partition("Options:")[0].split())
    assert listed == " ".join(f"{act.name} {act.does.replace('`', '')}" for act in ACTS)


@pytest.mark.parametrize("page", ["glossary.md", "order-board.md", "reference.md"])
def test_whoever_names_the_acts_names_all_of_them(page: str) -> None:
    assert ", ".join(act.name for act in ACTS) in (DOCS / page).read_text()


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
def test_the_glossary_knows_each_act(act: Act) -> None:
    assert f"**{act.name}**: the act of recovery that" in (DOCS / "glossary.md").read_text()


def test_names_and_counts_are_each_used_once() -> None:
    names = [act.name for act in ACTS]
    counts = [name for act in ACTS for name in act.counts]
    assert len({*names}) == len(names)
    assert len({*counts}) == len(counts)


@pytest.mark.parametrize(
    ("live", "least", "most"),
    [
        (1, 0.0, 0.0),
        (4, 0.0, 0.0),
        (8, 1.0, 2.0),  # two calls in so many seconds, each by one of four
        (20, 2.5, 5.0),
        (39, 4.875, 9.75),
        (40, 150.0, 300.0),  # whoever renews its lease is told when a turn is due, also the last that lives
        (10_000, 150.0, 300.0),
    ],
)
def test_all_workers_of_a_fleet_ask_together_as_often_as_four(live: int, least: float, most: float) -> None:
    mine = Rounds(Settings(tick_every=2.0, renew_every=10.0, lease=30.0), "me")
    pauses = [mine._pause(live) for _ in range(400)]
    assert least <= min(pauses) <= max(pauses) <= most
    assert min(pauses) <= least * 1.1
    assert max(pauses) >= most * 0.9


@pytest.mark.parametrize(("tick", "number"), [(2.0, 41), (3.0, 28)])
def test_workers_are_counted_only_as_far_as_it_matters(tick: float, number: int) -> None:
    """With more of them nobody pauses longer."""
    mine = Rounds(Settings(tick_every=tick, renew_every=10.0, lease=30.0), "me")
    assert mine._countable() == number
