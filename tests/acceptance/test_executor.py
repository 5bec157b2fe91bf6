"""Scripts that call functions through `simcelery.Executor`, with a real worker."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import simcelery
from simcelery import services
from simcelery.board.states import State
from simcelery.errors import JobFailedError
from simcelery.services import Services
from simcelery.settings import Settings
from simcelery.worker import builtin
from tests.conftest import Project
from tests.programs import BIN
from tests.servers import kill_server, outcomes
from tests.waiting import wait_until, within

FUNCTIONS = """
import dataclasses, os, pathlib, time
import numpy as np
from simcelery import workflow

@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0

def double(x): return 2 * x
def point(x: float) -> Point: return Point(x)
def norm(p: Point) -> float: return p.x
def undeclared(x): return Point(x)
def pair(*args, **kwargs): return args, kwargs
def array(n): return np.arange(n) / 2
def fails(x): raise ValueError(f"no {x}")
def slow(x, seconds, go=None):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (go and os.path.exists(go)):
        time.sleep(0.02)
    return x
def first_soon(x, go, fail):
    if x: return slow(x, 300, go)
    if fail: raise ValueError("the first")
def traced(x, path):
    with open(path, "a") as file: file.write(f"{x}\\n")
    return x
def once_broken(x, path):
    if not os.path.exists(path): raise RuntimeError("not repaired")
    return x
@workflow(queue="other")
def declared(x: int, y: int = 1) -> int: return x + y
"""
HEAD = """
import asyncio, concurrent.futures as cf, functools, os, sys, time
import functions as f, simcelery
from simcelery import Executor
"""


@pytest.fixture(scope="module")
def scripts(shared_project: Project) -> Project:
    """A project with a worker that was started before there were any functions."""
    (shared_project.folder / "functions.py").write_text(FUNCTIONS)
    return shared_project


@pytest.fixture(autouse=True)
def _free_slots(servers: Services) -> Iterator[None]:
    """A test that fails leaves jobs that wait for minutes: the next one does not wait with them."""
    yield
    simcelery.jobs(queue="default", state=[State.PENDING, State.RUNNING]).cancel()
    wait_until(lambda: not simcelery.jobs(queue="default", state=State.RUNNING))


def run(project: Project, code: str) -> list[str]:
    """The lines that a script prints."""
    done = project.python(HEAD + code)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def start(project: Project, code: str, name: str = "script.py", head: str = HEAD) -> subprocess.Popen[str]:
    """Start a script as people do."""
    (project.folder / name).write_text(head + code)
    return subprocess.Popen(
        [BIN / "python", name],
        cwd=project.folder,
        env=project.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(script: subprocess.Popen[str]) -> tuple[str, str]:
    """What it printed, to stdout and stderr, when it has ended."""
    try:
        return script.communicate(timeout=within(60))
    finally:
        script.kill()


def test_what_functions_return_comes_back_as_it_was(scripts: Project) -> None:
    said = run(
        scripts,
        """
with Executor(tag="kinds") as executor:
    calls = [executor.submit(f.double, 21), executor.submit(f.pair, 1, (2, 3), k={4}),
             executor.submit(f.point, 2), executor.submit(f.norm, f.Point(3.5)),
             executor.submit(functools.partial(f.double, x="ab")), executor.submit(f.array, 3)]
    for call in calls:
        print(repr(call.result(30)))
    undeclared = executor.submit(f.undeclared, 1).exception(30)
    print(type(undeclared).__name__, undeclared.error_type, "declare its class" in str(undeclared))
""",
    )
    assert said == [
        "42",
        "((1, (2, 3)), {'k': {4}})",
        "Point(x=2.0, y=0.0)",
        "3.5",
        "'abab'",
        "array([0. , 0.5, 1. ])",
        "JobFailedError EncodingError True",
    ]


def test_pythons_own_ways_to_wait(scripts: Project) -> None:
    said = run(
        scripts,
        """
