"""Servers behind TLS: who they are is asked, and every kind of wrong certificate is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from simcelery.board.reads.encryption import in_words
from simcelery.broker.encryption import VerifiedConnection, gap
from simcelery.services import Services
from tests.conftest import Project
from tests.tls import Authority, Certificate, proxy
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="the program openssl makes the certificates"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tls"), "ca")


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> dict[str, Certificate]:
    folder = authority.certificate.parent
    here = "DNS:localhost,IP:127.0.0.1"
    return {
        "right": authority.issue("right", here),
        "other name": authority.issue("other", "DNS:redis.example.org"),
        "expired": authority.issue("expired", here, days=-1),
        "other CA": Authority.make(folder, "other-ca").issue("stranger", here),
        "self-signed": Authority.make(folder, "self"),
    }


@pytest.fixture
def tls(
    board: Services, certificates: dict[str, Certificate], request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of the board's Redis through TLS, with the certificate that the test is given."""
    parts = urlsplit(board.broker_url)
    assert parts.port is not None
    with proxy(certificates[getattr(request, "param", "right")], parts.port) as port:
        yield f"rediss://:{parts.password}@localhost:{port}/0"


@pytest.fixture
def tls_board(
    board: Services, certificates: dict[str, Certificate], request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of the board through TLS, with the certificate that the test is given."""
    parts = urlsplit(board.database_url)
    assert parts.port is not None
    with proxy(certificates[getattr(request, "param", "right")], parts.port, asked=True) as port:
        yield f"postgresql://{parts.username}:{parts.password}@localhost:{port}{parts.path}"


WRONG = {
    "other name": "certificate is for another name (Hostname mismatch",
    "expired": "certificate has expired: give the server a valid one",
    "other CA": "its certificate is not signed by a CA known here",
    "self-signed": "its certificate is not signed by a CA known here",
}


@pytest.mark.parametrize(("tls", "reason"), WRONG.items(), indirect=["tls"])
def test_a_wrong_certificate_is_refused_in_one_line(
    tls: str, reason: str, project: Project, authority: Authority
) -> None:
    url = f"{tls}?ssl_ca_certs={authority.certificate}"
    worker = project.run("celery", "-A", "simcelery", "worker", "-c", "1", SIMCELERY_BROKER_URL=url)
    assert worker.returncode == 3
    [line] = [line for line in worker.stderr.splitlines() if line.startswith("simcelery: ")]
    assert "cannot be trusted" in line
    assert reason in line
    doctor = project.run("simcelery", "doctor", "-o", "json", SIMCELERY_BROKER_URL=url)
    assert doctor.returncode == 3
    [check] = [one for one in json.loads(doctor.stdout)["checks"] if one["verdict"] == "FAIL"]
    assert reason in check["found"]


WRONG_BOARD = {
    "other name": "its certificate is for another name (server certificate for",
    "expired": "its certificate has expired, or is not signed by the CA in sslrootcert",
    "other CA": "its certificate has expired, or is not signed by the CA in sslrootcert",
    "self-signed": "its certificate has expired, or is not signed by the CA in sslrootcert",
}


@pytest.mark.parametrize(("tls_board", "reason"), WRONG_BOARD.items(), indirect=["tls_board"])
def test_a_wrong_certificate_of_the_board_is_refused_in_one_line(
    tls_board: str, reason: str, project: Project, authority: Authority
) -> None:
    url = {"SIMCELERY_DATABASE_URL": f"{tls_board}?sslmode=verify-full&sslrootcert={authority.certificate}"}
    for words in (("simcelery", "list"), ("simcelery", "submit", "sims.add", "a=1")):
        client = project.run(*words, **url)
        assert client.returncode == 3
        assert client.stderr.count("\n") == 1
        assert "cannot be trusted" in client.stderr
        assert reason in client.stderr
    worker = project.run("celery", "-A", "simcelery", "worker", "-c", "1", **url)
    assert worker.returncode == 3
    [line] = [line for line in worker.stderr.splitlines() if line.startswith("simcelery: ")]
    assert "cannot be trusted" in line
    assert reason in line
    doctor = project.run("simcelery", "doctor", "-o", "json", **url)
    assert doctor.returncode == 3
    assert any(reason in one["found"] for one in json.loads(doctor.stdout)["checks"])


@pytest.mark.parametrize(("tls", "reason"), WRONG.items(), indirect=["tls"])
def test_a_client_sends_nothing_to_a_redis_with_a_wrong_certificate(
    tls: str, reason: str, project: Project, authority: Authority
) -> None:
    """The job is on the board, and what kept its message back is said in one line."""
    url = {"SIMCELERY_BROKER_URL": f"{tls}?ssl_ca_certs={authority.certificate}"}
    done = project.run("simcelery", "submit", "sims.add", "a=1", **url)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "cannot be trusted" in done.stderr
    assert reason in done.stderr


def test_without_a_ca_a_board_is_not_trusted(tls_board: str, project: Project) -> None:
    for query in ("sslmode=verify-full", "sslmode=verify-full&sslrootcert=/no/such.pem"):
        done = project.run("simcelery", "list", SIMCELERY_DATABASE_URL=f"{tls_board}?{query}")
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert "there is no file of its CA" in done.stderr


def test_jobs_run_where_the_certificates_of_both_hold(
    tls: str, tls_board: str, project: Project, authority: Authority
) -> None:
    project.environment |= {
        "SIMCELERY_BROKER_URL": f"{tls}?ssl_ca_certs={authority.certificate}",
        "SIMCELERY_DATABASE_URL": f"{tls_board}?sslmode=verify-full&sslrootcert={authority.certificate}",
    }
    project.worker()
    done = project.run("simcelery", "submit", "--wait", "sims.add", "a=1")
    assert (done.returncode, done.stdout) == (0, "2\n")
    assert "not verified" not in project.logs()
    doctor = project.run("simcelery", "doctor").stdout
    assert doctor.count("nobody can eavesdrop") == 2


def test_without_parameters_the_systems_authorities_decide(
    tls: str, project: Project, authority: Authority
) -> None:
    refused = project.run("simcelery", "doctor", SIMCELERY_BROKER_URL=tls)
    assert refused.returncode == 3
    assert "its certificate is not signed by a CA known here" in refused.stdout
    trusting = {"SIMCELERY_BROKER_URL": tls, "SSL_CERT_FILE": str(authority.certificate)}
    assert project.run("simcelery", "doctor", **trusting).returncode == 0


def test_celerys_own_ways_to_name_a_broker_verify_as_well(tls: str, project: Project) -> None:
    for options, environment in ((("-b", tls), {}), ((), {"CELERY_BROKER_URL": tls})):
        done = project.run("celery", "-A", "simcelery", *options, "worker", "-c", "1", **environment)
        assert done.returncode == 3, done.stderr
        assert "its certificate is not signed by a CA known here" in done.stderr


@pytest.mark.parametrize("tls", ["self-signed"], indirect=True)
def test_none_must_be_said_and_is_warned_of(tls: str, project: Project) -> None:
    project.environment["SIMCELERY_BROKER_URL"] = f"{tls}?ssl_cert_reqs=none"
    project.worker()
    wait_until(lambda: "its certificate is not verified" in project.logs())
    doctor = project.run("simcelery", "doctor")
    assert doctor.returncode == 0
    assert "Redis: its certificate is not verified: remove ssl_cert_reqs=none" in doctor.stdout


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("ssl_cert_reqs=maybe", "ssl_cert_reqs must be one of required, optional, none, not 'maybe'"),
        ("ssl_cert_req=none", "has an unknown parameter 'ssl_cert_req'; known are ssl_cert_reqs"),
        ("ssl_ca_certs=/no/such.pem", "ssl_ca_certs: there is no file or folder /no/such.pem"),
        ("ssl_check_hostname=no", "ssl_check_hostname must be one of true, false, not 'no'"),
        ("ssl=true", "has an unknown parameter 'ssl';"),
    ],
)
def test_a_parameter_that_is_wrong_is_one_line(query: str, message: str, project: Project) -> None:
    url = {"SIMCELERY_BROKER_URL": f"rediss://localhost:1/0?{query}"}
    done = project.run("simcelery", "submit", "sims.add", "a=1", **url)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://localhost/0", ""),
        ("redis://127.0.0.1/0", ""),
        ("redis+socket:///run/redis.sock", ""),
        ("redis://redis.example.org/0", "it is not encrypted"),
        ("rediss://redis.example.org/0", ""),
        ("rediss://redis.example.org/0?ssl_cert_reqs=none", "its certificate is not verified"),
        ("rediss://redis.example.org/0?ssl_check_hostname=false", "any certificate from the same CA"),
        ("redis://redis.example.org/0?ssl_cert_reqs=none", "its certificate is not verified"),
    ],
)
def test_what_is_wrong_with_a_line_to_redis(url: str, words: str) -> None:
    found = gap(VerifiedConnection(url))
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize(
    ("address", "encrypted", "sslmode", "words"),
    [
        ("", False, "prefer", ""),
        ("127.0.0.1", False, "prefer", ""),
        ("::1", False, "disable", ""),
        ("192.0.2.1", False, "prefer", "it is not encrypted"),
        ("192.0.2.1", True, "prefer", "its certificate is not verified"),
        ("192.0.2.1", True, "require", "its certificate is not verified"),
        ("192.0.2.1", True, "verify-ca", "any certificate from the same CA"),
        ("192.0.2.1", True, "verify-full", ""),
    ],
)
def test_what_is_wrong_with_a_line_to_postgres(
    address: str, encrypted: bool, sslmode: str, words: str
) -> None:
    found = in_words(address, encrypted, sslmode)
    assert words in found
    assert bool(words) == bool(found)
