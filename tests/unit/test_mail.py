"""Notifications by mail, as a real server receives them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simcelery.notifying import sending
from simcelery.notifying.sending import NoWayOutError, RefusedError, send
from tests.mailbox import Mailbox, mailbox
from tests.tls import Authority, Certificate

NOTE: dict[str, Any] = {
    "id": "11111111-2222-3333-4444-555555555555",
    "event": "first-failure",
    "text": "3 jobs of größe (Öl, 油): job 7 failed: E: a\r\nBcc: evil@example.org\r\n\r\nBody\x00\x1b[31m "
    + "x" * 2000,
    "tags": ["Öl", "油\nX-Evil: 1"],
}


@pytest.fixture
def server(mail_via: Callable[[str], None]) -> Iterator[Mailbox]:
    with mailbox() as made:
        mail_via(f"smtp://127.0.0.1:{made.port}")
        yield made


def test_a_mail_arrives_as_it_was_meant_and_has_no_header_of_a_job(server: Mailbox) -> None:
    send("mailto:me@example.org,you@example.org", NOTE)
    [mail] = server.arrived
    assert server.recipients == [["me@example.org", "you@example.org"]]
    assert (mail["From"], mail["To"]) == ("sims@example.org", "me@example.org, you@example.org")
    assert mail["Subject"].startswith("3 jobs of größe (Öl, 油): job 7 failed: E: a Bcc: evil@example.org")
    assert len(mail["Subject"]) <= 200
    assert mail["Message-ID"] == f"<{NOTE['id']}@simcelery>"
    assert not {"bcc", "x-evil"} & {name.lower() for name in mail}
    body = mail.get_content()
    assert "job 7 failed: E: a" in body
    assert json.loads(body[body.index("{") :]) == NOTE
    assert server.logins == []


@pytest.mark.parametrize("name", ["id", "event", "text"])
def test_a_body_of_others_puts_nothing_into_a_header(server: Mailbox, name: str) -> None:
    """Whoever writes to the board may write it: it is refused, or one line."""
    try:
        send("mailto:me@example.org", {**NOTE, name: "a\r\nBcc: evil@example.org"})
    except ValueError:
        assert server.arrived == []
    else:
        assert server.arrived[0]["Bcc"] is None


def test_a_server_that_refuses_is_told_apart_from_one_that_is_not_there(
    server: Mailbox, mail_via: Callable[[str], None]
) -> None:
    for answer in ("550 no such user", "451 later", "552 too much\r\n"):
        server.answer = answer
        with pytest.raises(RefusedError, match="the mail server refused it"):
            send("mailto:me@example.org", NOTE)
    server.answer = "250 OK"
    send("mailto:me@example.org", NOTE)
    assert len(server.arrived) == 1


def test_a_password_is_used_and_shown_nowhere(server: Mailbox, mail_via: Callable[[str], None]) -> None:
    mail_via(f"smtp://me%40example.org:p%40ss%3Aword%2F@127.0.0.1:{server.port}")
    send("mailto:me@example.org", NOTE)
    assert server.logins == [(b"me@example.org", b"p@ss:word/")]
    mail_via(f"smtp://me:wrong-secret@127.0.0.1:{server.port}")
    with pytest.raises(RefusedError) as refused:
        send("mailto:me@example.org", NOTE)
    assert str(refused.value) == "the mail server refused it (SMTPAuthenticationError)"


def test_a_password_is_not_sent_over_a_network_unencrypted(
    server: Mailbox, mail_via: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_is_here", lambda _: False)  # a test has no server on another machine
    send("mailto:me@example.org", NOTE)
    mail_via(f"smtp://me:secret@127.0.0.1:{server.port}")
    with pytest.raises(NoWayOutError, match="offers no encryption, so it gets no password"):
        send("mailto:me@example.org", NOTE)
    assert (len(server.arrived), server.logins) == (1, [])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"), "ca")


def context(certificate: Certificate) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate.certificate, certificate.key)
    return made


@pytest.mark.parametrize("kind", ["starttls", "smtps"])
@pytest.mark.parametrize(
    ("name", "days", "trusted"),
    [
        ("IP:127.0.0.1", 2, True),
        ("IP:127.0.0.1", 2, False),
        ("DNS:other", 2, True),
        ("IP:127.0.0.1", -1, True),
    ],
    ids=["trusted", "of an unknown authority", "of another host", "expired"],
)
def test_a_mail_is_encrypted_and_only_for_the_server_that_is_meant(
    authority: Authority,
    mail_via: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    name: str,
    days: int,
    trusted: bool,
) -> None:
    encrypted = context(authority.issue("mail", name, days))
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with mailbox(**{kind: encrypted}) as server:
        scheme = "smtps" if kind == "smtps" else "smtp"
        mail_via(f"{scheme}://me:p%40ss%3Aword%2F@127.0.0.1:{server.port}")
        if trusted and name.startswith("IP") and days > 0:
            send("mailto:me@example.org", NOTE)
            assert server.encrypted == [True]
            assert len(server.logins) == 1
        else:
            with pytest.raises(NoWayOutError, match="its certificate is not accepted"):
                send("mailto:me@example.org", NOTE)
            assert (server.arrived, server.logins) == ([], [])
