"""What a program prints is printed by its job, while it runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from simcelery.worker.programs.following import Follower


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "output.txt"


def test_each_look_copies_what_is_new(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    follower = Follower(file, 1000)
    follower.follow()  # it has not begun
    with file.open("ab", buffering=0) as opened:
        for part, seen in [
            (b"line\nha" + b"\xc2", "line\nha"),
            (b"\xbd", "½"),
            (b"", ""),
            (b"lf", "lf"),
        ]:
            opened.write(part)
            follower.follow()
            assert capsys.readouterr().out == seen
    follower.end()
    assert capsys.readouterr().out == "\n"


def test_what_is_no_text_is_written_as_numbers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(b"a\xffb\xc2")
    Follower(file, 1000).end()
    assert capsys.readouterr().out == "a\\xffb\\xc2\n"


def test_of_more_than_is_kept_the_last_is_copied(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("x" * 5000 + "end\n")
    Follower(file, 1000).end()
    printed = capsys.readouterr().out
    assert printed.startswith(f"\n… 4,004 bytes left out; they are in {file} …\nxxx")
    assert printed.endswith("xend\n")


def test_a_file_that_the_program_has_emptied_is_read_from_its_begin(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    follower = Follower(file, 1000)
    file.write_text("first run\n")
    follower.follow()
    file.write_text("second\n")
    follower.end()
    assert capsys.readouterr().out == "first run\nsecond\n"


def test_if_nobody_can_print_the_program_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("line\n")
    with suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        Follower(file, 1000).end()
        file = Path("reached")
    assert file == Path("reached")
