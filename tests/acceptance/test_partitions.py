"""The network of a node goes away without a word, for shorter and longer than the lease."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simcelery.services import Services
from tests import programs
from tests.acceptance.helpers import executions, submit, submit_command, wait_for_command
from tests.acceptance.sites import NEEDED, POSTGRES, REDIS, Site, site
from tests.board_helpers import attempts, row, sql
from tests.namespaces import GATEWAY
from tests.processes import command_alive, sleeper
from tests.relays import relay_to
from tests.waiting import wait_until, within

pytestmark = NEEDED


@pytest.fixture
def behind(board: Services, tmp_path: Path) -> Iterator[Site]:
    """A node that reaches Postgres and Redis."""
    with site(board, tmp_path, POSTGRES, REDIS) as made:
        yield made


def lease_left(host: str) -> float:
    """For how many seconds the worker of that host may hold jobs without renewing."""
    [(left,)] = sql(
        "SELECT extract(epoch FROM lease_expires_at - clock_timestamp()) FROM workers WHERE host = :host",
        host=host,
    )
    return float(left)


HTTPS = 443
SLOW = {"SIMCELERY_LEASE": "14", "SIMCELERY_RENEW_EVERY": "3.5", "SIMCELERY_TICK_EVERY": "60"}


OPENSSL = pytest.mark.skipif(not shutil.which("openssl"), reason="the program openssl makes the certificates")


@OPENSSL
def test_the_same_holds_where_only_https_gets_through(board: Services, tmp_path: Path) -> None:
    """Through a relay, with silence between the node and the relay."""
    with (
        site(board, tmp_path, HTTPS) as made,
        relay_to(made.here, tmp_path / "relay") as relay,
    ):
        made.network.serve(HTTPS, relay.port)
        node = relay.worker("node") | {"SIMCELERY_RELAY_URL": f"https://{GATEWAY}:{HTTPS}"}
        costs_nothing(made, tmp_path, **node)


@OPENSSL
def test_the_same_holds_where_the_relay_no_longer_reaches_the_servers(
    board: Services, tmp_path: Path
) -> None:
    """Worker and relay are on the node: they hear each other, and neither hears the servers."""
    with (
        site(board, tmp_path, POSTGRES, REDIS) as made,
        relay_to(made.node, tmp_path / "relay") as relay,
    ):
        costs_nothing(made, tmp_path, **relay.worker("node"))


@OPENSSL
def test_a_relay_gives_up_a_server_that_is_silent_and_whoever_waits_for_it(
    board: Services, tmp_path: Path
) -> None:
    """Although nothing is on the way there: the server has the question, and its answer is lost."""
    asking, said = "SELECT pg_sleep(90)", tmp_path / "said"
    code = f"""
from simcelery.board import connecting
from simcelery.settings import get_settings

connecting.connect(get_settings().board_url(), prepared_statements=False).execute({asking!r})
"""
    with (
        site(board, tmp_path, POSTGRES, REDIS) as made,
        relay_to(made.node, tmp_path / "relay") as relay,
    ):
        with said.open("wb") as output:
            words = made.node.words("python", "-c", code)
            environment = made.node.environment | relay.worker("node")
            waiting = programs.start(words, made.node.folder, environment, output)
        made.node.processes.append(waiting)
        find = "FROM pg_stat_activity WHERE query = :query"
        wait_until(lambda: sql(f"SELECT 1 {find}", query=asking))
        made.network.cut()
        wait_until(lambda: ": the board, ended after" in relay.log(), 15)
        assert waiting.wait(within(15)) == 1, said.read_text()
        assert sql(f"SELECT pg_terminate_backend(pid) {find}", query=asking) == [(True,)]


def costs_nothing(made: Site, folder: Path, **settings: str) -> None:
    """Cut the node's network off for less than the lease of its worker, which runs a job."""
    count = folder / "count"
    made.here.worker("-Q", "elsewhere", "-c", "1")  # who would judge
    made.node.worker("-c", "1", **SLOW, **settings)
    job = submit(made.here, f"trace.submit({str(count)!r}, pause=25.0)")
    wait_until(lambda: executions(count) == 1)
    wait_until(lambda: lease_left("node") > 13.8, every=0.01)
    made.network.cut()
    wait_until(lambda: lease_left("node") < 3.6)
    made.network.mend()
    wait_until_renewed(10)
    assert job.result(timeout=within(30)) == "ran"
    assert executions(count) == 1
    assert [one["outcome"] for one in attempts(job.id)] == ["succeeded"]


def wait_until_renewed(least: float) -> None:
    """Wait until so much is left of the node's lease, which must not end before."""

    def renewed() -> bool:
        left = lease_left("node")
        assert left > 0, "not renewed in time"
        return left > least

    wait_until(renewed)


def test_a_partition_shorter_than_the_lease_costs_nothing(behind: Site, tmp_path: Path) -> None:
    """TCP sends again after longer and longer pauses, and would be too late although the network is back."""
    costs_nothing(behind, tmp_path)


def test_after_a_partition_longer_than_the_lease_the_job_has_one_result_and_the_node_cleans_up(
    behind: Site, tmp_path: Path
) -> None:
    """And what was connected before stays silent for ever: the firewall has forgotten it."""
    here, node, network = behind.here, behind.node, behind.network
    worker = node.worker("-c", "2", "-Q", "default,other")
    mark, said = tmp_path / "second", tmp_path / "said"
    job = submit(here, f"speaks.submit(['a word'], {str(tmp_path)!r})")
    old, new = sleeper(), sleeper()
    command = submit_command(
        here, "sh", "-c", f"if test -e {mark}; then sleep {new}; else touch {mark}; sleep {old}; fi"
    )
    wait_for_command(f"sleep {old}")
    wait_until(lambda: job.state == "running")
    with said.open("wb") as output:
        words = node.words("simcelery", "wait", str(job.id))
        waiting = programs.start(words, node.folder, node.environment, output)
    node.processes.append(waiting)
    wait_until(lambda: asks(waiting.pid))
    here.worker("-c", "2", "-Q", "default")

    network.cut()
    (tmp_path / "0").touch()  # it ends there, and cannot say so
    began = time.monotonic()
    assert node.run("simcelery", "status").returncode == 3
    assert time.monotonic() - began < within(5 + 5)
    wait_for_command(f"sleep {new}")
    assert job.result(timeout=within(30)) == 1
    assert command_alive(f"sleep {old}") == 1  # nobody there to end it
    network.mend(forget=True)

    wait_until(lambda: command_alive(f"sleep {old}") == 0, 15)
    wait_until(lambda: attempts(job.id)[0]["late_outcome"], 15)
    lost, won = attempts(job.id)
    assert (lost["outcome"], lost["host"], lost["late_outcome"]["outcome"]) == ("lost", "node", "succeeded")
    assert (won["outcome"], won["host"] != "node", row(job.id).losses) == ("succeeded", True, 1)
    assert command_alive(f"sleep {new}") == 1
    assert submit(here, "elsewhere.submit()").result(timeout=within(30)) == "served"  # only the node could
    assert here.run("simcelery", "cancel", str(command.id), "--wait").returncode == 0
    assert command_alive(f"sleep {new}") == 0
    assert waiting.wait(within(30)) == 0, said.read_text()
    wait_until(lambda: not list((node.folder / "home of the node" / "spool").glob("*.json")))
    assert worker.poll() is None
    assert "Traceback" not in node.logs()


def asks(client: int) -> bool:
    """Whether this process is connected to the board."""
    return bool(
        sql("SELECT 1 FROM pg_stat_activity WHERE application_name = :name", name=f"simcelery {client}")
    )
