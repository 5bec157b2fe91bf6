"""Real servers for all tests: the embedded ones, started once per run in a folder of its own."""

from __future__ import annotations

import compileall
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
import redis

import simcelery
from simcelery import services, settings
from simcelery.board import engine, migrate, shares
from simcelery.board.models import Base, Recovery
from simcelery.maintenance.acts import ACTS
from simcelery.services import Services
from simcelery.testing import real_workers
from tests import chosen_postgres, kept_servers, mutant_tests, programs
from tests.programs import BIN, Process
from tests.waiting import wait_until, within


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package once: a fresh clone is not compiled, and some environments forbid it.

    And choose the Postgres of the servers.
    """
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(simcelery.__file__).parent, quiet=1)
    chosen_postgres.choose()
    mutant_tests.choose(config.args, os.environ.get("MUTANT_UNDER_TEST", ""))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the tests as pytest rewrites them: again, that would take each process 5 CPU seconds."""
    forbidden, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = forbidden


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before the fixtures: whether this test wants the programs that a user starts.

    And, where changes are tried, that no test lives on what an earlier one has left in this process.
    """
    programs.installed_only = item.get_closest_marker("installed_programs") is not None
    if "MUTANT_UNDER_TEST" in os.environ:
        mutant_tests.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure: the last lines of what its workers wrote."""
    report = yield
    given = vars(item).get("funcargs", {}).values() if report.when == "call" and report.failed else ()
    for folder in {one.folder for one in given if isinstance(one, Project)}:
        for log in sorted(folder.glob("worker*.log")):
            lines = log.read_text(errors="replace").splitlines()
            report.sections.append((str(log), "\n".join(lines[-20:])))
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test's own time limit grows as what it waits for does."""
    for item in items:
        own = item.get_closest_marker("timeout")
        limit = own.args[0] if own else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(within(limit)), append=False)


@pytest.fixture(scope="session", autouse=True)
def _no_environment() -> None:
    """No test depends on the developer's own settings, nor on the width that pytest-xdist is told."""
    for name in list(os.environ):
        if name.startswith("SIMCELERY_") or name in ("COLUMNS", "LINES"):
            del os.environ[name]


@pytest.fixture(autouse=True)
def _leaves_no_environment() -> Iterator[None]:
    """What a test, or a library that it loads, sets there is gone afterwards.

    Later tests would run with it, and start programs as a whole, since forks have it not.
    """
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if not name.startswith("PYTEST_")})


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Whoever runs the tests in the background of a shell has them ignore Ctrl-C, and all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Embedded Postgres and Redis, with the schema, and this process's settings pointing to them."""
    settings.override({"lease": 5.0, "renew_every": 1.0, "tick_every": 0.5})
    if home := os.environ.get(kept_servers.HOME):
        with kept_servers.taken(Path(home)) as running:
            yield running
            engine.dispose()
        return
    settings.override({"home": tmp_path_factory.mktemp("home")})
    running = services.up(settings.get_settings())
    kept_servers.never_sync(running)
    settings.override({"database_url": running.database_url, "broker_url": running.broker_url})
    migrate.upgrade()
    yield running
    engine.dispose()
    services.erase(settings.get_settings())


# In the order in which they may be emptied; the rest goes with them.
_TABLES = [
    *(table.name for table in reversed(Base.metadata.sorted_tables) if table is not Recovery.__table__),
    "celery_taskmeta",
    "celery_tasksetmeta",
]
_FEW = 1_000_000  # bytes


@pytest.fixture
def board(servers: Services) -> Services:
    """An empty board and an empty broker. Not together with a worker that outlives the test."""
    empty(servers)
    return servers


@pytest.fixture
def no_queue_stays_shared(board: Services) -> Iterator[None]:
    """Afterwards the board has none of the indexes that shared queues need."""
    yield
    with engine.begin() as connection:
        for queue in shares.listed(connection):
            shares.stop(connection, queue)


def empty(servers: Services) -> None:
    """Delete all rows and all messages."""
    with psycopg.connect(servers.database_url) as connection:
        # To truncate costs as much for three rows as for a million: each index gets a new file.
        size = connection.execute("SELECT pg_relation_size('jobs') + pg_relation_size('attempts')").fetchone()
        if size and size[0] > _FEW:
            connection.execute("TRUNCATE jobs CASCADE")
        connection.execute("; ".join(f"DELETE FROM {table}" for table in _TABLES))
        acts = [act.name for act in ACTS]
        connection.execute("DELETE FROM recovery WHERE name <> ALL(%s)", [acts])
        connection.execute("UPDATE recovery SET next_at = now(), last_by = NULL")
    redis.Redis.from_url(servers.broker_url).flushdb()