with Executor(tag="ways") as executor:
    print(list(executor.map(f.double, [3, 1, 2], chunksize=2)))
    calls = [executor.submit(f.double, x) for x in range(50)]
    print(max(call.result() for call in cf.as_completed(calls, 60)))
    called = []
    call = executor.submit(f.double, 100)
    call.add_done_callback(lambda done: called.append(done.result()))
    print(cf.wait([call], 30).not_done, called)
    slow = executor.submit(f.slow, 1, 60, go := os.path.abspath("go-ways"))
    try:
        slow.result(0.1)
    except TimeoutError:
        print("too soon")
    try:
        list(executor.map(f.slow, [1], [60], [go], timeout=0.1))
    except TimeoutError:
        print("too soon", slow.cancelled())
    while not slow.running(): time.sleep(0.05)
    print(slow.cancel(), slow.job.state)
    open(go, "w").close()
    print(slow.result(30))

async def main():
    loop = asyncio.get_running_loop()
    with Executor(tag="ways") as executor:
        return await asyncio.gather(*(loop.run_in_executor(executor, f.double, x) for x in (5, 6)))
print(asyncio.run(main()))
try:
    executor.submit(f.double, 1)
except RuntimeError as error:
    print(error)
""",
    )
    assert said == [
        "[6, 2, 4]",
        "98",
        "set() [200]",
        "too soon",
        "too soon False",
        "False running",
        "1",
        "[10, 12]",
        "cannot schedule new futures after shutdown",
    ]


def test_a_failed_call_raises_where_its_result_is_wanted(scripts: Project) -> None:
    said = run(
        scripts,
        """
with Executor(tag="failing") as executor:
    good, bad = executor.submit(f.double, 1), executor.submit(f.fails, 7)
    print(good.result(30), type(bad.exception(30)).__name__, bad.exception())
    print(bad.exception().error_type, 'raise ValueError(f"no {x}")' in bad.exception().traceback)
    for wrong in (lambda: executor.submit(lambda: 1), lambda: executor.submit(f.double),
                  lambda: executor.submit(f.double, f), lambda: executor.submit(os.getpid)):
        try:
            wrong()
        except simcelery.errors.UsageError as error:
            print(type(error).__name__)
""",
    )
    first, second, *refused = said
    assert first.startswith("2 JobFailedError job ")
    assert first.endswith("(function) failed: ValueError: no 7")
    assert second == "ValueError True"
    assert refused == ["DefinitionError", "ParametersError", "EncodingError", "DefinitionError"]


def test_the_same_call_made_again_is_the_same_job(scripts: Project, tmp_path: Path) -> None:
    code = f"""
with Executor(tag="again") as executor:
    calls = [executor.submit(f.traced, x, {str(tmp_path / "ran")!r}) for x in (1, 2, 3)]
    broken = executor.submit(f.once_broken, 1, {str(tmp_path / "repaired")!r})
    print([call.result(30) for call in calls], [call.job.id for call in calls])
    print(broken.exception(30), broken.job.how)
"""
    [ids, failed] = run(scripts, code)
    assert failed.endswith("not repaired new")
    (tmp_path / "repaired").touch()
    assert run(scripts, code) == [ids, "None retried"]
    assert sorted((tmp_path / "ran").read_text().split()) == ["1", "2", "3"]
    for other in (
        'Executor(tag="other")',
        'Executor(tag="again", version="2")',
        'Executor("again", dedupe=False)',
    ):
        run(scripts, code.replace('Executor(tag="again")', other))
    assert sorted((tmp_path / "ran").read_text().split()) == sorted("123" * 4)


def test_a_declared_workflow_is_submitted_as_itself(scripts: Project) -> None:
    [said] = run(
        scripts,
        """
with Executor(tag="declared", queue="nobody") as executor:
    call = executor.submit(f.declared, 1, y=5)
    row = call.job.row()
    print(row.workflow, row.queue, row.tags, row.parameters, call.cancel(), call.cancelled())
""",
    )
    assert said == "functions.declared nobody ['declared'] {'x': 1, 'y': 5} True True"


def test_ctrl_c_leaves_the_jobs_and_the_next_run_gets_their_results(scripts: Project, tmp_path: Path) -> None:
    go, ran = tmp_path / "go", tmp_path / "ran"
    code = f"""
with Executor(tag="scan") as executor:
    calls = [executor.submit(f.traced, x, {str(ran)!r}) for x in range(20)]
    waiting = [executor.submit(f.slow, x, 300, {str(go)!r}) for x in range(20)]
    print(sum(call.result() for call in calls), flush=True)
    print(sum(call.result() for call in waiting))
