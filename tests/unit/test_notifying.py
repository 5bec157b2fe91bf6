"""Addresses and forms of notifications, hostile ones too, and what receivers do to those who send them."""

from __future__ import annotations

import json
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from simcelery import settings
from simcelery.errors import ParametersError, SettingsError
from simcelery.maintenance.events import EVENTS as TOLD
from simcelery.notifying import forms, sending
from simcelery.notifying.addresses import checked, masked
from simcelery.notifying.sending import NoWayOutError, RefusedError, send
from simcelery.submission.options import Options
from tests.receiver import receiving

NOTE: dict[str, Any] = {
    "id": "11111111-2222-3333-4444-555555555555",
    "event": "done",
    "text": "3 jobs of w: <!channel> Fäße\r\nBcc: x@y.z",
}

REFUSED = {
    "mail -s done me@example.org": "watch --exec",
    "hooks.slack.com/services/T0/B0/secret": "watch --exec",
    "/bin/true": "watch --exec",
    "file:///etc/passwd-secret": "nothing is sent to file: addresses",
    "ftp://secret@example.org/": "nothing is sent to ftp: addresses",
    "javascript:secret": "nothing is sent to javascript: addresses",
    "unix:/var/run/secret.sock": "nothing is sent to unix:",
    "http://": "no valid host",
    "http:///secret": "no valid host",
    "http:secret": "no valid host",
    "https://exa mple.org/secret": "a space, a line break",
    "https://example.org/\r\nHost: secret": "a space, a line break",
    "https://example.org/\x00secret": "a space, a line break",
    "https://example.org:http/secret": "the host or the port",
    "https://example.org:99999/secret": "the host or the port",
    "https://[::1/secret": "the host or the port",
    "https://exam%70le.org/secret": "no valid host",
    "https://a\\@secret.example.org/": "no valid host",
    "https://..example.org/secret": "the host or the port",
    "https://example.org/" + "secret" * 400: "longer than 2,000",
    "mailto:": "takes mailboxes",
    "mailto:secret": "takes mailboxes",
    "mailto:me@example.org?bcc=secret@example.org": "takes mailboxes",
    "mailto:me@example.org%0aBcc:secret@example.org": "takes mailboxes",
    "mailto:me@example.org,,secret@example.org": "takes mailboxes",
    "mailto:-oQ/tmp/secret@example.org\n": "a space, a line break",
    "": "must be an address",
}


@pytest.mark.parametrize("address", REFUSED)
def test_what_nothing_can_be_sent_to_is_refused_in_one_line_that_quotes_no_secret(address: str) -> None:
    with pytest.raises(ParametersError) as refused:
        Options(notify=address if address else [""])
    assert REFUSED[address] in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("address", [5, None, b"http://example.org"])
def test_an_address_is_text(address: Any) -> None:
    with pytest.raises(ParametersError, match="as text"):
        checked(address)


@pytest.mark.parametrize(
    ("address", "stored", "shown"),
    [
        ("https://hooks.slack.com/services/T/B/X", None, "https://hooks.slack.com/***"),
        ("HTTPS://u:p@Example.org:8443/a?b=c#slack", None, "https://example.org:8443/***"),
        ("http://[::1]:8080/x", None, "http://[::1]:8080/***"),
        (
            "https://bücher.example/ä?q=ü",
            "https://xn--bcher-kva.example/%C3%A4?q=%C3%BC",
            "https://xn--bcher-kva.example/***",
        ),
        ("https://example.org", None, "https://example.org/***"),
        ("mailto:me@example.org,you@example.org", None, "mailto:me@example.org,you@example.org"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(address: str, stored: str | None, shown: str) -> None:
    assert stored is None or checked(address) == stored
    assert masked(checked(address)) == shown
    assert address not in repr(Options(notify=address))


def test_events_are_those_that_can_be_told() -> None:
    assert {event.name for event in TOLD} == {*forms.EVENTS}
    assert Options(notify_on=["stalled", "done", "stalled"]).notify_on == ("done", "stalled")
    for wrong in (["finished"], [], [5]):
        with pytest.raises(ParametersError, match="done, first-failure, held, stalled"):
            Options(notify_on=wrong)  # type: ignore[arg-type]


def test_a_url_is_sent_the_notification_with_its_id_and_without_what_is_secret_in_the_address() -> None:
    post = forms.post("https://me:p%40ss@example.org/a%20b?c=d#json", NOTE)
    assert post.url == "https://example.org/a%20b?c=d"
    assert post.headers[forms.ID_HEADER] == NOTE["id"]
    assert post.headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert json.loads(post.body) == NOTE


@pytest.mark.parametrize(
    "address", ["https://hooks.slack.com/services/T/B/X", "https://chat.example/hook#slack"]
)
def test_slack_gets_text_that_calls_nobody(address: str) -> None:
    post = forms.post(address, NOTE)
    assert json.loads(post.body) == {"text": "3 jobs of w: &lt;!channel&gt; Fäße\r\nBcc: x@y.z"}
    assert post.url == address.partition("#")[0]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("https://ntfy.sh/topic", "https://ntfy.sh/"),
        ("https://ntfy.example.org/base/topic/", "https://ntfy.example.org/base/"),
        ("http://127.0.0.1:1/topic#ntfy", "http://127.0.0.1:1/"),
    ],
)
def test_ntfy_gets_its_own_form(address: str, url: str) -> None:
    post = forms.post(address, NOTE)
    assert post.url == url
    assert json.loads(post.body) == {"topic": "topic", "title": "simcelery: done", "message": NOTE["text"]}


def test_a_mail_has_one_subject_line_and_the_same_id_each_time() -> None:
    message = forms.mail("mailto:me@example.org,you@example.org", NOTE, "sims@example.org")
    assert message["To"] == "me@example.org, you@example.org"
    assert message["Message-ID"] == f"<{NOTE['id']}@simcelery>"
    assert message["Bcc"] is None
    assert message["Subject"] == "3 jobs of w: <!channel> Fäße Bcc: x@y.z"
    assert b"\nBcc:" not in bytes(message).partition(b"\n\n")[0]


def test_who_answers_has_it() -> None:
    with receiving() as receiver:
        send(receiver.url, NOTE)
    [arrived] = receiver.arrived
    assert (arrived.path, arrived.body) == ("/T0/secret-token?key=hidden", NOTE)
    assert arrived.headers[forms.ID_HEADER] == NOTE["id"]


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_only_success_counts_and_nobody_is_sent_elsewhere(status: int) -> None:
    with receiving() as receiver, receiving() as elsewhere:
        receiver.status, receiver.answer = status, {"Location": elsewhere.url}
        with pytest.raises(RefusedError, match=f"the answer was {status}"):
            send(receiver.url, NOTE)
        assert len(receiver.arrived) == 1
        assert not elsewhere.arrived


@pytest.mark.parametrize("answer", [{"X": "y" * 100_000}, {f"X{n}": "y" for n in range(200)}])
def test_a_giant_answer_is_none(answer: dict[str, str]) -> None:
    with receiving() as receiver:
        receiver.answer = answer
        with pytest.raises(RefusedError, match="no readable answer"):
            send(receiver.url, NOTE)


def test_who_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 0.2)
    with receiving() as receiver:
        receiver.slow = 2.0
        with pytest.raises(RefusedError, match=r"no answer within 0\.2 s"):
            send(receiver.url, NOTE)


