"""Redis with a replica and sentinels: its master dies under load. Of a cluster, everybody says what it is."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from simcelery.services import Services, programs
from simcelery.services.ports import choose_port
from tests import monitors
from tests.acceptance.helpers import executions, submit
from tests.board_helpers import sql
from tests.conftest import Project, make_project
from tests.monitors import Monitor
from tests.sentinels import PASSWORD, SENTINELS_PASSWORD, WITH_TLS, Watched, watched
from tests.tls import Authority
from tests.waiting import wait_until, within

# One after the other, as from a script: each is recorded, then published.
SUBMIT = """
import sims, time
for number in range({jobs}):
    sims.trace.submit({path!r}, pause=0.05)
    time.sleep(0.02)
"""


@pytest.fixture
def servers_of_redis(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as made:
        yield made


def all_ran_once(count: Path, jobs: int) -> None:
    done = "SELECT count(*) FROM jobs WHERE state = 'succeeded'"
    wait_until(lambda: sql(done) == [(jobs,)], 90, every=0.2)
    assert executions(count) == jobs
    assert sql("SELECT count(*) FROM attempts WHERE outcome <> 'succeeded'") == [(0,)]


def heard_of(monitor: Monitor) -> int:
    """How many workers Flower thinks alive, by their heartbeats."""
    return sum(one["status"] for one in json.loads(monitor.get("/workers?json=1").text)["data"])


@pytest.mark.timeout(240)
def test_when_its_master_dies_under_load_all_go_on_with_the_one_that_takes_over(
    project: Project, servers_of_redis: Watched, tmp_path: Path
) -> None:
    project.environment["SIMCELERY_BROKER_URL"] = servers_of_redis.url
    count = tmp_path / "count"
    workers = [project.worker("-c", "2") for _ in range(2)]
    monitor = monitors.start(project)
    first = servers_of_redis.master()
    submission = project.start_python(SUBMIT.format(jobs=200, path=str(count)))
    wait_until(lambda: executions(count) >= 40)
    servers_of_redis.kill(first)
    assert submission.wait(within(90)) == 0
    wait_until(lambda: servers_of_redis.has_moved(first), 30)
    all_ran_once(count, 200)

    # What was master, and has messages of then, is a replica when it comes back.
    servers_of_redis.start(first)
    wait_until(lambda: servers_of_redis.client(first).info("replication")["role"] == "slave", 60)
    done = project.python(SUBMIT.format(jobs=20, path=str(count)))
    assert (done.returncode, done.stderr) == (0, "")
    all_ran_once(count, 220)

    # A job that submits others does so from its pool child, which keeps the connection.
    done = project.run("simcelery", "submit", "sims.fan_out", "count=3", "--wait")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == [(225,)])
    assert "a new pool child replaces it" not in project.logs()

    # Commands reach workers through what the sentinels name, and doctor has found it, too.
    answers = project.run("celery", "-A", "simcelery", "inspect", "ping", "--json")
    assert len(json.loads(answers.stdout)) == 2, answers.stderr
    said = project.run("simcelery", "doctor", "-o", "json").stdout
    assert {one["verdict"] for one in json.loads(said)["checks"] if one["name"] == "redis"} == {"ok"}
    # So does the monitor, which was there before.
    wait_until(lambda: heard_of(monitor) == 2)
    page = monitor.get("/broker").text
    assert "sentinel://" in page
    assert [worker.poll() for worker in workers] == [None, None]
    for secret in (PASSWORD, SENTINELS_PASSWORD):
        assert secret not in project.logs()
        assert secret not in said + page


@pytest.mark.skipif(not shutil.which(WITH_TLS), reason="the wheel's Valkey speaks no TLS")
@pytest.mark.skipif(not shutil.which("openssl"), reason="the program openssl makes the certificates")
def test_with_tls_to_master_and_sentinels_it_is_the_same_and_no_stranger_is_trusted(
    project: Project, tmp_path: Path
) -> None:
    stranger = Authority.make(tmp_path, "stranger").certificate
    with watched(tmp_path, Authority.make(tmp_path, "ca")) as servers:
        project.environment["SIMCELERY_BROKER_URL"] = servers.url
        worker = project.worker("-c", "1")
        assert submit(project, "add.submit(1)").result(timeout=within(30)) == 2
        first = servers.master()
        servers.kill(first)
        wait_until(lambda: servers.has_moved(first), 30)
        assert submit(project, "add.submit(2)").result(timeout=within(60)) == 3
        said = project.run("simcelery", "doctor", "-o", "json").stdout
        checks = {(one["name"], one["verdict"]) for one in json.loads(said)["checks"]}
        assert {("redis", "ok"), ("encryption", "ok")} < checks

        wrong = servers.url.replace(str(tmp_path / "ca.pem"), str(stranger))
        assert wrong != servers.url
        done = project.run("simcelery", "submit", "sims.add", "a=3", SIMCELERY_BROKER_URL=wrong)
        assert done.returncode == 0
        assert "will be published later" in done.stderr
        assert "its certificate is not signed by a CA known here" in done.stderr
        assert worker.poll() is None


@pytest.fixture(params=["0 0", "0 16383"], ids=["one slot", "all slots"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of the only node of a cluster: it has these slots. With all of them, it takes messages."""
    port = choose_port()
    words = f"--port {port} --bind 127.0.0.1 --dir {tmp_path} --cluster-enabled yes".split()
    with (tmp_path / "cluster.log").open("wb") as log:
        process = subprocess.Popen([str(programs.valkey_program()), *words], stdout=log, stderr=log)
    try:
        with redis.Redis(port=port) as server:
            wait_until(lambda: "Ready to accept" in (tmp_path / "cluster.log").read_text())
            server.execute_command("CLUSTER", "ADDSLOTSRANGE", *request.param.split())
            if request.param != "0 0":
                wait_until(lambda: "cluster_state:ok" in str(server.execute_command("CLUSTER", "INFO")))
        yield port
    finally:
        process.kill()
        process.wait()


