"""Send one notification, within seconds. Redirects are not followed: only the address itself is asked."""

from __future__ import annotations

import http.client
import logging
import shutil
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from simcelery.notifying import forms
from simcelery.notifying.addresses import APPRISE, mailboxes
from simcelery.settings import get_settings

PATIENCE = 5.0  # seconds without any progress


class UndeliveredError(Exception):
    """It was not delivered; the message says why, without the address."""


class RefusedError(UndeliveredError):
    """The receiver was there, but did not take it."""


class NoWayOutError(UndeliveredError):
    """The receiver cannot be reached from here; from another machine it may be."""


def send(address: str, notification: Mapping[str, Any]) -> None:
    """Send it.

    Raises:
        RefusedError, NoWayOutError: it was not delivered, as far as is known.
    """
    kind = address.partition(":")[0].lower()
    if kind == "mailto":
        _mail(address, notification)
    elif kind == APPRISE.rstrip(":"):
        _through_apprise(address, notification)
    else:
        _post(forms.post(address, notification))


def _post(post: forms.Post) -> None:
    # No handler for redirects, for errors or for other schemes: what is answered is the answer.
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    request = Request(post.url, post.body, post.headers, method="POST")
    try:
        response = opener.open(request, timeout=PATIENCE)
    except URLError as error:
        raise NoWayOutError(_reason(error.reason)) from None
    except TimeoutError:
        raise RefusedError(f"no answer within {PATIENCE:g} s") from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise RefusedError(f"no readable answer ({type(error).__name__})") from None
    if response is None:
        raise RefusedError("no answer")
    response.close()
    if 300 <= response.status < 400:
        raise RefusedError(f"the answer was {response.status}, and redirects are not followed")
    if not 200 <= response.status < 300:
        raise RefusedError(f"the answer was {response.status}")


def _reason(error: Any) -> str:
    """Why there is no connection; never quotes the address."""
    if isinstance(error, socket.gaierror):
        return "the name of its host is not known here"
    if isinstance(error, ssl.SSLError):
        return f"its certificate is not accepted ({error.reason or type(error).__name__})"
    if isinstance(error, TimeoutError):
        return f"no connection within {PATIENCE:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"no connection ({type(error).__name__})"


def _mail(address: str, notification: Mapping[str, Any]) -> None:
    settings = get_settings()
    if settings.mail_via is None:
        raise NoWayOutError("mail cannot be sent from here: the setting mail_via is not set")
    via = settings.mail_via.get_secret_value()
    sender = settings.mail_from or f"simcelery@{socket.getfqdn()}"
    message = forms.mail(address, notification, sender)
    try:
        if via.startswith("/"):
            _sendmail(via, mailboxes(address), bytes(message))
        else:
            _smtp(via, message)
    except (smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected) as error:
        raise NoWayOutError(f"the mail server does not answer ({type(error).__name__})") from None
    except smtplib.SMTPException as error:  # its text may quote the recipients, not the password
        raise RefusedError(f"the mail server refused it ({type(error).__name__})") from None
    except OSError as error:
        raise NoWayOutError(_reason(error)) from None


def _smtp(via: str, message: Any) -> None:
    parts = urlsplit(via)
    host, port = parts.hostname or "", parts.port or 0
    secure = parts.scheme == "smtps"
    trusted = ssl.create_default_context()  # without one, smtplib takes any certificate
    with (
        smtplib.SMTP_SSL(host, port, timeout=PATIENCE, context=trusted)
        if secure
        else smtplib.SMTP(host, port, timeout=PATIENCE)
    ) as server:
        server.ehlo()
        if not secure and server.has_extn("starttls"):
            server.starttls(context=trusted)
            server.ehlo()
            secure = True
        if parts.username:
            if not secure and not _is_here(server):
                raise NoWayOutError(
                    "the mail server offers no encryption, so it gets no password: use smtps://, or none"
                )
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)


def _is_here(server: smtplib.SMTP) -> bool:
    """Whether nobody can listen, since the server is on this machine."""
    return server.sock is not None and ip_address(server.sock.getpeername()[0]).is_loopback


def _sendmail(program: str, recipients: list[str], message: bytes) -> None:
    if not shutil.which(program):
        raise NoWayOutError(f"there is no program {program}, which mail_via names")
    try:
        done = subprocess.run(
            [program, "-oi", "--", *recipients], input=message, capture_output=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(f"{program} did not end within {PATIENCE:g} s") from None
    if done.returncode:
        raise RefusedError(f"{program} ended with {done.returncode}")


def _through_apprise(address: str, notification: Mapping[str, Any]) -> None:
    try:
        import apprise
    except ImportError:
        raise NoWayOutError("apprise is not installed here: pip install 'simcelery[apprise]'") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its own words may quote the address
    service = apprise.Apprise()
    service.add(address[len(APPRISE) :])
    title = f"simcelery: {notification['event']}"
    if not service.notify(title=title, body=notification["text"]):
        raise RefusedError("apprise could not deliver it")
