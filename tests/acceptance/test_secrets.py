"""Passwords are in the settings, and nowhere that others read: no output, log, page or list of processes."""

from __future__ import annotations

from urllib.parse import urlsplit

import psutil
import pytest

from tests import monitors, programs
from tests.conftest import Project
from tests.waiting import wait_until

WRONG = "a-wrong-password-7hq"
# Whatever shows settings, connects, or fails to.
SAID = [
    ("simcelery", "--debug", "doctor"),
    ("simcelery", "--debug", "doctor", "-o", "json"),
    ("simcelery", "--debug", "list"),
    ("simcelery", "--debug", "submit", "sims.add", "a=1"),
    ("simcelery", "--debug", "show", "1"),
    ("simcelery", "--debug", "cancel", "1"),
    ("simcelery", "--debug", "recover"),
    ("simcelery", "--debug", "db", "check"),
    ("simcelery", "--debug", "db", "roles", "--dry-run"),
    ("celery", "-A", "simcelery", "report"),
    ("celery", "-A", "simcelery", "inspect", "conf"),
    ("celery", "-A", "simcelery", "status"),
    ("python", "-c", "import simcelery, sims; print(simcelery.app.conf.humanize()); sims.add.submit(a=1)"),
    ("python", "-c", "from simcelery.settings import get_settings as s; print(s(), repr(s()))"),
]
PAGES = [
    "/workers",
    "/workers?json=1",
    "/worker/{worker}",
    "/broker",
    "/tasks",
    "/metrics",
    "/api/workers?refresh=1",
    "/api/workers?refresh=1&workername={worker}",
    "/api/queues/length",
    "/board",
    "/board/jobs/1",
    "/board/workers",
    "/no-such-page",
]


def passwords(project: Project) -> list[str]:
    """Those of the URLs that it is given."""
    found = [
        urlsplit(project.environment[f"SIMCELERY_{name}_URL"]).password for name in ("DATABASE", "BROKER")
    ]
    assert all(found)
    return [one for one in found if one]


def wrong(project: Project) -> dict[str, str]:
    """URLs whose passwords are not those of the servers."""
    return {
        name: project.environment[name].replace(password, WRONG)
        for name, password in zip(
            ("SIMCELERY_DATABASE_URL", "SIMCELERY_BROKER_URL"), passwords(project), strict=True
        )
    }


@pytest.fixture
def at_work(project: Project) -> Project:
    """A project with a worker that says all that it can say, and a job that it has run."""
    project.worker(level=("-l", "DEBUG"), SIMCELERY_PLAIN_TASKS="")
    assert project.run("simcelery", "submit", "sims.add", "a=1", "--wait").returncode == 0
    return project


def test_nothing_that_is_printed_or_logged_holds_a_password(at_work: Project) -> None:
    secret = passwords(at_work)
    for words in SAID:
        done = at_work.run(*words)
        assert not any(one in done.stdout + done.stderr for one in secret), words
    assert not any(one in at_work.logs() for one in secret)


@pytest.mark.parametrize("which", ["SIMCELERY_DATABASE_URL", "SIMCELERY_BROKER_URL"])
def test_a_wrong_password_is_not_repeated(project: Project, which: str) -> None:
    given = {which: wrong(project)[which]}
    for words in SAID:
        done = project.run(*words, **given)
        assert WRONG not in done.stdout + done.stderr, words
    log = project.folder / "worker.log"  # it is never ready
    words = project.words("celery", "-A", "simcelery", "worker", "-l", "DEBUG", "-c", "1")
    with log.open("wb") as output:
        worker = programs.start(words, project.folder, {**project.environment, **given}, output)
    project.processes.append(worker)
    wait_until(lambda: any(said in log.read_text() for said in ("is waiting", "Cannot connect")))
    assert WRONG not in log.read_text()


def test_no_page_of_the_monitor_holds_a_password(at_work: Project) -> None:
    monitor = monitors.start(at_work, FLOWER_UNAUTHENTICATED_API="true")
    wait_until(lambda: "w0@" in monitor.get("/workers?json=1").text)
    [worker] = [word for word in at_work.logs().split() if word.startswith("w0@")][:1]
    pages = [monitor.get(page.format(worker=worker)) for page in PAGES]
    assert "redis://" in pages[PAGES.index("/broker")].text
    for page in pages:
        assert not any(one in page.text + str(page.headers) for one in passwords(at_work))
    assert not any(one in at_work.logs() for one in passwords(at_work))


def test_no_list_of_processes_holds_a_password(at_work: Project) -> None:
    monitors.start(at_work)
    started = [one for process in at_work.processes for one in _family(process.pid)]
    assert len(started) > 4
    for words in started:
        assert not any(one in words for one in passwords(at_work))


def _family(pid: int) -> list[str]:
    process = psutil.Process(pid)
    return [" ".join(one.cmdline()) for one in (process, *process.children(recursive=True))]