def test_of_a_cluster_everybody_says_in_one_line_that_it_is_none_to_use(
    board: Services, cluster: int, tmp_path: Path
) -> None:
    project = make_project(board, tmp_path)
    project.environment["SIMCELERY_BROKER_URL"] = f"redis://127.0.0.1:{cluster}/0"
    worker = project.run("celery", "-A", "simcelery", "worker", "-c", "1")
    assert worker.returncode == 2
    said = worker.stderr.splitlines()[-1]
    assert "broker_url leads to a node of a cluster: simcelery does not work with one" in said
    assert sql("SELECT count(*) FROM workers") == [(0,)]
    doctor = project.run("simcelery", "doctor")
    assert doctor.returncode != 0
    assert "it is a node of a cluster" in doctor.stdout
    done = project.run("simcelery", "submit", "sims.add", "a=1")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "will be published later" in done.stderr
    assert "it is a node of a cluster: simcelery does not work with one" in done.stderr
    assert sql("SELECT state, published_at FROM jobs") == [("pending", None)]
    with redis.Redis(port=cluster) as server:
        assert server.dbsize() == 0

    for scheme in ("redis+cluster", "valkey+cluster"):
        project.environment["SIMCELERY_BROKER_URL"] = f"{scheme}://127.0.0.1:{cluster}/0"
        done = project.run("simcelery", "submit", "sims.add", "a=1")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "is that of a cluster: simcelery does not work with one" in done.stderr
    assert sql("SELECT count(*) FROM jobs") == [(1,)]


@pytest.mark.parametrize("cluster", ["0 16383"], indirect=True)
def test_who_may_not_ask_whether_it_is_a_cluster_submits_all_the_same(
    board: Services, cluster: int, tmp_path: Path
) -> None:
    with redis.Redis(port=cluster) as server:
        server.execute_command("ACL SETUSER client on >of-a-test ~* &* +@all -info")
    project = make_project(board, tmp_path)
    project.environment["SIMCELERY_BROKER_URL"] = f"redis://client:of-a-test@127.0.0.1:{cluster}/0"
    done = project.run("simcelery", "submit", "sims.add", "a=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert sql("SELECT state, published_at IS NOT NULL FROM jobs") == [("pending", True)]
