"""A worker behind a firewall that lets nobody in, and lets it out only to Postgres and Redis."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from benchmarks import _bouncer
from simcelery import get_job
from simcelery.services import Services
from tests import ssh
from tests.acceptance.helpers import submit, submit_command, wait_for_command
from tests.acceptance.sites import NEEDED, POSTGRES, REDIS, Site, elsewhere, port_of, site
from tests.board_helpers import attempts
from tests.namespaces import GATEWAY, NODE
from tests.processes import command_alive, sleeper
from tests.tls import Authority, server_side
from tests.waiting import wait_until, within

pytestmark = NEEDED


@pytest.fixture
def behind(board: Services, tmp_path: Path) -> Iterator[Site]:
    """A node that reaches Postgres and Redis."""
    with site(board, tmp_path, POSTGRES, REDIS) as made:
        yield made


def test_the_firewall_of_these_tests_lets_nobody_in_and_out_only_to_postgres_and_redis(behind: Site) -> None:
    network = behind.network
    with network.node.listen(8000), network.gateway.listen(8000):
        assert network.node.open_ports() == [8000]
        assert network.node.reaches("127.0.0.1", 8000)
        assert not network.gateway.reaches(NODE, 8000)
        assert network.tried_elsewhere() == 0
        assert not network.node.reaches(GATEWAY, 8000)
        assert network.tried_elsewhere() > 0
        assert all(network.node.reaches(GATEWAY, port) for port in (POSTGRES, REDIS))
    network.cut()
    assert not network.node.reaches(GATEWAY, REDIS)
    network.mend(forget=True)
    assert network.node.reaches(GATEWAY, REDIS)


def test_a_worker_that_only_opens_two_connections_does_all_that_a_worker_does(
    behind: Site, tmp_path: Path
) -> None:
    here = behind.here
    worker = behind.node.worker("-c", "4")
    speaks = submit(here, f"speaks.submit(['first', ' and last'], {str(tmp_path)!r})")
    writes = submit(here, f"writes.submit('log.lammps', 14, {str(tmp_path)!r})")
    seconds = sleeper()
    endless = submit_command(here, "sleep", seconds)
    wait_for_command(f"sleep {seconds}")

    wait_until(lambda: here.run("simcelery", "logs", str(speaks.id)).stdout == "first\n")
    read = here.run("simcelery", "logs", str(writes.id), "--file", "log.lammps", "--tail", "1")
    assert read.stdout == "step 1\n", read.stderr
    [listed] = json.loads(here.run("simcelery", "workers", "-o", "json").stdout)
    assert (listed["host"], listed["state"], listed["pid"]) == ("node", "live", worker.pid)
    pinged = here.run("celery", "-A", "simcelery", "inspect", "ping", "--json")
    assert json.loads(pinged.stdout) == {"w0@node": {"ok": "pong"}}
    heard = here.python(HEARTBEAT)
    assert heard.stdout == "w0@node\n", heard.stderr
    doctor = behind.node.run("simcelery", "doctor")
    assert doctor.returncode == 0, doctor.stdout

    assert here.run("simcelery", "cancel", str(endless.id), "--wait").returncode == 0
    assert endless.state == "cancelled"
    assert command_alive(f"sleep {seconds}") == 0
    for number in (0, 1):
        (tmp_path / str(number)).touch()
    assert speaks.result(timeout=within(30)) == 2
    writes.wait(timeout=within(30))
    assert behind.network.node.open_ports() == []
    assert behind.network.tried_elsewhere() == 0


def test_a_client_that_reaches_only_postgres_records_jobs_and_is_told_what_is_closed(
    board: Services, tmp_path: Path
) -> None:
    with site(board, tmp_path, POSTGRES) as made:
        began = time.monotonic()
        done = made.node.run("simcelery", "submit", "sims.add", "a=1", "-o", "quiet")
        assert done.returncode == 0, done.stderr
        assert "will be published later" in done.stderr
        assert time.monotonic() - began < within(10)
        doctor = made.node.run("simcelery", "doctor", "-o", "json")
        assert doctor.returncode == 3
        [failed] = [one for one in json.loads(doctor.stdout)["checks"] if one["verdict"] == "FAIL"]
        assert failed["name"] == "broker"
        assert "Timeout connecting to server" in failed["found"]
        made.here.worker("-c", "1")
        assert get_job(int(done.stdout)).result(timeout=within(30)) == 2


@pytest.mark.skipif(_bouncer.MISSING is not None, reason=str(_bouncer.MISSING))
@pytest.mark.skipif(not shutil.which("openssl"), reason="the program openssl makes the certificates")
def test_through_tls_with_a_pgbouncer_in_between(board: Services, tmp_path: Path) -> None:
    certificate = Authority.make(tmp_path, "ca").issue("gateway", f"IP:{GATEWAY}")
    stranger = Authority.make(tmp_path, "stranger").certificate
    tls = {
        "client_tls_sslmode": "require",
        "client_tls_key_file": certificate.key,
        "client_tls_cert_file": certificate.certificate,
    }
    with (
        _bouncer.bouncer(board.database_url, **tls) as url,
        site(replace(board, database_url=url), tmp_path, POSTGRES, 6380) as made,
    ):
        made.network.serve(6380, port_of(board.broker_url), server_side(certificate))
        trusted = tmp_path / "ca.pem"
        verified = made.node.environment["SIMCELERY_DATABASE_URL"] + "?sslmode=verify-full&sslrootcert="
        broker = elsewhere(board.broker_url, f"{GATEWAY}:6380").replace("redis:", "rediss:")
        made.node.environment["SIMCELERY_DATABASE_URL"] = f"{verified}{trusted}"
        made.node.environment["SIMCELERY_BROKER_URL"] = f"{broker}?ssl_ca_certs={trusted}"
        worker = made.node.worker("-c", "1")
        assert submit(made.here, "add.submit(1)").result(timeout=within(30)) == 2
        checks = json.loads(made.node.run("simcelery", "doctor", "-o", "json").stdout)["checks"]
        assert [one["verdict"] for one in checks if one["name"] == "encryption"] == ["ok", "ok"]
        refused = made.node.run("simcelery", "status", SIMCELERY_DATABASE_URL=f"{verified}{stranger}")
        assert refused.returncode == 3
        assert "cannot be trusted: its certificate has expired, or is not signed" in refused.stderr
        assert made.network.tried_elsewhere() == 0
        assert worker.poll() is None


@pytest.mark.skipif(not ssh.installed(), reason="ssh and sshd are not installed (Debian: openssh-server)")
def test_through_an_ssh_tunnel_that_dies_and_one_that_falls_silent(board: Services, tmp_path: Path) -> None:
    with site(board, tmp_path, 22) as made, ssh.tunnel(made.network, tmp_path / "ssh") as tunnel:
        for name, port in (("DATABASE", POSTGRES), ("BROKER", REDIS)):
            url = made.here.environment[f"SIMCELERY_{name}_URL"]
            made.node.environment[f"SIMCELERY_{name}_URL"] = elsewhere(url, f"127.0.0.1:{port}")
        worker = made.node.worker("-c", "2", SIMCELERY_LEASE="20")
        speaks = submit(made.here, f"speaks.submit(['first', 'second'], {str(tmp_path)!r})")
        seconds = sleeper()
        endless = submit_command(made.here, "sleep", seconds)
        wait_for_command(f"sleep {seconds}")
        wait_until(lambda: speaks.log() == "first")

        os.kill(tunnel.client(), signal.SIGKILL)
        (tmp_path / "0").touch()
        wait_until(lambda: speaks.log() == "firstsecond", 30)

        stuck = tunnel.client()
        made.network.cut()
        wait_until(lambda: not psutil.pid_exists(stuck), 15)  # it has noticed
        made.network.mend(forget=True)
        made.here.run("simcelery", "cancel", str(endless.id), "--wait")
        assert command_alive(f"sleep {seconds}") == 0
        (tmp_path / "1").touch()
        assert speaks.result(timeout=within(30)) == 2
        assert [one["outcome"] for one in attempts(speaks.id)] == ["succeeded"]
        assert not made.network.node.reaches(GATEWAY, POSTGRES)  # but for the tunnel
        assert worker.poll() is None


# What the monitor knows workers by.
HEARTBEAT = """
    from simcelery import app

    def heard(event):
        print(event["hostname"])
        receiver.should_stop = True

    with app.connection() as connection:
        receiver = app.events.Receiver(connection, {"worker-heartbeat": heard})
        receiver.capture(timeout=30)
"""
