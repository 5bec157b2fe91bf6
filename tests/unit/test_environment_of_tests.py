"""What a test leaves in the environment would reach all that come after it."""

from __future__ import annotations

import os


def test_what_one_test_sets() -> None:
    os.environ["LEFT_BY_A_TEST"] = "7"
    os.environ["HOME"] = "/nowhere"


def test_is_gone_in_the_next() -> None:
    assert "LEFT_BY_A_TEST" not in os.environ
    assert os.environ["HOME"] != "/nowhere"
