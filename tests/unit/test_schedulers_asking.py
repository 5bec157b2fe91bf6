"""A command that a scheduler's answer comes from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from simcelery.schedulers import asking
from simcelery.schedulers.asking import Answer, Unknown, ask
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until, within


def test_an_answer_is_all_that_was_said_with_its_exit_code(tmp_path: Path) -> None:
    before = Path.cwd()
    answer = ask("sh", "-c", "pwd; printf 'caf\\303\\251 \\377'; echo no >&2; exit 3", folder=tmp_path)
    assert answer == Answer("sh", 3, f"{tmp_path}\ncafé \\xff", "no\n")
    assert answer.told == f"no; {tmp_path}; café \\xff"
    assert Path.cwd() == before


def test_no_shell_reads_the_arguments() -> None:
    assert ask("printf", "%s", "$HOME; `id`").out == "$HOME; `id`"


def test_there_is_no_input_though_there_is_one_here() -> None:
    ours, theirs = os.pipe()
    former = os.dup(0)
    os.dup2(ours, 0)
    try:
        os.write(theirs, b"a line\n")
        os.close(theirs)
        assert ask("cat").out == ""
    finally:
        os.dup2(former, 0)
        for descriptor in (ours, former):
            os.close(descriptor)


def test_what_is_told_cannot_steer_a_terminal() -> None:
    assert ask("sh", "-c", "printf 'a\\033[31mb\\n\\nc' >&2; exit 1").told == "a�[31mb; c"
    assert (
        Answer("qdel", 1, "qdel: no\n", "qdel: error: gone\nerror: no error: x").told
        == "gone; no error: x; no"
    )
    assert Answer("x", 4, "", " \n").told == "exit code 4"


def test_a_command_that_hangs_is_ended_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.3)
    seconds = sleeper()
    with pytest.raises(Unknown, match=r"sh has not answered within 0\.3 s"):
        ask("sh", "-c", f"trap '' TERM; sleep {seconds} & sleep {seconds}; sleep {seconds}")
    wait_until(lambda: command_alive(f"sleep {seconds}") == 0)


def test_an_answer_counts_although_something_is_left_behind_that_holds_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", within(2))
    seconds = sleeper()
    assert ask("sh", "-c", f"sleep {seconds} & echo 17").out == "17\n"
    wait_until(lambda: command_alive(f"sleep {seconds}") == 0)


def test_it_has_a_session_of_its_own() -> None:
    own = ask("sh", "-c", "ps -o sid= -p $$").out
    assert int(own) != os.getsid(0)


def test_a_command_that_cannot_be_run_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "no program"
    file.write_text("")
    for command, folder in ((str(file), None), ("no-such-command", None), ("true", tmp_path / "gone")):
        with pytest.raises(Unknown, match="cannot run"):
            ask(command, folder=folder)
