"""Which files an attempt goes on from: one state, whole, however early the attempt before it ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from simcelery.execution import archiving
from simcelery.worker.programs import begun, restarting
from simcelery.worker.programs.outputs import Outputs

RESTART = [("CONTCAR", "POSCAR"), ("WAVECAR", "WAVECAR")]


class Attempts:
    """One attempt after the other, without a board: each goes on from the newest that it can."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folders: list[Path] = []

    def begin(self, *, killed: bool = False, **written: str) -> dict[str, str]:
        """What the next one begins with; then it writes these files."""
        folder = self._path / str(len(self.folders) + 1)
        folder.mkdir()
        (folder / "POSCAR").write_text("0")
        for source in reversed(self.folders):
            if files := begun.left(source, RESTART):
                begun.copying(folder, files, [])
                if killed:
                    shutil.copy2(source / files[0][0], folder / files[0][1])
                    break
                restarting.copy(source, files, folder)
                break
        self.folders.append(folder)
        if killed:
            return {}
        begun.begins(folder, RESTART)
        found = {one.name: one.read_text() for one in folder.iterdir() if one.name != begun.NOTE}
        for name, text in written.items():
            (folder / name).write_text(text)
        return found


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path)


def test_one_that_fails_at_once_loses_nothing(attempts: Attempts) -> None:
    assert attempts.begin(CONTCAR="100", WAVECAR="w100") == {"POSCAR": "0"}
    for _ in range(3):
        assert attempts.begin() == {"POSCAR": "100", "WAVECAR": "w100"}


def test_states_of_different_attempts_are_not_mixed(attempts: Attempts) -> None:
    attempts.begin(CONTCAR="100", WAVECAR="w100")
    attempts.begin(CONTCAR="200")  # without its wave function
    assert attempts.begin() == {"POSCAR": "200", "WAVECAR": "w100"}  # what attempt 2 began with
    attempts.begin(CONTCAR="300", WAVECAR="w30")
    assert attempts.begin() == {"POSCAR": "300", "WAVECAR": "w30"}


def test_a_file_that_is_written_again_as_long_as_it_was_is_the_program_s_own(attempts: Attempts) -> None:
    attempts.begin(CONTCAR="1", WAVECAR="1")
    attempts.begin(CONTCAR="2", WAVECAR="2")
    assert attempts.begin(WAVECAR="3") == {"POSCAR": "2", "WAVECAR": "2"}
    assert attempts.begin() == {"POSCAR": "2", "WAVECAR": "3"}


def test_one_that_was_killed_while_its_files_were_copied_is_passed_over(attempts: Attempts) -> None:
    attempts.begin(CONTCAR="100", WAVECAR="w100")
    attempts.begin(killed=True)
    assert attempts.begin() == {"POSCAR": "100", "WAVECAR": "w100"}


def test_nothing_is_continued_if_the_program_has_left_nothing(attempts: Attempts) -> None:
    attempts.begin()
    (attempts.folders[0] / "CONTCAR").touch()
    assert begun.left(attempts.folders[0], RESTART) == []
    assert attempts.begin() == {"POSCAR": "0"}


def test_an_input_that_is_a_restart_too_counts_once_it_is_written(attempts: Attempts) -> None:
    attempts.begin()
    folder = attempts.folders[0]
    begun.begins(folder, [("POSCAR", "POSCAR")])
    assert begun.left(folder, [("POSCAR", "POSCAR")]) == []
    (folder / "POSCAR").write_text("5")
    assert begun.left(folder, [("POSCAR", "POSCAR")]) == [("POSCAR", "POSCAR")]


def test_a_folder_that_was_compressed_is_read_in_the_same_way(attempts: Attempts) -> None:
    attempts.begin(CONTCAR="100", WAVECAR="w100")
    attempts.begin()
    folder = attempts.folders[-1]
    archiving.pack(folder)
    shutil.rmtree(folder)
    assert archiving.unpack(folder)
    assert begun.left(folder, RESTART) == [("POSCAR", "POSCAR"), ("WAVECAR", "WAVECAR")]


def test_a_restart_that_has_to_be_written_is_the_program_s_own_only_if_it_was(tmp_path: Path) -> None:
    (tmp_path / "WAVECAR").write_text("w100")
    begun.begins(tmp_path, RESTART)
    for _ in range(2):
        assert Outputs(tmp_path, ["WAVECAR"]).faults()
        assert begun.left(tmp_path, RESTART) == []


def test_a_note_that_cannot_be_read_means_that_all_is_the_program_s_own(attempts: Attempts) -> None:
    attempts.begin(CONTCAR="100")
    (attempts.folders[0] / begun.NOTE).write_text('{"copying": [')
    assert begun.left(attempts.folders[0], RESTART) == [("CONTCAR", "POSCAR")]


def test_what_was_corrected_goes_on_from_attempt_to_attempt(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    begun.correct(first, ["INCAR"])
    begun.correct(first, ["KPOINTS"])
    assert begun.corrected(first) == ["INCAR", "KPOINTS"]
    begun.copying(second, RESTART, begun.corrected(first))
    begun.begins(second, RESTART)
    begun.correct(second, ["POSCAR"])
    assert begun.corrected(second) == ["INCAR", "KPOINTS", "POSCAR"]
