"""Files are read inside a folder only, whatever is asked for and whatever links are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from simcelery.execution.inside import NotThereError, end_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder beside a secret."""
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "42.1"
    (made / "sub").mkdir(parents=True)
    (made / "log.3").write_text("0123456789")
    (made / "sub" / "deep").write_text("deep")
    (made / "latest").symlink_to("log.3")
    (made / "out").symlink_to(tmp_path / "secret")
    (made / "up").symlink_to("..")
    os.mkfifo(made / "pipe")
    return made


@pytest.mark.parametrize(
    ("name", "text"), [("log.3", "6789"), ("latest", "6789"), ("sub/deep", "deep"), ("sub/../log.3", "6789")]
)
def test_the_end_of_a_file_is_read(folder: Path, name: str, text: str) -> None:
    content, size = end_of(folder, name, 4)
    assert content.decode() == text
    assert size == (4 if text == "deep" else 10)
    assert end_of(folder, str(folder / name), 4) == (content, size)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../secret", "outside"),
        ("out", "outside"),
        ("up/secret", "outside"),
        ("up", "outside"),
        ("/etc/passwd", "outside"),
        ("sub", "is a folder; it holds deep"),
        ("pipe", "no file"),
        ("log", "there is no log in "),
        ("log.3/x", "cannot be read: Not a directory"),
        ("a\0b", "is not a path"),
        ("x" * 5000, "cannot be read: File name too long"),
    ],
)
def test_everything_else_is_refused_in_a_line(folder: Path, name: str, said: str) -> None:
    with pytest.raises(NotThereError) as refused:
        end_of(folder, name, 4)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value).replace(name, "")


def test_what_is_missing_is_answered_with_what_is_there(folder: Path) -> None:
    with pytest.raises(NotThereError, match=r"it holds latest, log\.3, out, pipe, sub, up$"):
        end_of(folder, "log.lammps", 4)
    for number in range(30):
        (folder / f"x{number:02}").touch()
    with pytest.raises(NotThereError, match=r"x13 and 16 more$"):
        end_of(folder, "log.lammps", 4)


def test_a_link_that_changes_after_it_was_looked_at_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realpath = os.path.realpath

    def swapped(path: str, **options: bool) -> str:
        found = realpath(path, **options)
        if str(path).endswith("log.3"):
            (folder / "log.3").unlink()
            (folder / "log.3").symlink_to("../secret")
        return found

    monkeypatch.setattr(os.path, "realpath", swapped)
    with pytest.raises(NotThereError, match="cannot be read"):
        end_of(folder, "log.3", 4)