def test_who_cannot_be_reached_from_here_may_be_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        with pytest.raises(NoWayOutError, match="connection refused"):
            send(f"http://127.0.0.1:{taken.getsockname()[1]}/secret", NOTE)
    with pytest.raises(NoWayOutError, match="the name of its host is not known here"):
        send("http://no-such-host.invalid/secret", NOTE)
    with pytest.raises(NoWayOutError, match="mail_via is not set"):
        send("mailto:me@example.org", NOTE)


@pytest.mark.skipif(not find_spec("apprise"), reason="apprise is not installed")
def test_apprise_reaches_what_it_knows_and_its_addresses_stay_secret() -> None:
    for address in ("apprise:", "apprise:secret", "apprise:file:///secret", "apprise:tgram://"):
        with pytest.raises(ParametersError, match="apprise does not know this address") as refused:
            checked(address)
        assert "secret" not in str(refused.value)
    with receiving() as receiver:
        address = checked(f"apprise:json://me:secret@127.0.0.1:{receiver.port}/x")
        assert masked(address) == "apprise:json://***"
        send(address, NOTE)
        assert receiver.arrived[0].body["message"].startswith("3 jobs of w")
        receiver.status = 500
        with pytest.raises(RefusedError, match="apprise could not deliver it"):
            send(address, NOTE)


def test_without_apprise_its_addresses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.setattr("simcelery.notifying.addresses.find_spec", lambda name: None)
    with pytest.raises(ParametersError, match=r"pip install 'simcelery\[apprise\]'"):
        checked("apprise:json://secret.example.org")
    with pytest.raises(NoWayOutError, match=r"pip install 'simcelery\[apprise\]'"):
        send("apprise:json://secret.example.org", NOTE)


def test_sendmail_gets_the_mail_and_the_mailboxes(tmp_path: Path, mail_via: Any) -> None:
    program = tmp_path / "sendmail"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/mail\nexit $(cat {tmp_path}/code)\n'
    )
    program.chmod(0o755)
    (tmp_path / "code").write_text("0")
    mail_via(str(program))
    send("mailto:me@example.org,you@example.org", NOTE)
    assert (tmp_path / "words").read_text() == "-oi -- me@example.org you@example.org\n"
    assert f"Message-ID: <{NOTE['id']}@simcelery>" in (tmp_path / "mail").read_text()
    (tmp_path / "code").write_text("75")
    with pytest.raises(RefusedError, match="ended with 75"):
        send("mailto:me@example.org", NOTE)
    mail_via(str(tmp_path / "none"))
    with pytest.raises(NoWayOutError, match="there is no program"):
        send("mailto:me@example.org", NOTE)


def test_a_mail_server_that_is_not_there_is_no_way_out(mail_via: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        mail_via(f"smtp://me:secret@127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(NoWayOutError, match="connection refused"):
            send("mailto:me@example.org", NOTE)


@pytest.mark.parametrize(
    "via", ["example.org", "http://example.org", "smtp://", "smtp://u:secret@:25", "smtp://h:x"]
)
def test_a_setting_that_names_no_mail_server_is_refused(via: str, mail_via: Any) -> None:
    mail_via(via)
    with pytest.raises(SettingsError) as refused:
        settings.get_settings()
    assert "mail_via" in str(refused.value)
    assert "secret" not in str(refused.value)