"""
    script = start(scripts, code)
    assert script.stdout
    assert script.stdout.readline() == "190\n"
    wait_until(lambda: len(simcelery.jobs(tags=["scan"])) == 40)
    script.send_signal(signal.SIGINT)
    _, complained = end(script)
    assert script.returncode == -signal.SIGINT  # which shells call 130
    assert complained.count("\n") == 1
    assert "simcelery: 20 of 40 jobs have not ended and go on without this script" in complained
    assert "run it again to get their results; 'simcelery watch -t scan' shows them" in complained
    go.touch()
    assert run(scripts, code) == ["190", "190"]
    assert len(simcelery.jobs(tags=["scan"])) == 40
    assert len(ran.read_text().split()) == 20


@pytest.mark.parametrize("leave", ["interrupt", "break", "fail"])
def test_a_map_that_is_left_cancels_the_rest_and_an_interruption_does_not(
    scripts: Project, tmp_path: Path, leave: str
) -> None:
    tag, go = f"map-{leave}", tmp_path / "go"
    ways = {"interrupt": "os.kill(os.getpid(), 2); time.sleep(60)", "break": "break", "fail": "pass"}
    code = f"""
executor = Executor(tag={tag!r})
called = functools.partial(f.first_soon, go={str(go)!r}, fail={leave == "fail"})
for result in executor.map(called, range(20)):
    {ways[leave]}
"""
    script = start(scripts, code, f"map_{leave}.py")

    def found() -> list[str]:
        return [job.state for job in simcelery.jobs(tags=[tag])]

    try:
        _, complained = end(script)
        if leave == "interrupt":  # a slice that took them all puts back what it has not begun, a moment later
            wait_until(lambda: State.PENDING in found())
        states = found()
    finally:
        go.touch()  # or the others wait for slots
    # What is cancelled before it was recorded never is.
    cancelled = State.CANCELLED in states or len(states) < 20
    assert cancelled == (leave != "interrupt"), complained
    assert (State.PENDING in states) == (leave == "interrupt"), complained


def test_ten_thousand_calls_take_seconds_and_none_is_lost(scripts: Project) -> None:
    code = """
begun = time.monotonic()
executor = Executor(tag="many", queue="nobody")
for x in range(10_000):
    executor.submit(f.double, x)
print(time.monotonic() - begun)
os.kill(os.getpid(), 2)
time.sleep(60)
"""
    said, complained = end(start(scripts, code))
    assert "10,000 of 10,000 jobs have not ended" in complained
    assert len(simcelery.jobs(tags=["many"])) == 10_000
    assert float(said) < within(30)


def test_functions_of_the_script_itself(scripts: Project) -> None:
    code = """
import dataclasses
@dataclasses.dataclass
class Energy:
    value: float
def energy(x: float) -> Energy: return Energy(2 * x)
if __name__ == "__main__":
    with Executor(tag="own") as executor:
        print(executor.submit(energy, 1).result(30), executor.submit(energy, 1).job.parameters["function"])
"""
    said, complained = end(start(scripts, code, "own.py"))
    assert said == "Energy(value=2.0) own:energy\n", complained


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unguarded.py", "put it below if __name__ == '__main__':"),
        ("deeper/own.py", "move it into a module there"),
        ("not-a-name.py", "no module can have this name"),
    ],
)
def test_a_script_that_no_worker_can_import_is_told_what_to_do(
    scripts: Project, name: str, words: str
) -> None:
    (scripts.folder / "deeper").mkdir(exist_ok=True)
    code = "import simcelery\ndef g(x): return x\nsimcelery.Executor().submit(g, 1)\n"
    script = start(scripts, code, name, head="")
    _, complained = end(script)
    assert script.returncode == 1
    assert words in complained.splitlines()[-1]


def test_a_worker_runs_the_source_as_it_is_now(scripts: Project) -> None:
    """Between two runs of a script its functions are edited; the worker is not restarted."""
    file = scripts.folder / "edited.py"
    for version in ("1", "two", "3.5"):
        file.write_text(f"def answer(): return {version!r}\n")
        [said] = run(
            scripts,
            f"""
import edited
with Executor(tag="edited", version={version!r}) as executor:
    print(executor.submit(edited.answer).result(30))
