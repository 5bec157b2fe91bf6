"""Try the changes of `sql_changes`: a part of `make mutants`.

The test that has to notice a change runs in a fork of this process, which has imported everything already,
and on a board of its own that has the changed statement.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from simcelery.board import engine, sql
from simcelery.services import Services
from tests.sql_changes import CHANGES, Change

AT_ONCE = 2
# Seconds that a test may take before it is taken to hang: where two wait in a circle, nobody may get through.
PATIENCE = 60.0
_FORK = multiprocessing.get_context("fork")


def survivors(changes: Sequence[Change] = CHANGES) -> list[Change]:
    """The changes that no test notices.

    Raises:
        RuntimeError: a test is not there, or fails without any change.
    """
    tests = sorted({change.node for change in changes})
    for file in {"tests/conftest.py", *(test.partition("::")[0] for test in tests)}:
        import_module(file.removesuffix(".py").replace("/", "."))
    found, waiting = [], list(changes)
    with tempfile.TemporaryDirectory() as scratch:
        unchanged = _Run(tests, Path(scratch) / "unchanged", PATIENCE * len(tests))
        unchanged.process.join(unchanged.patience)
        if not (unchanged.is_over() and unchanged.passed()):
            raise RuntimeError(f"without any change:\n{unchanged.output.read_text()}")
        running: list[_Run] = []
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                change = waiting.pop(0)
                running.append(_Run([change.node], Path(scratch) / str(len(waiting)), PATIENCE, change))
            wait([run.process.sentinel for run in running], 1.0)
            over = [run for run in running if run.is_over()]
            running = [run for run in running if run not in over]
            found += [run.change for run in over if run.change and run.passed()]
    return found


class _Run:
    """Tests in a fork, with a change or without."""

    def __init__(
        self, tests: Sequence[str], output: Path, patience: float, change: Change | None = None
    ) -> None:
        self.change, self.output, self.patience = change, output, patience
        self.process = _FORK.Process(target=_test, args=(tests, output, change))
        self.began = time.monotonic()
        self.process.start()

    def is_over(self) -> bool:
        """Whether it has ended; one that hangs is made to."""
        if time.monotonic() > self.began + self.patience:
            self.process.kill()
            self.process.join()
        return self.process.exitcode is not None

    def passed(self) -> bool:
        """Whether all its tests did."""
        if self.process.exitcode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, -signal.SIGKILL):
            raise RuntimeError(self.output.read_text())
        return self.process.exitcode == pytest.ExitCode.OK


def _test(tests: Sequence[str], output: Path, change: Change | None) -> None:
    with output.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    plugins = [_Broken(change)] if change else []
    sys.exit(pytest.main(["-q", "-x", "--tb=native", "-p", "no:cacheprovider", *tests], plugins))


class _Broken:
    """A plugin of pytest: the board of the run has the changed statement."""

    def __init__(self, change: Change) -> None:
        self.change = change

    @pytest.fixture(scope="session", autouse=True)
    def _broken(self, servers: Services) -> Iterator[None]:
        name, changed = Path(self.change.file).name, self.change.changed()
        if self.change.is_function:
            with engine.begin() as connection:
                connection.execution_options(no_parameters=True).exec_driver_sql(changed)
            yield
            with engine.begin() as connection:  # the next run takes over the database
                sql.install(connection, name)
            return
        right = sql.statement
        sql.statement = lambda wanted: changed if wanted == name else right(wanted)  # type: ignore[assignment]
        yield
