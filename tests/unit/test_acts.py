"""The list of acts, and what is written of them."""

from __future__ import annotations

import re
from pathlib import Path

from simcelery.maintenance.acts import ACTS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_documentation_lists_the_acts_as_they_are() -> None:
    page = (DOCS / "architecture.md").read_text()
    rows = re.findall(r"^ *\| (\w+) \| (\d+) × `tick_every` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(act.name, f"{act.every:g}", act.does) for act in ACTS]
    assert f"recovery: {' · '.join(act.name for act in ACTS)} " in page


def test_names_and_counts_are_each_used_once() -> None:
    names = [act.name for act in ACTS]
    counts = [name for act in ACTS for name in act.counts]
    assert len({*names}) == len(names)
    assert len({*counts}) == len(counts)
