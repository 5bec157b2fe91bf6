"""A job that is not on the board: every verb that takes ids says so in one line, and does nothing."""

from __future__ import annotations

import pytest

from simcelery.cli import root
from simcelery.services import Services

VERBS = (
    "list",
    "status",
    "watch",
    "show",
    "explain",
    "wait",
    "result",
    "results",
    "errors",
    "stats",
    "cancel",
    "retry",
)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("options", [(), ("-o", "json"), ("-o", "quiet")])
def test_an_id_that_does_not_exist(
    verb: str, options: tuple[str, ...], board: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("999999", "9223372036854775807", "0"):
        assert root.run([verb, number, *options]) == 2
        said = capsys.readouterr()
        assert said.err == f"simcelery: there is no job {number}\n"
        assert said.out == ""


@pytest.mark.parametrize("verb", VERBS)
def test_the_last_job_of_an_empty_board(
    verb: str, board: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert root.run([verb, "last"]) == 2
    assert capsys.readouterr().err == "simcelery: the board has no jobs yet\n"


@pytest.mark.parametrize(
    "options", [("-y",), ("--with-parents",), ("--error", "1"), ("-s", "failed"), ("-w", "x")]
)
def test_retry_of_an_id_that_does_not_exist_with_whatever_else(
    options: tuple[str, ...], board: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert root.run(["retry", "999999", *options]) == 2
    assert capsys.readouterr().err == "simcelery: there is no job 999999\n"


@pytest.mark.parametrize("verb", VERBS)
def test_a_range_without_a_single_job(verb: str, board: Services, capsys: pytest.CaptureFixture[str]) -> None:
    root.run(["submit", "--", "true"])
    capsys.readouterr()
    assert root.run([verb, "900000-900009,800001"]) == 2
    assert capsys.readouterr().err == "simcelery: there is no job 800001\n"
    assert root.run([verb, "900000-900009"]) == 2
    assert capsys.readouterr().err == "simcelery: there are no jobs in the range 900000-900009\n"


def test_a_parent_that_does_not_exist(board: Services, capsys: pytest.CaptureFixture[str]) -> None:
    for after in ("999999", "5-9", "last"):
        assert root.run(["submit", "--after", after, "--", "true"]) == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert said.out == ""
    root.run(["list", "-o", "quiet"])
    assert capsys.readouterr().out == ""
