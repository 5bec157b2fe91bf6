"""A job that could not run says which job is to blame, and what its error was, wherever it is shown."""

from __future__ import annotations

import pytest

from simcelery.cli.root import run
from tests.board_helpers import ERROR, finish, must_claim, record, settle, worker

pytestmark = pytest.mark.usefixtures("board")


@pytest.mark.parametrize(
    "words", [("show",), ("list", "-s", "upstream_failed"), ("explain",), ("errors", "-s", "upstream_failed")]
)
def test_the_root_and_its_error_are_named(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    root = record(workflow="relax")
    last = root
    for _ in range(3):
        last = record(workflow="fit", parents=[last.id])
    finish(must_claim(root.task_id, worker(), workflow="relax"), ERROR)
    settle()
    ids = [str(last.id)] if words[0] in ("show", "explain") else []
    run([words[0], *ids, *words[1:]])
    said = " ".join(capsys.readouterr().out.split())
    number = "#" if words[0] == "errors" else str(root.id)  # those of a group have many
    assert f"job {number} (relax) failed: ValueError: boom" in said


def test_errors_says_how_many_could_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    root = record()
    for _ in range(2):
        record(workflow="fit", parents=[root.id])
    finish(must_claim(root.task_id, worker()), ERROR)
    settle()
    run(["errors"])
    assert (
        "2 jobs could not run because of others: simcelery errors -s upstream_failed"
        in capsys.readouterr().err
    )
    run(["errors", "-w", "fit", "--since", "1d"])
    assert "errors -s upstream_failed -w fit --since 1d" in " ".join(capsys.readouterr().err.split())
    run(["errors", "-s", "failed"])
    assert capsys.readouterr().err == ""
