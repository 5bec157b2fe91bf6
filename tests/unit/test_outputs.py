"""An output is a file with something in it that this run of the program has written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import simcelery
from simcelery.errors import DefinitionError, ParametersError
from simcelery.worker.programs import CommandError, run_command

UNTOUCHED = "was there before, and this run did not write it"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(script: str, **options: Any) -> Any:
    return run_command(["sh", "-c", script], **options)


class Mixes(simcelery.Handler):
    def check(self, folder: Path) -> str | None:
        return "not converged" if "NOT" in (folder / "output.txt").read_text() else None

    def correct(self, folder: Path) -> None:
        (folder / "in.txt").write_text("mix=0.1\n")


def test_what_the_uncorrected_run_wrote_is_no_output_of_the_corrected_one() -> None:
    script = ". ./in.txt; if [ $mix = 0.7 ]; then echo -99 > energy.txt; echo NOT CONVERGED; fi; echo done"
    with pytest.raises(CommandError, match=f"energy.txt {UNTOUCHED}"):
        shell(script, files={"in.txt": "mix=0.7\n"}, expect=["energy.txt"], ok="done", handlers=[Mixes()])


@pytest.mark.parametrize("age", [0, 3600])
def test_numbers_of_an_earlier_run_in_the_folder_are_not_read(age: int) -> None:
    Path("result.json").write_text('{"energy": -99}')
    at = Path("result.json").stat().st_mtime - age
    os.utime("result.json", (at, at))
    with pytest.raises(CommandError, match=f"result.json {UNTOUCHED}"):
        shell("true", json="result.json")


def test_an_input_is_no_output() -> None:
    with pytest.raises(CommandError, match=f"result.json {UNTOUCHED}"):
        shell("true", files={"result.json": "{}"}, json="result.json")


def test_the_text_that_says_that_all_is_well_is_of_this_run() -> None:
    with pytest.raises(CommandError, match=f"log {UNTOUCHED}"):
        shell("true", files={"log": "Total wall time\n"}, expect=["log"], ok="Total wall time")


@pytest.mark.parametrize(
    "script",
    [
        "echo 12 > result",  # at once, and as long as it was
        "echo 12 > new; mv new result",
        "echo 1 >> result",
        "cp -p earlier result",
    ],
)
def test_however_it_is_written_it_is_written(script: str) -> None:
    Path("earlier").write_text("12\n")
    os.utime("earlier", (1e9, 1e9))
    for _ in range(3):
        Path("result").write_text("11\n")
        assert shell(script, expect=["result"]).files["result"] >= 3


def test_what_a_program_goes_on_from_stays_for_it() -> None:
    Path("state").write_text("1\n")
    assert shell("cat state; echo 2 >> state", expect=["state"]).output == "1\n"


def test_a_stranger_s_file_can_be_compared_too() -> None:
    os.symlink("/proc/self/status", "status")
    with pytest.raises(CommandError):
        shell("true", expect=["status"])


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("> out", "out is empty"),
        ("mkdir out", "out is a folder"),
        ("mkfifo out", "out is no file"),
        ("true", "it did not write out"),
        ("ln -s nowhere out", "it did not write out"),
    ],
)
def test_an_output_is_a_file_with_something_in_it(script: str, fault: str) -> None:
    for options in ({"expect": ["out"], "ok": "fine"}, {"json": "out"}):
        with pytest.raises(CommandError, match=f"^{fault}\n"):
            shell(f"rm -rf out; {script}", **options)


def test_all_that_is_wrong_is_said() -> None:
    Path("old").write_text("x")
    with pytest.raises(CommandError) as failed:
        shell("> empty", expect=["a", "empty", "old", "b"])
    first = str(failed.value).splitlines()[0]
    assert first == f"it did not write a, b; empty is empty; old {UNTOUCHED}"


def test_a_corrected_run_that_writes_its_own_counts() -> None:
    script = ". ./in.txt; echo '{\"energy\": '$mix'}' > r.json; [ $mix = 0.1 ] || echo NOT"
    result = shell(script, files={"in.txt": "mix=0.7\n"}, json="r.json", handlers=[Mixes()])
    assert (result["energy"], result.corrections) == (json.loads("0.1"), 1)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{"e": 1e400}', "cannot be used: 1e400 is too large for a number of double precision"),
        ('{"e": [{"f": -1e400}]}', "cannot be used: -1e400 is too large"),
        ('{"e": 1, "e": 2}', "cannot be used: the key 'e' is given twice"),
        ("{" * 100000, "is not JSON"),
        ('{"a":' * 100000, "is not JSON: it is nested too deeply"),
    ],
)
def test_values_that_would_become_others_are_refused(written: str, said: str) -> None:
    Path("source").write_text(written)
    with pytest.raises(CommandError, match=f"^r.json {said}"):
        shell("cp source r.json", json="r.json")


def test_a_file_for_stdin_that_is_not_there_is_named() -> None:
    with pytest.raises(simcelery.Fail, match="stdin: there is no file 'nope' in "):
        run_command(["cat"], stdin="nope")


@pytest.mark.parametrize("argv", ["echo hello", [], ""])
def test_a_program_is_a_list_of_words(argv: Any) -> None:
    with pytest.raises(ParametersError, match="argv has to be a list: the program and its arguments"):
        run_command(argv)


def test_a_command_as_a_text_is_split_as_a_shell_does_before_values_are_put_into_it() -> None:
    words = r"""printf '%s|' 'hello world' "{what} and" a\ b {what} "it's" """

    @simcelery.code(command=words, name="tests.split")
    def split(what: str) -> None: ...

    assert split("one value").output == "hello world|one value and|a b|one value|it's|"
    with pytest.raises(DefinitionError, match=r"code: command .*: No closing quotation"):
        simcelery.code(command="echo 'hello")
