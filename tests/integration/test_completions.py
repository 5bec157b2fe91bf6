"""Tab completion of what is on the board."""

from __future__ import annotations

import click
import pytest

from simcelery.cli.completions import tags
from simcelery.cli.root import root
from tests.board_helpers import record


@pytest.mark.usefixtures("board")
def test_the_tags_of_the_newest_jobs_complete() -> None:
    record(tags=("dust", "duo"))
    record(tags=("dust", "other"))
    context = click.Context(root)
    option = click.Option(["--tag"])
    assert sorted(str(item.value) for item in tags(context, option, "du")) == ["duo", "dust"]
