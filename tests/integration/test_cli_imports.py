"""What a short command may load: each package costs every call its start. Names are counted, never times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simcelery.board import engine
from simcelery.services import Services
from tests.waiting import within

# What `import` of these loads, apart from the standard library.
CLICK = {"simcelery", "click"}
DRIVER = {"psycopg", "psycopg_binary", "typing_extensions"}
BOARD = {"sqlalchemy", "pydantic_core", *DRIVER}
A_JOB = """
INSERT INTO jobs (id, task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
  submitted_by) VALUES (1, gen_random_uuid(), 'w', '{}', 'pending', 'q', 1, 1, 1, 'me')
"""


def loaded(code: str, *arguments: str) -> set[str]:
    """The modules that are loaded at the end of a fresh process."""
    ending = "; print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", f"import sys; {code}{ending}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within(60), check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def packages(modules: set[str]) -> set[str]:
    """Those that are neither the standard library nor parts of an interpreter or an extension module."""
    tops = {name.partition(".")[0] for name in modules}
    return {
        name
        for name in tops - sys.stdlib_module_names
        if not name.startswith("_") and name != "cython_runtime"
    }


def simcelery(servers: Services, *arguments: str) -> set[str]:
    """What a command line loads on servers that are there."""
    code = "from simcelery.cli.root import run; code = run(sys.argv[1:]); assert code == 0"
    urls = ("--database-url", servers.database_url, "--broker-url", servers.broker_url)
    return loaded(code, *urls, *arguments)


SIMS = """
from simcelery import workflow

@workflow
def noop(n: int) -> int:
    return n
"""


def client(servers: Services, folder: Path, code: str) -> set[str]:
    """What a script loads that submits to servers that are there."""
    (folder / "sims.py").write_text(SIMS)
    urls = {"database_url": servers.database_url, "broker_url": servers.broker_url}
    start = f"from simcelery.settings import override; override({urls}); sys.path.insert(0, sys.argv[1])"
    return loaded(f"{start}; from sims import noop; {code}", str(folder))


def test_import_of_the_package() -> None:
    modules = loaded("import simcelery")
    assert packages(modules) == {"simcelery"}
    assert {name for name in modules if name.startswith("simcelery.")} == set()


def test_help() -> None:
    modules = loaded("from simcelery.cli.root import run; run(['--help'])")
    assert packages(modules) == CLICK
    assert "importlib.metadata" not in modules


@pytest.mark.usefixtures("board")
@pytest.mark.parametrize(
    "verb",
    [
        "status",
        "status 1",
        "list",
        "list -s failed -t x --since 2d",
        "list -o json",
        "show 1",
        "errors",
        "stats",
    ],
)
def test_what_people_type_most_needs_neither_sqlalchemy_nor_pydantic(servers: Services, verb: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(A_JOB)
    modules = simcelery(servers, *verb.split())
    assert packages(modules) <= CLICK | DRIVER


@pytest.mark.usefixtures("board")
@pytest.mark.parametrize(
    "code",
    [
        "noop.submit(n=1)",
        "noop.submit(n=1).state",
        "noop.delay(1)",
        "noop.submit_many([{'n': 1}])",
    ],
)
def test_who_submits_plain_values_loads_neither_sqlalchemy_nor_pydantic(
    servers: Services, tmp_path: Path, code: str
) -> None:
    modules = client(servers, tmp_path, code)
    assert not {"sqlalchemy", "pydantic", "pydantic_core", "alembic", "rich", "numpy", "psutil"} & packages(
        modules
    )
    own = {name.split(".")[1] for name in modules if name.startswith("simcelery.")}
    assert not {"worker", "celery", "cli", "maintenance", "describe"} & own
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 1


@pytest.mark.usefixtures("board")
@pytest.mark.parametrize("verb", ["watch"])
def test_looking_at_the_board(servers: Services, verb: str) -> None:
    modules = simcelery(servers, *verb.split())
    # No celery, kombu, redis, alembic, rich, numpy, psutil …
    assert packages(modules) <= CLICK | BOARD
    own = {name.split(".")[1] for name in modules if name.startswith("simcelery.")}
    near = {"settings", "setting_kinds", "chunks", "needs", "quantities", "urls", "errors", "readable"}
    near |= {"relay", "pauses"}  # which may lead to the board
    near |= {"submission", "escalation"} if verb == "watch" else set()  # how outages are waited out
    assert own == {"cli", "describe", "board", *near}
    assert not {"sqlalchemy.orm", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.mysql"} & modules
    assert "simcelery.board.migrate" not in modules


def test_workflows_are_loaded_without_what_only_their_jobs_want(servers: Services) -> None:
    modules = simcelery(servers, "workflows", "emt.relax")
    assert "simcelery.demo.workflows" in modules
    assert not {"numpy", "ase"} & packages(modules)


def test_a_worker_has_what_all_its_jobs_need_before_its_pool_forks() -> None:
    modules = loaded("import simcelery; simcelery.app")
    assert {
        "simcelery.workflows.models",
        "simcelery.board.engine",
        "sqlalchemy.dialects.postgresql",
    } <= modules