@dataclass
class Project:
    """A folder with workflows, and the processes that were started in it.

    Attributes:
        inside: words before each of its programs, that run it on another host.
    """

    folder: Path
    environment: dict[str, str]
    processes: list[Process] = field(default_factory=list)
    inside: tuple[str, ...] = ()

    def run(
        self, *command: str, timeout: float = within(60), **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the package's environment to its end, `extra` added to its environment."""
        return programs.run(self.words(*command), self.folder, {**self.environment, **extra}, timeout)

    def python(
        self, code: str, timeout: float = within(60), **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a client's Python code in a process of its own."""
        return self.run("python", "-c", textwrap.dedent(code), timeout=timeout, **extra)

    def start_python(self, code: str) -> Process:
        """Start a client's Python code; whoever started it ends it."""
        return programs.start(["python", "-c", textwrap.dedent(code)], self.folder, self.environment)

    def worker(self, *options: str, level: tuple[str, ...] = ("-l", "INFO"), **extra: str) -> Process:
        """Start a real worker; returns when it consumes."""
        log = self.folder / f"worker{len(self.processes)}.log"
        slots = () if "-c" in options else ("-c", "2")
        nodename = f"w{len(self.processes)}@%h"
        words = self.words("celery", "-A", "simcelery", "worker", *level, "-n", nodename, *slots, *options)
        with log.open("wb") as output:
            process = programs.start(words, self.folder, {**self.environment, **extra}, output)
        self.processes.append(process)
        wait_until(lambda: b" ready." in log.read_bytes() or process.poll() is not None, 30)
        assert process.poll() is None, log.read_text()
        return process

    def words(self, program: str, *arguments: str) -> list[str]:
        """What runs one of the programs where this project is."""
        where = [*self.inside, str(BIN / program)] if self.inside else [program]
        return [*where, *arguments]

    def logs(self) -> str:
        """What all workers wrote."""
        return "\n".join(self.log_of_each().values())

    def log_of_each(self) -> dict[str, str]:
        """What each worker wrote, by the name of its log."""
        return {
            path.name: path.read_text(errors="replace") for path in sorted(self.folder.glob("worker*.log"))
        }

    def end(self) -> None:
        """End what was started here at once: nobody looks any more."""
        real_workers.end(self.processes)

    def stop(self) -> None:
        """End what was started here: politely, then not."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(within(4))  # a job under way has a longer grace period
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def make_project(servers: Services, folder: Path) -> Project:
    """A project whose workflows are `tests/workflows_for_tests.py`."""
    source = Path(__file__).parent / "workflows_for_tests.py"
    (folder / "sims.py").write_text(source.read_text())
    (folder / "simcelery.toml").write_text('workflows = ["sims"]\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIMCELERY_")}
    environment |= {
        "PATH": f"{BIN}:{environment.get('PATH', '')}",
        "SIMCELERY_HOME": str(settings.get_settings().home),
        "SIMCELERY_LEASE": "5",
        "SIMCELERY_RENEW_EVERY": "1",
        "SIMCELERY_TICK_EVERY": "0.5",
        "SIMCELERY_KILL_GRACE": "1",
        "SIMCELERY_DATABASE_URL": servers.database_url,
        "SIMCELERY_BROKER_URL": servers.broker_url,
    }
    return Project(folder, environment)


@pytest.fixture
def project(board: Services, tmp_path: Path) -> Iterator[Project]:
    """A project of this test's own, with an empty board; its workers end with the test."""
    made = make_project(board, tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def shared_project(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with one running worker for all tests of a module."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("project"))
    made.worker()
    yield made
    made.end()


@pytest.fixture
def mail_via() -> Iterator[Callable[[str], None]]:
    """Sets the setting of this name, until the test ends."""
    before = dict(settings._overrides)
    yield lambda via: settings.override({"mail_via": via, "mail_from": "sims@example.org"})
    settings._overrides.clear()
    settings.override(before)
