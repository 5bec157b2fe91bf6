"""Handlers, and those of custodian's, with small programs, outside of a job: here, now, in this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

import simcelery
from simcelery.errors import ParametersError
from simcelery.worker.outcomes import failure
from simcelery.worker.programs import CommandError, run_command
from tests.processes import command_alive, sleeper


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Fails unless its input is good, and prints it; each run leaves a line.
PROGRAM = ["sh", "-c", "cat input >> runs; cat input; grep -q good input"]


def run(*handlers: Any, text: str = "bad\n", **options: Any) -> Any:
    return run_command(options.pop("argv", PROGRAM), files={"input": text}, handlers=handlers, **options)


def runs() -> list[str]:
    return Path("runs").read_text().split()


class Writes(simcelery.Handler):
    """Writes another input, if it finds that one."""

    error: Exception

    def __init__(self, finds: str = "bad", writes: str = "good", **options: Any) -> None:
        self.finds, self.writes = finds, writes
        vars(self).update(options)

    def check(self, folder: Path) -> str | None:
        return f"it is {self.finds}" if self.finds in (folder / "input").read_text() else None

    def correct(self, folder: Path) -> bool | None:
        if not self.writes:
            return False
        (folder / "input").write_text(f"{self.writes}\n")
        return None


class Physics(Writes):
    changes = "physics"


def test_one_that_may_not_correct_leaves_it_to_the_next_one(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(Physics(writes="changed"), Writes()).corrections == 1
    assert runs() == ["bad", "good"]
    printed = capfd.readouterr().err
    assert "Physics found: it is bad; its correction would change the physics, which this job" in printed
    assert "Writes found: it is bad; corrected, and runs again:\n--- input\n+++ input\n" in printed


def test_one_that_knows_no_correction_leaves_it_to_the_next_one() -> None:
    assert run(Writes(writes=""), Writes()).corrections == 1


def test_if_none_corrects_all_say_why() -> None:
    with pytest.raises(CommandError) as failed:
        run(Physics(), Writes(writes=""))
    first, second, third, *_ = str(failed.value).splitlines()
    assert first.startswith("Physics found: it is bad; its correction would change the physics")
    assert second == "Writes found: it is bad; and knows no correction"
    assert third.startswith("exit code 1")


def test_an_error_that_nobody_corrects_is_one_even_if_the_program_succeeds() -> None:
    with pytest.raises(CommandError, match="found: it is good; and knows no correction"):
        run(Writes(finds="good", writes=""), text="good\n")
    assert run(Writes(finds="good", writes="", fails=False), text="good\n").corrections == 0


def test_one_may_have_a_budget_of_its_own() -> None:
    with pytest.raises(CommandError, match=r"the most that it may correct a job \(2 times\) is reached"):
        run(Writes(writes="bad", max_corrections=2))
    assert len(runs()) == 3


def test_it_is_told_how_often_it_has_corrected() -> None:
    class Ladder(Writes):
        def correct(self, folder: Path) -> None:
            (folder / "input").write_text(["bad, still", "good"][self.spent])

    assert run(Ladder()).corrections == 2


class Raises(simcelery.Handler):
    def check(self, folder: Path) -> str | None:
        raise KeyError("the log has no such line")


def test_an_error_of_a_handler_does_not_hide_that_of_the_program() -> None:
    with pytest.raises(CommandError, match="exit code 1: bad") as failed:
        run(Raises())
    assert isinstance(failed.value.__cause__, KeyError)
    with pytest.raises(KeyError, match="no such line") as broken:
        run(Raises(), text="good\n")  # it did not look: nobody knows whether all is well
    assert failure.text(broken.value) == "'the log has no such line' (raised by the handler Raises.check)"


def test_an_error_while_one_corrects_names_it_and_stays_what_it_is() -> None:
    class Breaks(Writes):
        def correct(self, folder: Path) -> None:
            raise self.error

    for error in (ValueError("what?"), simcelery.Fail("no use"), OSError(2, "No such file", "x")):
        said = str(error)
        with pytest.raises(type(error)) as broken:
            run(Breaks(error=error))
        assert failure.text(broken.value) == f"{said} (raised by the handler Breaks.correct)"


@pytest.mark.parametrize("every", [0.0, None])
def test_a_time_limit_that_is_reached_while_one_looks_ends_the_program(every: float | None) -> None:
    class Slow(Writes):
        def check(self, folder: Path) -> str | None:
            raise SoftTimeLimitExceeded(1)

    handlers = [Slow(every=every), Writes()]
    with pytest.raises(SoftTimeLimitExceeded):
        run(
            *handlers, argv=["sh", "-c", "echo x >> runs; sleep 2" if every is not None else "echo x >> runs"]
        )
    assert runs() == ["x"]


def test_what_a_handler_looks_for_may_not_be_there_yet(capfd: pytest.CaptureFixture[str]) -> None:
    class Reads(Writes):
        every = 0.0

        def check(self, folder: Path) -> str | None:
            return (folder / "late").read_text() and super().check(folder)

    program = "grep -q good input || { sleep 0.4; echo x > late; sleep 60; }"
    assert run(Reads(), argv=["sh", "-c", program]).corrections == 1
    assert capfd.readouterr().err.count("Reads cannot look yet: FileNotFoundError") == 1


def test_one_that_does_not_end_the_program_corrects_it_while_it_runs() -> None:
    class Stops(Writes):
        every = 0.0
        ends = False

        def correct(self, folder: Path) -> None:
            super().correct(folder)
            (folder / "stop").touch()

    program = "cat input >> runs; until grep -q good input; do sleep 0.05; done; test -e stop && echo stopped"
    result = run_command(["sh", "-c", program], files={"input": "bad\n"}, handlers=[Stops()])
    assert result.corrections == 1
    assert runs() == ["bad", "good"]
    assert Path("output.1.txt").read_text() == "stopped\n"  # it had ended by itself


def test_files_that_come_and_go_are_part_of_the_difference(capfd: pytest.CaptureFixture[str]) -> None:
    class Moves(Writes):
        def correct(self, folder: Path) -> None:
            super().correct(folder)
            (folder / "old").unlink()
            (folder / "new").write_text("line\n")
            (folder / "state").write_bytes(b"\xff\x00")

    run_command(PROGRAM, files={"input": "bad\n", "old": "many lines\n"}, handlers=[Moves()])
    printed = capfd.readouterr().err
    assert "--- new\n+++ new\n@@ -0,0 +1 @@\n+line\n- old\n+ state\n" in printed


@pytest.mark.parametrize("changes", ["weather", None, ["numerics"]])
def test_what_a_handler_changes_is_one_of_two(changes: Any) -> None:
    with pytest.raises(ParametersError, match=r"Writes\.changes must be 'numerics' or 'physics', not "):
        run(Writes(changes=changes))


# --- custodian's ---


def custodian() -> Any:
    pytest.importorskip("custodian")
    from custodian.custodian import ErrorHandler
    from custodian.utils import tracked_lru_cache

    @tracked_lru_cache
    def read(path: str) -> str:
        return Path(path).read_text()

    class Of(ErrorHandler):  # type: ignore[misc]
        """As its own are: files in place, words in what `correct` returns."""

        def __init__(self, writes: str = "good", **options: Any) -> None:
            self.writes = writes
            self.times, self.only_asks = 0, False
            vars(self).update(options)

        def check(self, directory: str = "./") -> bool:
            return "bad" in read(f"{directory}/input")

        def correct(self, directory: str = "./") -> dict[str, Any]:
            self.times += 1
            if self.writes:
                Path(directory, "input").write_text(f"{self.writes}\n")
            known = self.writes and not self.only_asks
            return {"errors": ["it is bad"], "actions": [{"file": "input"}] if known else None}

    return Of


def test_a_handler_of_custodians_reads_each_file_anew_and_counts_from_zero_in_each_job(
    capfd: pytest.CaptureFixture[str],
) -> None:
    handler = custodian()()
    for _ in range(2):
        assert run(handler, allow=["physics"]).corrections == 1
    assert (handler.times, handler.n_applied_corrections) == (0, 0)
    assert "Of found: it is bad; corrected, and runs again" in capfd.readouterr().err


def test_whoever_knows_that_it_changes_only_the_numerics_says_so() -> None:
    assert run(custodian()(changes="numerics")).corrections == 1
    with pytest.raises(CommandError, match="Of found: Of; its correction would change the physics"):
        run(custodian()())


def test_one_of_custodians_that_knows_no_correction_fails_unless_it_raises_no_error() -> None:
    with pytest.raises(CommandError, match="and knows no correction"):
        run(custodian()(writes="", changes="numerics"), argv=["true"])
    quiet = custodian()(writes="", changes="numerics", raises_runtime_error=False)
    assert run(quiet, argv=["true"]).corrections == 0


@pytest.mark.parametrize("raises", [False, True])
def test_custodians_own_limit_holds(raises: bool) -> None:
    handler = custodian()(writes="bad", changes="numerics", max_num_corrections=2, raise_on_max=raises)
    if raises:
        with pytest.raises(CommandError, match=r"the most that it may correct a job \(2 times\)"):
            run(handler, argv=["sh", "-c", "echo x >> runs"])
    else:
        assert run(handler, argv=["sh", "-c", "echo x >> runs"]).corrections == 2
    assert len(runs()) == 3


def test_a_monitor_of_custodians_ends_the_program_in_all_its_parts() -> None:
    """Its own terminate would end the launcher only."""
    handler = custodian()(changes="numerics", is_monitor=True, every=0.1)
    seconds = sleeper()
    program = f"grep -q good input || {{ sleep {seconds} & sleep 60; }}"
    assert run(handler, argv=["sh", "-c", program]).corrections == 1
    assert command_alive(f"sleep {seconds}") == 0


def test_a_monitor_of_custodians_that_does_not_terminate_lets_the_program_end_by_itself() -> None:
    handler = custodian()(
        only_asks=True,
        changes="numerics",
        is_monitor=True,
        is_terminating=False,
        raises_runtime_error=False,
        every=0.1,
    )
    program = ["sh", "-c", "while grep -q bad input; do sleep 0.05; done; echo ended >> runs"]
    assert run(handler, argv=program).corrections == 0  # as with STOPCAR: it asks, and that is all
    assert runs() == ["ended"]


def test_vasps_own_handlers_correct_its_input(capfd: pytest.CaptureFixture[str]) -> None:
    """With pymatgen, which is too much to install for this test alone."""
    pytest.importorskip("pymatgen.io.vasp")
    handlers = pytest.importorskip("custodian.vasp.handlers")
    vasp = "grep -q IMIX INCAR && exit; echo 'BRMIX: very serious problems'"
    files = {
        "INCAR": "ALGO = Fast\nENCUT = 520\nISMEAR = -5\n",
        "POSCAR": "Si\n1\n2.7 2.7 0\n0 2.7 2.7\n2.7 0 2.7\nSi\n2\nDirect\n0 0 0\n.25 .25 .25\n",
        "KPOINTS": "k\n0\nGamma\n4 4 4\n0 0 0\n",
    }
    mixing = handlers.VaspErrorHandler(output_filename="output.txt")
    frozen = handlers.FrozenJobErrorHandler(output_filename="output.txt", timeout=3600)
    result = run_command(["sh", "-c", vasp], files=files, handlers=[frozen, mixing], allow=["physics"])
    assert result.corrections == 1
    printed = capfd.readouterr().err
    assert "VaspErrorHandler found: brmix; corrected" in printed
    assert "+IMIX = 1\n" in printed
    assert "+ error.1.tar.gz\n" in printed
