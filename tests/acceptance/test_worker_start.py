"""A worker that cannot keep the promises says so in one line, and does not start."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.conftest import Project
from tests.waiting import within

pytestmark = pytest.mark.installed_programs

WORKER = ("celery", "-A", "simcelery", "worker", "-c", "1")


def one_line(project: Project, *options: str, **environment: str) -> str:
    """What a worker that must not start says."""
    done = project.run(*WORKER, *options, timeout=within(30), **environment)
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("simcelery: ")]
    return line


def test_another_pool_is_refused(project: Project) -> None:
    assert "the pool 'solo' cannot end a job" in one_line(project, "--pool", "solo")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("app.conf.task_acks_late = True", "task_acks_late would run long jobs twice"),
        ("app.conf.task_reject_on_worker_lost = True", "task_reject_on_worker_lost would run"),
        ("app.conf.broker_transport_options = {'socket_timeout': 5}", "ack_emulation is on"),
        (
            "app.conf.broker_transport_options |= {'ack_emulation': True}",
            "ack_emulation is on",
        ),
    ],
)
def test_an_unsafe_configuration_is_refused(project: Project, change: str, reason: str) -> None:
    (project.folder / "sims.py").write_text(f"from simcelery import app\n{change}\n")
    assert reason in one_line(project)


def test_a_module_that_does_not_import_is_named(project: Project) -> None:
    (project.folder / "sims.py").write_text("import nonesuch\n")
    line = one_line(project)
    assert "module 'sims' does not import: ModuleNotFoundError: No module named 'nonesuch'" in line
    assert "sims.py, line 1" in line


def test_missing_services_are_named(project: Project) -> None:
    gone = {"SIMCELERY_DATABASE_URL": "", "SIMCELERY_BROKER_URL": "", "SIMCELERY_HOME": str(project.folder)}
    assert "run 'simcelery up', or set SIMCELERY_" in one_line(project, **gone)


def test_a_malformed_setting_is_named(project: Project) -> None:
    assert "setting 'lease'" in one_line(project, SIMCELERY_LEASE="soon")


def test_the_effective_configuration_is_ours(project: Project) -> None:
    done = project.python(
        """
        from simcelery import app
        print(app.conf.broker_transport_options["ack_emulation"], app.conf.worker_disable_prefetch)
        with app.connection_for_write() as connection:
            print(*connection.default_channel.priority_steps)
        print(app.conf.task_acks_late, app.conf.worker_cancel_long_running_tasks_on_connection_loss)
        """
    )
    assert done.stdout.splitlines() == ["False True", "0 1 2 3 4 5 6 7 8 9", "False False"], done.stderr


def test_jobs_run_most_urgent_first(project: Project) -> None:
    order = project.folder / "order"
    code = f"""
    import sims
    for priority in (0, 9, 4, 7, 1, 5, 2, 8, 3, 6):
        sims.trace.submit({str(order)!r}, text=str(priority), priority=priority)
    """
    submitted = project.python(code)
    assert (submitted.returncode, submitted.stderr) == (0, ""), "all messages are in Redis"
    project.worker("-c", "1")
    done = project.python("import simcelery; print(all(j.wait(30) for j in simcelery.jobs()))")
    assert done.stdout == "True\n", done.stderr
    assert order.read_text().split() == list("9876543210")


def test_its_processes_have_short_names_of_one_word(project: Project) -> None:
    """Slurm's proctrack/linuxproc does not find others; the long name tells which is which."""
    worker = project.worker("-c", "1")
    every = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    named = [Path(f"/proc/{one.pid}/comm").read_text().strip() for one in every]
    assert "celery" in named
    assert not any(" " in name for name in named)
    assert any("celeryd" in " ".join(one.cmdline()) for one in every)


def test_its_children_end_with_it_and_load_nothing_to_say_so(project: Project) -> None:
    """Where cffi is installed, billiard's own call has each of them load a parser of C."""
    assert find_spec("cffi") is not None
    with (project.folder / "sims.py").open("a") as sims:
        sims.write(
            """

@workflow
def end() -> list:
    import ctypes

    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)
    return [number.value, "pycparser" in sys.modules]
"""
        )
    project.worker("-c", "1")
    done = project.python("import sims; print(sims.end.submit().result(timeout=60))")
    assert done.stdout == "[9, False]\n", done.stderr


@pytest.mark.parametrize("option", ["--time-limit", "--soft-time-limit"])
def test_celerys_own_time_limits_are_refused(project: Project, option: str) -> None:
    done = project.run("celery", "-A", "simcelery", "worker", "-c", "1", option, "10")
    assert done.returncode == 2
    assert "time limits are set for each job" in done.stderr.splitlines()[-1]