""",
        )
        assert said == version
    # A failure is tried again with the source as it is now; what has succeeded is used, and that is said.
    code = """
import edited
with Executor(tag="edited") as executor:
    call = executor.submit(edited.other)
    print(call.exception(30) is None, call.job.how)
"""
    file.write_text("def other(): raise ValueError\n")
    assert run(scripts, code) == ["False new"]
    file.write_text("def other(): return 1\n")
    assert run(scripts, code) == ["True retried"]
    file.write_text("def other(): return 2\n")
    done = scripts.python(HEAD + code)
    assert done.stdout == "True existing\n"
    assert "the source of edited:other has changed since" in done.stderr


def test_the_example_runs_twice_and_computes_once(scripts: Project) -> None:
    code = (Path(__file__).parents[2] / "examples" / "scan" / "scan.py").read_text()
    first, _ = end(start(scripts, code, "scan.py", head=""))
    second, _ = end(start(scripts, code, "scan.py", head=""))
    assert sorted(first.splitlines()) == sorted(second.splitlines())
    assert "   5°   2.0071 s" in first
    assert len(first.splitlines()) == 35 == len(simcelery.jobs(tags=["pendulum"]))


def test_an_executor_waits_for_a_board_that_is_away(own: tuple[Settings, Project]) -> None:
    settings, project = own
    (project.folder / "functions.py").write_text(FUNCTIONS)
    project.worker()
    script = start(
        project,
        """
with Executor(tag="away") as executor:
    print(executor.submit(f.double, 1).result(), flush=True)
    input()
    calls = [executor.submit(f.double, x) for x in range(100)]
    print("called", flush=True)
    print(sum(call.result() for call in calls), len({call.job.id for call in calls}))
""",
    )
    assert script.stdin
    assert script.stdout
    assert script.stdout.readline() == "2\n"
    kill_server(settings, "postgres")
    script.stdin.write("\n")
    script.stdin.flush()
    assert script.stdout.readline() == "called\n"
    services.up(settings)
    said, complained = end(script)
    assert said == "9900 100\n", complained
    assert len(outcomes(settings)) == 100


def test_a_first_call_without_a_board_fails_at_once(scripts: Project) -> None:
    done = scripts.python(
        HEAD + "Executor().submit(f.double, 1)", SIMCELERY_DATABASE_URL="postgresql://a:b@127.0.0.1:1/none"
    )
    assert done.returncode == 1
    assert "BoardUnreachableError" in done.stderr.splitlines()[-1]


def test_a_first_call_to_a_board_without_a_schema_fails_at_once(scripts: Project, servers: Services) -> None:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE no_schema")
    url = servers.database_url.rpartition("/")[0] + "/no_schema"
    done = scripts.python(HEAD + "Executor().submit(f.double, 1)", SIMCELERY_DATABASE_URL=url)
    assert done.returncode == 1
    assert "SchemaError" in done.stderr.splitlines()[-1]


def test_a_row_that_somebody_wrote_calls_nothing_but_the_projects_functions(
    scripts: Project, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    job = builtin.function.submit(function="os:mkdir", arguments={"path": str(trap)})
    with pytest.raises(JobFailedError, match="jobs may not call functions of module os"):
        job.result(within(30))
    assert not trap.exists()


@pytest.mark.parametrize("nth", [1, 2], ids=["with the first call", "with those after it"])
@pytest.mark.parametrize("line", ["before_record_commit", "after_record", "before_send", "after_send"])
def test_a_script_killed_at_any_line_finds_its_calls_again_and_nothing_runs_twice(
    scripts: Project, tmp_path: Path, line: str, nth: int
) -> None:
    ran, tag = tmp_path / "ran", f"{line}-{nth}"
    code = f"""
with Executor(tag={tag!r}) as executor:
    calls = [executor.submit(f.traced, x, {str(ran)!r}) for x in range(40)]
    print(sum(call.result(60) for call in calls))
"""
    killed = scripts.python(HEAD + code, SIMCELERY_FAILPOINTS=f"{line}=kill@{nth}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run(scripts, code) == ["780"]
    assert run(scripts, code) == ["780"]
    assert sorted(map(int, ran.read_text().split())) == list(range(40))
    assert len(simcelery.jobs(tags=[tag])) == 40
